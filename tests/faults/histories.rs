//! Random histories of loads, edits by others and rollbacks, whole, in part, and of rollbacks, against a
//! model that says what is refused and what every row holds: nothing is undone twice, nothing that others
//! edited is lost. `TEST_HISTORIES` of them are played, from the seed `TEST_SEED` on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::harness::{Stage, number_from};
use crate::support::random::Random;

/// `false` is a parent, `true` a child.
type Key = (bool, String);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    v: String,
    parent: Option<String>,
}

/// What one application did to one row.
#[derive(Debug, Clone)]
struct Change {
    app: usize,
    key: Key,
    before: Option<Row>,
    after: Option<Row>,
    /// The rollback in part that undid it.
    undone: Option<usize>,
}

/// One application of a plan.
#[derive(Debug, Clone)]
struct App {
    id: String,
    /// Its batch, where it is a load.
    batch: Option<String>,
    whole: Vec<usize>,
    in_part: Vec<usize>,
    undone: Option<usize>,
}

/// What is asked of a rollback.
#[derive(Debug, Clone, Default)]
struct Ask {
    table: Option<bool>,
    keys: Vec<String>,
    keep: bool,
    dependents: bool,
}

/// What the tables and the ledger hold.
#[derive(Debug, Clone, Default)]
struct Model {
    rows: BTreeMap<Key, Row>,
    apps: Vec<App>,
    changes: Vec<Change>,
}

/// Why a rollback is refused.
type Refused = &'static str;

/// A row before and after.
type Both = (Option<Row>, Option<Row>);

/// The rows that a rollback sets.
type Set = BTreeMap<Key, Option<Row>>;

/// The rows that a rollback sets, and the applications that it undoes as a whole and in part.
type Meant = Result<(Set, Vec<usize>, Vec<usize>), Refused>;

impl Model {
    /// The changes that are still to be undone, of these applications.
    fn open(&self, of: &BTreeSet<usize>) -> Vec<usize> {
        let open = |c: &Change| of.contains(&c.app) && self.is_open(c);
        (0..self.changes.len())
            .filter(|i| open(&self.changes[*i]))
            .collect()
    }

    fn is_open(&self, c: &Change) -> bool {
        c.undone.is_none() && self.apps[c.app].undone.is_none()
    }

    fn is_load(&self, app: usize) -> bool {
        self.apps[app].batch.is_some()
    }

    /// The first and last image of each row that these changes changed.
    fn composed(
        &self,
        of: &[usize],
        rows: &BTreeSet<Key>,
        all: bool,
    ) -> Result<BTreeMap<Key, Both>, Refused> {
        let mut composed: BTreeMap<Key, Both> = BTreeMap::new();
        let mut broken = BTreeSet::new();
        for c in of.iter().map(|i| &self.changes[*i]) {
            let entry = composed.entry(c.key.clone());
            let both = entry.or_insert((c.before.clone(), c.before.clone()));
            if both.1 != c.before {
                broken.insert(c.key.clone());
            }
            both.1 = c.after.clone();
        }
        composed.retain(|key, both| rows.contains(key) && (both.0.is_some() || both.1.is_some()));
        // Where everything is undone, what comes and goes again counts too.
        match broken.iter().any(|key| all || composed.contains_key(key)) {
            true => Err("between two of these loads"),
            false => Ok(composed),
        }
    }

    fn referring(&self, parent: &str) -> Vec<Key> {
        let refers = |r: &&Row| r.parent.as_deref() == Some(parent);
        let rows = self.rows.iter().filter(|(_, r)| refers(r));
        rows.map(|(key, _)| key.clone()).collect()
    }

