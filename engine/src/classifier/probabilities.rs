//! The network's answer for one record: a probability for every class.

use serde::{Serialize, Serializer};

/// A probability from 0 to 1 for every class, in the order of the network's output.
///
/// Serialized as a map from class to probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Probabilities {
    entries: Vec<(String, f32)>,
}

impl Probabilities {
    /// Pairs `classes` with `values`; there are as many of one as of the other, and all values are finite.
    pub(super) fn new(classes: &[String], values: &[f32]) -> Self {
        debug_assert_eq!(classes.len(), values.len());
        Self {
            entries: classes.iter().cloned().zip(values.iter().copied()).collect(),
        }
    }

    /// Classes and probabilities, in the order of the network's output.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, f32)> {
        self.entries
            .iter()
            .map(|(class, probability)| (class.as_str(), *probability))
    }

    /// The probability of `class`, `None` when the network does not know it.
    pub fn get(&self, class: &str) -> Option<f32> {
        self.iter()
            .find(|(name, _)| *name == class)
            .map(|(_, probability)| probability)
    }

    /// Classes and probabilities, the most probable first; of equal ones the network's first.
    pub fn ranked(&self) -> Vec<(&str, f32)> {
        let mut ranked: Vec<_> = self.iter().collect();
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        ranked
    }
}

impl Serialize for Probabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probabilities(values: [f32; 4]) -> Probabilities {
        Probabilities::new(&["N", "O", "A", "~"].map(str::to_owned), &values)
    }

    #[test]
    fn ranks_from_the_most_probable() {
        let ranked = probabilities([0.1, 0.2, 0.6, 0.1])
            .ranked()
            .iter()
            .map(|(class, _)| *class)
            .collect::<String>();
        assert_eq!(ranked, "AON~");
    }

    #[test]
    fn of_equal_ones_the_networks_first_wins() {
        assert_eq!(probabilities([0.25; 4]).ranked()[0].0, "N");
    }

    #[test]
    fn serializes_in_the_networks_order() {
        let json = serde_json::to_string(&probabilities([0.5, 0.25, 0.125, 0.125])).unwrap();
        assert_eq!(json, r#"{"N":0.5,"O":0.25,"A":0.125,"~":0.125}"#);
    }
}
