//! A network that reads each record in excerpts.

use dualnet_engine::beats::{BeatForest, BeatReader};
use dualnet_engine::classifier::{lead_at_300_hz, mean_of_parts};
use dualnet_engine::signal::Excerpt;
use dualnet_engine::{Classifier, Device, Model, Options, Prediction, Record};
use dualnet_fixtures::records_dir;

fn classifier(excerpts: bool) -> Classifier {
    let options = Options {
        device: Device::Cpu,
        excerpts,
        ..Options::default()
    };
    Classifier::new(Model::embedded().expect("the model"), options).expect("a classifier")
}

fn records() -> Vec<Record> {
    let paths = dualnet_engine::record::records_in(&records_dir()).expect("the fixture records");
    let open = |path: &std::path::PathBuf| Record::open(path).expect("a record");
    let mut records: Vec<Record> = paths.iter().take(6).map(open).collect();
    // At another rate, too short for excerpts of its own, longer than what is classified.
    let samples = records[0].samples().to_vec();
    let long = samples.repeat(4);
    for (name, samples, rate) in [
        ("250", &samples[..], 250.0),
        ("short", &samples[..2_000], 300.0),
        ("long", &long, 300.0),
    ] {
        records.push(Record::from_samples(name, samples.to_vec(), rate).expect("a record"));
    }
    records
}

fn probabilities(prediction: &Prediction) -> Vec<f32> {
    let of = |class| prediction.probabilities.get(class).expect("a class");
    ["N", "O", "A", "~"].map(of).to_vec()
}

/// What a network says of each excerpt when it is a record of its own, averaged; to the bit, since the fused kernels take each record by itself.
fn expected(whole: &Classifier, record: &Record) -> Vec<f32> {
    let lead = lead_at_300_hz(record).expect("a lead");
    let read = |excerpt: Excerpt| {
        let samples = lead[excerpt.range(lead.len())].to_vec();
        let part = Record::from_samples("part", samples, 300.0).expect("a record");
        probabilities(&whole.classify(&part).expect("a prediction"))
    };
    mean_of_parts(&Excerpt::ALL.map(read).concat(), 4)
}

#[test]
fn the_answer_is_the_mean_over_the_excerpts_alone_and_in_batches() {
    let (whole, reading) = (classifier(false), classifier(true));
    let records = records();
    let together: Vec<&Record> = records.iter().collect();
    let together = reading.classify_batch(&together);
    for (record, in_batch) in records.iter().zip(together) {
        let expected = expected(&whole, record);
        let alone = reading.classify(record).expect("a prediction");
        assert_eq!(probabilities(&alone), expected, "{}", record.name());
        let in_batch = in_batch.expect("a prediction");
        assert_eq!(probabilities(&in_batch), expected, "{}", record.name());
        assert_eq!(
            (&in_batch.record[..], in_batch.samples),
            (record.name(), record.samples().len())
        );
        let model = whole.classify(record).expect("a prediction").model;
        assert_eq!(alone.model, format!("{model}+excerpts"));
        let changes = record.name() != "short";
        assert_eq!(
            probabilities(&whole.classify(record).expect("a prediction")) != expected,
            changes
        );
    }
}

/// The beats are those of the whole record.
#[test]
fn the_beats_are_averaged_with_the_excerpts_mean() {
    let forest = BeatForest::embedded().expect("the forest");
    let reading = classifier(true);
    let both = classifier(true).with_beats(forest.clone()).expect("the same classes");
    let reader = BeatReader::new(forest);
    for record in records() {
        let mut expected = probabilities(&reading.classify(&record).expect("a prediction"));
        reader.average_with_record(&record, &mut expected).expect("beats");
        let found = both.classify(&record).expect("a prediction");
        assert_eq!(probabilities(&found), expected, "{}", record.name());
        assert!(found.model.contains("+excerpts+beats@"), "{}", found.model);
    }
}
