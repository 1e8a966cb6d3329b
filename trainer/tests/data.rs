//! Reading PhysioNet 2017 folders, and the loader: the same batches whatever the threads.

use std::path::Path;
use std::sync::Arc;

use dualnet_engine::signal::{ECG_LEN, Preprocessor, SPECTROGRAM_LEN};
use dualnet_fixtures::{data_dir, records_dir, stream};
use dualnet_trainer::augment::Augmentation;
use dualnet_trainer::data::{
    Batch, Classes, DataError, Dataset, Label, Labels, Loader, LoaderOptions, Pass, Recording, Shard, Source, Split,
    Workspace, physionet,
};

/// A folder with the first fixture record under each of `names`, and this `REFERENCE.csv`.
fn folder(names: &[&str], reference: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        for extension in ["mat", "hea"] {
            let text = std::fs::read(records_dir().join(format!("A00001.{extension}"))).unwrap();
            let text = match extension {
                "hea" => String::from_utf8(text).unwrap().replace("A00001", name).into_bytes(),
                _ => text,
            };
            std::fs::write(folder.path().join(format!("{name}.{extension}")), text).unwrap();
        }
    }
    std::fs::write(folder.path().join("REFERENCE.csv"), reference).unwrap();
    folder
}

fn failure(folder: &Path) -> String {
    physionet::read(folder, Labels::Released)
        .expect_err("the folder is faulty")
        .to_string()
}

#[test]
fn a_folder_is_read_in_the_order_of_its_reference() {
    let folder = folder(&["A2", "A1"], "A2,A\nA1,~\n");
    let dataset = physionet::read(folder.path(), Labels::Released).unwrap();
    let names: Vec<_> = dataset
        .recordings
        .iter()
        .map(|recording| recording.name.as_str())
        .collect();
    assert_eq!(names, ["A2", "A1"]);
    assert_eq!(dataset.label_counts(), [0, 0, 1, 1]);
    assert_eq!(dataset.recordings[0].samples.len(), 9000);
    assert_eq!(dataset.recordings[0].samples[..3], [-127.0, -162.0, -197.0]);
}

/// The released labels, and two pairs of records that are equal sample for sample.
#[test]
#[ignore = "reads all 8528 records; needs ECG_DATA_DIR"]
fn the_whole_data_set_is_read() {
    let dataset = physionet::read(&data_dir(), Labels::Released).unwrap();
    assert_eq!(dataset.label_counts(), [5050, 2456, 738, 284]);
    Split::named("paper").unwrap().check(&dataset).unwrap();
    for (one, other) in [(227, 1176), (2656, 3123)] {
        assert_eq!(
            dataset.recordings[one - 1].samples,
            dataset.recordings[other - 1].samples,
            "A{one:05} and A{other:05}"
        );
    }
}

#[test]
fn faulty_folders_are_named() {
    let absent = folder(&["A1"], "A1,N\nA2,N\nA3,A\n");
    let message = failure(absent.path());
    assert!(message.contains("2 of 3 records cannot be used"), "{message}");
    assert!(
        message.contains("A2.mat") && message.contains("A3.mat") && !message.contains('\n'),
        "{message}"
    );

    let label = folder(&["A1"], "A1,AF\n");
    assert!(failure(label.path()).ends_with("REFERENCE.csv:1: record A1 has label \"AF\"; expected one of N, O, A, ~"));

    let elsewhere = folder(&["A1"], "../A1,N\n");
    assert!(failure(elsewhere.path()).contains("\"../A1\" is not the name of a file"));

    let unlabelled = tempfile::tempdir().unwrap();
    assert!(failure(unlabelled.path()).contains("REFERENCE.csv"));

    let empty = folder(&["A1"], "A1,N\n");
    std::fs::write(empty.path().join("A1.mat"), "").unwrap();
    assert!(failure(empty.path()).contains("A1.mat"));
}

#[test]
fn only_the_first_failures_are_named() {
    let names: Vec<String> = (0..50).map(|i| format!("B{i:02},N\n")).collect();
    let message = failure(folder(&[], &names.concat()).path());
    assert!(
        message.contains("50 of 50") && message.contains("B04.mat") && !message.contains("B05"),
        "{message}"
    );
}

/// Leads of different lengths with all four labels.
fn dataset(records: usize) -> Dataset {
    let recording = |i: usize| Recording {
        name: format!("S{i}"),
        label: Label::ALL[i % 4],
        samples: stream(&format!("lead/{i}"), 3000 + 700 * i)
            .iter()
            .map(|v| (1000.0 * v) as f32)
            .collect(),
    };
    Dataset {
        recordings: (0..records).map(recording).collect(),
    }
}

