//! What the launches of a program touch, read from their arguments as the kernels do, held to the memory that the program gives them.
//!
//! The sizes here come from the kernels' parameters, not from the plan: a buffer that is too small for what a kernel was told shows.

use std::ops::Range;

use dualnet_cuda::{Argument, CudaError, Launch};

use super::program::{Kind, Memory, Program};
use crate::signal::{ECG_LEN, MAX_SAMPLES, SPECTROGRAM_LEN, WINDOWS};

/// What a launch does with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    /// Reads what it has written itself, or what an earlier launch has.
    Update,
}

/// Elements of one argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) memory: Memory,
    /// Bytes of an element.
    pub(super) element: u64,
    pub(super) count: u64,
    pub(super) access: Access,
}

/// A launch's arguments by position.
struct Arguments<'l> {
    launch: &'l Launch<Memory>,
    uses: Vec<Use>,
}

type Outcome<T = ()> = Result<T, CudaError>;

impl<'l> Arguments<'l> {
    fn fault(&self, what: &str) -> CudaError {
        CudaError::Launch(format!("{}: {what}", self.launch.kernel))
    }

    fn memory(&self, index: usize) -> Outcome<Memory> {
        match self.launch.arguments.get(index) {
            Some(&Argument::Memory(memory)) => Ok(memory),
            _ => Err(self.fault(&format!("argument {index} is no memory"))),
        }
    }

    fn number(&self, index: usize) -> Outcome<u64> {
        let number = match self.launch.arguments.get(index) {
            Some(&Argument::I32(number)) => u64::try_from(number).ok(),
            Some(&Argument::I64(number)) => u64::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| self.fault(&format!("argument {index} is no count")))
    }

    fn numbers<const N: usize>(&self, first: usize) -> Outcome<[u64; N]> {
        let mut numbers = [0; N];
        for (index, number) in numbers.iter_mut().enumerate() {
            *number = self.number(first + index)?;
        }
        Ok(numbers)
    }

    fn touches(&mut self, index: usize, element: u64, count: u64, access: Access) -> Outcome {
        let memory = self.memory(index)?;
        self.uses.push(Use {
            memory,
            element,
            count,
            access,
        });
        Ok(())
    }

    fn reads(&mut self, index: usize, element: u64, count: u64) -> Outcome {
        self.touches(index, element, count, Access::Read)
    }

    fn writes(&mut self, index: usize, element: u64, count: u64) -> Outcome {
        self.touches(index, element, count, Access::Write)
    }

    /// Bytes of the element whose name is a part of the kernel's.
    fn element(&self, part: usize) -> Outcome<u64> {
        bytes_of(self.launch.kernel.split('_').nth(part).unwrap_or_default())
            .ok_or_else(|| self.fault(&format!("part {part} of its name is no type")))
    }
}

fn bytes_of(name: &str) -> Option<u64> {
    match name {
        "f32" => Some(4),
        "f16" | "bf16" => Some(2),
        "i8" => Some(1),
        _ => None,
    }
}

