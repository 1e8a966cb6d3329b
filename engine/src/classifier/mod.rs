//! From a record to its rhythm.

mod options;
mod prediction;
mod probabilities;

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rayon::prelude::*;

pub use options::{Device, Options, Precision};
pub use prediction::{Prediction, UNDECIDED};
pub use probabilities::Probabilities;

use crate::Error;
use crate::beats::{BeatForest, BeatReader};
use crate::cpu::{Plans, RunError, Runtime, Way};
use crate::gpu;
use crate::model::Model;
use crate::record::Record;
use crate::signal::{self, ECG_LEN, Preprocessor, SAMPLING_RATE_HZ, SPECTROGRAM_LEN};

/// Records that the CPU takes together.
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
    plans: Arc<Plans>,
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
        let identity = model.card().identity();
        let plans = Arc::new(Plans::new(model, Way::Best));
        let mut idle = Vec::new();
        if gpu.is_none() {
            let mut workspace = Workspace::new(Arc::clone(&plans));
            workspace.runtime.prepare(1)?;
            idle.push(workspace);
        }
        Ok(Self {
            plans,
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
        self.identity = format!("{}+{}", self.model().card().identity(), forest.identity());
        self.beats = Some(BeatReader::new(forest));
        Ok(self)
    }

    /// The model it classifies with.
    pub fn model(&self) -> &Model {
        self.plans.model()
    }

    /// Why the model runs on tract and not on the fused kernels; `None` when it does run on them, or on a GPU.
    pub fn fallback(&self) -> Option<&str> {
        match self.gpu {
            Some(_) => None,
            None => self.plans.fallback(),
        }
    }

    /// Why [`Device::Auto`] is the CPU; `None` when it is not, or another device was asked for.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Records that [`Classifier::classify_batch`] runs through the network together.
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
        match &self.gpu {
            Some(gpu) => self.classify_on_gpu(gpu, &[record]).remove(0),
            None => self.with_workspace(|workspace| self.classify_one(workspace, record)),
        }
    }

    /// The rhythms of several records, in their order, run through the network up to [`Self::batch_size`] at a time; on a GPU, batches are
    /// copied while others are computed, so give it several.
    ///
    /// A record that fails does not stop the others. On the CPU probabilities are those of [`Self::classify`], bit for bit unless the model
    /// runs on tract ([`Self::fallback`]), then within 1e-5.
    pub fn classify_batch(&self, records: &[&Record]) -> Vec<Result<Prediction, Error>> {
        match &self.gpu {
            Some(gpu) => self.classify_on_gpu(gpu, records),
            None => self.with_workspace(|workspace| {
                records
                    .chunks(CPU_BATCH)
                    .flat_map(|batch| self.classify_together(workspace, batch))
                    .collect()
            }),
        }
    }

    fn classify_on_gpu(&self, gpu: &Mutex<gpu::Runtime>, records: &[&Record]) -> Vec<Result<Prediction, Error>> {
        let start = Instant::now();
        let mut answers = gpu.lock().unwrap_or_else(PoisonError::into_inner).classify(records);
        if let Some(reader) = &self.beats {
            let pairs = records.par_iter().zip(&mut answers);
            pairs.for_each(|(record, answer)| read_beats(reader, record, answer));
        }
        self.predictions(records, answers, milliseconds_since(start))
    }

    fn classify_one(&self, workspace: &mut Workspace, record: &Record) -> Result<Prediction, Error> {
        let start = Instant::now();
        workspace.reserve(1);
        let lead = workspace.prepare(0, record)?;
        let mut probabilities = workspace.run(1).map_err(|cause| Error::Run {
            record: label(record),
            cause,
        })?;
        if let Some(reader) = &self.beats {
            reader.average_with(&lead, &mut probabilities);
        }
        Ok(self.prediction(record, &probabilities, milliseconds_since(start)))
    }

    fn classify_together<'r>(
        &self,
        workspace: &mut Workspace,
        records: &[&'r Record],
    ) -> Vec<Result<Prediction, Error>> {
        let start = Instant::now();
        workspace.reserve(records.len());
        let mut ready = 0;
        let mut prepare = |record: &&'r Record| {
            let lead = workspace.prepare(ready, record)?;
            ready += 1;
            Ok((ready - 1, lead))
        };
        let prepared: Vec<Result<_, Error>> = records.iter().map(&mut prepare).collect();
        let Ok(probabilities) = workspace.run(ready) else {
            return records
                .iter()
                .map(|record| self.classify_one(workspace, record))
                .collect();
        };
        let classes = self.model().classes().len();
        let answer = |(slot, lead): (usize, Cow<'_, [f32]>)| {
            let mut row = probabilities[slot * classes..(slot + 1) * classes].to_vec();
            if let Some(reader) = &self.beats {
                reader.average_with(&lead, &mut row);
            }
            row
        };
        let answers = prepared.into_iter().map(|prepared| prepared.map(answer)).collect();
        self.predictions(records, answers, milliseconds_since(start))
    }

    /// The network's answers to `records`, in their order, as predictions.
    fn predictions(
        &self,
        records: &[&Record],
        answers: Vec<Result<Vec<f32>, Error>>,
        latency_ms: f64,
    ) -> Vec<Result<Prediction, Error>> {
        let predict = |(record, answer): (&&Record, Result<Vec<f32>, Error>)| {
            answer.map(|probabilities| self.prediction(record, &probabilities, latency_ms))
        };
        records.iter().zip(answers).map(predict).collect()
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
            samples: record.samples().len(),
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
        let mut workspace = lent.unwrap_or_else(|| Workspace::new(Arc::clone(&self.plans)));
        let result = work(&mut workspace);
        idle().push(workspace);
        result
    }
}

