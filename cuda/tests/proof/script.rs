//! A sequence of launches with their memory, for the host build and for a GPU.

use dualnet_cuda::{Argument, Element, Launch};
use half::{bf16, f16};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Memory of a script, from an element on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory(pub &'static str, pub usize);

/// Where a script runs.
#[derive(Clone, Copy)]
pub enum On<'a> {
    /// On a host program.
    Host {
        /// The program.
        program: &'a Path,
        /// Of the order of threads.
        seed: u64,
        /// What is wrong with the kernels, if anything.
        mutation: Option<usize>,
    },
    /// On a GPU.
    Gpu(&'a dyn Runner),
}

/// What runs scripts other than a host program.
pub trait Runner {
    /// What was saved, by the names of the memory.
    fn run(&self, steps: &[Step]) -> Result<HashMap<&'static str, Vec<u8>>, String>;
}

impl<'a> On<'a> {
    /// A host program as it is, its threads in the order of a seed.
    pub fn host(program: &'a Path, seed: u64) -> Self {
        Self::Host {
            program,
            seed,
            mutation: None,
        }
    }
}

/// One step of a script.
pub enum Step {
    /// Memory that holds these bytes, elements of `element` bytes, and nothing beyond them.
    Input {
        /// Name of the memory.
        name: &'static str,
        /// Bytes of an element.
        element: usize,
        /// Contents.
        bytes: Vec<u8>,
    },
    /// Poisoned memory.
    Output {
        /// Name of the memory.
        name: &'static str,
        /// Bytes of an element.
        element: usize,
        /// Elements.
        count: usize,
    },
    /// Runs a kernel.
    Launch(Launch<Memory>),
    /// Reads elements, all of which a kernel must have written.
    Save(Memory, usize),
    /// Elements that no kernel may have written.
    Unwritten(Memory, usize),
}

/// A sequence of launches.
#[derive(Default)]
pub struct Script {
    steps: Vec<Step>,
    saved: RefCell<HashMap<&'static str, Vec<u8>>>,
}

/// How a run ended that did not end well.
#[derive(Debug)]
pub struct Fault {
    /// Exit status of a host program; `None` for a signal, and on a GPU.
    pub status: Option<i32>,
    /// What it printed.
    pub message: String,
}

impl Script {
    /// Memory that holds `elements`, and nothing beyond them.
    pub fn input<T: Bytes>(&mut self, name: &'static str, elements: &[T]) -> Memory {
        self.steps.push(Step::Input {
            name,
            element: size_of::<T>(),
            bytes: elements.iter().flat_map(|element| element.bytes()).collect(),
        });
        Memory(name, 0)
    }

    /// Memory that holds bytes of elements of `element` bytes, and nothing beyond them.
    pub fn bytes(&mut self, name: &'static str, element: usize, bytes: Vec<u8>) -> Memory {
        self.steps.push(Step::Input { name, element, bytes });
        Memory(name, 0)
    }

    /// Memory that holds floats rounded to a type, and nothing beyond them.
    pub fn floats(&mut self, name: &'static str, element: Element, values: &[f32]) -> Memory {
        self.bytes(name, element.bytes(), element.encode(values.iter().copied()))
    }

    /// Poisoned memory of `count` elements of `element` bytes.
    pub fn output(&mut self, name: &'static str, element: usize, count: usize) -> Memory {
        self.steps.push(Step::Output { name, element, count });
        Memory(name, 0)
    }

    /// Runs a kernel.
    pub fn launch(&mut self, launch: &Launch<Memory>) {
        self.steps.push(Step::Launch(launch.clone()));
    }

    /// Asks for `count` elements, all of which a kernel must have written.
    pub fn save(&mut self, memory: Memory, count: usize) {
        self.steps.push(Step::Save(memory, count));
    }

    /// Fails the run if a kernel wrote one of `count` elements.
    pub fn unwritten(&mut self, memory: Memory, count: usize) {
        self.steps.push(Step::Unwritten(memory, count));
    }

    /// Runs it; what was saved can be read afterwards.
    pub fn run(&self, on: On<'_>) -> Result<(), Fault> {
        let saved = match on {
            On::Host {
                program,
                seed,
                mutation,
            } => self.run_on_host(program, seed, mutation)?,
            On::Gpu(gpu) => gpu
                .run(&self.steps)
                .map_err(|message| Fault { status: None, message })?,
        };
        *self.saved.borrow_mut() = saved;
        Ok(())
    }

    fn run_on_host(
        &self,
        program: &Path,
        seed: u64,
        mutation: Option<usize>,
    ) -> Result<HashMap<&'static str, Vec<u8>>, Fault> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str| folder.path().join(name);
        let mut text = format!("seed {seed}\n");
        for step in &self.steps {
            match step {
                Step::Input { name, element, bytes } => {
                    std::fs::write(file(name), bytes).expect("a file");
                    writeln!(text, "input {name} {element} {}", file(name).display())
                }
                Step::Output { name, element, count } => writeln!(text, "output {name} {element} {count}"),
                Step::Launch(launch) => writeln!(text, "{}", command(launch)),
                Step::Save(Memory(name, first), count) => {
                    let path = file(&format!("{name}.out"));
                    writeln!(text, "save {name} {first} {count} {}", path.display())
                }
                Step::Unwritten(Memory(name, first), count) => writeln!(text, "unwritten {name} {first} {count}"),
            }
            .expect("a string");
        }
        let mut run = Command::new(program);
        run.stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env_remove("DUALNET_MUTATION")
            .env("UBSAN_OPTIONS", "print_stacktrace=1");
        if let Some(site) = mutation {
            run.env("DUALNET_MUTATION", site.to_string());
        }
        let mut child = run.spawn().expect("the host program starts");
        let mut input = child.stdin.take().expect("a pipe");
        // A program that faults early closes the pipe; its status says so.
        let _ = input.write_all(text.as_bytes());
        drop(input);
        let output = child.wait_with_output().expect("the host program ends");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_ne!(output.status.code(), Some(2), "the script is wrong: {message}\n{text}");
        if !output.status.success() {
            return Err(Fault {
                status: output.status.code(),
                message,
            });
        }
        let saved = self.steps.iter().filter_map(|step| match step {
            Step::Save(Memory(name, _), _) => Some(*name),
            _ => None,
        });
        Ok(saved
            .map(|name| (name, std::fs::read(file(&format!("{name}.out"))).expect("a saved file")))
            .collect())
    }

    /// What [`save`](Self::save) asked for, after a run.
    pub fn saved<T: Bytes>(&self, name: &str) -> Vec<T> {
        let saved = self.saved.borrow();
        let bytes = saved.get(name).unwrap_or_else(|| panic!("{name} was not saved"));
        bytes.chunks_exact(size_of::<T>()).map(T::from_bytes).collect()
    }

    /// The same of floats of a type.
    pub fn saved_floats(&self, name: &str, element: Element) -> Vec<f32> {
        let halves = || self.saved::<u16>(name).into_iter();
        match element {
            Element::F32 => self.saved(name),
            Element::F16 => halves().map(|bits| f16::from_bits(bits).to_f32()).collect(),
            Element::Bf16 => halves().map(|bits| bf16::from_bits(bits).to_f32()).collect(),
        }
    }
}

fn command(launch: &Launch<Memory>) -> String {
    let mut line = format!(
        "{} {} {} {} {} {}",
        if launch.together { "together" } else { "launch" },
        launch.kernel,
        launch.blocks,
        launch.rows,
        launch.threads,
        launch.shared_bytes
    );
    for argument in &launch.arguments {
        match argument {
            Argument::Memory(Memory(name, offset)) => write!(line, " {name}+{offset}"),
            Argument::I32(number) => write!(line, " i32:{number}"),
            Argument::I64(number) => write!(line, " i64:{number}"),
            Argument::F32(number) => write!(line, " f32:{number:e}"),
        }
        .expect("a string");
    }
    line
}

/// Numbers that lie in memory as their little-endian bytes.
pub trait Bytes: Copy {
    /// To memory.
    fn bytes(&self) -> Vec<u8>;
    /// From memory.
    fn from_bytes(bytes: &[u8]) -> Self;
}

macro_rules! bytes {
    ($($type:ty),*) => {
        $(impl Bytes for $type {
            fn bytes(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
            fn from_bytes(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("an element"))
            }
        })*
    };
}
bytes!(i8, i16, i32, u16, u32, f32, f64);
