//! A model on a GPU.

use std::collections::BTreeMap;

use dualnet_cuda::{CudaError, Device};

use super::Refusal;
use super::executor::{Executor, Job};
use super::lead::{Form, Lead};
use super::network::{self, Numbers, Size};
use super::program::Constants;
use crate::classifier::{Part, label};
use crate::cpu::{RunError, check_input};
use crate::model::{ECG, Model, SPECTROGRAM};
use crate::plan::Plan;
use crate::signal::{ECG_LEN, Preprocessor, SAMPLING_RATE_HZ, SPECTROGRAM_LEN};
use crate::{Error, Precision, Record};

/// A program is for inputs of a form and a number of records, which [`network::launched`] keeps to few.
type Key = (Form, usize);

/// A model whose weights are on a GPU, the first of the machine, and what runs it.
pub struct Runtime {
    executor: Executor<Key>,
    constants: Constants,
    model: Model,
    numbers: Numbers,
    batch: usize,
    preprocessor: Preprocessor,
}

impl Runtime {
    /// Uploads the weights and makes room for `batch` records.
    pub(crate) fn new(model: &Model, precision: Precision, batch: usize) -> Result<Self, Refusal> {
        let refused = |error: CudaError| Refusal::Reason(error.to_string());
        let device = Device::open(0).map_err(refused)?;
        let plan = Plan::of(model)
            .map_err(|mismatch| Refusal::Reason(format!("model {} runs on the CPU only: {mismatch}", model.name())))?;
        let numbers = Numbers::of(precision);
        let mut constants = Constants::default();
        let size = Size {
            records: batch,
            processors: device.processors().map_err(refused)?,
        };
        let programs = network::largest(&plan, numbers, size, &mut constants).map_err(refused)?;
        let executor = Executor::new(device, &constants.bytes, &programs).map_err(refused)?;
        constants.release();
        Ok(Self {
            executor,
            constants,
            model: model.clone(),
            numbers,
            batch,
            preprocessor: Preprocessor::new(),
        })
    }

    /// A runtime for measurements; the [`Classifier`](crate::Classifier) is for everything else.
    ///
    /// # Errors
    /// [`Error::Cuda`]: no GPU, too old a driver, too little memory, a build without kernels, a model that the kernels do not run.
    pub fn open(model: &Model, precision: Precision, batch: usize) -> Result<Self, Error> {
        Self::new(model, precision, batch).map_err(|refusal| Error::Cuda(refusal.to_string()))
    }

    /// The GPU's name.
    pub fn device(&self) -> String {
        let name = self.executor.device().name();
        name.unwrap_or_else(|_| "a GPU without a name".to_owned())
    }

    /// Milliseconds on the GPU of `repeats` batches of copies of `record`, from raw samples in its memory to probabilities there, one
    /// after the other. As for any batch, a launch has the next power of two of records, or as many as the runtime was made for.
    ///
    /// # Errors
    /// A record that is not at 300 Hz in 16-bit integers, a batch that is larger than the runtime was made for, what the driver
    /// reports.
    pub fn measure(&mut self, record: &Record, batch: usize, repeats: usize) -> Result<Vec<f32>, Error> {
        let failed = |reason: String| Error::Gpu {
            record: label(record),
            reason,
        };
        let samples = record.samples();
        let lead = self.lead(&Part { record, samples })?;
        let as_recorded = record.sampling_rate_hz() == SAMPLING_RATE_HZ;
        if !as_recorded || lead.form() != Form::Samples || batch == 0 || batch > self.batch {
            return Err(failed("it cannot be measured in such a batch".to_owned()));
        }
        let records = network::launched(batch, self.batch);
        let key = (Form::Samples, records);
        self.prepare(key).map_err(|error| failed(error.to_string()))?;
        let numbers = self.numbers;
        let fill = |bytes: &mut [u8]| network::write_inputs(&[&lead], records, numbers, bytes);
        self.executor
            .measure(&Job { key, fill: &fill }, repeats)
            .map_err(|error| failed(error.to_string()))
    }

    fn lead(&mut self, part: &Part<'_>) -> Result<Lead, Error> {
        Lead::of(part.samples, &mut self.preprocessor).map_err(|cause| Error::Signal {
            record: label(part.record),
            cause,
        })
    }

    /// Probabilities `[batch, classes]` of `ecg [batch, 80, 256]` and `spectrogram [batch, 563, 33]`, row-major, as the CPU's
    /// [`Runtime::run`](crate::cpu::Runtime::run) takes them.
    ///
    /// # Errors
    /// Inputs of other lengths or not finite, what the driver reports, probabilities that are not finite.
    pub fn run(&mut self, ecg: &[f32], spectrogram: &[f32]) -> Result<Vec<f32>, Error> {
        let named = || "the inputs".to_owned();
        let batch = ecg.len() / ECG_LEN;
        let input = |cause: RunError| Error::Run { record: named(), cause };
        check_input(ECG, ecg, ECG_LEN, batch).map_err(input)?;
        check_input(SPECTROGRAM, spectrogram, SPECTROGRAM_LEN, batch).map_err(input)?;
        let leads = Lead::prepared(ecg, spectrogram);
        let leads: Vec<Option<&Lead>> = leads.iter().map(Some).collect();
        let (answers, ran) = self.answers(&leads);
        ran.map_err(|error| Error::Gpu {
            record: named(),
            reason: error.to_string(),
        })?;
        let rows = answers.into_iter().flatten().map(|row| finite(named(), row));
        Ok(rows.collect::<Result<Vec<_>, Error>>()?.concat())
    }