/// What reads a kernel's arguments.
type Reader = fn(&mut Arguments<'_>) -> Outcome;

/// Everything a launch touches.
pub(super) fn uses(launch: &Launch<Memory>) -> Outcome<Vec<Use>> {
    let mut arguments = Arguments {
        launch,
        uses: Vec::new(),
    };
    let kernel = launch.kernel.as_str();
    let known: &[(&str, Reader)] = &[
        ("preprocess_", preprocess),
        ("residual_convolution_", convolution),
        ("residual_single_", single),
        ("residual_pool_", pool),
        ("axial_", axial),
        ("lstm_project_", lstm_project),
        ("lstm_steps_", lstm_steps),
        ("chain_", chain),
        ("transformer_attend_", transformer_attend),
        ("transformer_feed_", transformer_feed),
        ("transformer_mean_", transformer_mean),
        ("head_conditions", head_conditions),
        ("head_", head),
    ];
    match known.iter().find(|(prefix, _)| kernel.starts_with(prefix)) {
        Some((_, of)) => of(&mut arguments)?,
        None => return Err(arguments.fault("is not known")),
    }
    Ok(arguments.uses)
}

fn preprocess(a: &mut Arguments<'_>) -> Outcome {
    let (records, element) = (u64::from(a.launch.rows), a.element(1)?);
    let stride = a.number(1)?;
    if stride != MAX_SAMPLES as u64 {
        return Err(a.fault("rows of samples of another length"));
    }
    a.reads(0, 2, records * stride)?;
    a.reads(2, 4, records)?;
    a.writes(3, element, records * ECG_LEN as u64)?;
    a.writes(4, element, records * SPECTROGRAM_LEN as u64)
}

/// Inputs in whole steps of a product.
fn depth(inputs: u64, element: u64) -> u64 {
    inputs.next_multiple_of(match element {
        4 => 4,
        2 => 16,
        _ => 32,
    })
}

fn coefficients(a: &mut Arguments<'_>, first: usize, counts: [u64; 2]) -> Outcome {
    for (index, count) in counts.into_iter().enumerate() {
        if count > 0 {
            a.reads(first + index, 4, count)?;
        }
    }
    Ok(())
}

fn convolution(a: &mut Arguments<'_>) -> Outcome {
    let (element, output) = (a.element(2)?, a.element(3)?);
    let [records, height, width, inputs, outputs, side, pooled, stride] = a.numbers(12)?;
    let [kind, added] = a.numbers(20)?;
    let counts = a.numbers(22)?;
    let pixels = records * height * width;
    let plain = if element == 1 { 4 } else { element };
    a.reads(0, element, pixels * inputs)?;
    a.reads(1, element, side * side * depth(inputs, element) * outputs)?;
    if element == 1 {
        a.reads(2, 4, outputs)?;
    }
    a.reads(3, 4, (records - 1) * stride + 2 * outputs)?;
    match kind {
        0 => {}
        1 => a.reads(4, element, pixels * outputs)?,
        2 => a.reads(5, plain, pixels * outputs)?,
        3 => {
            a.reads(4, element, pixels * added)?;
            a.reads(6, element, depth(added, element) * outputs)?;
            if element == 1 {
                a.reads(7, 4, outputs)?;
                a.reads(8, 4, outputs)?;
            }
        }
        4 => {
            a.reads(5, plain, pixels)?;
            a.reads(8, 4, outputs)?;
        }
        _ => return Err(a.fault("adds something unknown")),
    }
    coefficients(a, 9, counts)?;
    let written = match pooled {
        0 => pixels,
        _ => records * (height / 2) * (width / 2),
    };
    a.writes(11, output, written * outputs)
}

fn single(a: &mut Arguments<'_>) -> Outcome {
    let (element, output) = (a.element(2)?, a.element(3)?);
    let [records, height, width, outputs, stride] = a.numbers(6)?;
    let counts = a.numbers(11)?;
    a.reads(0, element, records * height * width)?;
    a.reads(1, 4, 9 * outputs)?;
    a.reads(2, 4, (records - 1) * stride + 2 * outputs)?;
    coefficients(a, 3, counts)?;
    a.writes(5, output, records * height * width * outputs)
}

fn pool(a: &mut Arguments<'_>) -> Outcome {
    let (from, to) = (a.element(2)?, a.element(3)?);
    let [records, height, width, channels, side] = a.numbers(2)?;
    a.reads(0, from, records * height * width * channels)?;
    a.writes(1, to, records * (height / side) * (width / side) * channels)
}

fn axial(a: &mut Arguments<'_>) -> Outcome {
    let short = a.launch.kernel.starts_with("axial_short_");
    let name = a.launch.kernel.split('_').nth(if short { 2 } else { 1 });
    let operand = name.and_then(bytes_of).ok_or_else(|| a.fault("is of no type"))?;
    let records = u64::from(a.launch.rows);
    let [across, groups, channels, span] = a.numbers(5)?;
    let rounded = a.number(11)?;
    // 8-bit attention reads floats, and its operands are whole numbers in 16 bits.
    let (map, operand) = if operand == 1 { (4, 2) } else { (operand, operand) };
    let pixels = records * across * span;
    a.reads(0, map, pixels * 2 * groups * channels)?;
    match short {
        true => a.reads(1, 4, 2 * channels * (2 * span - 1))?,
        false => {
            let tiles = match span {
                0..=48 => 3,
                49..=80 => 5,
                _ => 9,
            };
            let rows = 2 * (channels / 2).next_multiple_of(16) + channels.next_multiple_of(8);
            a.reads(1, operand, 32 * tiles * rows)?;
        }
    }
    a.reads(2, 4, 25 + 3 * groups + groups * channels)?;
    a.writes(3, if rounded == 1 { 1 } else { map }, pixels * groups * channels)
}

/// Weights of the signal encoders from argument `first` on, matrices of so many values, terms and 8-bit sums; the argument behind them.
fn packed(a: &mut Arguments<'_>, element: u64, first: usize, matrices: u64, terms: u64, sums: u64) -> Outcome<usize> {
    a.reads(first, element, matrices)?;
    if element != 1 {
        a.reads(first + 1, 4, terms)?;
        return Ok(first + 2);
    }
    a.reads(first + 1, 4, terms + sums)?;
    a.reads(first + 2, 4, sums)?;
    Ok(first + 3)
}

/// What the encoders of the waveform pass on.
fn passed_on(element: u64) -> u64 {
    if element == 1 { 4 } else { element }
}

fn lstm_project(a: &mut Arguments<'_>) -> Outcome {
    let element = a.element(2)?;
    let next = if element == 1 { 4 } else { 3 };
    let [rows, inputs, hidden] = a.numbers(next + 1)?;
    packed(a, element, 1, 4 * hidden * inputs, 4 * hidden, 4 * hidden)?;
    a.reads(0, passed_on(element), rows * inputs)?;
    let counters = a.number(next + 5)?;
    if counters > 0 {
        a.writes(next + 4, 4, counters)?;
    }
    a.writes(next, 4, rows * 4 * hidden)
}

/// What a kernel for LSTM layers has in its name.
fn hidden_units(a: &Arguments<'_>) -> Outcome<u64> {
    let hidden: Option<u64> = a.launch.kernel.rsplit('_').next().and_then(|name| name.parse().ok());
    hidden.ok_or_else(|| a.fault("is of no size"))
}

/// Layers of `hidden` units, from the blocks of their stages.
fn chain(a: &mut Arguments<'_>) -> Outcome {
    let (element, hidden) = (a.element(1)?, hidden_units(a)?);
    let each = if element == 1 { 3 } else { 2 };
    let next = 1 + 3 * each;
    let [records, steps, inputs] = a.numbers(next + 4)?;
    let slices = hidden * 32 / (8 * u64::from(a.launch.threads));
    let layers = (u64::from(a.launch.blocks) / slices).div_ceil(2);
    let values = records * steps * hidden;
    a.reads(0, 4, 4 * values)?;
    for layer in 0..layers {
        let inputs = if layer == 0 { inputs } else { hidden };
        let first = 1 + layer as usize * each;
        packed(
            a,
            element,
            first,
            4 * hidden * (inputs + hidden),
            4 * hidden,
            8 * hidden,
        )?;
    }
    a.writes(next, passed_on(element), layers * values)?;
    if layers > 1 {
        a.writes(next + 1, 4, (layers - 1) * 4 * values)?;
    }
    a.writes(next + 2, 4, records * hidden)?;
    a.touches(
        next + 3,
        4,
        records.div_ceil(8) * (2 * layers - 1) * steps,
        Access::Update,
    )
}

fn lstm_steps(a: &mut Arguments<'_>) -> Outcome {
    let element = a.element(2)?;
    let hidden = hidden_units(a)?;
    let next = if element == 1 { 4 } else { 3 };
    let [last, records, steps, inputs] = a.numbers(next + 2)?;
    packed(a, element, 1, 4 * hidden * (inputs + hidden), 4 * hidden, 8 * hidden)?;
    a.reads(0, 4, records * steps * 4 * hidden)?;
    match last {
        0 => a.writes(next, passed_on(element), records * steps * hidden),
        _ => a.writes(next + 1, 4, records * hidden),
    }
}

/// Steps and width, of which the kernel's name speaks.
fn encoder(a: &Arguments<'_>) -> Outcome<[u64; 2]> {
    let mut parts = a.launch.kernel.rsplit('_').map(|part| part.parse().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(width), Some(steps)) if steps == WINDOWS as u64 => Ok([steps, width]),
        _ => Err(a.fault("is of no size")),
    }
}

