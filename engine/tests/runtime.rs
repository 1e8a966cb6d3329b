//! The library: batches, threads, and inputs that are not records.

mod common;

use dualnet_engine::cpu::{RunError, Runtime};
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_engine::{Classifier, Error, Model, Options, Record};
use dualnet_fixtures::NetworkInputs;

/// The embedded model runs on the fused kernels, whose results depend on the record alone.
fn assert_same(together: &[f32], alone: &[f32]) {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(together), bits(alone));
}

#[test]
fn a_batch_of_four_equals_four_batches_of_one() {
    let inputs = NetworkInputs::read();
    let mut runtime = Runtime::new(Model::embedded().unwrap());
    let together = runtime.run(&inputs.ecg, &inputs.spectrogram, 4).unwrap();
    let alone: Vec<f32> = inputs
        .ecg
        .chunks_exact(ECG_LEN)
        .zip(inputs.spectrogram.chunks_exact(SPECTROGRAM_LEN))
        .flat_map(|(ecg, spectrogram)| runtime.run(ecg, spectrogram, 1).unwrap())
        .collect();
    assert_eq!(together.len(), 16);
    assert_same(&together, &alone);
}

#[test]
fn a_classifier_gives_the_same_alone_in_a_batch_and_on_several_threads() {
    let names = ["A00001.mat", "A00004.mat", "A00005.mat", "A01246.mat"];
    let records: Vec<Record> = names
        .iter()
        .map(|name| Record::open(common::fixture(name)).unwrap())
        .collect();
    let classifier = Classifier::new(Model::embedded().unwrap(), Options::default()).unwrap();
    let alone: Vec<_> = records
        .iter()
        .map(|record| classifier.classify(record).unwrap())
        .collect();
    let values =
        |prediction: &dualnet_engine::Prediction| prediction.probabilities.iter().map(|p| p.1).collect::<Vec<_>>();
    let together = classifier.classify_batch(&records.iter().collect::<Vec<_>>());
    for (together, alone) in together.iter().zip(&alone) {
        let together = together.as_ref().unwrap();
        assert_eq!((&together.record, &together.class), (&alone.record, &alone.class));
        assert_same(&values(together), &values(alone));
    }
    std::thread::scope(|scope| {
        let tasks: Vec<_> = records
            .iter()
            .map(|record| scope.spawn(|| classifier.classify(record).unwrap()))
            .collect();
        for (task, alone) in tasks.into_iter().zip(&alone) {
            assert_same(&values(&task.join().unwrap()), &values(alone));
        }
    });
    assert!(classifier.classify_batch(&[]).is_empty());
}

#[test]
fn inputs_of_another_length_are_refused() {
    let mut runtime = Runtime::new(Model::embedded().unwrap());
    for (ecg, spectrogram, batch) in [
        (0, 0, 0),
        (ECG_LEN, SPECTROGRAM_LEN, 2),
        (ECG_LEN, 1, 1),
        (0, SPECTROGRAM_LEN, 1),
        (0, 0, usize::MAX),
    ] {
        let result = runtime.run(&vec![0.0; ecg], &vec![0.0; spectrogram], batch);
        assert!(matches!(result, Err(RunError::InputLength { .. })), "{result:?}");
    }
}

#[test]
fn inputs_that_are_not_finite_are_refused() {
    let mut runtime = Runtime::new(Model::embedded().unwrap());
    let (zeros_ecg, zeros_spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
    for value in [f32::NAN, f32::INFINITY] {
        let (mut ecg, mut spectrogram) = (zeros_ecg.clone(), zeros_spectrogram.clone());
        (ecg[77], spectrogram[99]) = (value, value);
        let result = runtime.run(&ecg, &zeros_spectrogram, 1);
        assert!(
            matches!(
                result,
                Err(RunError::InputNotFinite {
                    input: "ecg",
                    index: 77,
                    ..
                })
            ),
            "{result:?}"
        );
        let result = runtime.run(&zeros_ecg, &spectrogram, 1);
        assert!(
            matches!(
                result,
                Err(RunError::InputNotFinite {
                    input: "spectrogram",
                    index: 99,
                    ..
                })
            ),
            "{result:?}"
        );
    }
}

/// Inputs so large that a convolution overflows: no record has them, but what follows must not look like a rhythm.
#[test]
fn an_undefined_output_is_an_error_and_not_a_class() {
    let mut runtime = Runtime::new(Model::embedded().unwrap());
    let (ecg, spectrogram) = (vec![0.0; ECG_LEN], vec![f32::MAX; SPECTROGRAM_LEN]);
    let result = runtime.run(&ecg, &spectrogram, 1);
    assert!(
        matches!(result, Err(RunError::NotFinite { record: 0, .. })),
        "{result:?}"
    );
    runtime
        .run(&ecg, &vec![0.0; SPECTROGRAM_LEN], 1)
        .expect("the runtime goes on");
}

#[test]
fn errors_can_be_sent_between_threads() {
    fn assert_send_sync<T: Send + Sync + 'static>() {}
    assert_send_sync::<Error>();
    assert_send_sync::<Classifier>();
    assert_send_sync::<Model>();
}
