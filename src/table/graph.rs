//! The order of tables: parents before those that refer to them.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use crate::error::{Error, Result};

/// Why one table comes before another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The table that must come first.
    pub parent: String,
    /// The table that comes after it.
    pub child: String,
    /// The foreign key's name, or `depends_on`.
    pub because: String,
    /// Whether the constraint can wait until the end of the transaction.
    pub deferrable: bool,
}

/// The configured tables and what they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableGraph {
    /// The tables, in the order in which they are loaded; by name where there is none.
    pub tables: Vec<String>,
    /// Between these tables, and from them to tables that are not configured.
    pub dependencies: Vec<Dependency>,
    /// Tables that are referred to and not configured: the loader does not load them.
    pub outside: Vec<String>,
    /// Why there is no order, where there is none.
    pub cycle: Option<String>,
}

/// The tables in dependency order; tables without an order between them stand by name.
///
/// A table that refers to itself is no cycle. A cycle of several tables is accepted where its
/// deferrable constraints break it.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) naming the tables and constraints of a cycle that nothing breaks.
pub fn order(tables: &BTreeSet<String>, dependencies: &[Dependency]) -> Result<Vec<String>> {
    let edges: BTreeSet<&Dependency> = dependencies
        .iter()
        .filter(|d| d.parent != d.child && tables.contains(&d.parent) && tables.contains(&d.child))
        .collect();
    let (graph, _) = build(tables, edges.iter().copied());
    let mut component = BTreeMap::new();
    for (i, members) in tarjan_scc(&graph).iter().enumerate() {
        component.extend(members.iter().map(|n| (graph[*n].to_owned(), i)));
    }
    let in_cycle = |d: &Dependency| component[&d.parent] == component[&d.child];
    let binding: Vec<&Dependency> = edges
        .into_iter()
        .filter(|d| !(d.deferrable && in_cycle(d)))
        .collect();
    let (graph, _) = build(tables, binding.iter().copied());
    match toposort(&graph, None) {
        Ok(sorted) => Ok(sorted.into_iter().map(|n| graph[n].to_owned()).collect()),
        Err(_) => Err(cycle(&graph, &binding)),
    }
}

/// Nodes are added in reverse, because `toposort` visits the last node first.
fn build<'a>(
    tables: &'a BTreeSet<String>,
    edges: impl Iterator<Item = &'a Dependency>,
) -> (DiGraph<&'a str, ()>, BTreeMap<&'a str, NodeIndex>) {
    let mut graph = DiGraph::new();
    let nodes: BTreeMap<&str, NodeIndex> = tables
        .iter()
        .rev()
        .map(|t| (t.as_str(), graph.add_node(t.as_str())))
        .collect();
    for edge in edges {
        graph.update_edge(nodes[edge.parent.as_str()], nodes[edge.child.as_str()], ());
    }
    (graph, nodes)
}

fn cycle(graph: &DiGraph<&str, ()>, binding: &[&Dependency]) -> Error {
    let members: BTreeSet<&str> = tarjan_scc(graph)
        .into_iter()
        .find(|c| c.len() > 1)
        .unwrap_or_default()
        .into_iter()
        .map(|n| graph[n])
        .collect();
    let links: Vec<String> = binding
        .iter()
        .filter(|d| members.contains(d.parent.as_str()) && members.contains(d.child.as_str()))
        .map(|d| format!("{} needs {} ({})", d.child, d.parent, d.because))
        .collect();
    Error::config(format!(
        "the tables {} need each other and cannot be put in order: {}; make one of these foreign \
         keys DEFERRABLE, or take one out of depends_on",
        members.into_iter().collect::<Vec<_>>().join(", "),
        links.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dep(child: &str, parent: &str, deferrable: bool) -> Dependency {
        Dependency {
            parent: parent.into(),
            child: child.into(),
            because: format!("{child}_{parent}_fkey"),
            deferrable,
        }
    }

    fn sorted(names: &str, dependencies: &[Dependency]) -> Result<String> {
        let tables = names.split(' ').map(str::to_owned).collect();
        Ok(order(&tables, dependencies)?.join(" "))
    }

    #[test]
    fn parents_first_then_by_name() {
        let deps = [dep("dna", "subjects", false), dep("a", "dna", false)];
        let got = sorted("dna a subjects b", &deps).unwrap();
        let at = |n: &str| got.split(' ').position(|x| x == n).unwrap();
        assert!(at("subjects") < at("dna") && at("dna") < at("a"), "{got}");
        assert_eq!(sorted("c b a", &[]).unwrap(), "a b c");
    }

    #[test]
    fn a_self_reference_is_no_cycle() {
        assert_eq!(sorted("a", &[dep("a", "a", false)]).unwrap(), "a");
    }

    #[test]
    fn a_cycle_is_named_unless_deferrable() {
        let e = sorted("a b c", &[dep("a", "b", false), dep("b", "a", false)])
            .unwrap_err()
            .to_string();
        assert!(e.contains("a, b need each other"), "{e}");
        assert!(e.contains("a needs b (a_b_fkey)"), "{e}");
        assert!(!e.contains("c needs"), "{e}");
        let one_way = sorted("a b", &[dep("a", "b", true), dep("b", "a", false)]);
        assert_eq!(one_way.unwrap(), "a b");
    }

    #[test]
    fn a_deferrable_key_outside_a_cycle_still_orders() {
        assert_eq!(sorted("a b", &[dep("a", "b", true)]).unwrap(), "b a");
    }
}
