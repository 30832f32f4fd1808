//! Where the nodes of a layered drawing stand: parents left, children right.

/// A drawing's points, in its own units.
#[derive(Debug, PartialEq)]
pub struct Layout {
    /// The upper left corner of each node.
    pub nodes: Vec<(f64, f64)>,
    /// The points of each edge, from the parent's right side to the child's left side.
    pub edges: Vec<Vec<(f64, f64)>>,
    /// Width and height.
    pub size: (f64, f64),
}

/// Width and height of a node, and the room between layers and between nodes.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    pub node: (f64, f64),
    pub gap: (f64, f64),
}

/// A node, or the place where an edge passes a layer.
struct Place {
    layer: usize,
    real: bool,
    /// Its middle.
    y: f64,
    left: Vec<usize>,
    right: Vec<usize>,
}

/// Lays out `count` nodes. An edge is (parent, child); one from a later node to an earlier one is
/// drawn against the direction.
pub fn layout(count: usize, edges: &[(usize, usize)], measure: Measure) -> Layout {
    let mut layer = vec![0_usize; count];
    let mut forward: Vec<(usize, usize)> =
        edges.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect();
    forward.sort_by_key(|(_, to)| *to);
    for (from, to) in &forward {
        layer[*to] = layer[*to].max(layer[*from] + 1);
    }
    let mut places: Vec<Place> = layer.iter().map(|l| Place::new(*l, true)).collect();
    let chains: Vec<Vec<usize>> = edges
        .iter()
        .map(|(a, b)| chain(&mut places, *a.min(b), *a.max(b)))
        .collect();
    let last = layer.iter().max().map_or(0, |l| l + 1);
    let mut layers: Vec<Vec<usize>> = (0..last)
        .map(|l| {
            (0..places.len())
                .filter(|p| places[*p].layer == l)
                .collect()
        })
        .collect();
    arrange(&mut places, &mut layers, measure);
    let top = layers
        .iter()
        .flatten()
        .map(|p| places[*p].top(measure))
        .fold(f64::MAX, f64::min);
    let (width, height) = measure.node;
    let x = |p: usize| places[p].layer as f64 * (width + measure.gap.0);
    let nodes: Vec<(f64, f64)> = (0..count)
        .map(|p| (x(p), places[p].y - height / 2.0 - top))
        .collect();
    let bottom = layers
        .iter()
        .flatten()
        .map(|p| places[*p].top(measure) + places[*p].height(measure));
    let edges = edges.iter().zip(chains).map(|((a, b), chain)| {
        let mut points = Vec::new();
        for p in chain {
            points.extend([(x(p), places[p].y - top), (x(p) + width, places[p].y - top)]);
        }
        points.pop();
        points.remove(0);
        if a > b {
            points.reverse();
        }
        points
    });
    Layout {
        edges: edges.collect(),
        size: (
            last as f64 * (width + measure.gap.0) - measure.gap.0,
            bottom.fold(0.0, f64::max) - top,
        ),
        nodes,
    }
}

/// The places from one node to another, with new ones in the layers between them.
fn chain(places: &mut Vec<Place>, from: usize, to: usize) -> Vec<usize> {
    let mut chain = vec![from];
    for layer in places[from].layer + 1..places[to].layer {
        places.push(Place::new(layer, false));
        chain.push(places.len() - 1);
    }
    chain.push(to);
    for pair in chain.windows(2) {
        places[pair[0]].right.push(pair[1]);
        places[pair[1]].left.push(pair[0]);
    }
    chain
}

