//! The metrics and the competition's score against the golden numbers, and what must hold for any prediction.

use std::path::{Path, PathBuf};

use dualnet_engine::score::{
    Bootstrap, ConfusionMatrix, Evaluation, Intervals, Label, ScoreError, competition, read_reference, score_files,
};
use dualnet_fixtures::{golden_dir, stream};

fn json(name: &str) -> serde_json::Value {
    let path = golden_dir().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn number(golden: &serde_json::Value, key: &str) -> f64 {
    golden[key].as_f64().unwrap_or_else(|| panic!("no number {key}"))
}

/// The 400 × 4 probabilities and the labels of `metrics.json`, made by the rule in golden/README.md.
fn golden_predictions() -> (Vec<f32>, Vec<i64>) {
    let logits: Vec<f32> = stream("metric/logits", 1600).iter().map(|v| (3.0 * v) as f32).collect();
    let probabilities = logits
        .chunks(4)
        .flat_map(|row| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = row.iter().map(|logit| (logit - largest).exp()).collect();
            let sum: f32 = powers.iter().sum();
            powers.into_iter().map(move |power| power / sum)
        })
        .collect();
    let labels = stream("metric/label", 400)
        .iter()
        .map(|v| (2.0 * (v + 1.0)) as i64)
        .collect();
    (probabilities, labels)
}

/// The golden scores were computed in float32: 1e-6 is eight times its rounding at 1.
const FLOAT32: f64 = 1e-6;

#[test]
fn metrics_equal_the_golden_ones() {
    let golden = json("metrics.json");
    let (probabilities, labels) = golden_predictions();
    let evaluation = Evaluation::new(&probabilities, 4, &labels).unwrap();
    assert_eq!(evaluation.records as f64, number(&golden, "n"));
    assert_eq!(evaluation.confusion.total(), 400);
    for (ours, key) in [
        (evaluation.accuracy, "accuracy"),
        (evaluation.f1_macro, "f1_macro4"),
        (evaluation.f1_challenge.unwrap(), "f1_challenge3"),
    ] {
        let golden = number(&golden, key);
        assert!((ours - golden).abs() < FLOAT32, "{key}: {ours} instead of {golden}");
    }
}

#[test]
fn a_tie_counts_for_every_tied_class_but_accuracy_takes_the_first() {
    let evaluation = Evaluation::new(&[0.5, 0.5, 0.5, 0.5, 0.9, 0.1], 2, &[1, 0, 0]).unwrap();
    assert_eq!(evaluation.confusion.counts, [[2, 0], [1, 0]]);
    assert!((evaluation.accuracy - 2.0 / 3.0).abs() < 1e-12);
    let (zero, one) = (2.0 * (2.0 / 3.0) / (2.0 / 3.0 + 1.0), 2.0 * 0.5 / 1.5);
    // 1e-7: the three 1e-8 in the denominators.
    assert!(
        (evaluation.f1_per_class[0] - zero).abs() < 1e-7,
        "{:?}",
        evaluation.f1_per_class
    );
    assert!(
        (evaluation.f1_per_class[1] - one).abs() < 1e-7,
        "{:?}",
        evaluation.f1_per_class
    );
    assert_eq!(evaluation.f1_challenge, None);
}

#[test]
fn perfect_and_absent_classes() {
    let evaluation = Evaluation::new(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0], 4, &[0, 2]).unwrap();
    assert_eq!(evaluation.accuracy, 1.0);
    assert_eq!((evaluation.f1_per_class[1], evaluation.f1_per_class[3]), (0.0, 0.0));
    assert!((evaluation.f1_macro - 0.5).abs() < 1e-7);
    assert!((evaluation.f1_challenge.unwrap() - 2.0 / 3.0).abs() < 1e-7);
    assert_eq!(evaluation.calibration_error, 0.0);
}

