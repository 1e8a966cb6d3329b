//! Runs launches on a host program.

use dualnet_cuda::{Argument, Launch};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Memory of a script, from an element on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory(pub &'static str, pub usize);

/// A sequence of launches on a host program, with their memory.
pub struct Script {
    folder: TempDir,
    text: String,
    saved: Vec<&'static str>,
}

/// How a run ended that did not end well.
#[derive(Debug)]
pub struct Fault {
    /// Exit status; `None` for a signal.
    pub status: Option<i32>,
    /// What it printed.
    pub message: String,
}

impl Script {
    /// An empty one, whose threads run in the order of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            text: format!("seed {seed}\n"),
            saved: Vec::new(),
        }
    }

    /// Memory that holds `elements`, and nothing beyond them.
    pub fn input<T: Bytes>(&mut self, name: &'static str, elements: &[T]) -> Memory {
        let path = self.folder.path().join(name);
        let bytes: Vec<u8> = elements.iter().flat_map(|element| element.bytes()).collect();
        std::fs::write(&path, bytes).expect("a file");
        self.line(format_args!("input {name} {} {}", size_of::<T>(), path.display()));
        Memory(name, 0)
    }

    /// Poisoned memory of `count` elements of `bytes` bytes.
    pub fn output(&mut self, name: &'static str, bytes: usize, count: usize) -> Memory {
        self.line(format_args!("output {name} {bytes} {count}"));
        Memory(name, 0)
    }

    /// Runs a kernel.
    pub fn launch(&mut self, launch: &Launch<Memory>) {
        let mut line = format!(
            "launch {} {} {} {} {}",
            launch.kernel, launch.blocks, launch.rows, launch.threads, launch.shared_bytes
        );
        for argument in &launch.arguments {
            match argument {
                Argument::Memory(Memory(name, offset)) => write!(line, " {name}+{offset}"),
                Argument::I32(number) => write!(line, " i32:{number}"),
                Argument::I64(number) => write!(line, " i64:{number}"),
            }
            .expect("a string");
        }
        self.line(format_args!("{line}"));
    }

    /// Asks for `count` elements, all of which a kernel must have written.
    pub fn save(&mut self, Memory(name, first): Memory, count: usize) {
        let path = self.folder.path().join(format!("{name}.out"));
        self.line(format_args!("save {name} {first} {count} {}", path.display()));
        self.saved.push(name);
    }

    /// Fails the run if a kernel wrote one of `count` elements.
    pub fn unwritten(&mut self, Memory(name, first): Memory, count: usize) {
        self.line(format_args!("unwritten {name} {first} {count}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string");
    }

    /// Runs it; what was saved can be read from the result.
    pub fn run(&self, program: &Path, mutation: Option<usize>) -> Result<(), Fault> {
        let mut command = Command::new(program);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env_remove("DUALNET_MUTATION")
            .env("UBSAN_OPTIONS", "print_stacktrace=1");
        if let Some(site) = mutation {
            command.env("DUALNET_MUTATION", site.to_string());
        }
        let mut child = command.spawn().expect("the host program starts");
        let mut input = child.stdin.take().expect("a pipe");
        // A program that faults early closes the pipe; its status says so.
        let _ = input.write_all(self.text.as_bytes());
        drop(input);
        let output = child.wait_with_output().expect("the host program ends");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_ne!(
            output.status.code(),
            Some(2),
            "the script is wrong: {message}\n{}",
            self.text
        );
        if output.status.success() {
            Ok(())
        } else {
            Err(Fault {
                status: output.status.code(),
                message,
            })
        }
    }

    /// What [`save`](Self::save) asked for, after a run.
    pub fn saved<T: Bytes>(&self, name: &str) -> Vec<T> {
        assert!(self.saved.contains(&name), "{name} was not saved");
        let bytes = std::fs::read(self.folder.path().join(format!("{name}.out"))).expect("a saved file");
        bytes.chunks_exact(size_of::<T>()).map(T::from_bytes).collect()
    }
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
bytes!(i16, i32, u16, u32, f32);
