//! What is known of a column's default before it is used.

use super::schema::{Column, Identity};
use crate::sql::ident::words;

impl Column {
    /// Whether the database gives each new row another value.
    pub fn is_numbered(&self) -> bool {
        let calls = |default: &String| NUMBERING.iter().any(|function| default.contains(function));
        self.identity != Identity::None || self.default.as_ref().is_some_and(calls)
    }

    /// Whether its default gives another value each time, or another to another role or session than the one that plans:
    /// which one, is known when it is used.
    pub fn is_unknown(&self) -> bool {
        let depends = |default: &String| {
            let words = words(default);
            SESSION.iter().any(|word| words.contains(*word))
        };
        self.is_numbered() || self.default_varies || self.default.as_ref().is_some_and(depends)
    }
}

/// The functions that give another value each time.
const NUMBERING: [&str; 6] = [
    "nextval(",
    "gen_random_uuid(",
    "uuidv4(",
    "uuidv7(",
    "uuid_generate_v1",
    "uuid_generate_v4(",
];

/// What says who is there, what is set, or something else each time, as the database prints it.
const SESSION: [&str; 15] = [
    "CURRENT_ROLE",
    "CURRENT_USER",
    "SESSION_USER",
    "SYSTEM_USER",
    "USER",
    "current_setting",
    "current_user",
    "getpgusername",
    "inet_client_addr",
    "inet_client_port",
    "pg_backend_pid",
    "pg_current_xact_id",
    "random",
    "session_user",
    "txid_current",
];

#[cfg(test)]
mod tests {
    use crate::table::schema::{Column, Equality, Identity, Shape};
    use crate::types::Kind;

    fn column() -> Column {
        Column {
            number: 1,
            name: "c".into(),
            type_sql: "text".into(),
            base_type_sql: "text".into(),
            base_type: "text".into(),
            category: 'S',
            domain: false,
            not_null: false,
            default: None,
            default_varies: false,
            sequence: None,
            identity: Identity::None,
            generated: false,
            generation: None,
            generated_from: Vec::new(),
            text_cast: true,
            shape: Shape::Scalar,
            kind: Kind::Text(None),
            collation: None,
            equality: Equality {
                schema: "pg_catalog".into(),
                operator: "=".into(),
                collation: None,
                as_type: None,
            },
        }
    }

    #[test]
    fn defaults_that_depend_on_who_is_there_are_not_known() {
        let mut column = column();
        for (default, is_unknown) in [
            ("CURRENT_USER", true),
            ("upper((SESSION_USER)::text)", true),
            ("\"current_user\"()", true),
            ("current_setting('app.tenant'::text)", true),
            ("((random() * (9)::double precision))::integer", true),
            ("nextval('s'::regclass)", true),
            ("'USER'::text", false),
            ("'a'::\"user\"", false),
            ("now()", false),
            ("CURRENT_DATE", false),
            ("0", false),
        ] {
            column.default = Some(default.into());
            assert_eq!(column.is_unknown(), is_unknown, "{default}");
        }
    }
}
