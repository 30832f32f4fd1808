//! `tables.yaml` against the database, without a batch.

use crate::pg::own::Own;
use std::collections::BTreeSet;

use serde::Serialize;

use super::targets::{Needs, dependencies, unguarded};
use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::pg::privileges::{Object, Wanted, missing_grants, needed_for_rows};
use crate::pg::{Database, Session, Timeouts, catalog, suited};
use crate::sql::{Ident, Qualified, list};
use crate::table::config::Config;
use crate::table::graph;
use crate::table::schema::{Identity, Table};
use crate::table::target::{Target, allowed};

/// What is checked, and for which work.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConfigCheckRequest {
    /// `tables.yaml`.
    pub config: Config,
    /// The database, as the role whose rights are looked at.
    pub database: Database,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The schema of the loader's tables.
    pub loader_schema: String,
    /// What that role is for.
    pub work: Work,
}

/// What a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It makes plans.
    Plan,
    /// It makes, applies and takes back.
    Apply,
}

impl ConfigCheckRequest {
    /// Whether plans can be made.
    pub fn new(config: Config, database: Database) -> ConfigCheckRequest {
        ConfigCheckRequest {
            config,
            database,
            timeouts: Timeouts::default(),
            loader_schema: "public".into(),
            work: Work::Plan,
        }
    }
}

/// What the check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConfigChecked {
    /// Tables of the configuration that are as it says.
    pub tables: Vec<String>,
    /// What is wrong with the configuration.
    pub problems: Vec<String>,
    /// What the role lacks, as statements for the owner to run.
    pub grants: Vec<String>,
    /// What should be known.
    pub notes: Vec<String>,
    /// Whether the loader's own tables are there.
    pub migrated: bool,
}

impl ConfigChecked {
    /// Whether nothing stands in the way of the work.
    pub fn is_fine(&self) -> bool {
        self.migrated && self.problems.is_empty() && self.grants.is_empty()
    }
}

/// Checks all tables of the configuration, and finds all that is wrong in one run. Reads only.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database); what is wrong with the configuration is no error.
pub async fn check_config(request: &ConfigCheckRequest) -> Result<ConfigChecked> {
    let session = Session::open(&request.database, request.timeouts).await?;
    let mut checked = ConfigChecked::default();
    let mut targets = Vec::new();
    if request.config.tables.is_empty() {
        let none =
            "the configuration describes no table; `loader init` drafts it from the database";
        checked.problems.push(none.to_owned());
    }
    for name in request.config.tables.keys() {
        let found = async {
            let table = catalog::table(&session, name).await?;
            let config = request.config.resolve(name, &table)?;
            let parents = catalog::parents(&session, &config).await?;
            let lookups = request.config.lookups(name, &table, &config, parents)?;
            Ok::<_, Error>((table, config, lookups))
        };
        match found.await {
            Ok((table, config, lookups)) => {
                let place = targets.len();
                targets.push(Target::new(name.clone(), table, config, lookups, place));
            }
            Err(e) if is_finding(&e) => checked.problems.push(format!("{e:#}")),
            Err(e) => return Err(e),
        }
    }
    let (own, migrated) = match own_tables(&session, &request.loader_schema).await {
        Ok(own) => (own, true),
        Err(e) if e.kind() == ErrorKind::Config => (Vec::new(), false),
        // Who may not look cannot know.
        Err(e) if is_finding(&e) => {
            checked.problems.push(format!("{e:#}"));
            (Vec::new(), true)
        }
        Err(e) => return Err(e),
    };
    checked.migrated = migrated;
    let needs: Vec<Needs<'_>> = targets
        .iter()
        .map(|t| (t.name.as_str(), &t.table, &t.config))
        .collect();
    let names: BTreeSet<String> = targets.iter().map(|t| t.name.clone()).collect();
    let mut known = dependencies(&needs);
    known.retain(|d| names.contains(&d.parent));
    if let Err(e) = graph::order(&names, &known) {
        checked.problems.push(format!("{e:#}"));
    }
    for target in &targets {
        let notes = unguarded(target).into_iter();
        let notes = notes.chain(request.config.no_columns(&target.name, &target.table));
        let notes = notes.chain(never_given(target));
        checked
            .notes
            .extend(notes.map(|note| format!("{}: {note}", target.name)));
    }
    for target in &targets {
        let (lookups, columns) = (&target.lookups, &target.table.columns);
        for lookup in lookups.all.iter().filter(|l| !l.unique) {
            checked.notes.push(format!(
                "{}: {} is looked up in {} by {}, which no unique key makes find one row at most; records for which \
                 several are found cannot be loaded",
                target.name,
                columns[lookup.of].name,
                lookup.table,
                lookups.columns(lookup)
            ));
        }
    }
    checked
        .problems
        .extend(suited::unsuited(&session, &targets).await?);
    if let (Work::Apply, Err(e)) = (request.work, session.may_write()) {
        checked.problems.push(format!("{e:#}"));
    }
    for target in &targets {
        checked.problems.extend(hidden(&session, target).await?);
        checked.notes.extend(unindexed(&session, target).await?);
    }
    for (table, privileges) in &own {
        let is_used = request.work == Work::Apply || privileges.contains(&"SELECT");
        if is_used && catalog::hides_rows(&session, &table.name).await? {
            checked.problems.push(format!(
                "row security hides rows of {0}, one of the loader's own tables, from this role; ALTER TABLE {0} DISABLE ROW \
                 LEVEL SECURITY, or give the role BYPASSRLS",
                table.name
            ));
        }
    }
    for (name, other) in beside(&targets) {
        if catalog::hides_rows(&session, other).await? {
            checked.problems.push(format!(
                "{name}: row security hides rows of {other} from this role, among which those are looked for that records \
                 refer to; it has to be one with BYPASSRLS, or the owner of {other} without FORCE ROW LEVEL SECURITY"
            ));
        }
    }
    if checked.problems.is_empty() {
        let tables: Vec<&Table> = targets.iter().map(|t| &t.table).collect();
        checked.notes.extend(request.config.of_no_table(&tables));
    }
    let tables: Vec<&Table> = targets.iter().map(|t| &t.table).collect();
    let needed = needed_for_rows(&session, &tables).await?;
    let wanted = wanted(request.work, &targets, &own, needed);
    checked.grants = missing_grants(&session, &wanted).await?;
    checked.tables = targets.into_iter().map(|t| t.name).collect();
    Ok(checked)
}

