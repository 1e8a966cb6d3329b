//! Batches of network inputs, prepared by threads ahead of their use.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{Classes, DataError, Pass, Shard, Source, Workspace};
use crate::augment::Augmentation;
use crate::random::Rng;

/// How many finished batches each thread may have waiting.
const WAITING_PER_THREAD: usize = 2;

/// What a loader yields. Everything but `threads` decides the numbers; `threads` decides only when they are there.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderOptions {
    /// Records in a batch, over all shards; the last one may be shorter, and any of files that have fewer than others.
    pub batch_size: usize,
    /// What the labels mean.
    pub classes: Classes,
    /// Whether the records come in an order drawn from (seed, epoch), or in the order given.
    pub shuffle: bool,
    /// How to augment; validation does not.
    pub augmentation: Option<Augmentation>,
    /// The seed of the run.
    pub seed: u64,
    /// The epoch, from 0 or 1 as the caller likes.
    pub epoch: u64,
    /// The first batch to yield, when the epoch is resumed.
    pub first_batch: usize,
    /// Threads that prepare batches, at least one.
    pub threads: usize,
    /// Which part of every batch to yield.
    pub shard: Shard,
}

impl LoaderOptions {
    /// Batches for validation: the given order, no augmentation, from the first batch on.
    pub fn validation(batch_size: usize, classes: Classes, threads: usize) -> Self {
        Self {
            batch_size,
            classes,
            shuffle: false,
            augmentation: None,
            seed: 0,
            epoch: 0,
            first_batch: 0,
            threads,
            shard: Shard::default(),
        }
    }
}

/// The network's inputs of some records, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `[B, 80, 256]`.
    pub ecg: Vec<f32>,
    /// `[B, 1, 563, 33]`.
    pub spectrogram: Vec<f32>,
    /// The class of each record.
    pub labels: Vec<i64>,
    /// The unit of each record in its data set.
    pub records: Vec<u32>,
    /// Records of the whole batch, over all shards.
    pub global_records: usize,
    /// Where this shard's first record stands in the whole batch.
    pub first_record: usize,
    /// Records of the shard that has the fewest.
    pub smallest_shard: usize,
    /// Whether every shard has the whole batch, because it has fewer units than there are shards.
    pub replicated: bool,
}

/// Yields the batches of one epoch in order, while threads prepare the next ones.
///
/// Each batch is a function of the data set, the indices and the options alone, whatever the number of threads. After
/// an error nothing more comes. Dropping the loader ends its threads.
#[derive(Debug)]
pub struct Loader {
    /// Batch `first_batch + k` comes from thread `k % threads`.
    results: Vec<Receiver<Result<Batch, DataError>>>,
    threads: Vec<JoinHandle<()>>,
    work: Arc<Work>,
    next: usize,
}

#[derive(Debug)]
struct Work {
    source: Arc<dyn Source>,
    /// Units in the order of the epoch.
    order: Vec<u32>,
    options: LoaderOptions,
    /// Batches to be filled again.
    used: Mutex<Vec<Batch>>,
}

impl Loader {
    /// Starts preparing batches of the units of `source` that `indices` name.
    ///
    /// # Errors
    /// A batch size that is no multiple of the records of a unit, an index outside the data set, no thread to be had.
    pub fn new(source: Arc<dyn Source>, indices: &[u32], options: LoaderOptions) -> Result<Self, DataError> {
        let records = source.units();
        let per_unit = source.records_per_unit().max(1);
        if options.batch_size == 0 || !options.batch_size.is_multiple_of(per_unit) {
            return Err(DataError::BatchSize {
                batch_size: options.batch_size,
                step: per_unit,
            });
        }
        if let Some(&index) = indices.iter().find(|&&index| index as usize >= records) {
            return Err(DataError::Index { index, records });
        }
        let mut order = indices.to_vec();
        if options.shuffle {
            Rng::for_epoch(options.seed, options.epoch).shuffle(&mut order);
        }
        let next = options.first_batch;
        let work = Arc::new(Work {
            source,
            order,
            options,
            used: Mutex::default(),
        });
        let left = work.batches().saturating_sub(next);
        let count = work.options.threads.max(1).min(left);
        let mut loader = Self {
            results: Vec::with_capacity(count),
            threads: Vec::with_capacity(count),
            work: Arc::clone(&work),
            next,
        };
        for thread in 0..count {
            let (sender, receiver) = sync_channel(WAITING_PER_THREAD);
            loader.results.push(receiver);
            let work = Arc::clone(&work);
            let handle = std::thread::Builder::new()
                .name(format!("loader-{thread}"))
                .spawn(move || work.run((next + thread..work.batches()).step_by(count), &sender))
                .map_err(DataError::Thread)?;
            loader.threads.push(handle);
        }
        Ok(loader)
    }

    /// Batches of the whole epoch, those before `first_batch` included.
    pub fn batches(&self) -> usize {
        self.work.batches()
    }

    /// Gives a batch back, so that its memory is used again.
    pub fn recycle(&self, batch: Batch) {
        let mut used = self.work.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < self.threads.len() {
            used.push(batch);
        }
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.batches() || self.results.is_empty() {
            return None;
        }
        let from = (self.next - self.work.options.first_batch) % self.results.len();
        let result = self.results[from]
            .recv()
            .unwrap_or(Err(DataError::WorkerLost { batch: self.next }));
        self.next += 1;
        if result.is_err() {
            self.results.clear();
        }
        Some(result)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.results.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Work {
    fn units_per_batch(&self) -> usize {
        (self.options.batch_size / self.source.records_per_unit().max(1)).max(1)
    }

    fn batches(&self) -> usize {
        self.order.len().div_ceil(self.units_per_batch())
    }

    /// Prepares `batches` until they are all sent, one fails, or nobody wants them any more.
    fn run(&self, batches: impl Iterator<Item = usize>, sender: &SyncSender<Result<Batch, DataError>>) {
        let mut workspace = Workspace::default();
        for batch in batches {
            let result = self.prepare(batch, &mut workspace);
            let failed = result.is_err();
            if sender.send(result).is_err() || failed {
                return;
            }
        }
    }

    fn prepare(&self, batch: usize, workspace: &mut Workspace) -> Result<Batch, DataError> {
        let LoaderOptions {
            classes,
            augmentation,
            seed,
            epoch,
            shard,
            ..
        } = self.options;
        let pass = Pass {
            classes,
            augmentation,
            seed,
            epoch,
        };
        let from = batch * self.units_per_batch();
        let units = &self.order[from..self.order.len().min(from.saturating_add(self.units_per_batch()))];
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut batch = used.unwrap_or_default();
        batch.ecg.clear();
        batch.spectrogram.clear();
        batch.labels.clear();
        batch.records.clear();
        let records = |part: Range<usize>| self.source.records_in_all(&units[part]);
        batch.global_records = records(0..units.len());
        batch.replicated = shard.of > 1 && units.len() < shard.of;
        let mine = match batch.replicated {
            true => 0..units.len(),
            false => shard.range(units.len()),
        };
        batch.first_record = records(0..mine.start);
        let shards = (0..shard.of.max(1)).map(|rank| Shard { rank, ..shard }.range(units.len()));
        batch.smallest_shard = match batch.replicated {
            true => batch.global_records,
            false => shards.map(records).min().unwrap_or(0),
        };
        for &unit in &units[mine] {
            self.source.load(unit, &pass, workspace, &mut batch)?;
        }
        Ok(batch)
    }
}
