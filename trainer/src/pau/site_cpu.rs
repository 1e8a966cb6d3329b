//! The functions `conditional.cpp` calls for the arithmetic of a fused site, on the CPU.

use super::callbacks::Operands;
use super::site_channels::{Site, Small, Statistics, input_coefficients, join_moments, small_gradients};
use crate::distributed::Group;
use crate::statistics::{from_batch, from_running};
use dualnet_engine::pau::affine::{
    ChannelsLast, ElementDropout, Gain, InputGradient, PooledMaps, affine_backward, affine_backward_pooled,
    affine_forward, affine_forward_pooled, affine_input_gradient, channel_moments,
};
use std::ffi::c_void;
use std::slice::{from_raw_parts, from_raw_parts_mut};

type Forward = unsafe extern "C" fn(*const Operands, *const c_void, i32, *mut f32, *mut f32, *mut f64, *mut f32) -> i32;
type Backward = unsafe extern "C" fn(
    *const Operands,
    *const c_void,
    i32,
    *const f64,
    *const f32,
    *mut f32,
    *mut f32,
    *mut f32,
    *mut f32,
    *mut f32,
    *mut f32,
    *mut f32,
) -> i32;

/// What the shim calls.
#[repr(C)]
pub(super) struct Kernels {
    pub(super) forward: Forward,
    pub(super) backward: Backward,
}

pub(super) static KERNELS: Kernels = Kernels { forward, backward };

impl Operands {
    fn maps(&self) -> PooledMaps {
        PooledMaps {
            samples: self.samples,
            height: self.height,
            width: self.width,
            channels: self.channels,
        }
    }

    /// The extents of the result.
    fn result(&self) -> ChannelsLast {
        match self.pool {
            0 => self.maps().whole(),
            _ => self.maps().means(),
        }
    }

    /// # Safety
    /// Pointers must be null where that is allowed, or valid for the lengths the extents imply.
    unsafe fn site(&self) -> Site<'_> {
        let shape = self.maps().whole();
        // SAFETY: the caller vouches for pointers and extents.
        unsafe {
            let slice = |pointer: *const f32, length: usize| from_raw_parts(pointer, length);
            let optional = |pointer: *const f32, length| (!pointer.is_null()).then(|| slice(pointer, length));
            Site {
                shape,
                x: slice(self.x, shape.elements()),
                gamma: slice(self.gamma, self.channels),
                beta: slice(self.beta, self.channels),
                modulation: optional(self.modulation, 2 * shape.lines()),
                shortcut: optional(self.shortcut, shape.elements()),
                gain: match optional(self.gain, shape.lines()) {
                    Some(gain) => Some(Gain::Channels(gain)),
                    None => self
                        .key
                        .as_ref()
                        .map(|&key| Gain::Elements(ElementDropout::new(key, self.share))),
                },
            }
        }
    }
}

/// What the shim is told when the coefficients cannot be used.
const REFUSED: i32 = 1;
/// What it is told when the other processes cannot be reached.
const NOT_SHARED: i32 = 2;

/// Adds up over the processes, if there are others.
///
/// # Safety
/// `group` must be null or a live reference from [`Group::lend`].
unsafe fn share(group: *const c_void, values: &mut [f64]) -> Result<(), i32> {
    // SAFETY: the caller vouches for it.
    match unsafe { group.cast::<Group>().as_ref() } {
        Some(group) => group.sum(values).map_err(|_| NOT_SHARED),
        None => Ok(()),
    }
}

