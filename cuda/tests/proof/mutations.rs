//! The proof is proven: kernels with one mistake each, made mechanically, must fail the host run.

use crate::encoders::{MACROS, SMALL};
use crate::mutate::mutants;
use crate::program::{Build, build, family, folder};
use crate::script::On;
use crate::{axial, chain, head, lstm, pau, preprocess, product, residual, site, transformer};
use dualnet_cuda::{Element, Precision};

/// Fails unless every mutation of a family makes `passes` false, and no mutation makes it true.
fn every_mutation_fails(name: &str, source: &str, at_least: usize, passes: &(dyn Fn(On<'_>) -> bool + Sync)) {
    every_mutation_beside(name, source, "", at_least, passes);
}

/// The same with kernels that stay as they are.
fn every_mutation_beside(
    name: &str,
    source: &str,
    beside: &str,
    at_least: usize,
    passes: &(dyn Fn(On<'_>) -> bool + Sync),
) {
    let (mut copy, mutations) = mutants(source);
    copy.push_str(beside);
    let program = build(&format!("mutated-{name}"), &copy, Build::Plain);
    let on = |mutation| On::Host {
        program: &program,
        seed: 1,
        mutation,
    };
    assert!(passes(on(None)), "{name} fails unchanged");
    let mut survivors = Vec::new();
    for (site, mutation) in mutations.iter().enumerate() {
        if passes(on(Some(site))) {
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

/// Kernels with headers of `src/device` in their place, so that these can be wrong too.
fn with_headers(source: &str, headers: &[&str]) -> String {
    let mut source = source.to_owned();
    for header in headers {
        let path = folder().join("src/device").join(header);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let include = format!("#include \"{header}\"");
        assert!(source.contains(&include), "the kernels do not include {header}");
        source = source.replace(&include, &text.replace("#pragma once\n", ""));
    }
    source
}

/// The lines of `source` but those that begin with one of `macros` and do not instantiate what `kept` says.
pub fn with_instances(source: &str, macros: &[&str], kept: &[&str]) -> String {
    source
        .lines()
        .map(
            |line| match macros.iter().any(|name| line.starts_with(name)) && !kept.contains(&line) {
                true => "\n".to_owned(),
                false => format!("{line}\n"),
            },
        )
        .collect()
}

/// The order of the published fits stands for all: they are one template.
#[test]
fn every_mistake_in_the_pau_kernels_is_noticed() {
    let source: String = with_headers(&family("pau"), &["pade_gradient.cuh", "pade.cuh"])
        .lines()
        .map(|line| match line.strip_prefix("PAU_OF_ORDER(") {
            Some(order) if order != "5, 4)" => "\n".to_owned(),
            _ => format!("{line}\n"),
        })
        .collect();
    let cases = pau::thorough();
    every_mutation_fails("pau", &source, 80, &|on| {
        cases
            .iter()
            .all(|case| case.run_on(on).is_ok_and(|outcome| case.check(&outcome).is_ok()))
    });
}

#[test]
fn every_mistake_in_the_site_kernels_is_noticed() {
    let source = with_headers(&family("site"), &["pade_gradient.cuh", "pade.cuh"]);
    let cases: Vec<_> = site::thorough()
        .into_iter()
        .map(|case| (case, case.expected()))
        .collect();
    every_mutation_fails("site", &source, 60, &|on| {
        cases
            .iter()
            .all(|(case, expected)| case.run(on).is_ok_and(|got| case.compare(&got, expected).is_ok()))
    });
}

#[test]
fn every_mistake_in_the_preprocessing_kernel_is_noticed() {
    let records = preprocess::short();
    every_mutation_fails("preprocess", &family("preprocess"), 40, &|on| {
        preprocess::run(&records, Element::F32, on)
            .is_ok_and(|got| preprocess::check(&records, Element::F32, &got).is_ok())
    });
}

/// One type of tensor cores' products and the one without: they are one template.
#[test]
fn every_mistake_in_the_convolution_kernels_is_noticed() {
    let source = with_instances(
        &with_headers(&family("residual"), &["rational.cuh"]),
        &["CONVOLUTIONS(", "SINGLE(", "POOL("],
        &[
            "CONVOLUTIONS(f32, f32)",
            "CONVOLUTIONS(i8, i8)",
            "SINGLE(f32, f32)",
            "SINGLE(f32, i8)",
            "POOL(f32, i8)",
        ],
    );
    let cases = residual::thorough();
    every_mutation_fails("residual", &source, 100, &|on| {
        cases
            .iter()
            .all(|case| case.run(on).is_ok_and(|outcome| case.check(&outcome).is_ok()))
            && residual::POOLINGS.iter().all(|pooling| pooling.passes(on).is_ok())
    });
}

#[test]
fn every_mistake_in_the_head_kernels_is_noticed() {
    let source = with_instances(&family("head"), &["HEAD("], &["HEAD(i8)", "HEAD(f32)"]);
    let cases = head::thorough();
    every_mutation_fails("head", &source, 40, &|on| {
        head::CONDITIONS
            .iter()
            .all(|&(records, latent, channels)| head::conditions_pass(on, records, latent, channels).is_ok())
            && cases
                .iter()
                .all(|case| case.run(on).is_ok_and(|outcome| case.check(&outcome).is_ok()))
    });
}

#[test]
fn every_mistake_in_the_product_of_tiles_is_noticed() {
    let source = with_headers(include_str!("product.cu"), &["product.cuh"]);
    every_mutation_fails("product", &source, 20, &|on| {
        Precision::ALL
            .iter()
            .all(|&precision| product::passes(on, precision).is_ok())
    });
}

/// 48 positions stand for all tiles, 4 for all short lines: they are one template each.
#[test]
fn every_mistake_in_the_axial_kernels_is_noticed() {
    let source = with_instances(
        &family("axial"),
        &["AXIAL_TILED(", "AXIAL_OF_SPAN("],
        &["AXIAL_TILED(3)", "AXIAL_OF_SPAN(4)"],
    );
    let cases = axial::thorough();
    every_mutation_fails("axial", &source, 150, &|on| {
        cases
            .iter()
            .all(|case| case.run(on).is_ok_and(|got| case.check(&got).is_ok()))
    });
}

#[test]
fn every_mistake_in_the_lstm_kernels_is_noticed() {
    let cases: Vec<lstm::Case> = Precision::ALL.into_iter().flat_map(lstm::small).collect();
    let source = with_headers(&family("lstm"), &["cells.cuh", "packed.cuh"]);
    let source = with_instances(&source, &MACROS, &SMALL);
    every_mutation_fails("lstm", &source, 60, &|on| {
        chain::counters_are_cleared(on)
            && cases
                .iter()
                .all(|case| case.run(on).is_ok_and(|got| case.check(&got).is_ok()))
    });
}

#[test]
fn every_mistake_in_the_chain_of_lstm_layers_is_noticed() {
    let cases: Vec<chain::Case> = Precision::ALL.into_iter().flat_map(chain::small).collect();
    let [source, beside] = ["chain", "lstm"].map(|name| with_instances(&family(name), &MACROS, &SMALL));
    every_mutation_beside("chain", &source, &beside, 50, &|on| {
        cases
            .iter()
            .all(|case| case.run(on).is_ok_and(|got| case.check(&got).is_ok()))
    });
}

#[test]
fn every_mistake_in_the_transformer_kernels_is_noticed() {
    let cases: Vec<transformer::Case> = Precision::ALL.into_iter().flat_map(transformer::small).collect();
    let source = with_instances(&with_headers(&family("transformer"), &["packed.cuh"]), &MACROS, &SMALL);
    every_mutation_fails("transformer", &source, 120, &|on| {
        cases
            .iter()
            .all(|case| case.run(on).is_ok_and(|got| case.check(&got).is_ok()))
    });
}