    /// What a rollback of these loads comes to: the rows it sets, and the applications that it undoes as a
    /// whole and in part.
    fn roll_back(&self, chosen: &BTreeSet<usize>, ask: &Ask) -> Meant {
        let open = self.open(chosen);
        let of_table = |k: &Key| ask.table.is_none_or(|t| t == k.0);
        let changed: BTreeSet<Key> = open.iter().map(|i| self.changes[*i].key.clone()).collect();
        let mut selected: BTreeSet<Key> = changed.iter().filter(|k| of_table(k)).cloned().collect();
        if let Some(table) = ask.table {
            let touched = |c: &&Change| chosen.contains(&c.app) && c.key.0 == table;
            if !self.changes.iter().any(|c| touched(&c)) {
                return Err("no such table");
            }
        }
        if !ask.keys.is_empty() {
            let asked: BTreeSet<Key> = ask
                .keys
                .iter()
                .map(|k| (ask.table.unwrap(), k.clone()))
                .collect();
            // What comes and goes again in between has nothing to undo.
            let there = self.composed_all(&open);
            if !asked
                .iter()
                .all(|k| selected.contains(k) && there.contains(k))
            {
                return Err("not changed");
            }
            selected = asked;
        }
        let mut apps = chosen.clone();
        if ask.dependents {
            self.add_dependents(&mut apps, &mut selected, ask)?;
        }
        let open = self.open(&apps);
        let whole = ask.table.is_none() && apps == *chosen;
        let mut undo = self.composed(&open, &selected, whole)?;
        let listed: BTreeSet<Key> = undo.keys().cloned().collect();
        let mut kept = BTreeSet::new();
        let drifted: Vec<Key> = undo
            .iter()
            .filter(|(k, (_, after))| self.rows.get(*k) != after.as_ref())
            .map(|(k, _)| k.clone())
            .collect();
        if !drifted.is_empty() && !ask.keep {
            return Err("drift");
        }
        for key in drifted {
            undo.remove(&key);
            kept.insert(key);
        }
        loop {
            let referred: Vec<Key> = undo
                .iter()
                .filter(|(k, (before, _))| !k.0 && before.is_none())
                .filter(|(k, _)| {
                    self.referring(&k.1).iter().any(|c| match undo.get(c) {
                        None => true,
                        Some((None, _)) => false,
                        Some((Some(row), _)) => row.parent.as_ref() == Some(&k.1),
                    })
                })
                .map(|(k, _)| k.clone())
                .collect();
            if referred.is_empty() {
                break;
            }
            if !ask.keep {
                return Err("referred to");
            }
            for key in referred {
                undo.remove(&key);
                kept.insert(key);
            }
        }
        let whole = whole && kept.is_empty();
        let set: Set = undo
            .into_iter()
            .filter(|(_, (before, after))| before != after)
            .map(|(k, (before, _))| (k, before))
            .collect();
        if set.is_empty() && !whole {
            return Err("nothing to undo");
        }
        self.refers_to_what_is_there(&set)?;
        if whole {
            return Ok((set, chosen.iter().copied().collect(), Vec::new()));
        }
        let mut parts = (Vec::new(), Vec::new());
        for app in apps {
            let own: Vec<&Change> = open
                .iter()
                .map(|i| &self.changes[*i])
                .filter(|c| c.app == app)
                .collect();
            let undone = own.iter().filter(|c| set.contains_key(&c.key)).count();
            if undone > 0 && undone == own.len() {
                parts.0.push(app);
            } else if own.iter().any(|c| listed.contains(&c.key)) {
                parts.1.push(app);
            }
        }
        Ok((set, parts.0, parts.1))
    }

    /// The rows that these changes leave otherwise than absent before and after.
    fn composed_all(&self, of: &[usize]) -> BTreeSet<Key> {
        let mut composed: BTreeMap<Key, (bool, bool)> = BTreeMap::new();
        for c in of.iter().map(|i| &self.changes[*i]) {
            let both = composed
                .entry(c.key.clone())
                .or_insert((c.before.is_some(), false));
            both.1 = c.after.is_some();
        }
        composed.retain(|_, both| both.0 || both.1);
        composed.into_keys().collect()
    }

