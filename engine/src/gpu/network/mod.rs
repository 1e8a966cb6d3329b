//! A plan as a program: which launches, on what memory, for one batch size and precision.

mod axial;
mod head;
mod inputs;
mod norm;
mod residual;
mod signal;
mod weights;

use dualnet_cuda::pau::Coefficients;
use dualnet_cuda::residual as kernels;
use dualnet_cuda::{CudaError, Element, Precision};

use super::lead::Form;
use super::program::{Builder, Constants, Memory, Program};
use crate::pau::Pau;
use crate::plan::{self, Block, Plan, Quantization};
use crate::signal::{BINS, FRAMES};
use norm::Conditions;

pub(super) use inputs::write_inputs;
pub(super) use weights::Numbers;

/// The kernels give no number near 0 where a coefficient leaves no room below 2 to the power of `HEADROOM` in `pade.cuh`, which they know by an
/// approximate logarithm.
const LARGEST_COEFFICIENT: f32 = (1_u128 << 102) as f32;

/// For which machine and how many records a program is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Records of a batch.
    pub(super) records: usize,
    /// Multiprocessors of the GPU.
    pub(super) processors: usize,
}

/// Records of the program that runs so many of up to `most`: powers of two, so that few programs stand for all counts.
pub(super) fn launched(records: usize, most: usize) -> usize {
    records.next_power_of_two().min(most)
}

/// A program while it is written.
struct Writer<'a, 'c> {
    plan: &'a Plan<'a>,
    numbers: Numbers,
    size: Size,
    builder: Builder<'c>,
    conditions: Conditions,
}

/// A feature map in device memory, channels last.
#[derive(Clone, Copy, Debug)]
struct Map {
    memory: Memory,
    extents: plan::Extents,
    precision: Precision,
    /// Of 8 bits, and only then.
    rounding: Option<Quantization>,
}

/// The launches that run `plan` on inputs of a form. The weights are those of `constants`, packed by the first program of a plan; the
/// others of that plan and these numbers find them there.
///
/// # Errors
/// [`CudaError::Launch`] for what the kernels do not do.
pub(super) fn program(
    plan: &Plan<'_>,
    numbers: Numbers,
    form: Form,
    size: Size,
    constants: &mut Constants,
) -> Result<Program, CudaError> {
    if is_rounded(plan) != (numbers == Numbers::Int8) {
        return Err(CudaError::Launch(format!(
            "the numbers of a network are the file's: {numbers:?} are not"
        )));
    }
    let mut writer = Writer {
        plan,
        numbers,
        size,
        builder: Builder::new(constants),
        conditions: Conditions::default(),
    };
    let inputs = writer.inputs(form)?;
    let latent = match &plan.signal {
        Some(signal) => Some(writer.signal(signal, inputs.ecg)?),
        None => None,
    };
    writer.conditions(latent)?;
    let mut map = Map {
        memory: inputs.spectrogram,
        extents: plan::Extents {
            height: FRAMES,
            width: BINS,
            channels: 1,
        },
        precision: Precision::Float(numbers.element()),
        rounding: None,
    };
    for (index, block) in plan.blocks.iter().enumerate() {
        let next = plan.blocks.get(index + 1).and_then(Block::rounding);
        let name = format!("block {index}");
        map = match block {
            Block::Residual(block) => writer.residual(&name, block, map, next)?,
            Block::Axial(block) => writer.axial(&name, block, map, next)?,
        };
    }
    writer.head(latent, (!plan.blocks.is_empty()).then_some(map))?;
    writer.builder.finish()
}

/// The programs that between them need as much memory and as many kernels as those of any batch of up to `size.records`, first that of the most
/// samples: of the largest batch, and of the largest whose LSTM runs at once, for which it takes more memory.
///
/// # Errors
/// As [`program`].
pub(super) fn largest(
    plan: &Plan<'_>,
    numbers: Numbers,
    size: Size,
    constants: &mut Constants,
) -> Result<Vec<Program>, CudaError> {
    let at_once = signal::most_at_once(plan, numbers, size)?.filter(|&records| records < size.records);
    let mut programs = Vec::new();
    for records in [Some(size.records), at_once].into_iter().flatten() {
        for form in [Form::Samples, Form::Prepared] {
            programs.push(program(plan, numbers, form, Size { records, ..size }, constants)?);
        }
    }
    Ok(programs)
}

/// Whether any layer rounds its input to 8 bits.
fn is_rounded(plan: &Plan<'_>) -> bool {
    let signal = plan.signal.as_ref().is_some_and(|signal| match signal {
        plan::SignalEncoder::Lstm(layers) => layers.iter().any(|layer| layer.input.is_some()),
        plan::SignalEncoder::Transformer(encoder) => {
            encoder.layers.iter().any(|layer| layer.projection.input.is_some())
        }
    });
    signal || plan.blocks.iter().any(|block| block.rounding().is_some())
}

