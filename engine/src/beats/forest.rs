//! Boosted trees that read a rhythm from what is measured of a lead's beats, and their file.

use std::fs::File;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::content::{ClassForest, Content, FORMAT};
use super::{BeatsError, MEASUREMENTS, Measured};
use crate::bounded::read_up_to;
use crate::model::digest::hexadecimal;

/// Larger files are none of `trainer beats`.
const LARGEST: u64 = 64 << 20;

/// A forest for each class: whether a lead is of that class.
#[derive(Clone, Debug, PartialEq)]
pub struct BeatForest {
    content: Content,
    digest: String,
}

impl BeatForest {
    /// A forest that asks for the [`MEASUREMENTS`]; `share`, 0 to 1, is its weight in the average with a network.
    ///
    /// # Errors
    /// As [`BeatForest::open`], with `file` as the name.
    pub fn new(file: &str, classes: Vec<ClassForest>, share: f64, training: Value) -> Result<Self, BeatsError> {
        let content = Content {
            format: FORMAT.to_owned(),
            measurements: MEASUREMENTS.iter().map(ToString::to_string).collect(),
            share,
            training,
            classes,
        };
        let text = serde_json::to_vec(&content).map_err(|error| fault(file, error.to_string()))?;
        Self::checked(file, content, &text)
    }

    /// The forest inside the library, of the classes N, O, A, ~: `engine/models/beats.json`.
    ///
    /// # Errors
    /// None that a test does not find.
    #[cfg(feature = "embedded")]
    pub fn embedded() -> Result<Self, BeatsError> {
        Self::parse("embedded beats.json", include_bytes!("../../models/beats.json"))
    }

    /// The forest in this file, or the embedded one without a file.
    ///
    /// # Errors
    /// As [`BeatForest::open`]; no file in a build without the feature `embedded`.
    pub fn open_or_embedded(file: Option<&Path>) -> Result<Self, BeatsError> {
        match file {
            Some(file) => Self::open(file),
            #[cfg(feature = "embedded")]
            None => Self::embedded(),
            #[cfg(not(feature = "embedded"))]
            None => Err(fault(
                "beats",
                "no forest is embedded in this build: name a file".to_owned(),
            )),
        }
    }

    /// Reads a file that `trainer beats` wrote.
    ///
    /// # Errors
    /// A file that cannot be read, is larger than 64 MiB or no forest; other measurements than this program makes; a tree that cannot be
    /// walked; fewer than two classes, or one twice; a share outside 0 to 1.
    pub fn open(path: &Path) -> Result<Self, BeatsError> {
        let file = path.display().to_string();
        let bytes = File::open(path)
            .and_then(|opened| read_up_to(LARGEST, opened))
            .map_err(|error| fault(&file, error.to_string()))?;
        let too_large = || "is larger than 64 MiB; files of `trainer beats` are smaller".to_owned();
        Self::parse(&file, &bytes.ok_or_else(|| fault(&file, too_large()))?)
    }

    fn parse(file: &str, bytes: &[u8]) -> Result<Self, BeatsError> {
        let content: Content = serde_json::from_slice(bytes)
            .map_err(|error| fault(file, format!("is no file of `trainer beats`: {error}")))?;
        Self::checked(file, content, bytes)
    }

    /// The forest that `bytes` hold.
    fn checked(file: &str, content: Content, bytes: &[u8]) -> Result<Self, BeatsError> {
        if let Some(reason) = content.fault() {
            return Err(fault(file, reason));
        }
        let digest = hexadecimal(&Sha256::digest(bytes)[..6]);
        Ok(Self { content, digest })
    }

    /// The file's content.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.content).unwrap_or_default()
    }

    /// The classes, in the order of the probabilities.
    pub fn classes(&self) -> Vec<&str> {
        self.content
            .classes
            .iter()
            .map(|forest| forest.class.as_str())
            .collect()
    }

    /// The weight of its probabilities in the average with a network's.
    pub fn share(&self) -> f64 {
        self.content.share
    }

    /// How it was fitted.
    pub fn training(&self) -> &Value {
        &self.content.training
    }

    /// `beats@` and twelve digits of the file's SHA-256.
    pub fn identity(&self) -> String {
        format!("beats@{}", self.digest)
    }

    /// How many numbers were fitted: the thresholds and the answers of all trees, and each class's base.
    pub fn parameters(&self) -> usize {
        let nodes = |forest: &ClassForest| forest.trees.iter().map(|tree| tree.nodes.len()).sum::<usize>();
        self.content.classes.iter().map(|forest| 1 + nodes(forest)).sum()
    }

    /// Probabilities of the classes: each forest's for its class against all others, brought to the sum 1.
    pub fn probabilities(&self, measured: &Measured) -> Vec<f32> {
        let logit = |forest: &ClassForest| {
            let answers = forest
                .trees
                .iter()
                .map(|tree| f64::from(tree.answer(measured.values())));
            forest.base + answers.sum::<f64>()
        };
        // The smallest keeps the sum above 0.
        let against_all = |logit: f64| (1.0 / (1.0 + (-logit).exp())).max(1e-9);
        let each: Vec<f64> = self
            .content
            .classes
            .iter()
            .map(|forest| against_all(logit(forest)))
            .collect();
        let sum: f64 = each.iter().sum();
        each.into_iter().map(|probability| (probability / sum) as f32).collect()
    }

    /// Replaces the probabilities of a network of the same classes by their average with these, by [`BeatForest::share`]; leaves them where
    /// nothing with a rhythm was measured ([`Measured::has_rhythm`]).
    ///
    /// # Panics
    /// Where there are other probabilities than one for each class; [`BeatForest::check_classes`] says so before.
    pub fn average_with(&self, measured: &Measured, probabilities: &mut [f32]) {
        assert_eq!(
            probabilities.len(),
            self.content.classes.len(),
            "one probability for each class"
        );
        if !measured.has_rhythm() {
            return;
        }
        let share = self.share() as f32;
        for (probability, own) in probabilities.iter_mut().zip(self.probabilities(measured)) {
            *probability = (1.0 - share) * *probability + share * own;
        }
    }

    /// Makes sure that its classes are a network's.
    ///
    /// # Errors
    /// [`BeatsError::Classes`] with both.
    pub fn check_classes(&self, network: &[impl AsRef<str>]) -> Result<(), BeatsError> {
        let network: Vec<&str> = network.iter().map(AsRef::as_ref).collect();
        if self.classes() == network {
            return Ok(());
        }
        Err(BeatsError::Classes {
            beats: self.classes().join(", "),
            network: network.join(", "),
        })
    }
}

