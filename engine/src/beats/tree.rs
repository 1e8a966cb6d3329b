//! A tree of questions about measurements.

use serde::{Deserialize, Serialize};

/// One node of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Node {
    /// `[measurement, threshold, below, otherwise, unknown]`: the index of a measurement, and the nodes that go on where it is below the
    /// threshold, where it is not, and where it could not be made.
    Question(u16, f32, u16, u16, u16),
    /// `[value]`: what the tree adds to the logit.
    Answer([f32; 1]),
}

/// A tree; its first node is the root, and every node stands before those that go on from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree {
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// What the tree adds for these measurements. Of a tree that [`Tree::fault`] has nothing to say against it always ends.
    pub(super) fn answer(&self, measurements: &[f32]) -> f32 {
        let mut at = 0;
        loop {
            match self.nodes[at] {
                Node::Answer([value]) => return value,
                Node::Question(measurement, threshold, below, otherwise, unknown) => {
                    let value = measurements[usize::from(measurement)];
                    let next = match value.is_nan() {
                        true => unknown,
                        false if value < threshold => below,
                        false => otherwise,
                    };
                    at = usize::from(next);
                }
            }
        }
    }

    /// Why the tree cannot be walked, if it cannot: no node, a measurement beyond `measurements`, a number that is not finite, a node that
    /// goes on to itself, backwards or nowhere.
    pub(super) fn fault(&self, measurements: usize) -> Option<String> {
        if self.nodes.is_empty() {
            return Some("has no node".to_owned());
        }
        let fault = |(at, node): (usize, &Node)| match *node {
            Node::Answer([value]) => (!value.is_finite()).then(|| format!("node {at} answers {value}")),
            Node::Question(measurement, threshold, below, otherwise, unknown) => {
                let goes_on = |next: u16| usize::from(next) > at && usize::from(next) < self.nodes.len();
                if usize::from(measurement) >= measurements {
                    Some(format!(
                        "node {at} asks for measurement {measurement} of {measurements}"
                    ))
                } else if !threshold.is_finite() {
                    Some(format!("node {at} has the threshold {threshold}"))
                } else {
                    let next = [below, otherwise, unknown].into_iter().find(|&next| !goes_on(next));
                    next.map(|next| format!("node {at} goes on to {next}"))
                }
            }
        };
        self.nodes.iter().enumerate().find_map(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree {
        serde_json::from_str(text).expect("a tree")
    }

    #[test]
    fn a_tree_asks_until_it_answers() {
        let tree = tree("[[1, 0.5, 1, 2, 3], [-1.0], [0, 7.0, 3, 4, 4], [2.0], [4.0]]");
        assert_eq!(tree.fault(2), None);
        assert_eq!(tree.answer(&[0.0, 0.25]), -1.0);
        assert_eq!(tree.answer(&[6.0, 0.5]), 2.0, "not below the threshold");
        assert_eq!(tree.answer(&[7.0, 0.5]), 4.0);
        assert_eq!(tree.answer(&[0.0, f32::NAN]), 2.0);
        assert_eq!(tree.answer(&[f32::NAN, 1.0]), 4.0);
    }

    #[test]
    fn trees_that_would_not_end_or_leave_their_tables_are_refused() {
        for (text, reason) in [
            ("[]", "no node"),
            ("[[0, 1.0, 0, 1, 1], [1.0]]", "goes on to 0"),
            ("[[0, 1.0, 1, 2, 1], [1.0]]", "goes on to 2"),
            ("[[5, 1.0, 1, 1, 1], [1.0]]", "measurement 5 of 5"),
            ("[[0, 1e39, 1, 1, 1], [1.0]]", "threshold inf"),
            ("[[-1e39]]", "answers -inf"),
        ] {
            let fault = tree(text).fault(5).expect(text);
            assert!(fault.contains(reason), "{text}: {fault}");
        }
    }
}
