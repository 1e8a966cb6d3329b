//! `trainer report`: the table and the page of runs whose figures are made up here.

mod common;
#[path = "common/page.rs"]
mod page;
#[path = "common/runs.rs"]
mod runs;

use common::Program;
use dualnet_trainer::experiments::{TABLE, published};
use page::{between, curves, line, section, tables};
use runs::{Run, accuracy, f1, loss};

/// Accuracy and macro F1 of three seeds at their best epoch.
const BEST: [(f64, f64); 3] = [(0.81, 0.75), (0.833, 0.772), (0.86, 0.74)];
/// The same at their last.
const LAST: [(f64, f64); 3] = [(0.79, 0.731), (0.82, 0.76), (0.851, 0.715)];

fn three_seeds(program: &Program) {
    for (seed, (best, last)) in (1..).zip(BEST.into_iter().zip(LAST)) {
        let run = Run::create(program, "dualnet-s", seed, |_| {});
        run.finish(&run.result(best, last));
    }
}

/// report.md and report.html.
fn report(program: &Program) -> [String; 2] {
    let (runs, output) = (program.run("runs"), program.run("report"));
    program.succeeds(&["report", "--runs", &runs, "-o", &output]);
    ["report.md", "report.html"]
        .map(|name| std::fs::read_to_string(program.path("report").join(name)).expect("a report"))
}

#[test]
fn three_seeds_stand_beside_the_published_runs_with_their_mean() {
    let program = Program::new();
    three_seeds(&program);
    let report = report(&program);
    let ours = |figures: [f64; 3]| {
        let mean = format!("{:.4}", figures.iter().sum::<f64>() / 3.0);
        let bounds = figures.map(|figure| format!("{figure:.4} ({:.4} to {:.4})", figure - 0.02, figure + 0.01));
        let [one, two, three] = bounds;
        [format!("seed 1: {one}; seed 2: {two}; seed 3: {three}"), mean]
    };
    let acc = line(&report, "dualnet-s", "ACC");
    assert_eq!(
        acc[..4],
        ["ECG-DualNet S (`dualnet-s`)", "ACC", "0.8527; 0.8410; 0.8455", "0.8464"]
    );
    assert_eq!(acc[4..6], ours(BEST.map(|(accuracy, _)| accuracy)));
    assert_eq!(acc[6..], ours(LAST.map(|(accuracy, _)| accuracy)));
    let f1 = line(&report, "dualnet-s", "F1");
    assert_eq!(f1[..4], ["", "F1", "0.8049; 0.7923; 0.7799", "0.7924"]);
    assert_eq!(f1[4..6], ours(BEST.map(|(_, f1)| f1)));
    assert_eq!(f1[6..], ours(LAST.map(|(_, f1)| f1)));
    assert_eq!(report[0].matches('†').count(), 1, "only the legend's");
    assert!(!report[0].contains("## Notes"), "{}", report[0]);
}

#[test]
fn the_page_has_every_curve_over_the_published_one() {
    let program = Program::new();
    three_seeds(&program);
    let [_, html] = report(&program);
    let charts = between(section(&html, "dualnet-s"), "<svg", "</svg>");
    let original = published("dualnet-s")
        .and_then(|row| row.curve.as_ref())
        .expect("a curve");
    type Ours = fn(u64, usize) -> f64;
    let expected: [(&str, &[f64], usize, Ours); 3] = [
        ("Validation accuracy", original.accuracy.as_slice(), 2, accuracy),
        ("Validation macro F1", original.f1.as_slice(), 2, f1),
        ("Training loss", original.loss.as_slice(), 1, loss),
    ];
    assert_eq!(charts.len(), expected.len());
    for (chart, (title, published, every, ours)) in charts.into_iter().zip(expected) {
        assert!(chart.contains(&format!("aria-label=\"{title}\"")), "{title}: {chart}");
        let found = curves(chart);
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["published", "seed 1", "seed 2", "seed 3"], "{title}");
        for (seed, (name, points)) in found.iter().enumerate() {
            assert_eq!(points.len(), 100 / every, "{title}, {name}");
            for (place, &(epoch, value)) in points.iter().enumerate() {
                let wanted_epoch = (place + 1) * every;
                let wanted = match seed {
                    0 => published[place],
                    seed => ours(seed as u64, wanted_epoch),
                };
                assert!((epoch - wanted_epoch as f64).abs() < 0.1, "{title}, {name}: {epoch}");
                assert!((value - wanted).abs() < 5e-4, "{title}, {name}: {value}, not {wanted}");
            }
        }
    }
}