/// Orders the places of each layer by where their neighbours are, so that few edges cross, and
/// moves them towards these.
fn arrange(places: &mut [Place], layers: &mut [Vec<usize>], measure: Measure) {
    for layer in layers.iter() {
        stack(places, layer, &vec![0.0; layer.len()], measure);
    }
    for round in 0..8 {
        let rightwards = round % 2 == 0;
        let numbers: Vec<usize> = if rightwards {
            (0..layers.len()).collect()
        } else {
            (0..layers.len()).rev().collect()
        };
        for number in numbers {
            let wish = |p: &usize| {
                let place = &places[*p];
                let near = if rightwards {
                    &place.left
                } else {
                    &place.right
                };
                match near.len() {
                    0 => place.y,
                    n => near.iter().map(|q| places[*q].y).sum::<f64>() / n as f64,
                }
            };
            let mut wishes: Vec<(usize, f64)> =
                layers[number].iter().map(|p| (*p, wish(p))).collect();
            wishes.sort_by(|a, b| a.1.total_cmp(&b.1));
            let (order, wishes): (Vec<usize>, Vec<f64>) = wishes.into_iter().unzip();
            stack(places, &order, &wishes, measure);
            layers[number] = order;
        }
    }
}

/// Puts the places of a layer below each other, near where they would like to be.
fn stack(places: &mut [Place], order: &[usize], wishes: &[f64], measure: Measure) {
    let mut least = f64::MIN;
    for (p, wish) in order.iter().zip(wishes) {
        let half = places[*p].height(measure) / 2.0;
        places[*p].y = wish.max(least + half);
        least = places[*p].y + half + measure.gap.1;
    }
    let off: f64 = order
        .iter()
        .zip(wishes)
        .map(|(p, w)| places[*p].y - w)
        .sum();
    let mean = off / order.len().max(1) as f64;
    order.iter().for_each(|p| places[*p].y -= mean);
}

impl Place {
    fn new(layer: usize, real: bool) -> Place {
        Place {
            layer,
            real,
            y: 0.0,
            left: Vec::new(),
            right: Vec::new(),
        }
    }

    fn height(&self, measure: Measure) -> f64 {
        if self.real { measure.node.1 } else { 0.0 }
    }

    fn top(&self, measure: Measure) -> f64 {
        self.y - self.height(measure) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURE: Measure = Measure {
        node: (100.0, 40.0),
        gap: (50.0, 20.0),
    };

    #[test]
    fn parents_are_left_of_children_and_nothing_overlaps() {
        let edges = [
            (0, 2),
            (1, 2),
            (2, 3),
            (0, 3),
            (3, 4),
            (0, 4),
            (1, 4),
            (2, 5),
        ];
        let drawn = layout(6, &edges, MEASURE);
        for (a, b) in edges {
            assert!(drawn.nodes[a].0 + 150.0 <= drawn.nodes[b].0, "{drawn:?}");
        }
        for (i, a) in drawn.nodes.iter().enumerate() {
            assert!(
                a.1 >= 0.0 && a.1 + 40.0 <= drawn.size.1 + 0.001 && a.0 + 100.0 <= drawn.size.0
            );
            for b in &drawn.nodes[..i] {
                assert!(a.0 != b.0 || (a.1 - b.1).abs() >= 59.999, "{drawn:?}");
            }
        }
        for ((a, b), points) in edges.iter().zip(&drawn.edges) {
            assert_eq!(
                points[0],
                (drawn.nodes[*a].0 + 100.0, drawn.nodes[*a].1 + 20.0)
            );
            assert_eq!(
                points[points.len() - 1],
                (drawn.nodes[*b].0, drawn.nodes[*b].1 + 20.0)
            );
        }
    }

    #[test]
    fn one_node_and_a_cycle_are_drawn_too() {
        assert_eq!(layout(1, &[], MEASURE).size, (100.0, 40.0));
        let cycle = layout(2, &[(0, 1), (1, 0)], MEASURE);
        assert_eq!(cycle.size, (250.0, 40.0));
        assert_eq!(cycle.edges[1], vec![(150.0, 20.0), (100.0, 20.0)]);
        assert_eq!(layout(0, &[], MEASURE).nodes, vec![]);
    }
}