fn fault(file: &str, reason: String) -> BeatsError {
    BeatsError::File {
        file: file.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beats::{COUNT, Node, Tree};

    fn class(class: &str, base: f64, nodes: Vec<Node>) -> ClassForest {
        ClassForest {
            class: class.to_owned(),
            base,
            trees: vec![Tree { nodes }],
        }
    }

    fn two_classes() -> Vec<ClassForest> {
        let question = Node::Question(1, 80.0, 1, 2, 2);
        vec![
            class("N", 0.0, vec![question, Node::Answer([2.0]), Node::Answer([-2.0])]),
            class("A", -1.0, vec![Node::Answer([1.0])]),
        ]
    }

    #[test]
    fn probabilities_are_each_class_against_all_brought_to_one() {
        let forest = BeatForest::new("f", two_classes(), 0.25, Value::Null).expect("a forest");
        let mut measurements = [-5.0; COUNT];
        measurements[1] = 60.0;
        let measurements = Measured::from(measurements);
        // 1/(1 + e⁻²) and ½.
        let found = forest.probabilities(&measurements);
        assert!((f64::from(found[0]) - 0.637_890_7).abs() < 1e-6, "{found:?}");
        let mut averaged = [0.0, 1.0];
        forest.average_with(&measurements, &mut averaged);
        assert!((averaged[0] - 0.25 * found[0]).abs() < 1e-7 && (averaged[0] + averaged[1] - 1.0).abs() < 1e-6);
        let mut kept = [0.25, 0.75];
        forest.average_with(&Measured::from([f32::NAN; COUNT]), &mut kept);
        assert_eq!(kept, [0.25, 0.75]);
        assert_eq!(forest.parameters(), 2 + 4);
        assert!(forest.check_classes(&["N", "A"]).is_ok());
        let refusal = forest.check_classes(&["N", "O", "A", "~"]).unwrap_err().to_string();
        assert!(refusal.contains("N, A") && refusal.contains("N, O, A, ~"), "{refusal}");
    }

    #[test]
    fn a_file_gives_the_same_forest_back() {
        let mut classes = two_classes();
        classes[0].base = 0.123_456_789_012_345_6;
        let forest = BeatForest::new("f", classes, 1.0 / 3.0, Value::Null).expect("a forest");
        let again = BeatForest::parse("g", &forest.to_json()).expect("its file");
        assert_eq!(again, forest);
        assert_eq!(again.identity(), forest.identity());
    }

    #[test]
    fn damaged_files_are_refused_by_name() {
        let good = BeatForest::new("f", two_classes(), 0.5, Value::Null).expect("a forest");
        let good = String::from_utf8(good.to_json()).expect("text");
        for (from, to, reason) in [
            ("dualnet.beats/1", "dualnet.beats/2", "this program reads"),
            ("heart_rate_bpm", "heart_rate", "fit it again"),
            ("\"share\":0.5", "\"share\":1.5", "between 0 and 1"),
            ("\"class\":\"A\"", "\"class\":\"N\"", "twice"),
            ("[1,80.0,1,2,2]", "[1,80.0,0,2,2]", "goes on to 0"),
            ("[1,80.0,1,2,2]", "[900,80.0,1,2,2]", "measurement 900"),
            ("\"share\"", "\"shares\"", "unknown field"),
            ("]}]}", "", "is no file of"),
        ] {
            assert!(good.contains(from), "{from}");
            let damaged = good.replacen(from, to, 1);
            let refusal = BeatForest::parse("f.json", damaged.as_bytes()).unwrap_err().to_string();
            assert!(
                refusal.starts_with("f.json: ") && refusal.contains(reason),
                "{from}: {refusal}"
            );
        }
        let missing = BeatForest::open(Path::new("no/such.json")).unwrap_err().to_string();
        assert!(missing.starts_with("no/such.json: "), "{missing}");
    }

    #[cfg(feature = "embedded")]
    #[test]
    fn the_embedded_forest_tells_the_four_classes_apart() {
        let forest = BeatForest::embedded().expect("the embedded forest");
        assert_eq!(forest.classes(), ["N", "O", "A", "~"]);
        assert_eq!(forest.training()["split"], "paper");
        let nothing_known = forest.probabilities(&Measured::from([f32::NAN; COUNT]));
        assert!(
            (nothing_known.iter().sum::<f32>() - 1.0).abs() < 1e-6,
            "{nothing_known:?}"
        );
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let good = BeatForest::new("f", two_classes(), 0.5, Value::Null)
            .expect("a forest")
            .to_json();
        assert!((0..good.len()).all(|length| BeatForest::parse("f", &good[..length]).is_err()));
    }
}