#[test]
fn what_cannot_be_evaluated_is_an_error() {
    assert!(matches!(
        Evaluation::new(&[0.5; 8], 4, &[0]),
        Err(ScoreError::Shape { .. })
    ));
    assert!(matches!(Evaluation::new(&[], 0, &[]), Err(ScoreError::Shape { .. })));
    assert!(matches!(
        Evaluation::new(&[0.5; 4], 4, &[4]),
        Err(ScoreError::Label { .. })
    ));
    assert!(matches!(
        Evaluation::new(&[0.5; 4], 4, &[-1]),
        Err(ScoreError::Label { .. })
    ));
    let nan = Evaluation::new(&[0.5, f32::NAN], 2, &[0]).unwrap_err();
    assert_eq!(nan.to_string(), "record 0: the probability of class 1 is not finite");
}

/// Bins of a fifteenth: three records in one, two right, and one in another. Probabilities are 32-bit numbers: 1e-7.
#[test]
fn calibration_is_the_weighted_gap() {
    let calibration_error = |predictions: &[(f32, bool)]| {
        let rows: Vec<f32> = predictions
            .iter()
            .flat_map(|&(largest, _)| [largest, 1.0 - largest])
            .collect();
        let labels: Vec<i64> = predictions.iter().map(|&(_, right)| i64::from(!right)).collect();
        Evaluation::new(&rows, 2, &labels).unwrap().calibration_error
    };
    let expected = (3.0 * (0.95_f64 - 2.0 / 3.0).abs() + 0.45) / 4.0;
    let found = calibration_error(&[(0.95, true), (0.95, true), (0.95, false), (0.55, true)]);
    assert!((found - expected).abs() < 1e-7, "{found}");
    assert_eq!(calibration_error(&[]), 0.0);
    // The upper end belongs to the last bin.
    assert_eq!(calibration_error(&[(1.0, true)]), 0.0);
    assert_eq!(calibration_error(&[(1.0, true), (1.0, false)]), 0.5);
}

#[test]
fn the_competition_scores_equal_the_golden_ones() {
    let golden = json("score/expected.json");
    let folder = golden_dir().join("score");
    let score = score_files(&folder.join("REFERENCE.csv"), &folder.join("PREDICTIONS.csv")).unwrap();
    assert_eq!(score.reference as f64, number(&golden, "reference"));
    assert_eq!(score.predicted as f64, number(&golden, "predicted"));
    assert_eq!(
        score.missing_predictions_count_as.symbol(),
        golden["missing_predictions_count_as"]
    );
    assert_eq!(score.confusion.total(), score.reference as u64);
    for (ours, key) in [(score.f1_af_vs_normal, "f1_af_vs_normal"), (score.f1_multi, "f1_multi")] {
        let golden = number(&golden, key);
        // Both sides are float64 over small integers.
        assert!((ours - golden).abs() < 1e-12, "{key}: {ours} instead of {golden}");
    }
    let serialized = serde_json::to_value(&score).unwrap();
    assert_eq!(serialized["missing_predictions_count_as"], "N");
}

#[test]
fn the_first_prediction_counts_and_strangers_do_not() {
    let references = [
        ("a", Label::AtrialFibrillation),
        ("b", Label::Normal),
        ("c", Label::Normal),
    ]
    .map(|(name, label)| (name.to_owned(), label));
    let predictions = [
        ("a", Label::AtrialFibrillation),
        ("a", Label::Normal),
        ("b", Label::AtrialFibrillation),
        ("stranger", Label::Noise),
    ]
    .map(|(name, label)| (name.to_owned(), Some(label)));
    // Undecided lines count where nothing else is said of a record.
    let open = ["a", "c", "stranger"].map(|name| (name.to_owned(), None));
    let score = competition::score(&references, open.into_iter().chain(predictions));
    assert_eq!((score.predicted, score.unknown, score.undecided), (2, 1, 1));
    assert!((score.f1_af_vs_normal - 1.0 / 1.5).abs() < 1e-12);
    assert!((score.f1_multi - 2.0 / 3.0).abs() < 1e-12);
    assert!((score.accuracy - 2.0 / 3.0).abs() < 1e-12);
}

#[test]
fn nothing_to_count_scores_zero() {
    let score = competition::score(&[("a".to_owned(), Label::Other)], []);
    assert_eq!((score.f1_af_vs_normal, score.f1_multi), (0.0, 0.0));
}