    fn add_dependents(
        &self,
        apps: &mut BTreeSet<usize>,
        selected: &mut BTreeSet<Key>,
        ask: &Ask,
    ) -> Result<(), Refused> {
        let chosen = apps.clone();
        let loads: BTreeSet<usize> = (0..self.apps.len()).filter(|a| self.is_load(*a)).collect();
        let all = self.open(&loads);
        loop {
            let (known_apps, known_rows) = (apps.clone(), selected.clone());
            let open = self.open(apps);
            let whole = ask.table.is_none() && *apps == chosen;
            let undo = self.composed(&open, selected, whole)?;
            for (key, (before, _)) in &undo {
                let own = open.iter().filter(|i| self.changes[**i].key == *key);
                let last = *own.max().unwrap();
                let later = all
                    .iter()
                    .filter(|i| **i > last && self.changes[**i].key == *key);
                apps.extend(later.map(|i| self.changes[*i].app));
                if key.0 || before.is_some() {
                    continue;
                }
                for child in self.referring(&key.1) {
                    let goes = match undo.get(&child) {
                        None => false,
                        Some((None, _)) => true,
                        Some((Some(row), _)) => row.parent.as_ref() != Some(&key.1),
                    };
                    if goes {
                        continue;
                    }
                    let of_child: Vec<usize> = all
                        .iter()
                        .copied()
                        .filter(|i| self.changes[*i].key == child)
                        .collect();
                    let made = |i: &&usize| match &self.changes[**i].before {
                        None => true,
                        Some(row) => row.parent.as_ref() != Some(&key.1),
                    };
                    if let Some(made) = of_child.iter().rev().find(made) {
                        selected.insert(child);
                        let later = of_child.iter().filter(|i| *i >= made);
                        apps.extend(later.map(|i| self.changes[*i].app));
                    }
                }
            }
            if *apps == known_apps && *selected == known_rows {
                return Ok(());
            }
        }
    }

    fn refers_to_what_is_there(&self, set: &Set) -> Result<(), Refused> {
        let mut rows = self.rows.clone();
        for (key, row) in set {
            match row {
                Some(row) => drop(rows.insert(key.clone(), row.clone())),
                None => drop(rows.remove(key)),
            }
        }
        let is_there = |p: &String| rows.contains_key(&(false, p.clone()));
        let all = rows
            .values()
            .all(|r| r.parent.as_ref().is_none_or(is_there));
        if all { Ok(()) } else { Err("parent missing") }
    }

    /// What taking a rollback back sets.
    fn redo(&self, rollback: usize) -> Result<Set, Refused> {
        if self.apps[rollback].undone.is_some() {
            return Err("undone");
        }
        let loads = self.loads(rollback);
        for later in rollback + 1..self.apps.len() {
            let app = &self.apps[later];
            if self.is_load(later) || app.undone.is_some() {
                continue;
            }
            let part = |a: usize, load: &usize| self.apps[a].in_part.contains(load);
            let both = self.loads(later);
            let mut both = both.intersection(&loads);
            if both.any(|l| !(part(rollback, l) && part(later, l))) {
                return Err("later rollback");
            }
        }
        let own = self.changes.iter().filter(|c| c.app == rollback);
        let own: Vec<&Change> = own.collect();
        if own
            .iter()
            .any(|c| self.rows.get(&c.key) != c.after.as_ref())
        {
            return Err("drift");
        }
        let set: Set = own
            .iter()
            .map(|c| (c.key.clone(), c.before.clone()))
            .collect();
        self.refers_to_what_is_there(&set)?;
        Ok(set)
    }

    fn loads(&self, of: usize) -> BTreeSet<usize> {
        let app = &self.apps[of];
        match app.batch {
            Some(_) => [of].into(),
            None => {
                let of = app.whole.iter().chain(&app.in_part);
                of.flat_map(|a| self.loads(*a)).collect()
            }
        }
    }

    /// Notes an application that set these rows.
    fn apply(&mut self, app: App, set: &Set) {
        let n = self.apps.len();
        for (key, row) in set {
            let before = match row {
                Some(row) => self.rows.insert(key.clone(), row.clone()),
                None => self.rows.remove(key),
            };
            if before != *row {
                self.changes.push(Change {
                    app: n,
                    key: key.clone(),
                    before,
                    after: row.clone(),
                    undone: None,
                });
            }
        }
        self.apps.push(app);
        // Whoever undoes another is newer than it.
        for of in (0..self.apps.len()).rev() {
            let undoes = |by: &usize| self.apps[*by].whole.contains(&of);
            let mut later = (of + 1..self.apps.len()).rev();
            let by = later.find(|by| self.apps[*by].undone.is_none() && undoes(by));
            self.apps[of].undone = by;
        }
        let part = |by: usize, c: &Change| {
            let own = |other: &Change| other.app == by && other.key == c.key;
            self.apps[by].undone.is_none()
                && self.apps[by].in_part.contains(&c.app)
                && self.changes.iter().any(own)
        };
        let undone = |c: &Change| (0..self.apps.len()).rev().find(|by| part(*by, c));
        let undone: Vec<Option<usize>> = self.changes.iter().map(undone).collect();
        for (change, undone) in self.changes.iter_mut().zip(undone) {
            change.undone = undone;
        }
    }

