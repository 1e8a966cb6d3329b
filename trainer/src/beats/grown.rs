//! Trees as the library grows them, in the engine's form.

use dualnet_engine::beats::{Node, Tree};

/// The tree in the engine's form, nodes in the order in which they are walked. Measurements are float32, so that a threshold
/// may be rounded up to one.
pub(super) fn tree(grown: &forust_ml::tree::Tree) -> Tree {
    let mut order = vec![0];
    let mut place = vec![0_u16; grown.nodes.len()];
    let mut at = 0;
    while let Some(&index) = order.get(at) {
        let node = &grown.nodes[index];
        place[index] = at as u16;
        if !node.is_leaf {
            order.extend([node.left_child, node.right_child]);
        }
        at += 1;
    }
    let nodes = order.into_iter().map(|index| {
        let node = &grown.nodes[index];
        match node.is_leaf {
            true => Node::Answer([node.weight_value]),
            false => Node::Question(
                node.split_feature as u16,
                rounded_up(node.split_value),
                place[node.left_child],
                place[node.right_child],
                place[node.missing_node],
            ),
        }
    });
    Tree { nodes: nodes.collect() }
}

/// The smallest float32 that is not below the number.
fn rounded_up(value: f64) -> f32 {
    let nearest = value as f32;
    match f64::from(nearest) < value {
        true => nearest.next_up(),
        false => nearest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;
    use dualnet_engine::beats::{BeatForest, COUNT, ClassForest, Measured};
    use forust_ml::{GradientBooster, Matrix};
    use serde_json::json;

    /// Both add up answers in float64; 2e-7 is the rounding of a probability to float32 and of the sum it is divided by.
    #[test]
    fn trees_answer_as_the_library_that_grew_them() {
        const RECORDS: usize = 300;
        let mut random = Rng::for_name(3, "beats");
        let mut rows = vec![[0.0; COUNT]; RECORDS];
        for (record, row) in rows.iter_mut().enumerate() {
            row.iter_mut().for_each(|value| *value = random.unit_f64() as f32);
            if record % 5 == 0 {
                row[2] = f32::NAN;
            }
        }
        let columns: Vec<f64> = (0..COUNT)
            .flat_map(|column| rows.iter().map(move |row| f64::from(row[column])))
            .collect();
        let matrix = Matrix::new(&columns, RECORDS, COUNT);
        let answers: Vec<f64> = rows
            .iter()
            .map(|row| f64::from(u8::from(row[1] > 0.4 && row[3] < 0.7)))
            .collect();
        let mut booster = GradientBooster::default().set_iterations(20).set_max_leaves(16);
        booster.fit_unweighted(&matrix, &answers, None).expect("a fit");
        let class = |class: &str, base: f64, trees: Vec<Tree>| ClassForest {
            class: class.to_owned(),
            base,
            trees,
        };
        let grown = class("N", booster.base_score, booster.trees.iter().map(tree).collect());
        let forest = BeatForest::new("f", vec![grown, class("never", -40.0, Vec::new())], 0.5, json!(null));
        let forest = forest.expect("a forest");
        let logits = booster.predict(&matrix, false);
        assert!(logits.iter().any(|&logit| logit > 1.0) && logits.iter().any(|&logit| logit < -1.0));
        for (&row, logit) in rows.iter().zip(logits) {
            let found = forest.probabilities(&Measured::from(row))[0];
            // The class that never is has the smallest probability there is.
            let wanted = 1.0 / (1.0 + (-logit).exp());
            let wanted = wanted / (wanted + 1e-9);
            assert!((f64::from(found) - wanted).abs() < 2e-7, "{found} {wanted}");
        }
    }

    #[test]
    fn thresholds_are_rounded_so_that_no_float32_changes_sides() {
        for value in [0.1, -0.1, 1.0, f64::from(f32::MIN_POSITIVE) / 3.0, 1e10 + 1.0] {
            let threshold = rounded_up(value);
            assert!(
                f64::from(threshold) >= value && f64::from(threshold.next_down()) < value,
                "{value}"
            );
        }
    }
}