#[test]
fn the_page_has_every_figure_with_its_interval_and_the_confusion() {
    let program = Program::new();
    three_seeds(&program);
    let [_, html] = report(&program);
    let section = section(&html, "dualnet-s");
    let best = tables(section, "Seed 1: 100 epochs", "best epoch (epoch 40)");
    let figures = [
        ["accuracy", "0.8100", "0.7900 to 0.8200"],
        ["macro F1", "0.7500", "0.7300 to 0.7600"],
        ["F1 of N, A, O", "0.7800", "0.7600 to 0.7900"],
        ["F1 of N", "0.9000", "0.8800 to 0.9100"],
        ["F1 of O", "0.6900", "0.6700 to 0.7000"],
        ["F1 of A", "0.8000", "0.7800 to 0.8100"],
        ["F1 of ~", "0.6100", "0.5900 to 0.6200"],
        ["AF sensitivity", "0.7100", "0.6900 to 0.7200"],
        ["AF specificity", "0.9300", "0.9100 to 0.9400"],
        ["calibration error", "0.0900", "0.0700 to 0.1000"],
    ];
    let confusion = [
        ["", "N", "O", "A", "~"],
        ["N", "810", "811", "812", "813"],
        ["O", "820", "821", "822", "823"],
        ["A", "830", "831", "832", "833"],
        ["~", "840", "841", "842", "843"],
    ];
    assert_eq!(best.len(), 2);
    assert_eq!(best[0], figures);
    assert_eq!(best[1], confusion);
    // 810 of the 3246 records of its row.
    assert!(section.contains("<td style=\"background: rgba(var(--tint), 0.187)\">810</td>"));
    let last = tables(section, "Seed 3: 100 epochs", "last epoch (epoch 100)");
    assert_eq!(last[0][0], ["accuracy", "0.8510", "0.8310 to 0.8610"]);
    assert_eq!(last[0][9], ["calibration error", "0.0490", "0.0290 to 0.0590"]);
    assert_eq!(last[1][4], ["~", "881", "882", "883", "884"]);
    for fact in [
        "<td>data</td><td>A &amp; B &lt;i&gt;</td>",
        "<td>device</td><td>cpu</td>",
        "<td>records/s</td><td>40.5</td>",
    ] {
        assert_eq!(section.matches(fact).count(), 3, "{fact}");
    }
    assert!(!html.contains("<i>"));
}

#[test]
fn an_older_result_is_shown_without_the_intervals_it_lacks() {
    let program = Program::new();
    let run = Run::create(&program, "dualnet-s", 1, |_| {});
    let mut result = run.result(BEST[0], LAST[0]);
    let intervals = result["best"]["intervals"].as_object_mut().expect("intervals");
    for name in ["f1_challenge", "calibration_error", "af_sensitivity", "af_specificity"] {
        assert!(intervals.remove(name).is_some(), "{name}");
    }
    let last = result["last"].as_object_mut().expect("an epoch");
    assert!(last.remove("intervals").is_some());
    run.finish(&result);
    let report = report(&program);
    let acc = line(&report, "dualnet-s", "ACC");
    assert_eq!(
        acc[4..],
        [
            "seed 1: 0.8100 (0.7900 to 0.8200)",
            "0.8100",
            "seed 1: 0.7900",
            "0.7900"
        ]
    );
    let section = section(&report[1], "dualnet-s");
    let best = tables(section, "Seed 1: 100 epochs", "best epoch (epoch 40)");
    assert_eq!(best[0][2], ["F1 of N, A, O", "0.7800", ""]);
    assert_eq!(best[0][6], ["F1 of ~", "0.6100", "0.5900 to 0.6200"]);
    assert_eq!(best[0][7], ["AF sensitivity", "0.7100", ""]);
    let last = tables(section, "Seed 1: 100 epochs", "last epoch (epoch 100)");
    assert_eq!(last[0].len(), 10);
    assert!(last[0].iter().all(|cells| cells[2].is_empty()), "{last:?}");
    assert!(!report[0].contains("## Notes"), "{}", report[0]);
}

