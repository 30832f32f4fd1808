//! What people see of a plan.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "a test that panics says where"
)]

/// Compares with `snapshots/NAME.snap`.
macro_rules! snapshot {
    ($name:expr, $value:expr) => {
        insta::with_settings!({
            snapshot_path => "../../snapshots",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!($name, $value) })
    };
}

mod browser;
mod decisions;
mod differs;
mod drift;
mod fixture;
mod html;
mod json;
mod markdown;
#[path = "../support/random.rs"]
mod random;
mod text;
mod unusual;
