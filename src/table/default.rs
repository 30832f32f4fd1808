//! What is known of a column's default before it is used.

use super::schema::{Column, Identity};
use crate::sql::ident::words;

impl Column {
    /// Whether its default may be longer than it takes: a cast would cut that, and an insert fails.
    pub fn may_be_cut(&self) -> bool {
        let element = self.base_type.trim_start_matches('_');
        let is_text = ["varchar", "bpchar"].contains(&element);
        let length = self.base_type_sql.split_once('(');
        let length = length.and_then(|(_, rest)| rest.split_once(')')?.0.parse::<usize>().ok());
        let (Some(default), Some(length)) = (&self.default, length) else {
            return false;
        };
        if !is_text {
            return ["bit", "varbit"].contains(&element);
        }
        // A text alone, with its type.
        let text = default.strip_prefix('\'').and_then(|d| d.split_once("'::"));
        let is_type = |ty: &str| {
            ty.chars()
                .all(|c| c.is_alphanumeric() || " _.\"".contains(c))
        };
        let fits = |(text, ty): (&str, &str)| text.chars().count() <= length && is_type(ty);
        !text.is_some_and(fits)
    }

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
    use crate::table::schema::Column;

    fn column() -> Column {
        Column::of_type(1, "c", "text", 'S')
    }

    #[test]
    fn defaults_that_fit_their_columns_are_known_to() {
        let mut column = column();
        for (ty, sql, default, may_be_cut) in [
            (
                "varchar",
                "character varying(3)",
                "'new'::character varying",
                false,
            ),
            (
                "varchar",
                "character varying(3)",
                "'newer'::character varying",
                true,
            ),
            (
                "varchar",
                "character varying(3)",
                "'n'::text || lower('EWER'::text)",
                true,
            ),
            (
                "varchar",
                "character varying(3)",
                "repeat('x'::text, 3)",
                true,
            ),
            (
                "varchar",
                "character varying",
                "'newer'::character varying",
                false,
            ),
            ("bpchar", "character(1)", "'n'::bpchar", false),
            ("bpchar", "character(1)", "'no'::bpchar", true),
            (
                "_varchar",
                "character varying(1)[]",
                "'{no}'::character varying[]",
                true,
            ),
            ("bit", "bit(3)", "'101'::\"bit\"", true),
            ("numeric", "numeric(3,1)", "123456", false),
            ("text", "text", "'newer'::text", false),
        ] {
            column.base_type = ty.into();
            column.base_type_sql = sql.into();
            column.default = Some(default.into());
            assert_eq!(column.may_be_cut(), may_be_cut, "{sql}: {default}");
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
