//! What the program says about the plan, and the choice of an instruction set.

mod common;

use common::*;
use dualnet_engine::plan::Plan;
use dualnet_engine::simd::Isa;
use dualnet_engine::{Model, cpu::Runtime};

#[test]
fn the_embedded_model_runs_on_fused_kernels_as_a_whole() {
    let model = Model::embedded().unwrap();
    let plan = Plan::of(&model).unwrap();
    let claimed: usize = plan.steps().iter().map(|step| step.nodes).sum();
    assert_eq!(claimed, plan.nodes());
    assert_eq!(plan.steps().len(), 7);
    assert!(Runtime::new(model).fallback().unwrap().is_none());
}

#[test]
fn info_prints_what_runs_where() {
    let output = run(["info", "--plan"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for words in [
        "LSTM 128, 128",
        "residual block 563×33, 1 to 16 channels",
        "head, 4 classes",
        "100.0 %",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let report: serde_json::Value = serde_json::from_str(&stdout(&run(["info", "--plan", "--format=json"]))).unwrap();
    assert_eq!(report["share_fused"], 1.0);
    assert_eq!(report["nodes_on_tract"], 0);
    assert!(report["fallback"].is_null());
    // 2.5 million weights times 80 steps or the map's pixels: 45.8, 64.5 and three times 64.2 million in the blocks, 26.2 in the LSTM.
    let work: u64 = report["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["multiply_adds"].as_u64().unwrap())
        .sum();
    assert!((329_000_000..331_000_000).contains(&work), "{work}");
}

#[test]
fn every_instruction_set_gives_the_same_answer_and_an_unknown_one_an_error() {
    let classify = |isa: &str| {
        engine()
            .env("ENGINE_ISA", isa)
            .args(["classify", "--format=ndjson"])
            .arg(fixture("A00001.mat"))
            .output()
            .unwrap()
    };
    let probability = |isa: &str| objects(&classify(isa))[0]["probabilities"]["N"].as_f64().unwrap();
    let expected = probability("portable");
    for isa in Isa::available() {
        assert!((probability(isa.name()) - expected).abs() <= 1e-5, "{isa:?}");
    }
    let record = fixture("A00001.mat");
    for command in [["classify", record.to_str().unwrap()], ["info", "--plan"]] {
        let output = engine().env("ENGINE_ISA", "mmx").args(command).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let line = only_line(&output);
        assert!(line.contains("`mmx`") && line.contains("portable"), "{line}");
    }
}