    /// What brought a load into effect last.
    fn last_redone(&self, load: usize) -> usize {
        let undoes = |by: usize, of: usize| self.apps[by].whole.contains(&of);
        let redoes = |a: &usize| {
            let mut rollbacks = (0..self.apps.len()).filter(|u| undoes(*u, load));
            self.apps[*a].undone.is_none() && rollbacks.any(|u| undoes(*a, u))
        };
        let redo = (0..self.apps.len()).rev().find(redoes);
        redo.map_or(load, |redo| self.last_redone(redo))
    }

    /// What the database holds then.
    fn lines(&self) -> String {
        let line = |(key, row): (&Key, &Row)| match key.0 {
            false => format!("parent ({},{})", key.1, row.v),
            true => {
                let parent = row.parent.as_deref().unwrap_or_default();
                format!("child ({},{parent},{})", key.1, row.v)
            }
        };
        let mut lines: Vec<String> = self.rows.iter().map(line).collect();
        lines.sort();
        lines.join("\n")
    }
}

/// What all histories together came to.
#[derive(Debug, Default)]
struct Figures(BTreeMap<String, u64>);

struct Play<'a> {
    stage: &'a Stage,
    r: Random,
    model: Model,
    told: Vec<String>,
    batches: Vec<String>,
}

impl Play<'_> {
    fn row(&mut self, child: bool, parents: &[String]) -> Row {
        let parent = (child && self.r.chance(80) && !parents.is_empty())
            .then(|| parents[self.r.below(parents.len())].clone());
        Row {
            v: format!("v{}", self.r.below(1000)),
            parent,
        }
    }

    fn key(&mut self, child: bool) -> Key {
        let n = self.r.below(5);
        (child, format!("{}{n}", if child { "c" } else { "p" }))
    }

    fn parents(&self) -> Vec<String> {
        let parents = self.model.rows.keys().filter(|k| !k.0);
        parents.map(|k| k.1.clone()).collect()
    }

    fn load(&mut self) -> &'static str {
        let fresh = self.batches.is_empty() || self.r.chance(75);
        if fresh {
            self.batches.push(format!("b{}", self.batches.len()));
        }
        let n = self.r.below(self.batches.len());
        let batch = match fresh {
            true => self.batches[self.batches.len() - 1].clone(),
            false => self.batches[n].clone(),
        };
        let mut set: Set = BTreeMap::new();
        let mut parents = self.parents();
        let mut files = Vec::new();
        for child in [false, true] {
            let mut records = BTreeMap::new();
            for _ in 0..self.r.below(4) {
                let key = self.key(child);
                let mut row = self.row(child, &parents);
                let mut record = serde_json::json!({"k": key.1, "v": row.v});
                if let Some(parent) = &row.parent {
                    record["parent"] = parent.as_str().into();
                } else if let Some(now) = self.model.rows.get(&key) {
                    row.parent = now.parent.clone();
                }
                records.insert(key.1.clone(), record);
                set.insert(key, Some(row));
            }
            if !child {
                parents.extend(records.keys().cloned());
            }
            let records: Vec<_> = records.into_values().collect();
            if !records.is_empty() {
                let name = if child {
                    "child/1.json"
                } else {
                    "parent/1.json"
                };
                files.push((name, serde_json::Value::from(records).to_string()));
            }
        }
        if files.is_empty() {
            return "empty load";
        }
        self.told.push(format!("load {batch}: {files:?}"));
        let folder = self.stage.path(&format!("source/staging/{batch}"));
        let _ = std::fs::remove_dir_all(folder);
        self.stage.sql(&format!(
            "DELETE FROM validation_queue WHERE batch_id = '{batch}'"
        ));
        for (name, content) in &files {
            self.stage.deliver(&batch, &[(name, content)]);
        }
        let run = self
            .stage
            .loader(&["load", "--batch-id", &batch, "--force", "--json"]);
        assert_eq!(run.code, Some(0), "{run}\n{:#?}", self.told);
        let json = run.json();
        if let Some(id) = json["application"].as_str() {
            let app = App {
                id: id.to_owned(),
                batch: Some(batch),
                whole: Vec::new(),
                in_part: Vec::new(),
                undone: None,
            };
            self.model.apply(app, &set);
        }
        "load"
    }

    /// What others do.
    fn edit(&mut self) -> &'static str {
        let child = self.r.chance(60);
        let key = self.key(child);
        let table = if child { "child" } else { "parent" };
        let parents = self.parents();
        let now = self.model.rows.get(&key).cloned();
        let sql = if now.is_some() && self.r.chance(25) {
            if !child && !self.model.referring(&key.1).is_empty() {
                return "no edit";
            }
            self.model.rows.remove(&key);
            format!("DELETE FROM {table} WHERE k = '{}'", key.1)
        } else {
            let row = self.row(child, &parents);
            let parent = row.parent.as_ref().map(|p| format!("'{p}'"));
            let more = match child {
                true => format!(", parent = {}", parent.as_deref().unwrap_or("NULL")),
                false => String::new(),
            };
            let (columns, values) = match child {
                true => (
                    "k, v, parent",
                    format!(", {}", parent.as_deref().unwrap_or("NULL")),
                ),
                false => ("k, v", String::new()),
            };
            let sql = format!(
                "INSERT INTO {table} ({columns}) VALUES ('{k}', '{v}'{values}) ON CONFLICT (k) DO UPDATE SET v = '{v}'{more}",
                k = key.1,
                v = row.v
            );
            self.model.rows.insert(key, row);
            sql
        };
        self.told.push(sql.clone());
        self.stage.sql(&sql);
        "edit"
    }

    fn roll_back(&mut self) -> String {
        let Some(batch) = (!self.batches.is_empty()).then(|| self.r.below(self.batches.len()))
        else {
            return "nothing there".into();
        };
        let batch = self.batches[batch].clone();
        let mut ask = Ask {
            keep: self.r.chance(35),
            dependents: self.r.chance(35),
            ..Ask::default()
        };
        if self.r.chance(65) {
            ask.table = Some(self.r.chance(60));
            if self.r.chance(70) {
                for _ in 0..=self.r.below(2) {
                    ask.keys.push(self.key(ask.table.unwrap()).1);
                }
            }
        }
        let chosen: BTreeSet<usize> = (0..self.model.apps.len())
            .filter(|a| {
                let app = &self.model.apps[*a];
                app.undone.is_none() && app.batch.as_ref() == Some(&batch)
            })
            .map(|load| {
                let in_part = ask.table.is_some() || ask.keep || ask.dependents;
                let was_in_part = self.model.apps.iter().any(|a| a.in_part.contains(&load));
                match in_part || was_in_part {
                    true => load,
                    false => self.model.last_redone(load),
                }
            })
            .collect();
        let meant = match chosen.is_empty() {
            true => Err("nothing in effect"),
            false => self.model.roll_back(&chosen, &ask),
        };
        let mut args = vec!["rollback", "--batch-id", &batch, "--force", "--json"];
        if let Some(table) = ask.table {
            args.extend(["--table", if table { "child" } else { "parent" }]);
        }
        for key in &ask.keys {
            args.extend(["--key", key]);
        }
        args.extend(ask.keep.then_some("--keep-edited"));
        args.extend(ask.dependents.then_some("--with-dependents"));
        self.run(&args, meant)
    }

    fn redo(&mut self) -> String {
        let rollbacks: Vec<usize> = (0..self.model.apps.len())
            .filter(|a| !self.model.is_load(*a))
            .collect();
        if rollbacks.is_empty() {
            return "no rollback".into();
        }
        let rollback = rollbacks[self.r.below(rollbacks.len())];
        let meant = self.model.redo(rollback);
        let meant = meant.map(|set| (set, vec![rollback], Vec::new()));
        let id = self.model.apps[rollback].id.clone();
        self.run(
            &["rollback", "--application", &id, "--force", "--json"],
            meant,
        )
    }

    fn run(&mut self, args: &[&str], meant: Meant) -> String {
        let run = self.stage.loader(args);
        let what = args[3..].iter().filter(|a| a.starts_with("--"));
        let what: Vec<&str> = what.copied().collect();
        self.told.push(format!("{args:?}: meant {meant:?}: {run}"));
        match meant {
            Ok((set, whole, in_part)) => {
                assert_eq!(run.code, Some(0), "{:#?}\n{:#?}", self.told, self.model);
                let app = App {
                    id: run.json()["application"].as_str().unwrap().to_owned(),
                    batch: None,
                    whole,
                    in_part,
                    undone: None,
                };
                self.model.apply(app, &set);
                format!("done {}", what.join(" "))
            }
            Err(why) => {
                assert_ne!(run.code, Some(0), "{:#?}\n{:#?}", self.told, self.model);
                format!("refused: {why}")
            }
        }
    }

    /// That database and ledger are as the model says.
    fn compare(&self) {
        let meant = self.model.lines();
        assert_eq!(self.stage.data(), meant, "{:#?}", self.told);
        let history = self.stage.loader(&["history", "--json"]).exits(0).json();
        let told = history["applications"].as_array().unwrap();
        assert_eq!(told.len(), self.model.apps.len());
        for (n, (told, app)) in told.iter().rev().zip(&self.model.apps).enumerate() {
            let by = app.undone.map(|by| self.model.apps[by].id.as_str());
            assert_eq!(told["undone_by"].as_str(), by, "{n}: {:#?}", self.told);
            if by.is_none() && self.model.is_load(n) {
                let own = self.model.changes.iter().filter(|c| c.app == n);
                let undone = own.filter(|c| c.undone.is_some()).count() as u64;
                let rows = told["undone_rows"].as_object();
                let rows = rows.map_or(0, |r| r.values().filter_map(|n| n.as_u64()).sum());
                assert_eq!(rows, undone, "{n}: {:#?}", self.told);
            }
        }
    }
}

