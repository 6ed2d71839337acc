//! Finds circles: for each automation that can start itself, over others or at once, the shortest way back to it.

use std::collections::{BTreeSet, VecDeque};

use super::Edge;

/// The shortest circle through each node that lies on one, each circle once, as places in `edges`. At most one circle is
/// found for each node, so that the work is bounded by nodes times edges, however many circles there are.
pub(super) fn shortest(nodes: usize, edges: &[Edge]) -> Vec<Vec<usize>> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for node in 0..nodes {
        let Some(circle) = through(node, nodes, edges) else { continue };
        let mut members = circle.clone();
        members.sort_unstable();
        if seen.insert(members) {
            found.push(circle);
        }
    }
    found
}

/// The shortest way from `start` back to it.
fn through(start: usize, nodes: usize, edges: &[Edge]) -> Option<Vec<usize>> {
    let mut came_by: Vec<Option<usize>> = vec![None; nodes];
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        for (place, edge) in edges.iter().enumerate().filter(|(_, edge)| edge.from == node) {
            if edge.to == start {
                return Some(way(start, place, (&came_by, edges)));
            }
            if came_by[edge.to].is_none() {
                came_by[edge.to] = Some(place);
                open.push_back(edge.to);
            }
        }
    }
    None
}

/// The edges from `start` to the one at `last`, in their order.
fn way(start: usize, last: usize, (came_by, edges): (&[Option<usize>], &[Edge])) -> Vec<usize> {
    let mut steps = vec![last];
    let mut node = edges[last].from;
    while node != start {
        let Some(place) = came_by[node] else { break };
        steps.push(place);
        node = edges[place].from;
    }
    steps.reverse();
    steps
}
