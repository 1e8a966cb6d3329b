//! The run-time choice of an instruction set.

#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::{Kernel, Portable, Simd};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use std::fmt;
use std::sync::OnceLock;
use thiserror::Error;

/// An instruction set that this processor has.
///
/// Values come from [`Isa::detect`], [`Isa::named`] and [`Isa::available`] only, so holding one proves that its
/// instructions can be executed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Isa(Token);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512<true>),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512<false>),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Portable),
}

/// The instruction set asked for is not one that can be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsaError {
    /// No instruction set of this name is available on this processor.
    #[error("instruction set `{name}` is not available here; this machine has {available}")]
    Unavailable {
        /// The name asked for.
        name: String,
        /// The names that would do, separated by commas.
        available: String,
    },
}

impl Isa {
    /// The environment variable that forces an instruction set by name.
    pub const VARIABLE: &'static str = "ENGINE_ISA";

    /// The instruction set named by the environment variable `ENGINE_ISA` (`avx512vnni`, `avx512`, `avx2`, `neon` or `portable`), or the
    /// widest one available when the variable is unset or empty. Decided once per process.
    ///
    /// # Errors
    /// [`IsaError::Unavailable`] when the variable names something this processor has not got.
    pub fn detect() -> Result<Self, IsaError> {
        static DETECTED: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        DETECTED
            .get_or_init(|| match std::env::var_os(Self::VARIABLE) {
                Some(name) if !name.is_empty() => Self::named(&name.to_string_lossy()),
                _ => Ok(Self::widest()),
            })
            .clone()
    }

    /// The instruction set of this name.
    ///
    /// # Errors
    /// [`IsaError::Unavailable`], naming those that are available.
    pub fn named(name: &str) -> Result<Self, IsaError> {
        Self::available()
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::available().iter().map(|isa| isa.name()).collect();
                IsaError::Unavailable {
                    name: name.to_owned(),
                    available: names.join(", "),
                }
            })
    }

    /// Every instruction set this processor has, the widest first, `portable` last.
    pub fn available() -> Vec<Self> {
        [
            #[cfg(target_arch = "x86_64")]
            Avx512::detect().map(Token::Avx512Vnni),
            #[cfg(target_arch = "x86_64")]
            Avx512::detect().map(Token::Avx512),
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(Token::Avx2),
            #[cfg(target_arch = "aarch64")]
            Neon::detect().map(Token::Neon),
            Some(Token::Portable(Portable)),
        ]
        .into_iter()
        .flatten()
        .map(Self)
        .collect()
    }

    /// `avx512vnni`, `avx512`, `avx2`, `neon` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Token::Avx512Vnni(_) => "avx512vnni",
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Token::Neon(_) => "neon",
            Token::Portable(_) => "portable",
        }
    }

    /// Runs `kernel`, compiled for this instruction set.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Token::Avx512Vnni(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(simd) => simd.run(kernel),
            #[cfg(target_arch = "aarch64")]
            Token::Neon(simd) => simd.run(kernel),
            Token::Portable(simd) => simd.run(kernel),
        }
    }

    /// `f32` lanes of a vector, at most [`MAX_LANES`](super::MAX_LANES).
    pub fn lanes(self) -> usize {
        struct Lanes;
        impl Kernel for Lanes {
            type Output = usize;

            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> usize {
                S::LANES
            }
        }
        self.run(Lanes)
    }

    fn widest() -> Self {
        Self::available()
            .first()
            .copied()
            .unwrap_or(Self(Token::Portable(Portable)))
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Isa({})", self.name())
    }
}