#[test]
fn predictions_for_other_records_score_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let reference = written(folder.path(), "REFERENCE.csv", "A00001,N\nA00002,A\n");
    for (text, expected) in [
        ("record,class\n", "no records; expected lines such as A00001,N"),
        (
            "A00001.mat,N\nA00002.mat,A\n",
            "none of its 2 lines is for a record of the reference, which are called as A00001 is",
        ),
    ] {
        let predictions = written(folder.path(), "answers.csv", text);
        let message = score_files(&reference, &predictions).unwrap_err().to_string();
        assert!(message.ends_with(expected), "{message}");
    }
}

fn written(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn labels_are_read_with_a_header_and_with_windows_line_ends() {
    let folder = tempfile::tempdir().unwrap();
    let reference = written(folder.path(), "R.csv", "A1,N\r\nA2,~\r\n");
    let read = read_reference(&reference).unwrap();
    assert_eq!(
        read,
        [("A1".to_owned(), Label::Normal), ("A2".to_owned(), Label::Noise)]
    );
    let predictions = written(
        folder.path(),
        "P.csv",
        "record,class,probability_af\nA1,N,0.1\nA2,~,0.2\n",
    );
    assert_eq!(score_files(&reference, &predictions).unwrap().accuracy, 1.0);
}

#[test]
fn repeated_predictions_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let reference = written(folder.path(), "R.csv", "A1,N\nA2,A\n");
    let predictions = written(folder.path(), "P.csv", "A1,N\nA1,A\nA2,A\nA2,A\nA1,O\n");
    let score = score_files(&reference, &predictions).unwrap();
    assert_eq!((score.repeated, score.contradicting, score.accuracy), (3, 2, 1.0));
}

#[test]
fn a_record_called_record_is_no_header() {
    let folder = tempfile::tempdir().unwrap();
    let reference = written(folder.path(), "R.csv", "record,A\nA2,N\n");
    assert_eq!(
        read_reference(&reference).unwrap()[0],
        ("record".to_owned(), Label::AtrialFibrillation)
    );
    let predictions = written(folder.path(), "P.csv", "record,A\nA2,N\n");
    let score = score_files(&reference, &predictions).unwrap();
    assert_eq!((score.predicted, score.accuracy), (2, 1.0));
    let headed = written(folder.path(), "H.csv", "record,label\nA2,N\n");
    assert!(read_reference(&headed).unwrap_err().to_string().contains("\"label\""));
    assert_eq!(score_files(&reference, &headed).unwrap().predicted, 1);
}

#[test]
fn faulty_files_name_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    for (text, expected) in [
        (
            b"A1,N\nA2,X\n".as_slice(),
            ":2: record A2 has label \"X\"; expected one of N, O, A, ~",
        ),
        (b"A1,N\nA2\n", ":2: record A2 has no label; expected one of N, O, A, ~"),
        (b"A1,N\n,N\n", ":2: no record name"),
        (b"A1,N\nA1,A\n", ":2: record A1 has a label already"),
        (b"A1,N\nA\xff,A\n", ":2: not UTF-8 text"),
        // What stands behind would be swallowed by a field that nobody reads.
        (
            b"A1,N\nA2,A,\"checked\nA3,O\nA4,N\n",
            ":2: a quote that opens here is not closed on its line",
        ),
        (
            b"A1,N\n\"A2,A\nA3,O\n",
            ":2: a quote that opens here is not closed on its line",
        ),
        (
            b"A1,N\nA2\x1b,X\n",
            ":2: record A2\\u{1b} has label \"X\"; expected one of N, O, A, ~",
        ),
        (b"", ": no records; expected lines such as A00001,N"),
    ] {
        let path = written(folder.path(), "R.csv", text);
        let message = read_reference(&path).unwrap_err().to_string();
        assert_eq!(message, format!("{}{expected}", path.display()));
    }
    let absent = folder.path().join("absent.csv");
    assert!(
        read_reference(&absent)
            .unwrap_err()
            .to_string()
            .starts_with(&absent.display().to_string())
    );
}

