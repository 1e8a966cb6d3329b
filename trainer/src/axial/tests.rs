//! Results of every instruction set against the definition, and what leads back against the portable one, whose network `tests/fused.rs` holds to
//! libtorch's gradients; on lines that fill no bundle.

use super::backward::{Arriving, queries_and_keys, similarities};
use super::bundle::Source;
use super::embeddings::Embeddings;
use super::forward::{products, results};
use super::shape::Shape;
use dualnet_engine::simd::Isa;
use dualnet_fixtures::stream;

/// Sums in f32, one in another, over at most 35 positions and 6 channels each; of the norm of what is wanted.
const TOLERANCE: f64 = 2e-5;

struct Case {
    shape: Shape,
    projected: Vec<f32>,
    relative: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    similarity: Vec<f32>,
    grad_out: Vec<f32>,
    of_results: Vec<[f32; 3]>,
    of_similarities: Vec<[f32; 3]>,
}

/// What does not depend on how many lines go together.
struct Outcome {
    pairs: Vec<f32>,
    gradients: Vec<f32>,
    embeddings: Vec<f64>,
    sums: [Vec<f64>; 4],
}

fn numbers(name: &str, count: usize) -> Vec<f32> {
    stream(&format!("axial {name}"), count)
        .iter()
        .map(|&value| value as f32)
        .collect()
}

fn triples(name: &str, count: usize) -> Vec<[f32; 3]> {
    numbers(name, 3 * count).as_chunks::<3>().0.to_vec()
}

impl Case {
    fn new([records, height, width]: [usize; 3], groups: usize, channels: usize, along_height: bool) -> Self {
        let shape = Shape {
            records,
            height,
            width,
            channels,
            groups,
            lanes: 1,
            along_height: usize::from(along_height),
        };
        let width = shape.projected();
        Self {
            shape,
            projected: numbers("projected", shape.positions() * width),
            relative: numbers("relative", 2 * shape.values() * (2 * shape.span() - 1)),
            scale: numbers("scale", width),
            shift: numbers("shift", width),
            similarity: numbers("similarity", 3 * groups),
            grad_out: numbers("grad_out", shape.positions() * channels),
            of_results: triples("of results", width),
            of_similarities: triples("of similarities", 3 * groups),
        }
    }

    fn run(&self, isa: Isa) -> Outcome {
        let shape = Shape {
            lanes: isa.lanes(),
            ..self.shape
        };
        let embeddings = Embeddings::new(&self.relative, shape.span());
        let source = Source {
            shape,
            projected: &self.projected,
            scale: &self.scale,
            shift: &self.shift,
            embeddings: &embeddings,
        };
        let mut maps = vec![f32::NAN; shape.maps()];
        let moments = products(isa, source, &mut maps);
        let mut pairs = vec![f32::NAN; self.projected.len()];
        results(isa, source, &maps, &self.similarity, &mut pairs);
        let arriving = Arriving {
            grad_out: &self.grad_out,
            pairs: &pairs,
            lines: &self.of_results,
        };
        let mut towards = vec![f32::NAN; maps.len()];
        let mut gradients = vec![f32::NAN; self.projected.len()];
        let mut found = similarities(
            isa,
            source,
            &maps,
            &self.similarity,
            arriving,
            &mut towards,
            &mut gradients,
        );
        queries_and_keys(
            isa,
            source,
            &maps,
            &towards,
            &self.of_similarities,
            &mut gradients,
            &mut found.embeddings,
        );
        Outcome {
            pairs,
            gradients,
            embeddings: found.embeddings,
            sums: [moments.first, moments.second, found.sum, found.product],
        }
    }