/// The tables to which rows of these refer and that are not among them, each with the name of one that refers.
fn beside(targets: &[Target]) -> Vec<(&str, &Qualified)> {
    let mut beside: Vec<(&str, &Qualified)> = Vec::new();
    for target in targets {
        let parents = target.table.foreign_keys.iter().map(|key| &key.parent);
        let lookups = target.lookups.all.iter().map(|lookup| &lookup.relation);
        for other in parents.chain(lookups) {
            let is_loaded = targets.iter().any(|t| t.table.name == *other);
            if !is_loaded && beside.iter().all(|(_, known)| *known != other) {
                beside.push((&target.name, other));
            }
        }
    }
    beside
}

/// That row security hides rows of `target` from the role, which then cannot know what it would change.
async fn hidden(session: &Session, target: &Target) -> Result<Option<String>> {
    let name = &target.table.name;
    if !catalog::hides_rows(session, name).await? {
        return Ok(None);
    }
    Ok(Some(format!(
        "{}: row security hides rows of it from this role, and what is not seen cannot be compared; its role has to be one \
         with BYPASSRLS, or the owner of {name} without FORCE ROW LEVEL SECURITY",
        target.name
    )))
}

/// What to say of a column of the natural key that the database alone numbers, so that no record can have it.
fn never_given(target: &Target) -> Option<String> {
    let mut key = target.key_columns().into_iter();
    let column = key.find(|c| c.identity == Identity::Always && !target.config.takes(c))?;
    Some(format!(
        "{} is in the natural key, and the database alone numbers it (GENERATED ALWAYS), so that no record can be loaded: \
         with update_strategy: update_only, records find rows by it; else another natural key is needed, or GENERATED BY \
         DEFAULT",
        column.name
    ))
}

/// What rows refer by to those of `target` without an index: who deletes one of these has PostgreSQL look through all
/// rows of the other table, for each of them.
async fn unindexed(session: &Session, target: &Target) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let removes = target.mark().is_none();
    for key in target.table.referrers.iter().filter(|_| removes) {
        if !catalog::is_indexed(session, key).await? {
            let columns = list(key.columns.iter().map(|c| Ident(c)));
            let child = target.other(&key.child);
            notes.push(format!(
                "{}: {} refers to it by {columns}, with which no index begins: for each row that a load or a rollback deletes, \
                 PostgreSQL looks through all of {}; this would prevent that: CREATE INDEX ON {} ({columns})",
                target.name, child, child, key.child
            ));
        }
    }
    Ok(notes)
}

/// Whether an error says what is wrong with the configuration or the role's rights.
fn is_finding(e: &Error) -> bool {
    e.kind() == ErrorKind::Config || e.code() == Some(sqlstate::INSUFFICIENT_PRIVILEGE)
}