fn training(threads: usize) -> LoaderOptions {
    LoaderOptions {
        batch_size: 4,
        classes: Classes::Four,
        shuffle: true,
        augmentation: Some(Augmentation::PUBLISHED),
        seed: 7,
        epoch: 3,
        first_batch: 0,
        threads,
        shard: Shard::default(),
    }
}

fn batches(dataset: &Arc<Dataset>, indices: &[u32], options: LoaderOptions) -> Vec<Batch> {
    let mut loader = Loader::new(Arc::<Dataset>::clone(dataset), indices, options).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = loader.next() {
        let batch = batch.unwrap();
        batches.push(batch.clone());
        loader.recycle(batch);
    }
    batches
}

#[test]
fn batches_do_not_depend_on_the_number_of_threads() {
    let dataset = Arc::new(dataset(18));
    let indices: Vec<u32> = (0..18).collect();
    let alone = batches(&dataset, &indices, training(1));
    assert_eq!(
        alone.iter().map(|batch| batch.records.len()).collect::<Vec<_>>(),
        [4, 4, 4, 4, 2]
    );
    for threads in [0, 2, 3, 5, 16] {
        assert!(
            alone == batches(&dataset, &indices, training(threads)),
            "{threads} threads"
        );
    }
    let mut seen: Vec<u32> = alone.iter().flat_map(|batch| batch.records.clone()).collect();
    assert_ne!(seen, indices);
    seen.sort_unstable();
    assert_eq!(seen, indices);
}

#[test]
fn an_epoch_is_resumed_at_any_batch() {
    let dataset = Arc::new(dataset(18));
    let indices: Vec<u32> = (0..18).collect();
    let whole = batches(&dataset, &indices, training(2));
    for first_batch in 0..=6 {
        let resumed = batches(
            &dataset,
            &indices,
            LoaderOptions {
                first_batch,
                ..training(2)
            },
        );
        assert!(whole[first_batch.min(5)..] == resumed, "from batch {first_batch}");
    }
}

#[test]
fn seed_and_epoch_decide_order_and_augmentation() {
    let dataset = Arc::new(dataset(12));
    let indices: Vec<u32> = (0..12).collect();
    let first = batches(&dataset, &indices, training(2));
    for other in [
        LoaderOptions { seed: 8, ..training(2) },
        LoaderOptions {
            epoch: 4,
            ..training(2)
        },
    ] {
        let other = batches(&dataset, &indices, other);
        assert_ne!(first[0].records, other[0].records);
    }
    let always = LoaderOptions {
        shuffle: false,
        augmentation: Some(Augmentation {
            probability: 1.0,
            ..Augmentation::PUBLISHED
        }),
        ..training(2)
    };
    let augmented = batches(&dataset, &indices, always.clone());
    let other = batches(&dataset, &indices, LoaderOptions { epoch: 4, ..always });
    assert_eq!(augmented[0].records, other[0].records);
    assert_ne!(augmented[0].ecg, other[0].ecg);
}

#[test]
fn validation_batches_are_plain_and_in_order() {
    let dataset = Arc::new(dataset(9));
    let indices = [8, 2, 6, 3, 5];
    let batches = batches(&dataset, &indices, LoaderOptions::validation(2, Classes::Two, 2));
    assert_eq!(
        batches
            .iter()
            .flat_map(|batch| batch.records.clone())
            .collect::<Vec<_>>(),
        indices
    );
    assert_eq!(
        batches
            .iter()
            .flat_map(|batch| batch.labels.clone())
            .collect::<Vec<_>>(),
        [0, 1, 1, 0, 0]
    );
    let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
    Preprocessor::new()
        .prepare(&dataset.recordings[6].samples, &mut ecg, &mut spectrogram)
        .unwrap();
    assert_eq!(batches[1].ecg[..ECG_LEN], ecg);
    assert_eq!(batches[1].spectrogram[..SPECTROGRAM_LEN], spectrogram);
    assert_eq!(batches[2].ecg.len(), ECG_LEN);
}

#[test]
fn a_loader_that_is_dropped_early_ends_its_threads() {
    let dataset = Arc::new(dataset(18));
    let indices: Vec<u32> = (0..18).collect();
    for taken in 0..3 {
        let mut loader = Loader::new(Arc::<Dataset>::clone(&dataset), &indices, training(3)).unwrap();
        assert_eq!(loader.by_ref().take(taken).filter(|batch| batch.is_ok()).count(), taken);
        assert_eq!(loader.batches(), 5);
        drop(loader);
        assert_eq!(Arc::strong_count(&dataset), 1, "a thread still holds the data set");
    }
}

