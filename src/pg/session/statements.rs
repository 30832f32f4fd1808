//! A snapshot of what a session is told and asked about itself.

use super::{Backend, Timeouts, settings};
use crate::pg::fixture::{assert_snapshot, printed};

#[test]
fn about_itself() {
    let backend = Backend {
        process: 42,
        started: "2024-01-15 14:30:22.123456+00".into(),
    };
    let schemas = ["public".to_owned(), "Other".to_owned()];
    let statements = [
        settings::pinned(),
        settings::pinned_everywhere(std::time::Duration::from_secs(30)),
        settings::as_anybody(false),
        settings::as_anybody(true),
        settings::limits(Timeouts::default()),
        settings::server(),
        settings::watched(),
        settings::is_served_by(&backend, "beginning the snapshot"),
        settings::search_path(&schemas),
        settings::has_search_path(&schemas),
        settings::waits_for_standby(&backend),
        settings::terminate(&backend),
    ];
    assert_snapshot("sql_session", &printed(statements));
}