/// Matrices, terms and sums of a layer.
fn layer(width: u64, inner: u64) -> [u64; 3] {
    let outputs = 5 * width + inner;
    [4 * width * width + 2 * width * inner, outputs + 4 * width, outputs]
}

fn transformer_attend(a: &mut Arguments<'_>) -> Outcome {
    let ([steps, width], element) = (encoder(a)?, a.element(2)?);
    let records = u64::from(a.launch.blocks) / (width / 32);
    let next = if element == 1 { 7 } else { 6 };
    let inner = a.number(next + 2)?;
    let [matrices, terms, sums] = layer(width, inner);
    packed(a, element, 4, matrices, terms, sums)?;
    let values = records * steps * width;
    match a.number(3)? {
        0 => a.reads(2, 4, values)?,
        _ => {
            a.reads(0, passed_on(element), values)?;
            a.reads(1, 4, steps * width)?;
            a.writes(2, 4, values)?;
        }
    }
    a.writes(next, element, values)
}

fn transformer_feed(a: &mut Arguments<'_>) -> Outcome {
    let ([steps, width], element) = (encoder(a)?, a.element(2)?);
    let records = u64::from(a.launch.blocks) / (steps / 16);
    let next = if element == 1 { 5 } else { 4 };
    let [matrices, terms, sums] = layer(width, a.number(next)?);
    packed(a, element, 2, matrices, terms, sums)?;
    a.reads(0, element, records * steps * width)?;
    a.touches(1, 4, records * steps * width, Access::Update)
}

