//! Runs programs on a GPU.
//!
//! Two streams: one copies inputs, the other computes and copies the probabilities back. Two lanes, each with inputs and outputs of its own,
//! take turns, so that the inputs of a batch travel while the batch before it is computed; weights and scratch memory are shared.

use std::collections::BTreeMap;

use dualnet_cuda::{CudaError, Device, DeviceMemory, Event, Graph, Launch, Module, Pinned, Stream};

use super::program::{Addresses, Program};

/// A batch to run.
pub(super) struct Job<'a, Key> {
    /// Of the program that runs it.
    pub(super) key: Key,
    /// Writes the inputs, as many bytes as the program's.
    pub(super) fill: &'a dyn Fn(&mut [u8]),
}

/// The extents of everything a GPU must have room for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    pub(super) inputs: u64,
    pub(super) outputs: u64,
    pub(super) scratch: u64,
}

impl Room {
    /// Room for one or the other.
    pub(super) fn or(self, program: &Program) -> Self {
        Self {
            inputs: self.inputs.max(program.inputs),
            outputs: self.outputs.max(program.outputs),
            scratch: self.scratch.max(program.scratch),
        }
    }
}

/// A GPU with a network's weights on it.
pub(super) struct Executor<Key> {
    // Work that is recorded goes before what it works on.
    recorded: BTreeMap<Key, Recorded>,
    modules: BTreeMap<&'static str, Module>,
    lanes: [Lane; 2],
    constants: DeviceMemory,
    scratch: DeviceMemory,
    uploads: Stream,
    compute: Stream,
    device: Device,
}

/// Memory of one batch on its way.
struct Lane {
    host_inputs: Pinned,
    inputs: DeviceMemory,
    outputs: DeviceMemory,
    host_outputs: Pinned,
    uploaded: Event,
    finished: Event,
}

/// A program for either lane.
struct Recorded {
    inputs: usize,
    outputs: usize,
    launches: [Vec<Launch<u64>>; 2],
    replay: Replay,
}

/// How a program is run again.
enum Replay {
    /// It has not run: the first run loads the kernels, which must not happen while they are recorded.
    Unknown,
    /// As a graph for either lane.
    Graphs([Graph; 2]),
    /// Launch by launch, because of what the driver said to a graph: it needs memory of its own.
    Launches(CudaError),
}

