//! A batch with everything that a GPU would be given for it, for whoever can run the kernels somewhere else.

use std::collections::BTreeMap;
use std::ops::Range;

use dualnet_cuda::{CudaError, Launch};

use super::audit::{self, Access};
use super::lead::Lead;
use super::network::{self, Numbers, Size};
use super::program::{Addresses, Constants, Program};
use crate::classifier::lead_at_300_hz;
use crate::cpu::check_input;
use crate::model::{ECG, Model, SPECTROGRAM};
use crate::plan::Plan;
use crate::signal::{ECG_LEN, Preprocessor, SPECTROGRAM_LEN, SignalError};
use crate::{Error, Precision, Record};

/// The byte of memory that nothing wrote: floats of them are not numbers.
const POISON: u8 = 0xff;
/// How far apart the memories lie, so that no address of one is another's.
const APART: u64 = 1 << 40;

/// Launches of a batch and their memory, weights and inputs in it, at addresses as the executor gives them.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Bytes by the address of the first.
    pub memory: BTreeMap<u64, Vec<u8>>,
    /// In their order.
    pub scenes: Vec<Scene>,
    /// Addresses of the probabilities, f32 `[records, classes]`, once all launches are done; those of the copies that fill a launch up
    /// lie behind.
    pub probabilities: Range<u64>,
}

/// One launch, and the memory that it uses.
#[derive(Clone, Debug)]
pub struct Scene {
    /// With addresses for memory. An argument outside all stretches is not looked at by the kernel.
    pub launch: Launch<u64>,
    /// No two overlap.
    pub stretches: Vec<Stretch>,
}

/// Memory with a name.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// What it holds.
    pub name: String,
    /// Its addresses.
    pub place: Range<u64>,
    /// Bytes of an element.
    pub element: usize,
    /// Whether the launch reads what was there before it.
    pub is_read: bool,
    /// Addresses that the launch writes; empty if it only reads.
    pub written: Range<u64>,
}

impl Rehearsal {
    /// Of prepared inputs: `ecg [records, 80, 256]` and `spectrogram [records, 563, 33]`, for a GPU of so many multiprocessors.
    ///
    /// # Errors
    /// [`Error::Cuda`]: a model that the kernels do not run, inputs of other lengths.
    pub fn of_inputs(
        model: &Model,
        precision: Precision,
        processors: usize,
        ecg: &[f32],
        spectrogram: &[f32],
    ) -> Result<Self, Error> {
        let records = ecg.len() / ECG_LEN;
        check_input(ECG, ecg, ECG_LEN, records)
            .and_then(|()| check_input(SPECTROGRAM, spectrogram, SPECTROGRAM_LEN, records))
            .map_err(|error| Error::Cuda(error.to_string()))?;
        Self::of_leads(model, precision, processors, &Lead::prepared(ecg, spectrogram))
    }

    /// Of records as they are classified: raw samples, unless they are at another rate than 300 Hz or no 16-bit integers.
    ///
    /// # Errors
    /// [`Error::Cuda`]: a model that the kernels do not run, records that do not form one batch or cannot be prepared.
    pub fn of_records(
        model: &Model,
        precision: Precision,
        processors: usize,
        records: &[&Record],
    ) -> Result<Self, Error> {
        let mut preprocessor = Preprocessor::new();
        let mut lead = |record: &&Record| Lead::of(&lead_at_300_hz(record)?, &mut preprocessor);
        let leads: Result<Vec<Lead>, SignalError> = records.iter().map(&mut lead).collect();
        let leads = leads.map_err(|error| Error::Cuda(error.to_string()))?;
        Self::of_leads(model, precision, processors, &leads)
    }

    fn of_leads(model: &Model, precision: Precision, processors: usize, leads: &[Lead]) -> Result<Self, Error> {
        let refused = |error: CudaError| Error::Cuda(error.to_string());
        let plan = Plan::of(model).map_err(|mismatch| Error::Cuda(mismatch.to_string()))?;
        let form = match leads.split_first() {
            Some((first, others)) if others.iter().all(|other| other.form() == first.form()) => first.form(),
            _ => return Err(Error::Cuda("these records are not one batch".to_owned())),
        };
        let numbers = Numbers::of(precision);
        let records = network::launched(leads.len(), usize::MAX);
        let size = Size { records, processors };
        let mut constants = Constants::default();
        let program = network::program(&plan, numbers, form, size, &mut constants).map_err(refused)?;
        let leads: Vec<&Lead> = leads.iter().collect();
        let fill = |bytes: &mut [u8]| network::write_inputs(&leads, records, numbers, bytes);
        let mut this = Self::of_program(&program, constants.bytes, fill).map_err(refused)?;
        let Range { start, end } = this.probabilities;
        this.probabilities = start..start + (end - start) / records as u64 * leads.len() as u64;
        Ok(this)
    }

    fn of_program(program: &Program, constants: Vec<u8>, fill: impl FnOnce(&mut [u8])) -> Result<Self, CudaError> {
        let poisoned = |bytes: u64| vec![POISON; bytes as usize];
        let mut inputs = poisoned(program.inputs);
        fill(&mut inputs);
        let memories = [constants, inputs, poisoned(program.outputs), poisoned(program.scratch)];
        let mut begin = 0;
        let [constants, inputs, outputs, scratch] = [0, 1, 2, 3].map(|index| {
            begin += APART;
            begin..begin + memories[index].len() as u64
        });
        let addresses = Addresses {
            constants,
            inputs,
            outputs: outputs.clone(),
            scratch,
        };
        let scenes = program.placed(&addresses)?.into_iter().zip(&program.launches);
        let scenes = scenes.map(|(placed, launch)| {
            let stretches = stretches(program, &audit::uses(launch)?, &addresses)?;
            Ok(Scene {
                launch: placed,
                stretches,
            })
        });
        Ok(Self {
            scenes: scenes.collect::<Result<_, CudaError>>()?,
            memory: (1..).map(|memory| memory * APART).zip(memories).collect(),
            probabilities: outputs,
        })
    }
}

/// The regions that a launch uses.
fn stretches(program: &Program, uses: &[audit::Use], addresses: &Addresses) -> Result<Vec<Stretch>, CudaError> {
    let mut stretches: BTreeMap<usize, Stretch> = BTreeMap::new();
    for used in uses {
        let place = program.place(used.memory.region, addresses)?;
        let begin = place.start + used.memory.offset;
        let stretch = stretches.entry(used.memory.region).or_insert_with(|| Stretch {
            name: program.regions[used.memory.region].name.clone(),
            written: place.start..place.start,
            place,
            element: used.element as usize,
            is_read: false,
        });
        stretch.is_read |= used.access != Access::Write;
        if used.access != Access::Read {
            stretch.written = begin..begin + used.element * used.count;
        }
    }
    Ok(stretches.into_values().collect())
}