#[test]
fn a_run_of_another_recipe_and_one_under_way_are_marked_and_in_no_mean() {
    let program = Program::new();
    let faithful = Run::create(&program, "dualnet-m", 1, |_| {});
    faithful.finish(&faithful.result((0.85, 0.79), (0.84, 0.78)));
    let other = Run::create(&program, "dualnet-m", 2, |options| {
        options.batch_size = 48;
        options.split = "<i>own</i>|".to_owned();
    });
    other.finish(&other.result((0.87, 0.82), (0.86, 0.81)));
    Run::create(&program, "dualnet-l", 2, |_| {}).log(5);
    let report = report(&program);
    let [best, last] = [
        "seed 1: 0.8500 (0.8300 to 0.8600); seed 2: 0.8700† (0.8500 to 0.8800)",
        "seed 1: 0.8400 (0.8200 to 0.8500); seed 2: 0.8600† (0.8400 to 0.8700)",
    ];
    assert_eq!(line(&report, "dualnet-m", "ACC")[4..], [best, "0.8500", last, "0.8400"]);
    let f1 = line(&report, "dualnet-m", "F1");
    assert_eq!([f1[5], f1[7]], ["0.7900", "0.7800"]);
    // Epochs 2 and 4 of its log.
    let [best, last] = ["seed 2: 0.8160†, epoch 5 of 100", "seed 2: 0.8120†, epoch 5 of 100"];
    assert_eq!(line(&report, "dualnet-l", "ACC")[4..], [best, "–", last, "–"]);

    let [markdown, html] = report;
    let notes = "- dualnet-m/seed-2: not the row's recipe, and not in its mean: batch_size 48, not 24; \
        split &lt;i>own&lt;/i>\\|, not paper\n- dualnet-l/seed-2: epoch 5 of 100\n";
    assert_eq!(between(&markdown, "## Notes\n\n", "\n## "), [notes]);
    let difference = "batch_size 48, not 24<br/>split &lt;i&gt;own&lt;/i&gt;|, not paper";
    let differs = format!("<tr><td>differs from the recipe</td><td>{difference}</td></tr>");
    assert_eq!(section(&html, "dualnet-m").matches(&differs).count(), 1);
    let begun = tables(
        section(&html, "dualnet-l"),
        "Seed 2: epoch 5 of 100",
        "best epoch (epoch 2)",
    );
    assert_eq!(begun, [[["accuracy", "0.8160", ""], ["macro F1", "0.7160", ""]]]);
    assert!(!html.contains("<i>"));
}