impl<Key: Copy + Ord> Executor<Key> {
    /// Uploads `constants`, loads the families of kernels that `programs` launch, and makes room for them.
    pub(super) fn new(device: Device, constants: &[u8], programs: &[Program]) -> Result<Self, CudaError> {
        let room = programs.iter().fold(Room::default(), |room, program| room.or(program));
        let mut modules = BTreeMap::new();
        for program in programs {
            load(&device, &mut modules, program)?;
        }
        let length = |bytes: u64| usize::try_from(bytes).map_err(|_| CudaError::OutOfMemory);
        let lane = || {
            Ok(Lane {
                host_inputs: device.pinned(length(room.inputs)?)?,
                inputs: device.allocate(length(room.inputs)?)?,
                outputs: device.allocate(length(room.outputs)?)?,
                host_outputs: device.pinned(length(room.outputs)?)?,
                uploaded: device.event(false)?,
                finished: device.event(false)?,
            })
        };
        let mut weights = device.allocate(constants.len())?;
        weights.write(0, constants)?;
        Ok(Self {
            recorded: BTreeMap::new(),
            modules,
            lanes: [lane()?, lane()?],
            constants: weights,
            scratch: device.allocate(length(room.scratch)?)?,
            uploads: device.stream()?,
            compute: device.stream()?,
            device,
        })
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn knows(&self, key: Key) -> bool {
        self.recorded.contains_key(&key)
    }

    /// Makes a program ready to run.
    ///
    /// # Errors
    /// [`CudaError::Launch`] for one that needs more room than [`Executor::new`] was told; what loading other kernels reports.
    pub(super) fn prepare(&mut self, key: Key, program: &Program) -> Result<(), CudaError> {
        let fits = |bytes: u64, memory: &DeviceMemory| usize::try_from(bytes).is_ok_and(|bytes| bytes <= memory.len());
        let [lane, _] = &self.lanes;
        if !fits(program.inputs, &lane.inputs)
            || !fits(program.outputs, &lane.outputs)
            || !fits(program.scratch, &self.scratch)
        {
            return Err(CudaError::Launch(
                "a batch needs more memory than the largest".to_owned(),
            ));
        }
        load(&self.device, &mut self.modules, program)?;
        let launches = [0, 1].map(|lane| program.placed(&self.addresses(&self.lanes[lane])));
        let [first, second] = launches;
        self.recorded.insert(
            key,
            Recorded {
                inputs: program.inputs as usize,
                outputs: program.outputs as usize,
                launches: [first?, second?],
                replay: Replay::Unknown,
            },
        );
        Ok(())
    }

    /// A lane's memories for a program.
    fn addresses(&self, lane: &Lane) -> Addresses {
        let whole = |memory: &DeviceMemory| memory.address()..memory.address() + memory.len() as u64;
        Addresses {
            constants: whole(&self.constants),
            inputs: whole(&lane.inputs),
            outputs: whole(&lane.outputs),
            scratch: whole(&self.scratch),
        }
    }

    /// Runs batches, and hands the outputs of each to `take` in their order. After an error, what is not yet taken gets none.
    ///
    /// # Errors
    /// What the driver reports, of a batch that was not taken.
    pub(super) fn run(&mut self, jobs: &[Job<'_, Key>], mut take: impl FnMut(usize, &[u8])) -> Result<(), CudaError> {
        let result = self.pipeline(jobs, &mut take);
        if result.is_err() {
            // Nothing may still be copying when the lanes are filled again. What the streams report then is known already.
            let _ = self.uploads.synchronize();
            let _ = self.compute.synchronize();
        }
        result
    }

    fn pipeline(&mut self, jobs: &[Job<'_, Key>], take: &mut dyn FnMut(usize, &[u8])) -> Result<(), CudaError> {
        for index in 0..jobs.len() + 1 {
            if let Some(job) = jobs.get(index) {
                // Two batches are on their way at most, so this lane's last one was taken.
                self.submit(job, index % 2)?;
            }
            if let Some(before) = index.checked_sub(1) {
                self.lanes[before % 2].finished.synchronize()?;
                let outputs = known(&self.recorded, jobs[before].key)?.outputs;
                take(before, &self.lanes[before % 2].host_outputs.bytes()[..outputs]);
                self.record(jobs[before].key);
            }
        }
        Ok(())
    }

    /// Fills a lane and queues everything.
    fn submit(&mut self, job: &Job<'_, Key>, index: usize) -> Result<(), CudaError> {
        let recorded = known(&self.recorded, job.key)?;
        let lane = &mut self.lanes[index];
        (job.fill)(&mut lane.host_inputs.bytes_mut()[..recorded.inputs]);
        // SAFETY: nothing else uses the lane until its outputs are taken, behind everything queued here, or `run` has waited for both
        // streams; all memory lives as long as `self`.
        unsafe { self.uploads.upload(&lane.host_inputs, &lane.inputs, recorded.inputs)? };
        self.uploads.record(&lane.uploaded)?;
        self.compute.wait(&lane.uploaded)?;
        match &recorded.replay {
            // SAFETY: the graph's kernels and memory are those of `self`.
            Replay::Graphs(graphs) => unsafe { graphs[index].launch()? },
            Replay::Unknown | Replay::Launches(_) => {
                launch_all(&mut self.modules, &recorded.launches[index], &self.compute)?
            }
        }
        let outputs = 0..recorded.outputs;
        // SAFETY: as for the inputs.
        unsafe {
            self.compute.download(&lane.outputs, outputs, &mut lane.host_outputs)?;
        }
        self.compute.record(&lane.finished)
    }

    /// Records a program that has run once as a graph for either lane, if that was not tried yet.
    fn record(&mut self, key: Key) {
        let Some(recorded) = self.recorded.get_mut(&key) else {
            return;
        };
        if !matches!(recorded.replay, Replay::Unknown) {
            return;
        }
        let mut capture = |lane: usize| {
            self.compute
                .capture(|| launch_all(&mut self.modules, &recorded.launches[lane], &self.compute))
        };
        let graphs = capture(0).and_then(|first| Ok([first, capture(1)?]));
        recorded.replay = graphs.map_or_else(Replay::Launches, Replay::Graphs);
    }

    /// Milliseconds of `repeats` runs of a program on inputs that are on the GPU already, one after the other, without copies.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub(super) fn measure(&mut self, job: &Job<'_, Key>, repeats: usize) -> Result<Vec<f32>, CudaError> {
        self.run(std::slice::from_ref(job), |_, _| ())?;
        let events = (0..=repeats)
            .map(|_| self.device.event(true))
            .collect::<Result<Vec<Event>, CudaError>>()?;
        let graph = match &known(&self.recorded, job.key)?.replay {
            Replay::Graphs([graph, _]) => graph,
            Replay::Launches(error) => return Err(error.clone()),
            Replay::Unknown => return Err(CudaError::Launch("nothing was recorded".to_owned())),
        };
        self.compute.record(&events[0])?;
        for event in &events[1..] {
            // SAFETY: the graph's kernels and memory are those of `self`, and `run` left the lane's inputs in place.
            unsafe { graph.launch()? };
            self.compute.record(event)?;
        }
        self.compute.synchronize()?;
        events
            .windows(2)
            .map(|pair| pair[0].milliseconds_to(&pair[1]))
            .collect()
    }
}

/// What was prepared for a key.
fn known<Key: Ord>(recorded: &BTreeMap<Key, Recorded>, key: Key) -> Result<&Recorded, CudaError> {
    recorded
        .get(&key)
        .ok_or_else(|| CudaError::Launch("a batch of a size that was not prepared".to_owned()))
}

/// Loads the families of kernels that a program launches and that are not loaded yet.
fn load(device: &Device, modules: &mut BTreeMap<&'static str, Module>, program: &Program) -> Result<(), CudaError> {
    for launch in &program.launches {
        if !modules.contains_key(launch.family) {
            modules.insert(launch.family, device.load(launch.family)?);
        }
    }
    Ok(())
}

/// Queues launches, whose kernels are loaded.
fn launch_all(
    modules: &mut BTreeMap<&'static str, Module>,
    launches: &[Launch<u64>],
    stream: &Stream,
) -> Result<(), CudaError> {
    for launch in launches {
        let module = modules
            .get_mut(launch.family)
            .ok_or_else(|| CudaError::Launch(format!("the kernels of {} are not loaded", launch.family)))?;
        // SAFETY: the addresses are those of regions within the executor's memory, as large as the program's builder was told by the
        // launchers; memory and modules live as long as the streams, which the executor waits for before it lets go of anything.
        unsafe { module.run(launch, stream.handle())? };
    }
    Ok(())
}

impl<Key> Drop for Executor<Key> {
    fn drop(&mut self) {
        // Nothing may run on memory that is freed next; errors have nowhere to go.
        let _ = self.uploads.synchronize();
        let _ = self.compute.synchronize();
    }
}
