//! Who waits for whom.

use super::{N, Write, Written, moved, ordering};
use crate::sql::{Ident, Statement, all, any};
use crate::table::schema::{Column, ForeignKey, UniqueIndex};

/// Why rows wait for others.
#[derive(Clone, Copy)]
enum Why<'w> {
    /// Rows cease to refer by the key before what they refer to goes, or changes.
    Left(&'w ForeignKey),
    /// What rows refer to by the key is there before they do.
    Referred(&'w ForeignKey),
    /// What rows refer to by the key is no longer what goes, or changes, and would take them along: a key that can wait for
    /// the row which has the value then.
    Vacated(&'w ForeignKey),
    /// What the index has once is given up before it is taken.
    Freed(&'w UniqueIndex),
}

/// Rows of a table to which one thing is done, and those that wait for them.
pub(in crate::pg) struct Wait<'w, W> {
    why: Why<'w>,
    first: (&'w W, Write),
    then: (&'w W, Write),
}

impl<'w, W: Written> Wait<'w, W> {
    /// All that there may be among these tables.
    pub(in crate::pg) fn all(tables: &'w [W]) -> Vec<Wait<'w, W>> {
        use Write::{Delete, Insert, Mark, Update};
        let mut waits = Vec::new();
        let mut add = |why, (of, first): (&'w W, &[Write]), (table, then): (&'w W, &[Write])| {
            for first in first.iter().map(|write| (of, *write)) {
                let then = then.iter().map(|write| (table, *write));
                let all = then.map(|then| Wait { why, first, then });
                waits.extend(all.filter(Wait::is_possible));
            }
        };
        for child in tables {
            for parent in tables {
                for key in child.target().keys_to(parent.target()) {
                    let goes = [Delete, Update];
                    add(Why::Left(key), (child, &goes), (parent, &goes));
                    let comes = [Update, Insert];
                    add(Why::Referred(key), (parent, &comes), (child, &comes));
                    add(Why::Vacated(key), (parent, &goes), (child, &comes));
                }
            }
            for index in child.unique() {
                let frees = [Delete, Mark, Update];
                add(
                    Why::Freed(index),
                    (child, &frees),
                    (child, &[Update, Insert]),
                );
            }
        }
        waits
    }

    fn is_possible(&self) -> bool {
        let ((first, write_first), (then, write_then)) = (self.first, self.then);
        let changes = |(table, write): (&W, Write), columns: &[&Column]| {
            write != Write::Update || columns.iter().any(|c| table.may_change(c))
        };
        let is_made = first.writes(write_first) && then.writes(write_then);
        is_made
            && match self.why {
                Why::Left(key) | Why::Referred(key) | Why::Vacated(key) => {
                    let (child, parent) = match self.why {
                        Why::Left(_) => (self.first, self.then),
                        _ => (self.then, self.first),
                    };
                    let acts = match parent.1 {
                        Write::Delete => !key.may_go_first,
                        _ => !key.may_change_first,
                    };
                    let must_wait = match self.why {
                        Why::Left(_) => acts,
                        Why::Vacated(_) => key.deferrable && acts,
                        _ => !key.deferrable,
                    };
                    let columns = columns_of(child.0, &key.columns);
                    let referred = columns_of(parent.0, &key.parent_columns);
                    must_wait && changes(child, &columns) && changes(parent, &referred)
                }
                Why::Freed(index) => {
                    let columns = columns_in(then, index);
                    index.immediate && changes(self.then, &columns)
                }
            }
    }

    /// Whether these have to be written in an earlier turn than those that wait for them: in the same one, they would come
    /// behind, or with them where that does not do.
    pub(in crate::pg) fn is_strict(&self) -> bool {
        let moment = |(table, write): (&W, Write)| write.moment(table.target().place);
        let (first, then) = (moment(self.first), moment(self.then));
        match self.why {
            // References hold at the end of a statement.
            Why::Left(_) | Why::Referred(_) | Why::Vacated(_) => first > then,
            Why::Freed(_) => first >= then,
        }
    }

    fn is_of_one_table(&self) -> bool {
        self.first.0.target().place == self.then.0.target().place
    }

    /// Whether it concerns rows of the table with this number.
    pub(in crate::pg) fn concerns(&self, table: usize) -> bool {
        [self.first.0, self.then.0]
            .iter()
            .any(|of| of.target().place == table)
    }

    /// The number of the table whose rows wait, and what is done to them.
    pub(in crate::pg) fn then(&self) -> (usize, Write) {
        (self.then.0.target().place, self.then.1)
    }

    /// Notes them; where only those that wait count which were moved in a round, these. `None` where it is not known what
    /// the rows will hold.
    pub(in crate::pg) fn find(&self, round: Option<u32>) -> Option<Statement> {
        let only = |number: &str| match round {
            Some(round) => {
                let moved = moved(self.then().0, number);
                format!(" AND EXISTS ({moved} AND m.round = {round})")
            }
            None => String::new(),
        };
        let pairs = match self.why {
            Why::Left(key) => self.left(key, &only(&format!("p.{N}")))?,
            Why::Referred(key) => self.referred(key, &only(&format!("c.{N}")))?,
            Why::Vacated(key) => self.vacated(key, &only(&format!("c.{N}")))?,
            Why::Freed(index) => self.freed(index, &only("a.n"))?,
        };
        Some(ordering(format!(
            "INSERT INTO pg_temp.loader_waits (t, w, n, then_t, then_n, strict) \
             SELECT {t}, {w}, x.first, {then_t}, x.later, {strict} FROM ({pairs}) x(first, later)",
            t = self.first.0.target().place,
            w = self.first.1,
            then_t = self.then.0.target().place,
            strict = self.is_strict(),
        )))
    }

    /// Rows `c` that refer now to rows `p`. Where these change, that is what counts: that they hold something else then.
    /// Who follows them to that waits for nothing, but in one table, where both are written at once, or where a
    /// deferrable key would make it follow.
    fn left(&self, key: &ForeignKey, only: &str) -> Option<String> {
        let ((child, by), (parent, of)) = (self.first, self.then);
        let columns = columns_of(child, &key.columns);
        let referred = columns_of(parent, &key.parent_columns);
        let (mut beside, gives_up) = gives_up(parent, of, key)?;
        let mut conditions: Vec<String> = gives_up.into_iter().collect();
        conditions.push(refers(key, "p", "c"));
        if of == Write::Update && by == Write::Update {
            let after = child.after(by, &columns)?;
            beside += &format!(" JOIN ({after}) d ON d.{N} = c.{N}");
            let others = (!self.is_of_one_table() && !key.deferrable).then_some("q");
            let others = ["p"].into_iter().chain(others);
            conditions.extend(others.map(|of| format!("({}) IS NOT TRUE", refers(key, of, "d"))));
        }
        Some(format!(
            "SELECT c.{N}, p.{N} FROM ({}) c CROSS JOIN ({}) p{beside} WHERE {}{only}",
            before(child, by, &columns),
            before(parent, of, &referred),
            all(conditions)
        ))
    }

    /// Rows `p` to which rows `c` will refer.
    fn referred(&self, key: &ForeignKey, only: &str) -> Option<String> {
        let ((parent, of), (child, by)) = (self.first, self.then);
        let referred = columns_of(parent, &key.parent_columns);
        let mut conditions = vec![refers(key, "p", "c")];
        let mut beside = String::new();
        if of == Write::Update {
            beside = format!(
                " JOIN ({}) q ON q.{N} = p.{N}",
                before(parent, of, &referred)
            );
            conditions.push(differ(&key.parent_columns, "p", "q"));
        }
        Some(format!(
            "SELECT p.{N}, c.{N} FROM ({}) p CROSS JOIN ({}) c{beside} WHERE {}{only}",
            parent.after(of, &referred)?,
            child.after(by, &columns_of(child, &key.columns))?,
            all(conditions)
        ))
    }

    /// Rows `p` that have now what rows `c` will refer to, and do not yet.
    fn vacated(&self, key: &ForeignKey, only: &str) -> Option<String> {
        let ((parent, of), (child, by)) = (self.first, self.then);
        let columns = columns_of(child, &key.columns);
        let referred = columns_of(parent, &key.parent_columns);
        let (mut beside, gives_up) = gives_up(parent, of, key)?;
        let mut conditions: Vec<String> = gives_up.into_iter().collect();
        conditions.push(refers(key, "p", "c"));
        if by == Write::Update {
            beside += &format!(" JOIN ({}) d ON d.{N} = c.{N}", before(child, by, &columns));
            conditions.push(format!("({}) IS NOT TRUE", refers(key, "p", "d")));
        }
        Some(format!(
            "SELECT p.{N}, c.{N} FROM ({}) p CROSS JOIN ({}) c{beside} WHERE {}{only}",
            before(parent, of, &referred),
            child.after(by, &columns)?,
            all(conditions)
        ))
    }

    /// Rows that hold in the index what rows `a` will.
    fn freed(&self, index: &UniqueIndex, only: &str) -> Option<String> {
        let ((table, by), (_, of)) = (self.first, self.then);
        let takers = table.held_after(of, index)?;
        let schema = &table.target().table;
        if schema.exclusions.contains(index) {
            // The table's own index finds what a row excludes.
            let now = index.held(schema, "x.tableoid AS tbl, x.ctid AS tid", &schema.rows);
            return Some(format!(
                "SELECT w.n, a.n FROM (SELECT a.n, t.tbl, t.tid FROM ({takers}) a JOIN ({now}) t ON {excluded} OFFSET 0) a \
                 JOIN ({places}) w ON w.tid = a.tid AND w.tbl = a.tbl WHERE w.n <> a.n{only}",
                excluded = index.equal("a", "t"),
                places = table.places(by),
            ));
        }
        let columns: Vec<&Column> = schema.columns.iter().collect();
        let now = before(table, by, &columns);
        let own = format!("x.{N} AS n");
        let now = index.held(schema, &own, format_args!("({now})"));
        Some(format!(
            "SELECT f.n, a.n FROM ({takers}) a JOIN ({now} OFFSET 0) f ON {} WHERE f.n <> a.n{only}",
            index.equal("a", "f")
        ))
    }
}

/// A query of what the rows that are written so hold now in these columns, beside their numbers [`N`].
fn before<W: Written>(table: &W, write: Write, columns: &[&Column]) -> String {
    let columns = columns
        .iter()
        .map(|c| format!(", {} AS {}", c.stored("t"), Ident(&c.name)));
    format!(
        "SELECT w.n AS {N}{} FROM ({}) w JOIN {} t ON t.ctid = w.tid AND t.tableoid = w.tbl OFFSET 0",
        columns.collect::<String>(),
        table.places(write),
        table.target().table.rows
    )
}

/// That rows `p` do not keep what is referred to: a further join, and its condition, of those that change, to what they
/// are then (`q`); nothing of those that go.
fn gives_up<W: Written>(
    parent: &W,
    write: Write,
    key: &ForeignKey,
) -> Option<(String, Option<String>)> {
    if write != Write::Update {
        return Some((String::new(), None));
    }
    let after = parent.after(write, &columns_of(parent, &key.parent_columns))?;
    let beside = format!(" JOIN ({after}) q ON q.{N} = p.{N}");
    Some((beside, Some(differ(&key.parent_columns, "p", "q"))))
}

fn columns_of<'c>(table: &'c impl Written, names: &[String]) -> Vec<&'c Column> {
    let names = names.iter();
    names
        .filter_map(|name| table.target().table.column(name))
        .collect()
}

/// The columns that have a say in what a row holds in the index.
pub(in crate::pg) fn columns_in<'c>(
    table: &'c impl Written,
    index: &UniqueIndex,
) -> Vec<&'c Column> {
    let columns = table.target().table.columns.iter();
    let columns = columns.filter(|c| !index.is_plain() || index.columns.contains(&c.number));
    columns.collect()
}

/// The condition that row `child` refers to row `parent`.
fn refers(key: &ForeignKey, parent: &str, child: &str) -> String {
    all(key.pairs().map(|(of_child, of_parent, equality)| {
        equality.equal(
            format_args!("{parent}.{}", Ident(of_parent)),
            format_args!("{child}.{}", Ident(of_child)),
        )
    }))
}

/// The condition that two rows do not hold the same in one of these columns.
fn differ(columns: &[String], left: &str, right: &str) -> String {
    let columns = columns.iter().map(|c| Ident(c));
    any(columns.map(|c| format!("{left}.{c} IS DISTINCT FROM {right}.{c}")))
}
