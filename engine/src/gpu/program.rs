//! A list of launches over named memory.

use std::collections::BTreeMap;
use std::ops::Range;

use dualnet_cuda::{Argument, CudaError, Launch};

/// What a region's address is a multiple of.
pub(super) const ALIGNMENT: u64 = 256;

/// A place in a region of a program, in bytes from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) region: usize,
    pub(super) offset: u64,
}

impl Memory {
    /// `bytes` further on.
    pub(super) fn at(self, bytes: u64) -> Self {
        Self {
            offset: self.offset + bytes,
            ..self
        }
    }
}

/// What a region holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Weights, from this byte of the constants on.
    Constant(u64),
    /// What the host copies in before a run, from this byte of the inputs on.
    Input(u64),
    /// What the host copies out behind a run, from this byte of the outputs on.
    Output(u64),
    /// Nothing between runs, from this byte of the scratch memory on.
    Scratch(u64),
}

/// A named stretch of memory.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) kind: Kind,
}

/// Launches, in their order, for one batch size.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) regions: Vec<Region>,
    pub(super) launches: Vec<Launch<Memory>>,
    /// Bytes of the inputs, the outputs and scratch memory.
    pub(super) inputs: u64,
    pub(super) outputs: u64,
    pub(super) scratch: u64,
}

/// Where the memories are that regions lie in.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) constants: Range<u64>,
    pub(super) inputs: Range<u64>,
    pub(super) outputs: Range<u64>,
    pub(super) scratch: Range<u64>,
}

impl Program {
    /// Addresses of a region.
    ///
    /// # Errors
    /// [`CudaError::Launch`] unless it lies within its memory.
    pub(super) fn place(&self, region: usize, addresses: &Addresses) -> Result<Range<u64>, CudaError> {
        let region = &self.regions[region];
        let (whole, first) = match region.kind {
            Kind::Constant(first) => (&addresses.constants, first),
            Kind::Input(first) => (&addresses.inputs, first),
            Kind::Output(first) => (&addresses.outputs, first),
            Kind::Scratch(first) => (&addresses.scratch, first),
        };
        let begin = whole.start + first;
        let place = begin..begin + region.bytes;
        match place.end <= whole.end {
            true => Ok(place),
            false => Err(CudaError::Launch(format!("{} lies outside its memory", region.name))),
        }
    }

    /// The launches with addresses in the place of names.
    ///
    /// # Errors
    /// As [`Program::place`].
    pub(super) fn placed(&self, addresses: &Addresses) -> Result<Vec<Launch<u64>>, CudaError> {
        let address = |memory: Memory| {
            let place = self.place(memory.region, addresses)?;
            let address = place.start + memory.offset;
            match address <= place.end {
                true => Ok(address),
                false => Err(CudaError::Launch(format!(
                    "{} ends before what is used of it",
                    self.regions[memory.region].name
                ))),
            }
        };
        self.launches.iter().map(|launch| launch.placed(address)).collect()
    }
}

/// Weights as kernels read them, shared by the programs of all batch sizes.
#[derive(Debug, Default)]
pub(super) struct Constants {
    /// Each at a multiple of [`ALIGNMENT`].
    pub(super) bytes: Vec<u8>,
    /// Of every name: where its parts begin, and their lengths.
    places: BTreeMap<String, Vec<(u64, u64)>>,
    is_released: bool,
}

/// A program while it is written.
pub(super) struct Builder<'c> {
    constants: &'c mut Constants,
    regions: Vec<Region>,
    launches: Vec<Launch<Memory>>,
    inputs: u64,
    outputs: u64,
}

impl Constants {
    /// Forgets the weights themselves, once they are on a GPU.
    pub(super) fn release(&mut self) {
        self.bytes = Vec::new();
        self.is_released = true;
    }

