//! Rows of the catalog queries as values.

use tokio_postgres::Row;

use super::far::Far;
use super::kinds::Types;
use crate::sql::Qualified;
use crate::table::schema::{
    Asks, Check, Column, Equality, ForeignKey, Identity, Shape, UniqueIndex,
};
use crate::types::Kind;

pub(super) fn column(row: &Row, types: &Types) -> Column {
    let base_type: String = row.get(4);
    let delimiter: Option<String> = row.get(12);
    let element_json: Option<bool> = row.get(13);
    let shape = match delimiter.and_then(|d| d.chars().next()) {
        _ if matches!(base_type.as_str(), "json" | "jsonb") => Shape::Json,
        Some(delimiter) => Shape::Array {
            delimiter,
            element_json: element_json.unwrap_or(false),
        },
        None => Shape::Scalar,
    };
    let category: String = row.get(5);
    let identity: String = row.get(9);
    let equality: Option<Vec<String>> = row.get(15);
    let mut equality = equality.unwrap_or_default().into_iter();
    let default: Option<String> = row.get(8);
    let owned: Option<Vec<String>> = row.get(19);
    let is_number = matches!(base_type.as_str(), "int2" | "int4" | "int8");
    let numbers = !identity.is_empty() || default.as_ref().is_some_and(|d| d.contains("nextval("));
    let sequence = owned.filter(|_| is_number && numbers).map(|name| {
        let mut name = name.into_iter();
        Qualified {
            schema: name.next().unwrap_or_default(),
            name: name.next().unwrap_or_default(),
        }
    });
    let (domain, base_type_sql): (bool, String) = (row.get(6), row.get(3));
    let kind = types.kind(row.get(17), row.get(18));
    let as_type = (domain && matches!(kind, Kind::Label(_))).then(|| base_type_sql.clone());
    Column {
        number: row.get(0),
        name: row.get(1),
        type_sql: row.get(2),
        base_type_sql,
        base_type,
        category: category.chars().next().unwrap_or('X'),
        domain,
        not_null: row.get(7),
        default,
        sequence,
        identity: match identity.as_str() {
            "a" => Identity::Always,
            "d" => Identity::ByDefault,
            _ => Identity::None,
        },
        generated: row.get(10),
        generation: row.get(16),
        generated_from: row.get(20),
        default_varies: row.get(21),
        text_cast: row.get(11),
        shape,
        kind,
        collation: row.get(14),
        equality: Equality {
            schema: equality.next().unwrap_or_else(|| "pg_catalog".into()),
            operator: equality.next().unwrap_or_else(|| "=".into()),
            collation: None,
            as_type,
        },
    }
}

pub(super) fn unique_index(row: &Row) -> UniqueIndex {
    let schemas: Vec<String> = row.get(7);
    let operators: Vec<String> = row.get(8);
    let collations: Vec<Option<String>> = row.get(9);
    let equality = schemas
        .into_iter()
        .zip(operators)
        .zip(collations)
        .map(|((schema, operator), collation)| Equality {
            schema,
            operator,
            collation,
            as_type: None,
        })
        .collect();
    UniqueIndex {
        name: row.get(0),
        columns: row.get(1),
        equality,
        keys_sql: row.get(2),
        predicate: row.get(3),
        immediate: row.get(4),
        nulls_not_distinct: row.get(5),
        primary: row.get(6),
        of_partition: row.get(10),
    }
}

pub(super) fn foreign_key(row: &Row, far: &Far) -> ForeignKey {
    let schemas: Vec<String> = row.get(10);
    let operators: Vec<String> = row.get(11);
    let collations: Vec<Option<String>> = row.get(20);
    let qualified = |schema, name| Qualified {
        schema: row.get(schema),
        name: row.get(name),
    };
    let (child, parent) = (qualified(1, 2), qualified(3, 4));
    let (child_oid, parent_oid) = (row.get(13), row.get(16));
    let mut key = ForeignKey {
        name: row.get(0),
        child_rows: far.rows(&child, child_oid),
        child,
        child_oid,
        parent_rows: far.rows(&parent, parent_oid),
        parent,
        parent_oid,
        columns: row.get(5),
        parent_columns: row.get(6),
        only: row.get(18),
        parts: row.get(19),
        deferrable: row.get(7),
        may_go_first: row.get(21),
        may_change_first: row.get(22),
        match_full: row.get(8),
        equality: schemas
            .into_iter()
            .zip(operators)
            .zip(collations)
            .map(|((schema, operator), collation)| Equality {
                schema,
                operator,
                collation,
                as_type: None,
            })
            .collect(),
        keeps: row.get(12),
        outlives_parent: row.get(14),
        follows: row.get(15),
    };
    far.at_once(&mut key);
    key
}

pub(super) fn check(row: &Row) -> Check {
    let asks: &str = row.get(1);
    Check {
        name: row.get(0),
        asks: match asks {
            "c" => Asks::Check,
            "p" => Asks::Partitions,
            _ => Asks::Index,
        },
        expression: row.get(2),
        columns: row.get(3),
        looks_around: row.get(4),
    }
}
