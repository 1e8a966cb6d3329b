//! From a record to its rhythm.

mod options;
mod part;
mod prediction;
mod probabilities;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rayon::prelude::*;

pub use options::{Device, Options, Precision};
use part::Lead;
pub(crate) use part::Part;
pub use part::{lead_at_300_hz, mean_of_parts};
pub use prediction::{Prediction, UNDECIDED};
pub use probabilities::Probabilities;

use crate::Error;
use crate::beats::{BeatForest, BeatReader};
use crate::cpu::{Prepared, RunError, Runtime, Way};
use crate::gpu;
use crate::model::Model;
use crate::record::{Record, printable};
use crate::signal::{self, ECG_LEN, Excerpt, Preprocessor, SPECTROGRAM_LEN};

/// Records, and parts of records, that the CPU takes together.
const CPU_BATCH: usize = 16;

/// Names the rhythm of records, on as many threads as call it.
///
/// ```no_run
/// use dualnet_engine::{Classifier, Model, Options, Record};
///
/// let classifier = Classifier::new(Model::open("dualnet-s.onnx")?, Options::default())?;
/// let prediction = classifier.classify(&Record::open("A00001.mat")?)?;
/// println!("{} {:?}", prediction.class, prediction.probabilities.get("A"));
/// # Ok::<(), dualnet_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct Classifier {
    prepared: Arc<Prepared>,
    identity: String,
    beats: Option<BeatReader>,
    options: Options,
    device: Device,
    precision: Precision,
    idle: Mutex<Vec<Workspace>>,
    gpu: Option<Mutex<gpu::Runtime>>,
    note: Option<String>,
}

impl Classifier {
    /// Makes `model` ready to classify single records.
    ///
    /// # Errors
    /// A device or precision this build, this machine or this model does not have, a minimum confidence outside 0 to 1, a model that
    /// cannot be prepared.
    pub fn new(model: Model, options: Options) -> Result<Self, Error> {
        options.check()?;
        let stored = model.card().precision;
        let precision_on = |device| options.precision_on(device, model.name(), stored);
        let opened = match options.device {
            Device::Cpu => None,
            Device::Auto | Device::Cuda => {
                let precision = precision_on(Device::Cuda)?;
                Some((precision, gpu::Runtime::new(&model, precision, options.batch_size())))
            }
        };
        let (device, precision, gpu, note) = match opened {
            Some((precision, Ok(runtime))) => (Device::Cuda, precision, Some(Mutex::new(runtime)), None),
            Some((_, Err(refusal))) if options.device == Device::Cuda => return Err(Error::Cuda(refusal.to_string())),
            refused => {
                let refusal = refused.and_then(|(_, outcome)| outcome.err());
                let note = refusal.map(|refusal| refusal.to_string());
                (Device::Cpu, precision_on(Device::Cpu)?, None, note)
            }
        };
        let identity = network_identity(&model, options);
        let prepared = Arc::new(Prepared::new(model, Way::Best));
        let mut idle = Vec::new();
        if gpu.is_none() {
            let mut workspace = Workspace::new(Arc::clone(&prepared));
            workspace.runtime.prepare(Excerpt::of_record(options.excerpts).len())?;
            idle.push(workspace);
        }
        Ok(Self {
            prepared,
            identity,
            beats: None,
            options,
            device,
            precision,
            idle: Mutex::new(idle),
            gpu,
            note,
        })
    }

    /// Averages the network's probabilities with those that a forest reads from each record's beats. The processor does that whatever the
    /// device: in the thread that calls, and of a GPU's batches in rayon's.
    ///
    /// # Errors
    /// [`BeatsError::Classes`](crate::beats::BeatsError::Classes) for a forest of other classes.
    pub fn with_beats(mut self, forest: BeatForest) -> Result<Self, Error> {
        forest.check_classes(self.model().classes())?;
        self.identity = format!("{}+{}", network_identity(self.model(), self.options), forest.identity());
        self.beats = Some(BeatReader::new(forest));
        Ok(self)
    }

    /// The model it classifies with.
    pub fn model(&self) -> &Model {
        self.prepared.model()
    }

    /// Why the model runs on tract and not on the fused kernels; `None` when it does run on them, or on a GPU.
    pub fn fallback(&self) -> Option<&str> {
        match self.gpu {
            Some(_) => None,
            None => self.prepared.fallback(),
        }
    }