    /// Where the parts of `name` lie, and their lengths; packed when they are first asked for.
    fn places<const N: usize>(
        &mut self,
        name: &str,
        pack: impl FnOnce() -> Result<[Vec<u8>; N], CudaError>,
    ) -> Result<[(u64, u64); N], CudaError> {
        if let Some(places) = self.places.get(name) {
            let known = places.as_slice().try_into();
            return known.map_err(|_| CudaError::Launch(format!("{name} has {} parts, not {N}", places.len())));
        }
        if self.is_released {
            return Err(CudaError::Launch(format!(
                "{name} is asked for when the weights are on the GPU already"
            )));
        }
        let places = pack()?.map(|packed| {
            self.bytes
                .resize(self.bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
            let place = (self.bytes.len() as u64, packed.len() as u64);
            self.bytes.extend(packed);
            place
        });
        self.places.insert(name.to_owned(), places.to_vec());
        Ok(places)
    }
}

impl<'c> Builder<'c> {
    pub(super) fn new(constants: &'c mut Constants) -> Self {
        Self {
            constants,
            regions: Vec::new(),
            launches: Vec::new(),
            inputs: 0,
            outputs: 0,
        }
    }

    /// The weights called `name`, which `pack` makes.
    pub(super) fn constant(
        &mut self,
        name: &str,
        pack: impl FnOnce() -> Result<Vec<u8>, CudaError>,
    ) -> Result<Memory, CudaError> {
        let [whole] = self.constants(name, || Ok([pack()?]))?;
        Ok(whole)
    }

    /// Weights in several parts.
    pub(super) fn constants<const N: usize>(
        &mut self,
        name: &str,
        pack: impl FnOnce() -> Result<[Vec<u8>; N], CudaError>,
    ) -> Result<[Memory; N], CudaError> {
        let places = self.constants.places(name, pack)?;
        Ok(places.map(|(first, bytes)| self.region(name, bytes, Kind::Constant(first))))
    }

    /// Memory that the host fills, behind what it fills already.
    pub(super) fn input(&mut self, name: &str, bytes: u64) -> Memory {
        let first = self.inputs.next_multiple_of(ALIGNMENT);
        self.inputs = first + bytes;
        self.region(name, bytes, Kind::Input(first))
    }

    /// Memory that the host reads, behind what it reads already.
    pub(super) fn output(&mut self, name: &str, bytes: u64) -> Memory {
        let first = self.outputs.next_multiple_of(ALIGNMENT);
        self.outputs = first + bytes;
        self.region(name, bytes, Kind::Output(first))
    }

    /// Memory for what one launch leaves for another. It is shared with others that are not in use at the same time.
    pub(super) fn scratch(&mut self, name: &str, bytes: u64) -> Memory {
        self.region(name, bytes, Kind::Scratch(0))
    }

    fn region(&mut self, name: &str, bytes: u64, kind: Kind) -> Memory {
        self.regions.push(Region {
            name: name.to_owned(),
            bytes,
            kind,
        });
        Memory {
            region: self.regions.len() - 1,
            offset: 0,
        }
    }

    pub(super) fn launch(&mut self, launch: Launch<Memory>) {
        self.launches.push(launch);
    }

    /// The whole program, its scratch memory laid out.
    pub(super) fn finish(mut self) -> Result<Program, CudaError> {
        let lives = self.lives();
        let mut scratch = 0;
        // The largest first, each at the lowest place that none used at the same time covers.
        let mut order: Vec<usize> = (0..self.regions.len())
            .filter(|&region| self.regions[region].kind == Kind::Scratch(0))
            .collect();
        order.sort_by_key(|&region| std::cmp::Reverse(self.regions[region].bytes));
        let mut placed: Vec<usize> = Vec::new();
        for region in order {
            let Some((first, last)) = lives[region] else {
                return Err(CudaError::Launch(format!("nothing uses {}", self.regions[region].name)));
            };
            let mut taken: Vec<(u64, u64)> = placed
                .iter()
                .filter(|&&other| lives[other].is_some_and(|(begin, end)| begin <= last && first <= end))
                .map(|&other| {
                    let begin = self.scratch_offset(other);
                    (begin, begin + self.regions[other].bytes)
                })
                .collect();
            taken.sort_unstable();
            let bytes = self.regions[region].bytes;
            let mut offset = 0_u64;
            for (begin, end) in taken {
                if offset + bytes <= begin {
                    break;
                }
                offset = offset.max(end.next_multiple_of(ALIGNMENT));
            }
            self.regions[region].kind = Kind::Scratch(offset);
            scratch = scratch.max(offset + bytes);
            placed.push(region);
        }
        Ok(Program {
            regions: self.regions,
            launches: self.launches,
            inputs: self.inputs,
            outputs: self.outputs,
            scratch,
        })
    }