unsafe extern "C" fn forward(
    operands: *const Operands,
    group: *const c_void,
    batch_statistics: i32,
    running_mean: *mut f32,
    running_variance: *mut f32,
    statistics: *mut f64,
    y: *mut f32,
) -> i32 {
    // SAFETY: the shim passes live, dense tensors of the stated extents; `y` and `statistics` are freshly allocated and the
    // running statistics are used by nobody else during the call.
    let (operands, site, pau, running_mean, running_variance, statistics, y) = unsafe {
        let operands = &*operands;
        (
            operands,
            operands.site(),
            operands.coefficients.pau(),
            from_raw_parts_mut(running_mean, operands.channels),
            from_raw_parts_mut(running_variance, operands.channels),
            from_raw_parts_mut(statistics, 2 * operands.channels),
            from_raw_parts_mut(y, operands.result().elements()),
        )
    };
    let Some(pau) = pau else { return REFUSED };
    let (mean, reciprocal) = statistics.split_at_mut(site.shape.channels);
    if batch_statistics != 0 {
        let mut moments = channel_moments(pau.isa(), site.shape, site.x);
        let mut count = (site.shape.samples * site.shape.pixels) as f64;
        if !group.is_null() {
            // SAFETY: the shim holds the group's reference during the call.
            match join_moments(&mut moments, count, |sums| unsafe { share(group, sums) }) {
                Ok(all) => count = all,
                Err(answer) => return answer,
            }
        }
        from_batch(
            (&moments.mean, &moments.variance),
            count,
            (mean, reciprocal),
            (running_mean, running_variance),
        );
    } else {
        from_running((running_mean, running_variance), (mean, reciprocal));
    }
    let (scale, shift) = site.lines(Statistics { mean, reciprocal });
    match operands.pool {
        0 => affine_forward(&pau, site.shape, site.affine(&scale, &shift), y),
        _ => affine_forward_pooled(&pau, operands.maps(), site.affine(&scale, &shift), y),
    }
    0
}

unsafe extern "C" fn backward(
    operands: *const Operands,
    group: *const c_void,
    batch_statistics: i32,
    statistics: *const f64,
    grad_y: *const f32,
    grad_x: *mut f32,
    grad_u: *mut f32,
    grad_gamma: *mut f32,
    grad_beta: *mut f32,
    grad_modulation: *mut f32,
    grad_numerator: *mut f32,
    grad_denominator: *mut f32,
) -> i32 {
    // SAFETY: as in `forward`; every gradient is freshly allocated with the extents of what it is the gradient of, and
    // that of the modulation is null exactly when there is none.
    let (operands, site, pau, statistics, grad_y, out) = unsafe {
        let operands = &*operands;
        let site = operands.site();
        let (elements, channels) = (site.shape.elements(), site.shape.channels);
        let out = Out {
            x: from_raw_parts_mut(grad_x, elements),
            u: from_raw_parts_mut(grad_u, elements),
            gamma: from_raw_parts_mut(grad_gamma, channels),
            beta: from_raw_parts_mut(grad_beta, channels),
            modulation: (!grad_modulation.is_null())
                .then(|| from_raw_parts_mut(grad_modulation, 2 * site.shape.lines())),
            numerator: from_raw_parts_mut(grad_numerator, operands.coefficients.numerator_length()),
            denominator: from_raw_parts_mut(grad_denominator, operands.coefficients.denominator_length()),
        };
        let statistics = from_raw_parts(statistics, 2 * channels);
        (
            operands,
            site,
            operands.coefficients.pau(),
            statistics,
            from_raw_parts(grad_y, operands.result().elements()),
            out,
        )
    };
    let Some(pau) = pau else { return REFUSED };
    let (mean, reciprocal) = statistics.split_at(site.shape.channels);
    let statistics = Statistics { mean, reciprocal };
    let (scale, shift) = site.lines(statistics);
    let affine = site.affine(&scale, &shift);
    let sums = match operands.pool {
        0 => affine_backward(&pau, site.shape, affine, grad_y, out.u),
        _ => affine_backward_pooled(&pau, operands.maps(), affine, grad_y, out.u),
    };
    out.numerator.copy_from_slice(&sums.coefficients.numerator);
    out.denominator.copy_from_slice(&sums.coefficients.denominator);
    let mut towards = small_gradients(
        &site,
        statistics,
        &sums.sum_u,
        &sums.sum_ux,
        Small {
            gamma: out.gamma,
            beta: out.beta,
            modulation: out.modulation,
        },
    );
    // SAFETY: the shim holds the group's reference during the call.
    if let Err(answer) = unsafe { share(group, &mut towards) } {
        return answer;
    }
    let (beta, delta) = match batch_statistics {
        0 => (vec![0.0; mean.len()], vec![0.0; mean.len()]),
        _ => input_coefficients(statistics, &towards),
    };
    let coefficients = InputGradient {
        alpha: &scale,
        beta: &beta,
        delta: &delta,
    };
    affine_input_gradient(pau.isa(), site.shape, site.x, out.u, coefficients, out.x);
    0
}

/// Every gradient.
struct Out<'a> {
    x: &'a mut [f32],
    u: &'a mut [f32],
    gamma: &'a mut [f32],
    beta: &'a mut [f32],
    modulation: Option<&'a mut [f32]>,
    numerator: &'a mut [f32],
    denominator: &'a mut [f32],
}