#[test]
fn af_against_everything_else() {
    // Reference down, prediction across, in the order N, O, A, ~: of 10 A records 7 are found, of 90 others 5 are called A.
    let mut four = ConfusionMatrix::new(4);
    four.counts = vec![vec![50, 5, 2, 0], vec![4, 20, 3, 0], vec![1, 2, 7, 0], vec![1, 0, 0, 5]];
    assert_eq!(four.af_sensitivity(), Some(0.7));
    assert_eq!(four.af_specificity(), Some(85.0 / 90.0));
    let mut two = ConfusionMatrix::new(2);
    two.counts = vec![vec![85, 5], vec![3, 7]];
    assert_eq!(
        (two.af_sensitivity(), two.af_specificity()),
        (Some(0.7), Some(85.0 / 90.0))
    );

    assert_eq!(ConfusionMatrix::new(3).af_sensitivity(), None);
    let only_af = Evaluation::new(&[0.2, 0.8], 2, &[1]).unwrap();
    assert_eq!((only_af.af_sensitivity, only_af.af_specificity), (Some(1.0), None));
    let no_af = Evaluation::new(&[0.2, 0.8], 2, &[0]).unwrap();
    assert_eq!((no_af.af_sensitivity, no_af.af_specificity), (None, Some(0.0)));
}

#[test]
fn an_evaluation_is_read_back_from_json_and_without_the_af_figures_too() {
    let (probabilities, labels) = golden_predictions();
    let evaluation = Evaluation::new(&probabilities, 4, &labels).unwrap();
    let mut json = serde_json::to_value(&evaluation).unwrap();
    assert_eq!(serde_json::from_value::<Evaluation>(json.clone()).unwrap(), evaluation);
    json.as_object_mut().unwrap().remove("af_sensitivity");
    let older: Evaluation = serde_json::from_value(json).unwrap();
    assert_eq!((older.af_sensitivity, older.records), (None, 400));

    let intervals = Intervals::new(&probabilities, 4, &labels, Bootstrap::default()).unwrap();
    let json = serde_json::to_value(&intervals).unwrap();
    assert_eq!(serde_json::from_value::<Intervals>(json).unwrap(), intervals);
}

/// Whether `interval` has a width and contains `figure`.
fn surrounds(interval: [f64; 2], figure: f64) -> bool {
    interval[0] < figure && figure < interval[1]
}

#[test]
fn intervals_contain_their_figures_and_repeat() {
    let (probabilities, labels) = golden_predictions();
    let evaluation = Evaluation::new(&probabilities, 4, &labels).unwrap();
    let of_seed = |seed| {
        let bootstrap = Bootstrap {
            seed,
            ..Bootstrap::default()
        };
        Intervals::new(&probabilities, 4, &labels, bootstrap).unwrap()
    };
    let intervals = of_seed(1);
    assert!(surrounds(intervals.accuracy, evaluation.accuracy));
    assert!(surrounds(intervals.f1_macro, evaluation.f1_macro));
    assert!(surrounds(
        intervals.f1_challenge.unwrap(),
        evaluation.f1_challenge.unwrap()
    ));
    assert!(surrounds(
        intervals.af_sensitivity.unwrap(),
        evaluation.af_sensitivity.unwrap()
    ));
    assert!(surrounds(
        intervals.af_specificity.unwrap(),
        evaluation.af_specificity.unwrap()
    ));
    // Random probabilities are so badly calibrated that the noise of resampling is small beside the error.
    assert!(surrounds(intervals.calibration_error, evaluation.calibration_error));
    for (interval, f1) in intervals.f1_per_class.iter().zip(&evaluation.f1_per_class) {
        assert!(surrounds(*interval, *f1), "{interval:?} {f1}");
    }
    assert_eq!(of_seed(1), intervals);
    assert_ne!(of_seed(2).accuracy, intervals.accuracy);
}