/// The loader's tables, and what an apply does with each (docs/roles.md); planning only reads those that it reads.
const OWN: [(Own, &[&str]); 5] = [
    (
        Own::Queue,
        &[
            "SELECT",
            "UPDATE (status, loaded_at, error_message, application)",
        ],
    ),
    (Own::AuditLog, &["SELECT", "INSERT"]),
    // For people: nothing of it is read by the loader.
    (Own::LoadLog, &["INSERT"]),
    (Own::Ledger, &["SELECT", "INSERT"]),
    (Own::Identity, &["SELECT"]),
];

/// The loader's own tables, with what an apply does with each.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where one is not there.
async fn own_tables(
    session: &Session,
    schema: &str,
) -> Result<Vec<(Table, &'static [&'static str])>> {
    let mut own = Vec::new();
    for (table, privileges) in OWN {
        let table = catalog::relation(session, &table.within(schema)).await?;
        own.push((table, privileges));
    }
    Ok(own)
}

/// The sequences that number a table's rows and that an insert needs the right to; identity columns'
/// need none.
fn sequences(table: &Table) -> impl Iterator<Item = &Qualified> {
    let serial = table.columns.iter();
    let serial = serial.filter(|c| c.identity == Identity::None);
    serial.filter_map(|c| c.sequence.as_ref())
}

/// What the role must be able to do.
fn wanted(
    work: Work,
    targets: &[Target],
    own: &[(Table, &'static [&'static str])],
    needed: Vec<Object>,
) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let mut want = |on: Object, privileges: &[&'static str]| {
        // What lies in a schema is reached through it.
        let schema = match &on {
            Object::Table(name)
            | Object::Sequence(name)
            | Object::Type(_, name)
            | Object::Function(_, name, _) => Some(Object::Schema(name.schema.clone())),
            Object::Database | Object::Schema(_) => None,
        };
        let schema = schema.into_iter().map(|on| (on, "USAGE"));
        let own = privileges.iter().map(|privilege| (on.clone(), *privilege));
        for (on, privilege) in schema.chain(own) {
            let one = Wanted { on, privilege };
            if !wanted.contains(&one) {
                wanted.push(one);
            }
        }
    };
    want(Object::Database, &["TEMPORARY"]);
    for object in needed {
        let privilege: &[&str] = match object {
            Object::Function(..) => &["EXECUTE"],
            _ => &["USAGE"],
        };
        want(object, privilege);
    }
    let allowed = allowed(targets.iter().map(|t| &t.config));
    for target in targets {
        let table = &target.table;
        let loaded: &[&str] = match work {
            Work::Plan => &["SELECT"],
            Work::Apply => &["SELECT", "INSERT", "UPDATE", "DELETE"],
        };
        want(Object::Table(table.name.clone()), loaded);
        for parent in table.foreign_keys.iter().map(|k| &k.parent) {
            want(Object::Table(parent.clone()), &["SELECT"]);
        }
        // Who applies leaves it to the foreign key, but for what it may change beside the plan.
        let is_asked = |child: &&Qualified| match work {
            Work::Plan => target.may_lose_rows(),
            Work::Apply => allowed.iter().any(|name| child.is_meant_by(name)),
        };
        let children = table.referrers.iter().map(|k| &k.child);
        for child in children.filter(is_asked) {
            want(Object::Table(child.clone()), &["SELECT"]);
        }
    }
    for target in targets {
        for lookup in &target.lookups.all {
            want(Object::Table(lookup.relation.clone()), &["SELECT"]);
            if work == Work::Plan || !lookup.answers {
                continue;
            }
            // What no foreign key holds is locked; and of new rows to which others refer, numbers are drawn.
            if !lookup.held {
                want(Object::Table(lookup.relation.clone()), &["UPDATE"]);
            }
            let is_loaded = targets.iter().any(|t| t.name == lookup.table);
            if let Some(sequence) = lookup.target.sequence.as_ref().filter(|_| is_loaded) {
                want(Object::Sequence(sequence.clone()), &["USAGE"]);
            }
        }
    }
    for (table, privileges) in own {
        let privileges: &[&str] = match work {
            Work::Plan if !privileges.contains(&"SELECT") => &[],
            Work::Plan => &["SELECT"],
            Work::Apply => privileges,
        };
        want(Object::Table(table.name.clone()), privileges);
    }
    if work == Work::Apply {
        let tables = targets.iter().map(|t| &t.table);
        let inserted = own.iter().filter(|(_, p)| p.contains(&"INSERT"));
        let inserted = inserted.map(|(table, _)| table);
        for sequence in tables.chain(inserted).flat_map(sequences) {
            want(Object::Sequence(sequence.clone()), &["USAGE"]);
        }
    }
    wanted
}
