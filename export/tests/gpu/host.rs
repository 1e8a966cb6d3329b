//! Runs what a GPU would be given on the host build of the kernels, launch by launch, on memory laid out alike.

use crate::program::{Build, build, family};
use crate::script::{Memory, On, Script};
use dualnet_cuda::Launch;
use dualnet_engine::gpu::{Rehearsal, Scene, Stretch};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What memory is called in the script of a launch.
const NAMES: [&str; 16] = [
    "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11", "m12", "m13", "m14", "m15",
];
/// Memory behind an argument that no kernel looks at; reading it is a fault.
const NOTHING: Memory = Memory("nothing", 0);

/// A batch on its way through the launches.
#[derive(Clone)]
pub struct Stage {
    memory: BTreeMap<u64, Vec<u8>>,
}

impl Stage {
    pub fn new(rehearsal: &Rehearsal) -> Self {
        Self {
            memory: rehearsal.memory.clone(),
        }
    }

    /// Runs the launches. Every access of a kernel must lie in a stretch of memory that its launch is known to use, and everything that
    /// it is known to write must have been written.
    ///
    /// # Errors
    /// What the host build says of the kernel that did something else.
    pub fn run(&mut self, scenes: &[Scene]) -> Result<(), String> {
        scenes.iter().try_for_each(|scene| self.launch(scene))
    }

    fn launch(&mut self, scene: &Scene) -> Result<(), String> {
        let Scene { launch, stretches } = scene;
        let mut script = Script::default();
        for (stretch, name) in stretches.iter().zip(NAMES) {
            let bytes = stretch.place.end - stretch.place.start;
            let count = bytes as usize / stretch.element;
            match stretch.is_read {
                true => script.bytes(name, stretch.element, self.bytes(stretch.place.start, bytes).to_vec()),
                false => script.output(name, stretch.element, count),
            };
        }
        script.output(NOTHING.0, 1, 1);
        assert!(stretches.len() <= NAMES.len(), "{}", launch.kernel);
        script.launch(&launch.placed(|address| place(stretches, address))?);
        let written: Vec<(&Stretch, &str, u64)> = stretches
            .iter()
            .zip(NAMES)
            .filter(|(stretch, _)| !stretch.written.is_empty())
            .map(|(stretch, name)| {
                let count = (stretch.written.end - stretch.written.start) / stretch.element as u64;
                let first = (stretch.written.start - stretch.place.start) / stretch.element as u64;
                script.save(Memory(name, first as usize), count as usize);
                (stretch, name, count * stretch.element as u64)
            })
            .collect();
        let program = program_of(launch);
        let ran = script.run(On::host(&program, 1));
        ran.map_err(|fault| format!("{}: {}", launch.kernel, fault.message))?;
        for (stretch, name, bytes) in written {
            let saved: Vec<i8> = script.saved(name);
            let place = self.bytes(stretch.written.start, bytes);
            for (to, from) in place.iter_mut().zip(saved) {
                *to = from as u8;
            }
        }
        Ok(())
    }

    fn bytes(&mut self, first: u64, count: u64) -> &mut [u8] {
        let (begin, memory) = self
            .memory
            .range_mut(..=first)
            .next_back()
            .expect("memory at an address");
        &mut memory[(first - begin) as usize..][..count as usize]
    }

    /// f32 at these addresses.
    pub fn floats(&mut self, place: std::ops::Range<u64>) -> Vec<f32> {
        let bytes = self.bytes(place.start, place.end - place.start);
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|&value| f32::from_le_bytes(value))
            .collect()
    }
}

/// An address as the script's memory.
fn place(stretches: &[Stretch], address: u64) -> Result<Memory, String> {
    let found = stretches
        .iter()
        .zip(NAMES)
        .find(|(stretch, _)| stretch.place.contains(&address));
    let Some((stretch, name)) = found else {
        return Ok(NOTHING);
    };
    let offset = (address - stretch.place.start) as usize;
    match offset % stretch.element {
        0 => Ok(Memory(name, offset / stretch.element)),
        _ => Err(format!("an address between two elements of {}", stretch.name)),
    }
}

/// The host program of a launch's family.
fn program_of<M>(launch: &Launch<M>) -> PathBuf {
    build(launch.family, &family(launch.family), Build::Plain)
}