/// 200 records of which 150 are right: the bootstrap's distribution of the accuracy is binomial, its 2.5 % and 97.5 %
/// quantiles 0.69 and 0.81 (normal approximation: 0.75 ± 1.96 · 0.0306). 0.0075 is 1.5 records: the quantiles move by
/// about one with the draws.
#[test]
fn the_interval_of_an_accuracy_is_the_binomial_one() {
    let probabilities = [0.75, 0.25].repeat(200);
    let labels: Vec<i64> = (0..200).map(|record| i64::from(record >= 150)).collect();
    let intervals = Intervals::new(&probabilities, 2, &labels, Bootstrap::default()).unwrap();
    let [low, high] = intervals.accuracy;
    assert!(
        (low - 0.69).abs() < 0.0075 && (high - 0.81).abs() < 0.0075,
        "{low} {high}"
    );
    assert_eq!(intervals.f1_challenge, None);
    // Everything is called 0, so no draw finds AF, and none raises a false alarm.
    assert_eq!(intervals.af_sensitivity, Some([0.0, 0.0]));
    assert_eq!(intervals.af_specificity, Some([1.0, 1.0]));
    assert_eq!(intervals.f1_per_class[1], [0.0, 0.0]);
    // The gap of the only bin is |0.75 − accuracy|: at most the half width of the accuracy's interval, and 0 at best.
    let [low, high] = intervals.calibration_error;
    assert!(low < 0.005 && (0.05..0.08).contains(&high), "{low} {high}");
}

/// Of 300 sets of 100 records that are right with probability 0.8, the nominal share of 95 % of the intervals contains
/// 0.8. The percentile interval of so few records covers about 93 %; five standard deviations of the share are 7 %.
#[test]
fn most_intervals_cover_the_truth() {
    let bootstrap = Bootstrap {
        resamples: 400,
        seed: 5,
    };
    let covered = (0..300)
        .filter(|set| {
            let labels: Vec<i64> = stream(&format!("bootstrap/{set}"), 100)
                .iter()
                .map(|v| i64::from(0.5 * (v + 1.0) > 0.8))
                .collect();
            let intervals = Intervals::new(&[0.9, 0.1].repeat(100), 2, &labels, bootstrap).unwrap();
            let [low, high] = intervals.accuracy;
            low <= 0.8 && 0.8 <= high
        })
        .count();
    assert!((258..=300).contains(&covered), "{covered} of 300");
}

#[test]
fn intervals_of_degenerate_sets() {
    let one = Intervals::new(&[0.1, 0.2, 0.7, 0.0], 4, &[2], Bootstrap::default()).unwrap();
    assert_eq!(one.accuracy, [1.0, 1.0]);
    assert_eq!(one.f1_per_class[0], [0.0, 0.0]);
    assert_eq!((one.af_sensitivity, one.af_specificity), (Some([1.0, 1.0]), None));
    // 1e-7: one minus a probability in float32.
    assert!((one.calibration_error[0] - 0.3).abs() < 1e-7);

    // One of three records is AF: the draws without it have no sensitivity, the others have the only one there is.
    let probabilities = [0.9, 0.1, 0.8, 0.2, 0.3, 0.7];
    let three = Intervals::new(&probabilities, 2, &[0, 0, 1], Bootstrap::default()).unwrap();
    assert_eq!(three.af_sensitivity, Some([1.0, 1.0]));

    // A tie counts for both classes, as in the evaluation: class 1 is predicted for both records.
    let tie = Intervals::new(&[0.5; 4], 2, &[1, 1], Bootstrap::default()).unwrap();
    let evaluation = Evaluation::new(&[0.5; 4], 2, &[1, 1]).unwrap();
    assert_eq!(tie.f1_per_class[1], [evaluation.f1_per_class[1]; 2]);
    assert!((evaluation.f1_per_class[1] - 1.0).abs() < 1e-7);

    let none = Intervals::new(&[], 4, &[], Bootstrap::default()).unwrap();
    assert_eq!((none.accuracy, none.af_sensitivity), ([0.0, 0.0], None));
}

#[test]
fn what_cannot_be_resampled_is_an_error() {
    for resamples in [0, Bootstrap::MAX_RESAMPLES + 1, usize::MAX] {
        let bootstrap = Bootstrap { resamples, seed: 0 };
        let error = Intervals::new(&[0.5; 2], 2, &[0], bootstrap).unwrap_err();
        assert!(matches!(error, ScoreError::Resamples { .. }));
        assert!(error.to_string().contains("1 to 1000000"), "{error}");
    }
    assert!(Intervals::new(&[0.5; 2], 2, &[0, 0], Bootstrap::default()).is_err());
}