/// Averages a GPU's answer, if it gave one, with what the beats say.
fn read_beats(reader: &BeatReader, record: &Record, answer: &mut Result<Vec<f32>, Error>) {
    if let Ok(probabilities) = answer
        && let Err(cause) = reader.average_with_record(record, probabilities)
    {
        *answer = Err(Error::Signal {
            record: label(record),
            cause,
        });
    }
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
    fn new(plans: Arc<Plans>) -> Self {
        Self {
            preprocessor: Preprocessor::new(),
            runtime: Runtime::with_plans(plans),
            ecg: Vec::new(),
            spectrogram: Vec::new(),
        }
    }

    /// Makes room for the inputs of `batch` records.
    fn reserve(&mut self, batch: usize) {
        self.ecg.resize(batch * ECG_LEN, 0.0);
        self.spectrogram.resize(batch * SPECTROGRAM_LEN, 0.0);
    }

    /// Writes the inputs of `record` to the place `slot` of the batch, and gives its lead at 300 Hz back.
    fn prepare<'r>(&mut self, slot: usize, record: &'r Record) -> Result<Cow<'r, [f32]>, Error> {
        let ecg = &mut self.ecg[slot * ECG_LEN..][..ECG_LEN];
        let spectrogram = &mut self.spectrogram[slot * SPECTROGRAM_LEN..][..SPECTROGRAM_LEN];
        let lead = at_300_hz(record).and_then(|lead| {
            self.preprocessor.prepare(&lead, ecg, spectrogram)?;
            Ok(lead)
        });
        lead.map_err(|cause| Error::Signal {
            record: label(record),
            cause,
        })
    }

    /// Probabilities `[batch, classes]` of the first `batch` records prepared.
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
    preprocessor.prepare(&at_300_hz(record)?, ecg, spectrogram)
}

/// The lead of a record, brought to 300 Hz where its rate is another.
pub(crate) fn at_300_hz(record: &Record) -> Result<Cow<'_, [f32]>, signal::SignalError> {
    let rate = record.sampling_rate_hz();
    match rate == SAMPLING_RATE_HZ {
        true => Ok(Cow::Borrowed(record.samples())),
        false => signal::resample(record.classified_samples(), rate).map(Cow::Owned),
    }
}

/// What errors call a record: its path, or its name when it came from elsewhere.
pub(crate) fn label(record: &Record) -> String {
    record
        .path()
        .map_or_else(|| record.name().to_owned(), |path| path.display().to_string())
}
