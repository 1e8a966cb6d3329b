//! The functions `conditional.cpp` calls for tensors on a GPU: launches of `dualnet_cuda::site` on the stream that libtorch works on.

use super::ffi::{Place, answer};
use super::gpu::{Driver, Gpu, launch};
use super::site::{Gradients, Kept, Kernels, Operands, Output, Room};
use dualnet_cuda::CudaError;
use dualnet_cuda::pau::Coefficients;
use dualnet_cuda::site::{self, Extents, Site};
use std::ffi::c_char;

/// The kernels of tensors on a GPU.
pub(super) static KERNELS: Kernels = kernels::<Driver>();

/// Those that launch on `G`.
pub(super) const fn kernels<G: Gpu>() -> Kernels {
    Kernels {
        room,
        forward: forward::<G>,
        backward: backward::<G>,
    }
}

/// The address; none for null.
fn optional<T>(pointer: *const T) -> Option<u64> {
    (!pointer.is_null()).then_some(pointer as u64)
}

impl Operands {
    /// The launcher for these extents, of statistics that no other process shares.
    fn launcher(&self) -> Result<Site, CudaError> {
        if !self.group.is_null() {
            return Err(CudaError::Launch(
                "statistics of a conditional Pade activation are not shared with other processes on CUDA".to_owned(),
            ));
        }
        let extents = Extents {
            records: self.samples,
            height: self.height,
            width: self.width,
            channels: self.channels,
        };
        let (m, n) = (self.coefficients.numerator_length, self.coefficients.denominator_length);
        Site::new(extents, self.pool != 0, m, n)
    }

    fn addresses(&self) -> site::Operands<u64> {
        site::Operands {
            x: self.x as u64,
            gamma: self.gamma as u64,
            beta: self.beta as u64,
            modulation: optional(self.modulation),
            shortcut: optional(self.shortcut),
            gain: match (optional(self.gain), optional(self.key)) {
                (Some(gain), _) => Some(site::Gain::Channels(gain)),
                (None, Some(key)) => Some(site::Gain::Elements { key, share: self.share }),
                (None, None) => None,
            },
            unit: Coefficients {
                numerator: self.coefficients.numerator as u64,
                denominator: self.coefficients.denominator as u64,
            },
        }
    }
}

impl Kept {
    fn addresses(&self) -> site::Kept<u64> {
        site::Kept {
            statistics: self.statistics as u64,
            lines: self.lines as u64,
        }
    }
}

unsafe extern "C" fn room(operands: *const Operands, room: *mut Room, message: *mut c_char) -> i32 {
    // SAFETY: the shim passes what it made.
    let (operands, room) = unsafe { (&*operands, &mut *room) };
    let result = operands.launcher().map(|site| {
        *room = Room {
            statistics: site.statistics(),
            lines: site.lines(),
            partials: site.partials(),
            unit_partials: site.unit_partials(),
            towards: 2 * operands.channels,
        };
    });
    // SAFETY: the shim passes room for a message.
    unsafe { answer(result.map_err(|error| error.to_string()), message) }
}

unsafe extern "C" fn forward<G: Gpu>(
    place: *const Place,
    operands: *const Operands,
    kept: *const Kept,
    to: *const Output,
    message: *mut c_char,
) -> i32 {
    // SAFETY: the shim passes what it made.
    let (operands, kept, to) = unsafe { (&*operands, &*kept, &*to) };
    let launches = operands.launcher().map(|site| {
        let to = site::Forward {
            running_mean: to.running_mean as u64,
            running_variance: to.running_variance as u64,
            partials: to.partials as u64,
            y: to.y as u64,
        };
        site.forward(
            operands.addresses(),
            kept.addresses(),
            to,
            operands.batch_statistics != 0,
        )
    });
    // SAFETY: the shim passes addresses of live tensors on the device of `place`, of an int64 for the key and of float32 otherwise, of the
    // stated extents and at multiples of 16 bytes, of 8 for the key, whose allocator hands their memory to later work of the same stream
    // only. What is kept, `y` and the workspace are freshly allocated, as large as `room` said; the running statistics overlap nothing else.
    unsafe { launch::<G>(place, launches, message) }
}

unsafe extern "C" fn backward<G: Gpu>(
    place: *const Place,
    operands: *const Operands,
    kept: *const Kept,
    to: *const Gradients,
    message: *mut c_char,
) -> i32 {
    // SAFETY: the shim passes what it made.
    let (operands, kept, to) = unsafe { (&*operands, &*kept, &*to) };
    let launches = operands.launcher().map(|site| {
        let to = site::Backward {
            grad_y: to.y as u64,
            grad_u: to.u as u64,
            grad_x: to.x as u64,
            grad_gamma: to.gamma as u64,
            grad_beta: to.beta as u64,
            grad_modulation: optional(to.modulation),
            grad_unit: Coefficients {
                numerator: to.numerator as u64,
                denominator: to.denominator as u64,
            },
            sums: to.sums as u64,
            unit_partials: to.unit_partials as u64,
            towards: to.towards as u64,
        };
        site.backward(
            operands.addresses(),
            kept.addresses(),
            to,
            operands.batch_statistics != 0,
        )
    });
    // SAFETY: as in `forward`; every gradient is freshly allocated with the extents of what it is the gradient of, and the workspaces are as
    // large as `room` said.
    unsafe { launch::<G>(place, launches, message) }
}

#[cfg(test)]
mod tests;
