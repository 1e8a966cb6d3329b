//! The proof is proven: kernels with one mistake each, made mechanically, must fail the host run.

use crate::encoders::{is_small, kernels};
use crate::mutate::mutants;
use crate::program::{Build, build, family};
use crate::script::On;
use crate::{lstm, pau, preprocess, transformer};
use dualnet_cuda::{Element, Precision};
use std::path::Path;

/// Fails unless every mutation of a family makes `passes` false, and no mutation makes it true.
fn every_mutation_fails(
    name: &str,
    source: &str,
    at_least: usize,
    passes: &(dyn Fn(&Path, Option<usize>) -> bool + Sync),
) {
    let (copy, mutations) = mutants(source);
    let program = build(&format!("mutated-{name}"), &copy, Build::Plain);
    assert!(passes(&program, None), "{name} fails unchanged");
    let mut survivors = Vec::new();
    for (site, mutation) in mutations.iter().enumerate() {
        if passes(&program, Some(site)) {
            let line = source.lines().nth(mutation.line - 1).unwrap_or_default().trim();
            survivors.push(format!("line {}, {}: {line}", mutation.line, mutation.what));
        }
    }
    dualnet_fixtures::report(format_args!(
        "{name}: {} of {} mutations of the CUDA kernels make the host run fail",
        mutations.len() - survivors.len(),
        mutations.len()
    ));
    assert!(survivors.is_empty(), "{name}: unnoticed:\n{}", survivors.join("\n"));
    assert!(
        mutations.len() >= at_least,
        "{name}: only {} mutations found",
        mutations.len()
    );
}

/// The order of the published fits stands for all: they are one template.
#[test]
fn every_mistake_in_the_pau_kernels_is_noticed() {
    let source: String = family("pau")
        .lines()
        .map(|line| match line.strip_prefix("PAU_OF_ORDER(") {
            Some(order) if order != "5, 4)" => "\n".to_owned(),
            _ => format!("{line}\n"),
        })
        .collect();
    let cases = pau::thorough();
    every_mutation_fails("pau", &source, 80, &|program, mutation| {
        cases.iter().all(|case| {
            case.run(program, 1, mutation)
                .is_ok_and(|outcome| case.check(&outcome).is_ok())
        })
    });
}

#[test]
fn every_mistake_in_the_preprocessing_kernel_is_noticed() {
    let records = preprocess::short();
    every_mutation_fails("preprocess", &family("preprocess"), 40, &|program, mutation| {
        let on = On::Host {
            program,
            seed: 1,
            mutation,
        };
        preprocess::run(&records, Element::F32, on)
            .is_ok_and(|got| preprocess::check(&records, Element::F32, &got).is_ok())
    });
}

#[test]
fn every_mistake_in_the_lstm_kernels_is_noticed() {
    let cases: Vec<lstm::Case> = Precision::ALL.into_iter().flat_map(lstm::small).collect();
    every_mutation_fails("lstm", &kernels("lstm", &is_small), 60, &|program, mutation| {
        cases.iter().all(|case| {
            let on = On::Host {
                program,
                seed: 1,
                mutation,
            };
            case.run(on).is_ok_and(|got| case.check(&got).is_ok())
        })
    });
}

#[test]
fn every_mistake_in_the_transformer_kernels_is_noticed() {
    let cases: Vec<transformer::Case> = Precision::ALL.into_iter().flat_map(transformer::small).collect();
    every_mutation_fails(
        "transformer",
        &kernels("transformer", &is_small),
        120,
        &|program, mutation| {
            cases.iter().all(|case| {
                let on = On::Host {
                    program,
                    seed: 1,
                    mutation,
                };
                case.run(on).is_ok_and(|got| case.check(&got).is_ok())
            })
        },
    );
}