#[test]
fn a_run_whose_result_is_broken_is_named_with_exit_status_1() {
    let program = Program::new();
    three_seeds(&program);
    std::fs::write(program.path("runs").join("dualnet-s/seed-2/result.json"), "{").expect("a broken file");
    let (runs, output) = (program.run("runs"), program.run("report"));
    let reported = program.output(&["report", "--runs", &runs, "-o", &output]);
    let message = String::from_utf8_lossy(&reported.stderr).into_owned();
    assert_eq!(reported.status.code(), Some(1), "{message}");
    for part in [
        "dualnet-s/seed-2: result.json: ",
        "1 of the runs have missing or broken files",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let written = std::fs::read_to_string(program.path("report").join("report.md")).expect("a report");
    assert!(
        written.contains("seed 1: 0.8100") && written.contains("- dualnet-s/seed-2: result.json: "),
        "{written}"
    );
}

/// Where only the small files were kept, what several processes computed is a deviation all the same.
#[test]
fn processes_of_a_run_without_its_weights_count_as_parts_of_a_step() {
    let program = Program::new();
    let run = Run::create(&program, "dualnet-s", 1, |_| {});
    let mut result = run.result((0.85, 0.8), (0.84, 0.79));
    result["last"]["training"]["processes"] = 2.into();
    run.finish(&result);
    let [markdown, _] = report(&program);
    assert!(
        markdown.contains("not the row's recipe, and not in its mean: accumulate 2, not 1"),
        "{markdown}"
    );
}

/// The records a run had tell as much as its options.
#[test]
fn a_run_on_other_records_is_not_the_row_s() {
    let program = Program::new();
    let run = Run::create(&program, "dualnet-s", 1, |_| {});
    let mut result = run.result((0.85, 0.8), (0.84, 0.79));
    result["last"]["training"]["labels"] = "revised (REFERENCE-v3.csv)".into();
    run.finish(&result);
    let [markdown, _] = report(&program);
    assert!(
        markdown.contains("not in its mean: labels \"revised (REFERENCE-v3.csv)\", not as released (REFERENCE.csv)"),
        "{markdown}"
    );
}

/// A run that says it had another seed than its folder may be another one of the row, and a folder of another name is none.
#[test]
fn a_run_counts_once_and_by_its_own_seed() {
    let program = Program::new();
    let first = Run::create(&program, "dualnet-m", 1, |_| {});
    first.finish(&first.result((0.85, 0.79), (0.84, 0.78)));
    let copy = Run::create(&program, "dualnet-m", 2, |options| options.seed = 1);
    copy.finish(&copy.result((0.85, 0.79), (0.84, 0.78)));
    std::fs::create_dir(program.path("runs").join("dualnet-m/seed-01")).expect("a folder");
    let report = report(&program);
    let found = line(&report, "dualnet-m", "ACC")[4..6].join(" ");
    assert_eq!(found.matches("seed ").count(), 2, "{found}");
    assert!(found.contains("seed 2: 0.8500†"), "{found}");
    let notes = "- dualnet-m/seed-2: not the row's recipe, and not in its mean: seed 1, not 2\n\
        - dualnet-m/seed-01: no run of the row, whose folders are seed-1, seed-2, …\n";
    assert_eq!(between(&report[0], "## Notes\n\n", "\n## "), [notes]);
}

#[test]
fn a_folder_without_runs_is_named_and_no_report_is_written() {
    let program = Program::new();
    let (runs, report) = (program.path("runs/dualnet-m"), program.run("report"));
    std::fs::create_dir_all(runs.join("seed-1")).expect("a folder");
    let message = program.refuses(&["report", "--runs", &program.run("runs/dualnet-m"), "-o", &report]);
    assert!(
        message.contains(
            "holds no run, which would be a folder such as dualnet-s/seed-1 in it (seed-1: no row of the table)"
        ),
        "{message}"
    );
    assert!(!program.path("report").exists());
}

#[test]
fn rows_that_were_not_run_say_so_and_foreign_folders_are_named() {
    let program = Program::new();
    let run = Run::create(&program, "dualnet-m", 1, |_| {});
    run.finish(&run.result((0.85, 0.79), (0.84, 0.78)));
    std::fs::create_dir_all(program.path("runs").join("<i>&\"x\"|")).expect("a folder");
    let report = report(&program);
    for recipe in TABLE.iter().filter(|recipe| recipe.name != "dualnet-m") {
        for figure in ["ACC", "F1"] {
            assert_eq!(
                line(&report, recipe.name, figure)[4..],
                ["not run", "", "not run", ""],
                "{}",
                recipe.name
            );
        }
        let section = section(&report[1], recipe.name);
        assert!(section.contains("<p class=\"faint\">not run</p>"), "{section}");
        assert!(!section.contains("<svg") && !section.contains("<table"), "{section}");
    }
    let of_paper = line(&report, "dualnet-pp-xl", "ACC");
    assert_eq!(of_paper[2..4], ["0.8593; 0.8351; 0.8501", "0.8482"]);
    assert_eq!(
        line(&report, "two-classes-0.4-dualnet-xl", "F1")[2..4],
        ["not published", ""]
    );
    let [markdown, html] = report;
    assert!(
        markdown.contains("\n- &lt;i>&amp;\"x\"\\|: no row of the table\n"),
        "{markdown}"
    );
    assert!(html.contains("<li>&lt;i&gt;&amp;&quot;x&quot;|: no row of the table</li>"));
    assert!(!html.contains("<i>"));
}
