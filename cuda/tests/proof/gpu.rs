//! The same cases on a GPU, where there is one: every launch twice with equal bits, outputs poisoned, guards around all memory.

use crate::script::{Bytes, Memory, On, Runner, Step};
use crate::{axial, chain, head, lstm, pau, preprocess, primitives, residual, site, transformer};
use cudarc::driver::{result, sys};
use dualnet_cuda::pau::ORDERS;
use dualnet_cuda::{CudaError, Device, Element, Launch, Module, Precision};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr;

/// Bytes on either side of an allocation that no kernel may change.
const GUARD: usize = 4096;
const POISON: u8 = 0xff;

/// A GPU with the families it has loaded.
pub struct Gpu {
    device: Device,
    modules: RefCell<HashMap<&'static str, Module>>,
}

/// Runs the steps twice.
impl Runner for Gpu {
    fn run(&self, steps: &[Step]) -> Result<HashMap<&'static str, Vec<u8>>, String> {
        let first = self.run_once(steps)?;
        if self.run_once(steps)? == first {
            Ok(first)
        } else {
            Err("two runs gave different bits".to_owned())
        }
    }
}

/// Guarded memory of a script.
struct Allocation {
    address: u64,
    element: usize,
    contents: Vec<u8>,
}

impl Gpu {
    /// The first GPU; `None`, said aloud, where there is none. Anything else that is missing is a failure.
    pub fn open() -> Option<Self> {
        match Device::open(0) {
            Ok(device) => Some(Self {
                device,
                modules: RefCell::default(),
            }),
            Err(error @ (CudaError::NoDriver | CudaError::NoDevice)) => {
                dualnet_fixtures::report(format_args!("skipped, nothing ran on a GPU: {error}"));
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn run_once(&self, steps: &[Step]) -> Result<HashMap<&'static str, Vec<u8>>, String> {
        let mut memory: HashMap<&'static str, Allocation> = HashMap::new();
        let outcome = self.steps(steps, &mut memory);
        for (name, allocation) in memory {
            let guards = allocation.guards_are_whole();
            // SAFETY: nothing uses the memory any more: `steps` waited for every kernel, or the context has failed.
            let freed = unsafe { result::free_sync(allocation.address) };
            outcome.as_ref().map_err(Clone::clone)?;
            freed.map_err(|error| error.to_string())?;
            if !guards? {
                return Err(format!("a kernel wrote outside {name}"));
            }
        }
        outcome
    }

    fn steps(
        &self,
        steps: &[Step],
        memory: &mut HashMap<&'static str, Allocation>,
    ) -> Result<HashMap<&'static str, Vec<u8>>, String> {
        self.device
            .context()
            .bind_to_thread()
            .map_err(|error| error.to_string())?;
        let mut saved = HashMap::new();
        for step in steps {
            match step {
                Step::Input { name, element, bytes } => {
                    memory.insert(name, Allocation::new(*element, bytes.clone())?);
                }
                Step::Output { name, element, count } => {
                    memory.insert(name, Allocation::new(*element, vec![POISON; element * count])?);
                }
                Step::Launch(launch) => self.launch(launch, memory)?,
                Step::Save(Memory(name, first), count) => {
                    let allocation = &memory[name];
                    let bytes = allocation.read()?;
                    let begin = GUARD + first * allocation.element;
                    saved.insert(*name, bytes[begin..begin + count * allocation.element].to_vec());
                }
                Step::Unwritten(Memory(name, first), count) => {
                    let allocation = &memory[name];
                    let begin = first * allocation.element;
                    let end = begin + count * allocation.element;
                    if allocation.read()?[GUARD + begin..GUARD + end] != allocation.contents[begin..end] {
                        return Err(format!("a kernel wrote to {name} where it must not"));
                    }
                }
            }
        }
        Ok(saved)
    }

    fn launch(&self, launch: &Launch<Memory>, memory: &HashMap<&'static str, Allocation>) -> Result<(), String> {
        let place = |Memory(name, offset)| {
            let allocation: &Allocation = memory.get(name).ok_or_else(|| format!("no memory is called {name}"))?;
            Ok::<u64, String>(allocation.address + (GUARD + offset * allocation.element) as u64)
        };
        let resolved = launch.placed(place)?;
        let mut modules = self.modules.borrow_mut();
        if !modules.contains_key(launch.family) {
            let module = self.device.load(launch.family).map_err(|error| error.to_string())?;
            modules.insert(launch.family, module);
        }
        let module = modules.get_mut(launch.family).expect("just loaded");
        // SAFETY: the memory is as large as the launcher asked for, and lives until the synchronization below, as the module does; the stream is
        // the default one.
        unsafe { module.run(&resolved, ptr::null_mut::<sys::CUstream_st>()) }.map_err(|error| error.to_string())?;
        self.device
            .context()
            .synchronize()
            .map_err(|error| format!("{}: {error}", launch.kernel))
    }
}

impl Allocation {
    fn new(element: usize, contents: Vec<u8>) -> Result<Self, String> {
        let mut bytes = vec![POISON; GUARD];
        bytes.extend(&contents);
        bytes.extend([POISON; GUARD]);
        // SAFETY: fresh memory of exactly the bytes that are copied to it; a context is bound.
        unsafe {
            let address = result::malloc_sync(bytes.len()).map_err(|error| error.to_string())?;
            result::memcpy_htod_sync(address, &bytes).map_err(|error| error.to_string())?;
            Ok(Self {
                address,
                element,
                contents,
            })
        }
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; self.contents.len() + 2 * GUARD];
        // SAFETY: the allocation has as many bytes.
        unsafe { result::memcpy_dtoh_sync(&mut bytes, self.address) }.map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn guards_are_whole(&self) -> Result<bool, String> {
        let bytes = self.read()?;
        let (before, rest) = bytes.split_at(GUARD);
        let after = &rest[self.contents.len()..];
        Ok(before.iter().chain(after).all(|&byte| byte == POISON))
    }
}

#[test]
fn gpu_products_and_exchanges_are_their_definition() {
    let Some(gpu) = Gpu::open() else { return };
    primitives::probes_pass(On::Gpu(&gpu)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn gpu_pau_gives_the_references_numbers() {
    let Some(gpu) = Gpu::open() else { return };
    let mut cases = pau::thorough();
    for (m, n) in ORDERS {
        for element in Element::ALL {
            cases.push(pau::case_of(m, n, element, 100_003));
            cases.push(pau::case_of(m, n, element, 1_000).at_offset(1));
        }
    }
    let mut compared = 0;
    for case in cases {
        let outcome = case.run_on(On::Gpu(&gpu)).unwrap_or_else(|fault| panic!("{fault:?}"));
        compared += case.check(&outcome).unwrap_or_else(|error| panic!("{error}"));
    }
    dualnet_fixtures::report(format_args!("{compared} numbers of the PAU kernels compared on a GPU"));
}

#[test]
fn gpu_preprocessing_gives_the_inputs_that_the_cpu_makes() {
    let Some(gpu) = Gpu::open() else { return };
    let records = preprocess::short();
    for element in Element::ALL {
        let got = preprocess::run(&records, element, On::Gpu(&gpu)).unwrap_or_else(|fault| panic!("{fault:?}"));
        preprocess::check(&records, element, &got).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn gpu_convolutions_give_the_references_numbers() {
    let Some(gpu) = Gpu::open() else { return };
    let mut compared = 0;
    for case in residual::all().into_iter().chain(residual::real()) {
        let outcome = case
            .run(On::Gpu(&gpu))
            .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
        compared += case.check(&outcome).unwrap_or_else(|error| panic!("{error}"));
    }
    for pooling in residual::poolings() {
        compared += pooling.passes(On::Gpu(&gpu)).unwrap_or_else(|error| panic!("{error}"));
    }
    dualnet_fixtures::report(format_args!(
        "{compared} numbers of the convolution kernels compared on a GPU"
    ));
}

#[test]
fn gpu_heads_and_conditions_give_the_references_numbers() {
    let Some(gpu) = Gpu::open() else { return };
    for (records, latent, channels) in head::CONDITIONS {
        head::conditions_pass(On::Gpu(&gpu), records, latent, channels).unwrap_or_else(|error| panic!("{error}"));
    }
    for case in head::thorough().into_iter().chain(head::others()) {
        let outcome = case
            .run(On::Gpu(&gpu))
            .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
        case.check(&outcome).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn gpu_sites_give_the_references_numbers() {
    let Some(gpu) = Gpu::open() else { return };
    let mut compared = 0;
    let cases = [site::thorough(), site::wide(), site::published()];
    for case in cases.concat() {
        let outcome = case
            .run(On::Gpu(&gpu))
            .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
        compared += case.check(&outcome).unwrap_or_else(|error| panic!("{error}"));
    }
    dualnet_fixtures::report(format_args!("{compared} numbers of the site kernels compared on a GPU"));
}

/// Bytes go to memory and come back as they were; the fixture of every other test here.
#[test]
fn numbers_are_their_little_endian_bytes() {
    assert_eq!(f32::from_bytes(&1.5_f32.bytes()), 1.5);
    assert_eq!(0x1234_u16.bytes(), [0x34, 0x12]);
}

#[test]
fn gpu_axial_attention_is_its_definition() {
    let Some(gpu) = Gpu::open() else { return };
    for case in axial::thorough().into_iter().chain(axial::published()) {
        let got = case.run(On::Gpu(&gpu)).unwrap_or_else(|fault| panic!("{fault:?}"));
        case.check(&got).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn gpu_lstm_layers_follow_their_definition() {
    let Some(gpu) = Gpu::open() else { return };
    for precision in Precision::ALL {
        let mut cases = lstm::small(precision).to_vec();
        for hidden in [128, 256, 512] {
            for (records, steps, last) in [(1, 80, true), (19, 5, false)] {
                cases.push(lstm::Case {
                    precision,
                    inputs: 256,
                    hidden,
                    records,
                    steps,
                    last,
                });
            }
        }
        for case in cases {
            let got = case
                .run(On::Gpu(&gpu))
                .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
            case.check(&got).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn gpu_chains_of_lstm_layers_follow_their_definition() {
    let Some(gpu) = Gpu::open() else { return };
    let processors = gpu.device.processors().expect("a number of multiprocessors");
    for precision in Precision::ALL {
        let mut cases = chain::small(precision).to_vec();
        for hidden in [128, 256, 512] {
            if (precision, hidden) == (Precision::Float(Element::F32), 512) {
                continue;
            }
            for (records, layers) in [(1, 3), (8, 2)] {
                cases.push(chain::Case {
                    precision,
                    layers,
                    inputs: 256,
                    hidden,
                    records,
                    steps: 80,
                });
            }
        }
        for case in cases {
            if case.blocks() > processors {
                dualnet_fixtures::report(format_args!(
                    "skipped: {case:?} needs {} multiprocessors at once, this GPU has {processors}",
                    case.blocks()
                ));
                continue;
            }
            let got = case
                .run(On::Gpu(&gpu))
                .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
            case.check(&got).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn gpu_transformer_layers_follow_their_definition() {
    let Some(gpu) = Gpu::open() else { return };
    for precision in Precision::ALL {
        let mut cases = transformer::small(precision).to_vec();
        for (heads, inner, first) in [(8, 128, true), (8, 512, false), (32, 2048, false)] {
            let records = if first { 3 } else { 1 };
            cases.push(transformer::Case {
                precision,
                steps: 80,
                width: 256,
                heads,
                inner,
                records,
                first,
            });
        }
        for case in cases {
            let got = case
                .run(On::Gpu(&gpu))
                .unwrap_or_else(|fault| panic!("{case:?}: {fault:?}"));
            case.check(&got).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
