//! `--teacher-answers`: a network that learns what files say of its training records.

mod common;

use common::{Program, SMALL_RUN, last_checkpoint, losses};
use dualnet_fixtures::records_dir;
use std::path::Path;

/// The loss of certain answers against that of labels, and of a mean against its halves, all float32.
const AGREE: f64 = 1e-5;

const HEADER: &str = "record,class,probability_af,probability_N,probability_O,probability_~\n";

/// A file that says of each record, by its label, how probable each of A, N, O and ~ is.
fn file(program: &Program, name: &str, records: usize, says: impl Fn(&str, &str) -> f32) -> String {
    let reference = std::fs::read_to_string(records_dir().join("REFERENCE.csv")).expect("labels");
    let rows = reference.lines().filter_map(|line| line.split_once(','));
    let rows = rows.take(records).map(|(record, label)| {
        let said = ["A", "N", "O", "~"].map(|class| format!(",{}", says(class, label)));
        format!("{record},{label}{}\n", said.concat())
    });
    std::fs::write(program.path(name), HEADER.to_owned() + &rows.collect::<String>()).expect("a file");
    program.run(name)
}

fn certain(class: &str, label: &str) -> f32 {
    f32::from(u8::from(class == label))
}

fn told(program: &Program, name: &str, files: &str, flags: &[&str]) -> Vec<f64> {
    let answers = ["--teacher-answers", files, "--teacher-share", "1"];
    program.trained(name, "7", &[&answers[..], flags].concat());
    losses(&program.run(name))
}

/// Each record's own, in every part of a step: with those of others the loss would be another.
#[test]
fn certain_answers_are_learned_like_labels() {
    let program = Program::new();
    let labels = file(&program, "labels.csv", 16, certain);
    for (name, flags) in [("whole", &[][..]), ("parts", &["--accumulate", "2"])] {
        program.trained(&format!("{name}-labelled"), "7", flags);
        let labelled = losses(&program.run(&format!("{name}-labelled")));
        let found = told(&program, name, &labels, flags);
        assert_eq!(found.len(), labelled.len());
        for (found, labelled) in found.iter().zip(&labelled) {
            assert!((found - labelled).abs() < AGREE, "{name}: {found} is not {labelled}");
        }
    }
}

#[test]
fn of_several_files_the_mean_is_learned_and_a_stopped_run_goes_on_to_the_bit() {
    let program = Program::new();
    let labels = file(&program, "labels.csv", 16, certain);
    let normal = file(&program, "normal.csv", 16, |class, _| certain(class, "N"));
    let mean = file(&program, "mean.csv", 16, |class, label| {
        f32::midpoint(certain(class, "N"), certain(class, label))
    });
    let both = format!("{labels},{normal}");
    let of_both = told(&program, "both", &both, &[]);
    assert_eq!(of_both, told(&program, "mean", &mean, &[]));
    assert!((of_both[0] - told(&program, "labels", &labels, &[])[0]).abs() > 100.0 * AGREE);

    let taught = ["--teacher-answers", &both, "--checkpoint-steps", "1"];
    let (whole, pieces) = (program.run("whole"), program.run("pieces"));
    program.succeeds(&[&SMALL_RUN[..], &taught, &["--run", &whole]].concat());
    program.killed_at(3, &pieces, &[&SMALL_RUN[..], &taught, &["--run", &pieces]].concat());
    let resume = ["train", "--resume", "--run", &pieces];
    let text = std::fs::read(&normal).expect("a file");
    std::fs::copy(&mean, &normal).expect("another file");
    let message = program.refuses(&resume);
    assert!(
        message.contains("was taught by others than the files of --teacher and --teacher-answers hold now"),
        "{message}"
    );
    std::fs::write(&normal, text).expect("the file again");
    program.succeeds(&resume);
    assert_eq!(last_checkpoint(&pieces).tensors, last_checkpoint(&whole).tensors);
}