fn transformer_mean(a: &mut Arguments<'_>) -> Outcome {
    let ([steps, width], records) = (encoder(a)?, u64::from(a.launch.blocks));
    a.reads(0, 4, records * steps * width)?;
    a.reads(1, 4, 2 * width)?;
    a.writes(2, 4, records * width)
}

fn head_conditions(a: &mut Arguments<'_>) -> Outcome {
    let [records, width, total] = a.numbers(3)?;
    a.reads(0, 4, records * width)?;
    a.reads(1, 4, width * total)?;
    a.writes(2, 4, records * total)
}

fn head(a: &mut Arguments<'_>) -> Outcome {
    let (element, records) = (a.element(1)?, u64::from(a.launch.blocks));
    let [positions, channels, joined, latent, classes, count] = a.numbers(10)?;
    if positions > 0 {
        a.reads(0, element, records * positions * channels)?;
        a.reads(1, 4, channels * joined.next_multiple_of(4))?;
        a.reads(2, 4, joined)?;
        coefficients(a, 3, [6, 4])?;
    }
    if latent > 0 {
        a.reads(5, 4, records * joined)?;
    }
    a.reads(6, 4, classes * joined)?;
    a.reads(7, 4, classes)?;
    if count > 0 {
        a.reads(8, 4, records * count)?;
    }
    a.writes(9, 4, records * classes)
}

/// Holds every launch to the program's memory: what it touches lies within its region and is aligned, what it reads was written, and what it
/// writes is nobody else's.
///
/// # Errors
/// [`CudaError::Launch`] with the kernel and the memory's name.
pub(super) fn check(program: &Program) -> Outcome {
    let mut written = vec![0_u64; program.regions.len()];
    for launch in &program.launches {
        let uses = uses(launch)?;
        for used in &uses {
            let region = &program.regions[used.memory.region];
            let fault = |what: &str| {
                Err(CudaError::Launch(format!(
                    "{}: {what} {}, {} of {} bytes",
                    launch.kernel,
                    region.name,
                    used.element * used.count + used.memory.offset,
                    region.bytes
                )))
            };
            let end = used.memory.offset + used.element * used.count;
            if used.count == 0 || end > region.bytes || used.memory.offset % 16 != 0 {
                return fault("does not fit");
            }
            let is_filled = match region.kind {
                Kind::Constant(_) | Kind::Input(_) => true,
                Kind::Output(_) | Kind::Scratch(_) => written[used.memory.region] >= end,
            };
            let may_write = matches!(region.kind, Kind::Output(_) | Kind::Scratch(_));
            match used.access {
                Access::Read if !is_filled => return fault("reads what nothing wrote:"),
                Access::Update if !is_filled => return fault("reads what nothing wrote:"),
                Access::Write | Access::Update if !may_write => return fault("must not write"),
                _ => {}
            }
        }
        for used in uses.iter().filter(|used| used.access != Access::Read) {
            let others = uses.iter().filter(|other| !std::ptr::eq(*other, used));
            for other in others {
                if overlap(&place(program, used), &place(program, other)) {
                    return Err(CudaError::Launch(format!(
                        "{}: writes {} over {}",
                        launch.kernel,
                        program.regions[used.memory.region].name,
                        program.regions[other.memory.region].name
                    )));
                }
            }
            written[used.memory.region] = used.memory.offset + used.element * used.count;
        }
        forget(program, &uses, &mut written);
    }
    Ok(())
}

/// Where a use lies: which memory, and the bytes of it.
fn place(program: &Program, used: &Use) -> (u8, Range<u64>) {
    let (memory, first) = match program.regions[used.memory.region].kind {
        Kind::Constant(first) => (0, first),
        Kind::Input(first) => (1, first),
        Kind::Output(first) => (2, first),
        Kind::Scratch(first) => (3, first),
    };
    let begin = first + used.memory.offset;
    (memory, begin..begin + used.element * used.count)
}

fn overlap((memory, bytes): &(u8, Range<u64>), (other, others): &(u8, Range<u64>)) -> bool {
    memory == other && bytes.start < others.end && others.start < bytes.end
}

/// What was written over is not there any more.
fn forget(program: &Program, uses: &[Use], written: &mut [u64]) {
    for used in uses.iter().filter(|used| used.access != Access::Read) {
        let (memory, bytes) = place(program, used);
        for (index, region) in program.regions.iter().enumerate() {
            let Kind::Scratch(first) = region.kind else { continue };
            if index != used.memory.region && overlap(&(3, first..first + region.bytes), &(memory, bytes.clone())) {
                written[index] = 0;
            }
        }
    }
}