    /// The results by their definition (MODEL: axial attention, steps 2 to 6).
    fn expected(&self) -> Vec<f64> {
        let shape = self.shape;
        let (span, values, half) = (shape.span(), shape.values(), shape.queries());
        let mut pairs = vec![0.0; self.projected.len()];
        for (line, group) in (0..shape.lines()).flat_map(|line| (0..shape.groups).map(move |group| (line, group))) {
            let channel = |c: usize, i: usize| {
                let own = group * 2 * values + c;
                let x = f64::from(self.projected[shape.position(line, i) * shape.projected() + own]);
                f64::from(self.scale[own]) * x + f64::from(self.shift[own])
            };
            let embedding =
                |c: usize, i: usize, j: usize| f64::from(self.relative[c * (2 * span - 1) + i + span - 1 - j]);
            let map = |first: usize, i: usize, j: usize| -> f64 {
                (first..first + half).map(|c| channel(c, i) * embedding(c, i, j)).sum()
            };
            let [of_product, of_query, of_key] =
                [0, 1, 2].map(|kind| f64::from(self.similarity[kind * shape.groups + group]));
            for i in 0..span {
                let similarities: Vec<f64> = (0..span)
                    .map(|j| {
                        let product: f64 = (0..span).map(|k| map(0, k, i) * map(half, k, j)).sum();
                        of_product * product + of_query * map(0, i, j) + of_key * map(half, i, j)
                    })
                    .collect();
                let largest = similarities.iter().copied().fold(f64::MIN, f64::max);
                let powers: Vec<f64> = similarities.iter().map(|x| (x - largest).exp()).collect();
                let total: f64 = powers.iter().sum();
                for c in 0..values {
                    let mixed =
                        |of: &dyn Fn(usize) -> f64| -> f64 { (0..span).map(|j| powers[j] / total * of(j)).sum() };
                    let at = shape.position(line, i) * shape.projected() + group * 2 * values + 2 * c;
                    pairs[at] = mixed(&|j| channel(2 * half + c, j));
                    pairs[at + 1] = mixed(&|j| embedding(2 * half + c, i, j));
                }
            }
        }
        pairs
    }
}

/// The norm of the difference, and that of what is wanted.
fn distance(found: &[f64], wanted: &[f64]) -> (f64, f64) {
    assert_eq!(found.len(), wanted.len());
    let squares: f64 = found
        .iter()
        .zip(wanted)
        .map(|(found, wanted)| (found - wanted).powi(2))
        .sum();
    (
        squares.sqrt(),
        wanted.iter().map(|wanted| wanted * wanted).sum::<f64>().sqrt(),
    )
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn cases() -> [Case; 6] {
    [
        Case::new([3, 5, 7], 2, 8, false),
        Case::new([1, 11, 3], 2, 4, true),
        Case::new([2, 35, 2], 1, 12, true),
        Case::new([9, 1, 1], 1, 4, false),
        Case::new([2, 3, 5], 1, 6, true),
        // More lines than lanes.
        Case::new([7, 5, 3], 2, 4, false),
    ]
}

#[test]
fn every_instruction_set_follows_the_definition() {
    let portable = Isa::named("portable").expect("it is always there");
    for case in cases() {
        let (wanted, reference) = (case.expected(), case.run(portable));
        for isa in Isa::available() {
            let found = case.run(isa);
            let close = |what: &str, found: &[f64], wanted: &[f64]| {
                let (difference, norm) = distance(found, wanted);
                assert!(
                    difference <= TOLERANCE * norm,
                    "{isa:?} {:?} {what}: {difference:e} of {norm:e}",
                    case.shape
                );
            };
            close("results", &wide(&found.pairs), &wanted);
            close("gradients", &wide(&found.gradients), &wide(&reference.gradients));
            close("embeddings", &found.embeddings, &reference.embeddings);
            for (index, (found, wanted)) in found.sums.iter().zip(&reference.sums).enumerate() {
                // Gradients of a softmax add up to 0: only the sums of their terms' magnitudes would have digits.
                if index != 2 {
                    close(&format!("sums {index}"), found, wanted);
                }
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let isa = Isa::detect().expect("an instruction set");
    for case in cases() {
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("threads");
            pool.install(|| case.run(isa))
        };
        let first = of(1);
        for threads in [2, 3, 7] {
            let found = of(threads);
            assert!(
                (found.pairs, found.gradients) == (first.pairs.clone(), first.gradients.clone())
                    && found.embeddings == first.embeddings
                    && found.sums == first.sums,
                "{:?}, {threads} threads",
                case.shape
            );
        }
    }
}