    /// Probabilities of every part, in the network's order of classes. A part that fails does not stop the others; when the GPU fails,
    /// none that has no probabilities yet gets any.
    pub(crate) fn classify(&mut self, parts: &[Part<'_>]) -> Vec<Result<Vec<f32>, Error>> {
        let leads: Vec<Result<Lead, Error>> = parts.iter().map(|part| self.lead(part)).collect();
        let usable: Vec<Option<&Lead>> = leads.iter().map(|lead| lead.as_ref().ok()).collect();
        let (answers, ran) = self.answers(&usable);
        let failure = ran.err().map_or_else(String::new, |error| error.to_string());
        let answered = leads.into_iter().zip(answers).zip(parts);
        answered
            .map(|((lead, answer), part)| {
                lead?;
                match answer {
                    Some(probabilities) => finite(label(part.record), probabilities),
                    None => Err(Error::Gpu {
                        record: label(part.record),
                        reason: failure.clone(),
                    }),
                }
            })
            .collect()
    }

    /// Probabilities of the leads there are, as far as the GPU got.
    fn answers(&mut self, leads: &[Option<&Lead>]) -> (Vec<Option<Vec<f32>>>, Result<(), CudaError>) {
        let mut by_form: BTreeMap<Form, Vec<usize>> = BTreeMap::new();
        for (index, lead) in leads.iter().enumerate() {
            if let Some(lead) = lead {
                by_form.entry(lead.form()).or_default().push(index);
            }
        }
        let batches: Vec<(Form, &[usize])> = by_form
            .iter()
            .flat_map(|(&form, indexes)| indexes.chunks(self.batch).map(move |batch| (form, batch)))
            .collect();
        let mut answers: Vec<Option<Vec<f32>>> = vec![None; leads.len()];
        let ran = self.run_batches(leads, &batches, &mut answers);
        (answers, ran)
    }

    fn run_batches(
        &mut self,
        leads: &[Option<&Lead>],
        batches: &[(Form, &[usize])],
        answers: &mut [Option<Vec<f32>>],
    ) -> Result<(), CudaError> {
        let (numbers, most) = (self.numbers, self.batch);
        let key = |&(form, indexes): &(Form, &[usize])| (form, network::launched(indexes.len(), most));
        for batch in batches {
            self.prepare(key(batch))?;
        }
        type Fill<'a> = Box<dyn Fn(&mut [u8]) + 'a>;
        let fill = |batch: &(Form, &[usize])| -> Fill<'_> {
            let (_, records) = key(batch);
            let leads: Vec<&Lead> = batch.1.iter().filter_map(|&index| leads[index]).collect();
            Box::new(move |bytes: &mut [u8]| network::write_inputs(&leads, records, numbers, bytes))
        };
        let fills: Vec<Fill<'_>> = batches.iter().map(fill).collect();
        let jobs: Vec<Job<'_, Key>> = batches
            .iter()
            .zip(&fills)
            .map(|(batch, fill)| Job {
                key: key(batch),
                fill: &**fill,
            })
            .collect();
        self.executor.run(&jobs, |job, outputs| {
            let (_, indexes) = batches[job];
            let (_, records) = key(&batches[job]);
            let values: Vec<f32> = outputs
                .as_chunks()
                .0
                .iter()
                .map(|&value| f32::from_le_bytes(value))
                .collect();
            let classes = values.len() / records;
            for (&index, probabilities) in indexes.iter().zip(values.chunks_exact(classes)) {
                answers[index] = Some(probabilities.to_vec());
            }
        })
    }

    fn prepare(&mut self, key: Key) -> Result<(), CudaError> {
        if self.executor.knows(key) {
            return Ok(());
        }
        let plan = Plan::of(&self.model).map_err(|mismatch| CudaError::Launch(mismatch.to_string()))?;
        let (form, records) = key;
        let size = Size {
            records,
            processors: self.executor.device().processors()?,
        };
        let program = network::program(&plan, self.numbers, form, size, &mut self.constants)?;
        self.executor.prepare(key, &program)
    }
}

/// The probabilities, unless the network gives none.
fn finite(record: String, probabilities: Vec<f32>) -> Result<Vec<f32>, Error> {
    match probabilities.iter().position(|value| !value.is_finite()) {
        None => Ok(probabilities),
        Some(class) => Err(Error::Run {
            record,
            cause: RunError::NotFinite {
                record: 0,
                class,
                value: probabilities[class],
            },
        }),
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("model", &self.model.name())
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}