    fn scratch_offset(&self, region: usize) -> u64 {
        match self.regions[region].kind {
            Kind::Scratch(offset) => offset,
            _ => 0,
        }
    }

    /// The first and the last launch that uses each region.
    fn lives(&self) -> Vec<Option<(usize, usize)>> {
        let mut lives: Vec<Option<(usize, usize)>> = vec![None; self.regions.len()];
        for (index, launch) in self.launches.iter().enumerate() {
            for memory in memories(launch) {
                let life = &mut lives[memory.region];
                *life = Some((life.map_or(index, |(first, _)| first), index));
            }
        }
        lives
    }
}

/// The memory a launch uses.
pub(super) fn memories(launch: &Launch<Memory>) -> impl Iterator<Item = Memory> {
    launch.arguments.iter().filter_map(|argument| match *argument {
        Argument::Memory(memory) => Some(memory),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(memory: &[Memory]) -> Launch<Memory> {
        Launch {
            family: "probe",
            kernel: "any".to_owned(),
            blocks: 1,
            rows: 1,
            threads: 32,
            shared_bytes: 0,
            together: false,
            arguments: memory.iter().copied().map(Argument::Memory).collect(),
        }
    }

    /// A chain a → b → c → d of equal length needs two of them at a time, and no two in use together overlap.
    #[test]
    fn memory_is_shared_by_what_is_not_in_use_together() {
        let mut constants = Constants::default();
        let mut builder = Builder::new(&mut constants);
        let maps: Vec<Memory> = ["a", "b", "c", "d"]
            .into_iter()
            .map(|name| builder.scratch(name, 1000))
            .collect();
        for pair in maps.windows(2) {
            builder.launch(launch(pair));
        }
        let program = builder.finish().expect("a program");
        assert_eq!(program.scratch, 2024);
        let offset = |index: usize| match program.regions[index].kind {
            Kind::Scratch(offset) => offset,
            other => panic!("{other:?}"),
        };
        for pair in maps.windows(2) {
            assert_eq!(offset(pair[0].region).abs_diff(offset(pair[1].region)), 1024);
        }
    }

    #[test]
    fn constants_are_packed_once_and_aligned() {
        let mut constants = Constants::default();
        for _ in 0..2 {
            let mut builder = Builder::new(&mut constants);
            let first = builder.constant("first", || Ok(vec![1; 10])).expect("packed");
            let second = builder.constant("second", || Ok(vec![2; 300])).expect("packed");
            builder.launch(launch(&[first, second]));
            let program = builder.finish().expect("a program");
            let places: Vec<Kind> = program.regions.iter().map(|region| region.kind).collect();
            assert_eq!(places, [Kind::Constant(0), Kind::Constant(256)]);
        }
        assert_eq!(constants.bytes.len(), 556);
        constants.release();
        let mut builder = Builder::new(&mut constants);
        assert!(builder.constant("second", || Ok(vec![2; 300])).is_ok());
        let error = builder.constant("third", || Ok(vec![3])).unwrap_err().to_string();
        assert!(error.contains("third"), "{error}");
    }

    #[test]
    fn memory_that_nothing_uses_is_a_mistake() {
        let mut constants = Constants::default();
        let mut builder = Builder::new(&mut constants);
        builder.scratch("idle", 8);
        assert!(builder.finish().unwrap_err().to_string().contains("idle"));
    }
}