fn play(stage: &Stage, seed: u64, figures: &Mutex<Figures>) {
    stage.sql("TRUNCATE loader_ledger, audit_log, batch_load_log, validation_queue, child, parent");
    let mut play = Play {
        stage,
        r: Random::new(seed),
        model: Model::default(),
        told: vec![format!("TEST_SEED={seed} TEST_HISTORIES=1")],
        batches: Vec::new(),
    };
    for step in 0..9 {
        let what = match play.r.below(10) {
            _ if step < 2 => play.load().to_owned(),
            0..3 => play.load().to_owned(),
            3..5 => play.edit().to_owned(),
            5..9 => play.roll_back(),
            _ => play.redo(),
        };
        *figures.lock().unwrap().0.entry(what).or_default() += 1;
        assert_eq!(stage.data(), play.model.lines(), "{:#?}", play.told);
    }
    play.compare();
}

#[test]
fn random_histories_are_as_a_model_says() {
    let (first, histories) = (
        number_from("TEST_SEED", 1),
        number_from("TEST_HISTORIES", 12),
    );
    let next = AtomicU64::new(0);
    let figures = Mutex::new(Figures::default());
    std::thread::scope(|scope| {
        for _ in 0..histories.clamp(1, 2) {
            scope.spawn(|| {
                let stage = Stage::new(
                    "CREATE TABLE parent (k text PRIMARY KEY, v text); \
                     CREATE TABLE child (k text PRIMARY KEY, parent text REFERENCES parent, v text)",
                    "parent: {natural_key: [k]}\nchild: {natural_key: [k]}",
                );
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= histories {
                        return;
                    }
                    play(&stage, first + n, &figures);
                }
            });
        }
    });
    println!("{:#?}", figures.into_inner().unwrap().0);
}