/// Each process asks the teacher of its own records, and knows what is said of them.
#[test]
fn with_synchronized_statistics_two_processes_learn_what_one_does() {
    let program = Program::new();
    let labels = file(&program, "labels.csv", 16, certain);
    let teacher = program.trained("teacher", "1", &[]);
    let trained = |name: &str, launch: &[&str], taught: &[&str]| {
        let run = program.run(name);
        let plain = ["--dropout", "0", "--augmentation", "0", "--threads", "1"];
        let rest = ["--batch-norm", "synchronized", "--run", &run];
        program.succeeds(&[launch, &SMALL_RUN, &plain, &rest, taught].concat());
        losses(&run)
    };
    let taught = [
        "--teacher",
        &teacher,
        "--teacher-answers",
        &labels,
        "--teacher-share",
        "1",
    ];
    let one = trained("one", &[], &taught);
    let two = trained("two", &["launch", "--nproc", "2"], &taught);
    assert_eq!((one.len(), two.len()), (8, 8));
    for (one, two) in one.iter().zip(&two) {
        assert!((one - two).abs() < AGREE, "{one} is not {two}");
    }
    let (of_teacher, of_file) = ([&taught[..2], &taught[4..]].concat(), &taught[2..]);
    for (name, other) in [("of-teacher", &of_teacher[..]), ("of-file", of_file)] {
        let alone = trained(name, &[], other);
        assert!((alone[0] - one[0]).abs() > 100.0 * AGREE, "{name}");
    }
}

#[test]
fn answers_of_a_cross_validation_of_the_training_records_are_learned() {
    let program = Program::new();
    let (runs, data, split) = (program.run("cv"), records_dir(), program.run("split.txt"));
    let data = data.to_str().expect("a plain name");
    let crossval = |flags: &[&str]| {
        let mut arguments = vec![
            "crossval", "--data", data, "--runs", &runs, "--split", &split, "--folds", "2",
        ];
        arguments.extend([
            "--hold-back",
            "0",
            "--network",
            "dualnet-s",
            "--epochs",
            "1",
            "--batch-size",
            "4",
        ]);
        arguments.extend(flags);
        program.output(&arguments)
    };
    let refused = crossval(&[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--training-records"));
    // The labels as released: there are no others here.
    let output = crossval(&["--training-records"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        !printed.contains("validation accuracy"),
        "nothing validates a fold: {printed}"
    );
    let answers = format!("{runs}/crossval.csv");
    let names = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).expect("a file");
        let mut names: Vec<String> = text
            .lines()
            .filter_map(|line| Some(line.split_once(',')?.0.to_owned()))
            .filter(|name| name != "record")
            .collect();
        names.sort();
        names
    };
    let mut expected = names(&records_dir().join("REFERENCE.csv"));
    expected.truncate(16);
    assert_eq!(names(Path::new(&answers)), expected);
    assert_eq!(told(&program, "taught", &answers, &[]).len(), 4);
}

#[test]
fn files_that_cannot_teach_are_refused_before_a_run_begins() {
    let program = Program::new();
    let refused = |file: &str, flags: &[&str], reason: &str| {
        let run = program.run("refused");
        let answers = ["--run", &run, "--teacher-answers", file];
        let message = program.refuses(&[&SMALL_RUN[..], &answers, flags].concat());
        assert!(message.contains(reason), "{message}");
        assert!(!Path::new(&run).exists());
    };
    let labels = file(&program, "labels.csv", 16, certain);
    refused(&file(&program, "few.csv", 15, certain), &[], "which trains");
    refused(&file(&program, "more.csv", 17, certain), &[], "which validates");
    refused(&labels, &["--hold-back", "0.25"], "which this run holds back");
    refused(&labels, &["--mixup", "0.2"], "mixup");
    refused(&labels, &["--classes", "2"], "4 classes, not N, A");
    refused("missing.csv", &[], "missing.csv");
    std::fs::write(program.path("none.csv"), "record\n").expect("a file");
    refused(&program.run("none.csv"), &[], "no column probability_N");
}