#[test]
fn a_record_that_cannot_be_prepared_ends_the_epoch_with_its_name() {
    let mut faulty = dataset(12);
    faulty.recordings[6].samples = vec![f32::NAN; 5000];
    let options = LoaderOptions::validation(2, Classes::Four, 2);
    let indices: Vec<u32> = (0..12).collect();
    let results: Vec<_> = Loader::new(Arc::new(faulty), &indices, options).unwrap().collect();
    assert_eq!(results.len(), 4);
    assert!(results[3].as_ref().unwrap_err().to_string().starts_with("record S6: "));
}

#[test]
fn impossible_loaders_are_refused() {
    let dataset = Arc::new(dataset(2));
    assert!(matches!(
        Loader::new(Arc::<Dataset>::clone(&dataset), &[0, 2], training(1)),
        Err(DataError::Index { index: 2, records: 2 })
    ));
    let options = LoaderOptions {
        batch_size: 0,
        ..training(1)
    };
    assert!(matches!(
        Loader::new(dataset.clone(), &[0], options),
        Err(DataError::BatchSize { batch_size: 0, step: 1 })
    ));
    assert!(batches(&dataset, &[], training(4)).is_empty());
    let huge = LoaderOptions {
        batch_size: usize::MAX,
        first_batch: usize::MAX,
        ..training(1)
    };
    assert!(batches(&dataset, &[0], huge).is_empty());
}

/// What the processes of a group get is what one process gets, divided; a batch with fewer records than processes is
/// given to each of them whole.
#[test]
fn the_shards_of_a_batch_are_the_batch() {
    let dataset = Arc::new(dataset(11));
    let indices: Vec<u32> = (0..11).collect();
    let whole = batches(&dataset, &indices, training(2));
    for of in 1..=5 {
        let shards: Vec<Vec<Batch>> = (0..of)
            .map(|rank| {
                let options = LoaderOptions {
                    shard: Shard { rank, of },
                    ..training(2)
                };
                batches(&dataset, &indices, options)
            })
            .collect();
        for (index, batch) in whole.iter().enumerate() {
            let records = batch.labels.len();
            assert!(shards.iter().all(|shard| shard[index].global_records == records));
            let parts = shards.iter().map(|shard| &shard[index]);
            if records < of {
                assert!(parts.clone().all(|part| part.replicated && part.ecg == batch.ecg));
                continue;
            }
            assert!(parts.clone().all(|part| !part.replicated && !part.labels.is_empty()));
            let joined = |take: fn(&Batch) -> &Vec<f32>| parts.clone().flat_map(take).copied().collect::<Vec<f32>>();
            assert_eq!(joined(|part| &part.ecg), batch.ecg);
            assert_eq!(joined(|part| &part.spectrogram), batch.spectrogram);
            assert_eq!(
                parts.clone().flat_map(|part| part.labels.clone()).collect::<Vec<_>>(),
                batch.labels
            );
        }
    }
}

/// A source whose units are files of 3 records.
#[derive(Debug)]
struct Files(Dataset);

impl Source for Files {
    fn units(&self) -> usize {
        self.0.recordings.len() / 3
    }

    fn records_per_unit(&self) -> usize {
        3
    }

    fn name(&self, unit: u32) -> String {
        format!("{unit}")
    }

    fn load(&self, unit: u32, pass: &Pass, workspace: &mut Workspace, batch: &mut Batch) -> Result<(), DataError> {
        (3 * unit..3 * unit + 3).try_for_each(|record| self.0.load(record, pass, workspace, batch))
    }
}

#[test]
fn batches_of_files_move_in_steps_of_a_file() {
    let files = || Arc::new(Files(dataset(15)));
    let options = |batch_size| LoaderOptions::validation(batch_size, Classes::Four, 2);
    let loader = Loader::new(files(), &[4, 0, 2], options(6)).unwrap();
    let sizes: Vec<_> = loader.map(|batch| batch.unwrap().records).collect();
    assert_eq!(sizes, [vec![12, 13, 14, 0, 1, 2], vec![6, 7, 8]]);
    let part = |rank| {
        let options = LoaderOptions {
            shard: Shard { rank, of: 2 },
            ..options(9)
        };
        let batch = Loader::new(files(), &[4, 0, 2], options)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        (batch.first_record, batch.records)
    };
    assert_eq!(part(0), (0, vec![12, 13, 14]));
    assert_eq!(part(1), (3, vec![0, 1, 2, 6, 7, 8]));
    let refusal = Loader::new(files(), &[0], options(4)).unwrap_err();
    assert!(refusal.to_string().contains("steps of 3"), "{refusal}");
}