impl Map {
    fn bytes(&self, records: usize) -> u64 {
        (records * self.extents.pixels() * self.extents.channels * self.precision.bytes()) as u64
    }
}

impl Writer<'_, '_> {
    /// Memory for a map: of 8 bits where it is rounded, otherwise of the network's numbers.
    fn map(&mut self, name: &str, extents: plan::Extents, rounding: Option<Quantization>) -> Map {
        let mut map = Map {
            memory: Memory { region: 0, offset: 0 },
            extents,
            precision: self.numbers.products(rounding),
            rounding,
        };
        map.memory = self.builder.scratch(name, map.bytes(self.size.records));
        map
    }

    /// `map` as a layer with this rounding of its input reads it: rounded to 8 bits where the block before left floats.
    fn rounded(&mut self, name: &str, map: Map, rounding: Option<Quantization>) -> Result<Map, CudaError> {
        match (map.rounding, rounding) {
            (None, Some(_)) => {
                let to = self.map(&format!("{name} rounded"), map.extents, rounding);
                self.pool(map, to, 1)?;
                Ok(to)
            }
            (before, after) if before == after => Ok(map),
            _ => Err(CudaError::Launch(format!("{name} is rounded in two ways"))),
        }
    }

    /// 2×2 average pooling (`side` 2), or none (`side` 1), to another type if need be.
    fn pool(&mut self, from: Map, to: Map, side: usize) -> Result<(), CudaError> {
        let plan::Extents {
            height,
            width,
            channels,
        } = from.extents;
        let with_rounding = |map: Map| (map.memory, map.precision, map.rounding.map(weights::rounding));
        let extents = [self.size.records, height, width, channels];
        let launch = kernels::pool(with_rounding(from), with_rounding(to), extents, side)?;
        self.builder.launch(launch);
        Ok(())
    }

    fn activation(&mut self, name: &str, pau: &Pau) -> Result<Coefficients<Memory>, CudaError> {
        let [numerator, denominator] = self.builder.constants(name, || {
            Ok([weights::bytes(pau.numerator()), weights::bytes(pau.denominator())])
        })?;
        if (pau.numerator().len(), pau.denominator().len()) != (6, 4) {
            return Err(CudaError::Launch(format!("{name} is not of order 5/4")));
        }
        let mut coefficients = pau.numerator().iter().chain(pau.denominator());
        if let Some(coefficient) = coefficients.find(|coefficient| coefficient.abs() > LARGEST_COEFFICIENT) {
            return Err(CudaError::Launch(format!(
                "{name} has a coefficient of {coefficient:e}, which only the CPU computes with; up to 2^102 ({LARGEST_COEFFICIENT:.0e}) are \
                 supported on a GPU"
            )));
        }
        Ok(Coefficients { numerator, denominator })
    }

    fn extents(&self, input: plan::Extents, outputs: usize) -> kernels::Extents {
        kernels::Extents {
            records: self.size.records,
            height: input.height,
            width: input.width,
            inputs: input.channels,
            outputs,
        }
    }

    /// A packed convolution.
    fn filters(
        &mut self,
        name: &str,
        convolution: &plan::Convolution<'_>,
        taps: usize,
    ) -> Result<kernels::Weights<Memory>, CudaError> {
        let precision = self.numbers.products(convolution.input);
        let [values, sums, factors] = self.builder.constants(name, || {
            let owned = weights::Owned::of(convolution.weight, convolution.outputs);
            let filters = owned.filters(convolution.input);
            let packed = kernels::pack(precision, filters, convolution.outputs, convolution.inputs, taps)?;
            Ok([
                packed.values,
                weights::integer_bytes(&packed.sums),
                weights::bytes(&packed.factors),
            ])
        })?;
        Ok(kernels::Weights { values, sums, factors })
    }

    /// A packed convolution of a single channel.
    fn single_filters(
        &mut self,
        name: &str,
        convolution: &plan::Convolution<'_>,
        taps: usize,
    ) -> Result<Memory, CudaError> {
        self.builder.constant(name, || {
            let owned = weights::Owned::of(convolution.weight, convolution.outputs);
            let packed = kernels::pack_single(owned.filters(convolution.input), convolution.outputs, taps)?;
            Ok(weights::bytes(&packed.values))
        })
    }

    fn element(&self) -> Element {
        self.numbers.element()
    }
}

#[cfg(test)]
mod tests {
    use super::launched;
    use std::collections::BTreeSet;

    #[test]
    fn few_programs_stand_for_all_counts() {
        for (most, programs) in [(1, 1), (2, 2), (100, 8), (4096, 13)] {
            let all = || (1..=most).map(|records| (records, launched(records, most)));
            assert!(all().all(|(records, launched)| (records..=most).contains(&launched)));
            assert_eq!(
                all().map(|(_, launched)| launched).collect::<BTreeSet<_>>().len(),
                programs
            );
        }
    }
}
