//! The dependency graph of tables, for people and for programs that draw.

use std::fmt::Write;

use crate::table::graph::TableGraph;
use crate::text::escape;

/// The tables in load order, each with what it needs.
pub fn text(graph: &TableGraph) -> String {
    let mut out = String::new();
    for (i, table) in graph.tables.iter().enumerate() {
        let _ = writeln!(out, "{:>3}. {}", i + 1, escape(table));
        for d in graph.dependencies.iter().filter(|d| d.child == *table) {
            let _ = match (&d.parent == table, graph.outside.contains(&d.parent)) {
                (true, _) => writeln!(out, "       refers to itself ({})", escape(&d.because)),
                (_, true) => writeln!(
                    out,
                    "       needs {} ({}), which is not configured: its rows must be there",
                    escape(&d.parent),
                    escape(&d.because)
                ),
                _ => writeln!(
                    out,
                    "       needs {} ({})",
                    escape(&d.parent),
                    escape(&d.because)
                ),
            };
        }
    }
    out
}

/// As a Mermaid flowchart: GitHub and GitLab draw it.
pub fn mermaid(graph: &TableGraph) -> String {
    let label = |text: &str| {
        escape(text)
            .replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;")
    };
    let all: Vec<&String> = graph.tables.iter().chain(&graph.outside).collect();
    let number = |name: &str| all.iter().position(|n| *n == name).unwrap_or_default();
    let mut out = String::from("flowchart LR\n");
    for (i, name) in all.iter().enumerate() {
        let shape = if i < graph.tables.len() {
            ["[", "]"]
        } else {
            ["([", "])"]
        };
        let _ = writeln!(out, "  t{i}{}\"{}\"{}", shape[0], label(name), shape[1]);
    }
    for d in &graph.dependencies {
        let _ = writeln!(
            out,
            "  t{} -- \"{}\" --> t{}",
            number(&d.parent),
            label(&d.because),
            number(&d.child)
        );
    }
    out
}

/// As Graphviz takes it.
pub fn dot(graph: &TableGraph) -> String {
    let quoted = |text: &str| {
        format!(
            "\"{}\"",
            escape(text).replace('\\', "\\\\").replace('"', "\\\"")
        )
    };
    let mut out = String::from("digraph tables {\n  rankdir=LR;\n  node [shape=box];\n");
    for name in &graph.tables {
        let _ = writeln!(out, "  {};", quoted(name));
    }
    for name in &graph.outside {
        let _ = writeln!(out, "  {} [style=dashed];", quoted(name));
    }
    for d in &graph.dependencies {
        let _ = writeln!(
            out,
            "  {} -> {} [label={}];",
            quoted(&d.parent),
            quoted(&d.child),
            quoted(&d.because)
        );
    }
    out + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::graph::Dependency;

    fn example() -> TableGraph {
        let dependency = |parent: &str, child: &str, because: &str| Dependency {
            parent: parent.into(),
            child: child.into(),
            because: because.into(),
            deferrable: false,
        };
        TableGraph {
            tables: vec!["subjects".into(), "a \"b\"\n".into()],
            dependencies: vec![
                dependency("a \"b\"\n", "a \"b\"\n", "self"),
                dependency("sites", "subjects", "at"),
                dependency("subjects", "a \"b\"\n", "of"),
            ],
            outside: vec!["sites".into()],
            cycle: None,
        }
    }

    #[test]
    fn text_is_in_load_order() {
        let expect = "  1. subjects\n       needs sites (at), which is not configured: its rows must be there\n  \
            2. a \"b\"\\n\n       refers to itself (self)\n       needs subjects (of)\n";
        assert_eq!(text(&example()), expect);
    }

    #[test]
    fn mermaid_and_dot_quote_names() {
        let expect = "flowchart LR\n  t0[\"subjects\"]\n  t1[\"a &quot;b&quot;\\n\"]\n  t2([\"sites\"])\n  \
            t1 -- \"self\" --> t1\n  t2 -- \"at\" --> t0\n  t0 -- \"of\" --> t1\n";
        assert_eq!(mermaid(&example()), expect);
        let dot = dot(&example());
        assert!(
            dot.contains(r#"  "subjects" -> "a \"b\"\\n" [label="of"];"#),
            "{dot}"
        );
        assert!(dot.contains("  \"sites\" [style=dashed];"), "{dot}");
    }
}
