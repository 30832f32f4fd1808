//! In which turn each row is written.

use std::collections::BTreeMap;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;
use petgraph::visit::EdgeRef;

/// A row: its table's number, and its own there.
pub(in crate::pg) type Row = (i32, i64);

/// The turns of rows that wait: each pair is a row and one that waits for it, and whether for an earlier turn. All others
/// are in turn 1, and these are in the first in which they can be; those that are in it are not told. A row is in
/// turn 0 if there is none for it, as it waits in a circle, for one that has none, or behind `most` others.
pub(super) fn turns(waits: &[(Row, Row, bool)], most: u32) -> Vec<(Row, u32)> {
    let mut graph = DiGraph::new();
    let mut places = BTreeMap::new();
    for (first, then, strict) in waits {
        let [first, then] =
            [first, then].map(|row| *places.entry(*row).or_insert_with(|| graph.add_node(*row)));
        graph.add_edge(first, then, *strict);
    }
    // Rows that wait for each other can only be written together. Of those for which others wait come first.
    let mut together = kosaraju_scc(&graph);
    together.reverse();
    let mut turn_of = vec![1; graph.node_count()];
    let mut circle_of = vec![0; graph.node_count()];
    for (i, rows) in together.iter().enumerate() {
        for row in rows {
            circle_of[row.index()] = i;
        }
    }
    for rows in &together {
        let mut turn = Some(1);
        for row in rows {
            for wait in graph.edges_directed(*row, petgraph::Direction::Incoming) {
                let of = wait.source().index();
                let strict = u32::from(*wait.weight());
                let least = if circle_of[of] == circle_of[row.index()] {
                    (strict == 0).then_some(1)
                } else {
                    let turn = turn_of[of];
                    (turn > 0 && turn + strict <= most).then_some(turn + strict)
                };
                turn = turn.zip(least).map(|(turn, least)| turn.max(least));
            }
        }
        for row in rows {
            turn_of[row.index()] = turn.unwrap_or(0);
        }
    }
    let turns = graph.node_indices().map(|i| (graph[i], turn_of[i.index()]));
    turns.filter(|(_, turn)| *turn != 1).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Row, turns};

    fn row(n: u8) -> Row {
        (0, n.into())
    }

    #[test]
    fn rows_wait_for_earlier_turns_or_for_the_same() {
        type Case<'c> = (&'c [(u8, u8, bool)], &'c [(u8, u32)]);
        let cases: [Case<'_>; 7] = [
            (&[], &[]),
            (&[(1, 2, false)], &[]),
            (&[(1, 2, true), (2, 3, true)], &[(2, 2), (3, 3)]),
            (
                &[(1, 2, true), (2, 3, false), (1, 3, true)],
                &[(2, 2), (3, 2)],
            ),
            // They refer to each other.
            (
                &[(1, 2, false), (2, 1, false), (0, 2, true)],
                &[(1, 2), (2, 2)],
            ),
            // They take from each other; another waits for one of them.
            (
                &[(1, 2, true), (2, 1, true), (2, 3, false)],
                &[(1, 0), (2, 0), (3, 0)],
            ),
            // Five is too many, and so is what comes behind it.
            (
                &[
                    (1, 2, true),
                    (2, 3, true),
                    (3, 4, true),
                    (4, 5, true),
                    (5, 6, false),
                ],
                &[(2, 2), (3, 3), (4, 4), (5, 0), (6, 0)],
            ),
        ];
        for (waits, expected) in cases {
            let waits = waits
                .iter()
                .map(|(first, then, strict)| (row(*first), row(*then), *strict));
            let waits: Vec<_> = waits.collect();
            let mut found = turns(&waits, 4);
            found.sort_unstable();
            let expected: Vec<_> = expected.iter().map(|(n, turn)| (row(*n), *turn)).collect();
            assert_eq!(found, expected, "{waits:?}");
        }
    }

    #[test]
    fn a_long_chain_is_no_deep_call() {
        let waits: Vec<_> = (0..200_000).map(|n| ((0, n), (0, n + 1), false)).collect();
        assert_eq!(turns(&waits, 4), []);
    }

    proptest! {
        #[test]
        fn whoever_has_a_turn_is_behind_all_for_whom_it_waits(
            waits in proptest::collection::vec((0..12_u8, 0..12_u8, any::<bool>()), 0..30),
        ) {
            let waits: Vec<_> = waits.iter().map(|(a, b, strict)| (row(*a), row(*b), *strict)).collect();
            let found: BTreeMap<_, _> = turns(&waits, 20).into_iter().collect();
            let turn = |row| found.get(row).copied().unwrap_or(1);
            for (first, then, strict) in &waits {
                prop_assert!(
                    turn(then) == 0 || turn(first) > 0 && turn(first) + u32::from(*strict) <= turn(then)
                );
            }
            // Whoever has none waits for one that has none: nobody is held up without a circle.
            for (then, _) in found.iter().filter(|(_, turn)| **turn == 0) {
                prop_assert!(waits.iter().any(|(first, of, _)| of == then && turn(first) == 0));
            }
            // None could be earlier.
            for (then, turn_of_then) in found.iter().filter(|(_, turn)| **turn > 1) {
                let is_why = |first, strict: &bool| turn(first) + u32::from(*strict) == *turn_of_then;
                let waits_by_others = waits.iter().any(|(first, of, strict)| of == then && is_why(first, strict));
                prop_assert!(waits_by_others);
            }
        }
    }
}