    /// Why [`Device::Auto`] is the CPU; `None` when it is not, or another device was asked for.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Records, or excerpts of records, that [`Classifier::classify_batch`] runs through the network together.
    pub fn batch_size(&self) -> usize {
        match self.gpu {
            Some(_) => self.options.batch_size(),
            None => CPU_BATCH,
        }
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// How precisely it computes.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The rhythm of one record.
    ///
    /// # Errors
    /// Samples that cannot be prepared, a failure of the runtime, probabilities that are not finite.
    pub fn classify(&self, record: &Record) -> Result<Prediction, Error> {
        self.classify_batch(&[record]).remove(0)
    }

    /// The rhythms of several records, in their order, run through the network up to [`Self::batch_size`] of them, or of their excerpts, at a time; on a GPU, batches are
    /// copied while others are computed, so give it several.
    ///
    /// A record that fails does not stop the others. On the CPU probabilities are those of [`Self::classify`], bit for bit unless the model
    /// runs on tract ([`Self::fallback`]), then within 1e-5.
    pub fn classify_batch(&self, records: &[&Record]) -> Vec<Result<Prediction, Error>> {
        match &self.gpu {
            Some(gpu) => self.classify_together(records, |parts| {
                gpu.lock().unwrap_or_else(PoisonError::into_inner).classify(parts)
            }),
            None => self.with_workspace(|workspace| {
                let together = |batch| self.classify_together(batch, |parts| workspace.classify(parts));
                records.chunks(CPU_BATCH).flat_map(together).collect()
            }),
        }
    }

    /// Predictions of `records`, whose parts `network` answers in their order.
    fn classify_together(
        &self,
        records: &[&Record],
        network: impl FnOnce(&[Part<'_>]) -> Vec<Result<Vec<f32>, Error>>,
    ) -> Vec<Result<Prediction, Error>> {
        let start = Instant::now();
        let leads: Vec<Result<Lead<'_>, Error>> = records.iter().map(|record| Lead::of(record)).collect();
        let excerpts = Excerpt::of_record(self.options.excerpts);
        let parts_of = |lead| excerpts.iter().map(move |&excerpt| Lead::part(lead, excerpt));
        let parts: Vec<Part<'_>> = leads.iter().flatten().flat_map(parts_of).collect();
        let mut answers = network(&parts).into_iter();
        let classes = self.model().classes().len();
        let mut answered = Vec::with_capacity(records.len());
        for lead in leads {
            answered.push(lead.and_then(|lead| {
                let own: Vec<Result<Vec<f32>, Error>> = answers.by_ref().take(excerpts.len()).collect();
                let own: Vec<Vec<f32>> = own.into_iter().collect::<Result<_, _>>()?;
                Ok((lead, mean_of_parts(&own.concat(), classes)))
            }));
        }
        if let Some(reader) = &self.beats {
            let read = |(lead, probabilities): &mut (Lead<'_>, Vec<f32>)| {
                reader.average_with(&lead.samples, probabilities);
            };
            match self.device {
                Device::Cuda => answered.par_iter_mut().flatten().for_each(read),
                Device::Auto | Device::Cpu => answered.iter_mut().flatten().for_each(read),
            }
        }
        let latency_ms = milliseconds_since(start);
        let predict = |answer: Result<(Lead<'_>, Vec<f32>), Error>| {
            answer.map(|(lead, probabilities)| self.prediction(lead.record, &probabilities, latency_ms))
        };
        answered.into_iter().map(predict).collect()
    }

    fn prediction(&self, record: &Record, probabilities: &[f32], latency_ms: f64) -> Prediction {
        let probabilities = Probabilities::new(self.model().classes(), probabilities);
        let class = match probabilities.ranked().first() {
            Some((class, probability)) if *probability >= self.options.min_confidence => *class,
            _ => UNDECIDED,
        };
        Prediction {
            record: record.name().to_owned(),
            path: record.path().map(Path::to_owned),
            class: class.to_owned(),
            probabilities,
            samples: record.recorded_samples(),
            sampling_rate_hz: record.sampling_rate_hz(),
            duration_s: record.duration_s(),
            model: self.identity.clone(),
            device: self.device,
            precision: self.precision,
            latency_ms,
            warnings: record.warnings().iter().map(ToString::to_string).collect(),
        }
    }

    /// Lends `work` a workspace that nobody uses, or a new one.
    fn with_workspace<T>(&self, work: impl FnOnce(&mut Workspace) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = idle().pop();
        let mut workspace = lent.unwrap_or_else(|| Workspace::new(Arc::clone(&self.prepared)));
        let result = work(&mut workspace);
        idle().push(workspace);
        result
    }
}

/// What predictions call the network and how it reads.
fn network_identity(model: &Model, options: Options) -> String {
    let how = if options.excerpts { "+excerpts" } else { "" };
    model.card().identity() + how
}

/// What one thread needs to classify.
#[derive(Debug)]
struct Workspace {
    preprocessor: Preprocessor,
    runtime: Runtime,
    ecg: Vec<f32>,
    spectrogram: Vec<f32>,
}

impl Workspace {
    fn new(prepared: Arc<Prepared>) -> Self {
        Self {
            preprocessor: Preprocessor::new(),
            runtime: Runtime::sharing(prepared),
            ecg: Vec::new(),
            spectrogram: Vec::new(),
        }
    }

    /// Makes room for the inputs of `batch` parts.
    fn reserve(&mut self, batch: usize) {
        self.ecg.resize(batch * ECG_LEN, 0.0);
        self.spectrogram.resize(batch * SPECTROGRAM_LEN, 0.0);
    }

    /// Probabilities of every part. A part that fails does not stop the others.
    fn classify(&mut self, parts: &[Part<'_>]) -> Vec<Result<Vec<f32>, Error>> {
        parts
            .chunks(CPU_BATCH)
            .flat_map(|batch| self.classify_batch(batch))
            .collect()
    }

    fn classify_batch(&mut self, parts: &[Part<'_>]) -> Vec<Result<Vec<f32>, Error>> {
        self.reserve(parts.len());
        let mut ready = 0;
        let prepare = |part| {
            self.prepare(ready, part)?;
            ready += 1;
            Ok(())
        };
        let prepared: Vec<Result<(), Error>> = parts.iter().map(prepare).collect();
        match self.run(ready) {
            Ok(probabilities) => {
                let classes = probabilities.len() / ready.max(1);
                let mut rows = probabilities.chunks_exact(classes.max(1)).map(<[f32]>::to_vec);
                let mut row = |prepared: Result<(), Error>| prepared.map(|()| rows.next().unwrap_or_default());
                prepared.into_iter().map(&mut row).collect()
            }
            Err(_) if parts.len() > 1 => parts.iter().flat_map(|&part| self.classify_batch(&[part])).collect(),
            Err(cause) => {
                let failed = |part: &Part<'_>| Error::Run {
                    record: label(part.record),
                    cause,
                };
                parts.first().map(failed).into_iter().map(Err).collect()
            }
        }
    }

    /// Writes the inputs of `part` to the place `slot` of the batch.
    fn prepare(&mut self, slot: usize, part: &Part<'_>) -> Result<(), Error> {
        let ecg = &mut self.ecg[slot * ECG_LEN..][..ECG_LEN];
        let spectrogram = &mut self.spectrogram[slot * SPECTROGRAM_LEN..][..SPECTROGRAM_LEN];
        let prepared = self.preprocessor.prepare(part.samples, ecg, spectrogram);
        prepared.map_err(|cause| Error::Signal {
            record: label(part.record),
            cause,
        })
    }

    /// Probabilities `[batch, classes]` of the first `batch` parts prepared.
    fn run(&mut self, batch: usize) -> Result<Vec<f32>, RunError> {
        if batch == 0 {
            return Ok(Vec::new());
        }
        self.runtime.run(
            &self.ecg[..batch * ECG_LEN],
            &self.spectrogram[..batch * SPECTROGRAM_LEN],
            batch,
        )
    }
}

fn milliseconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Writes the network's inputs of `record` to `ecg` (`[80, 256]`) and `spectrogram` (`[563, 33]`), brought to 300 Hz where
/// its rate is another.
///
/// # Errors
/// Samples that cannot be prepared, a buffer of another length.
pub fn prepare_record(
    preprocessor: &mut Preprocessor,
    record: &Record,
    ecg: &mut [f32],
    spectrogram: &mut [f32],
) -> Result<(), signal::SignalError> {
    preprocessor.prepare(&lead_at_300_hz(record)?, ecg, spectrogram)
}

/// What errors call a record, on one line: its path, or its name when it came from elsewhere.
pub(crate) fn label(record: &Record) -> String {
    let path = record.path().map(|path| path.display().to_string());
    printable(path.as_deref().unwrap_or(record.name()))
}
