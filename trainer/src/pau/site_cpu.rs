//! The functions `conditional.cpp` calls for tensors on the CPU.

use super::ffi::{Place, answer};
use super::site::{Gradients, Kept, Kernels, Operands, Output, Room};
use super::site_channels::{Site, Small, input_coefficients, join_moments, small_gradients};
use crate::distributed::Group;
use crate::statistics::{Statistics, from_batch, from_running};
use dualnet_engine::pau::affine::{
    ChannelsLast, ElementDropout, Gain, InputGradient, PooledMaps, affine_backward, affine_backward_pooled,
    affine_forward, affine_forward_pooled, affine_input_gradient, channel_moments,
};
use std::ffi::c_char;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// The kernels of tensors on the CPU.
pub(super) static KERNELS: Kernels = Kernels {
    room,
    forward,
    backward,
};

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

/// Adds up over the processes, if there are others.
///
/// # Safety
/// `operands.group` must be null or a live reference from [`Group::lend`].
unsafe fn share(operands: &Operands, values: &mut [f64]) -> Result<(), String> {
    // SAFETY: the caller vouches for it.
    match unsafe { operands.group.cast::<Group>().as_ref() } {
        Some(group) => group
            .sum(values)
            .map_err(|_| "the statistics could not be shared with the other processes".to_owned()),
        None => Ok(()),
    }
}

/// Of all that a GPU needs, only the statistics.
unsafe extern "C" fn room(operands: *const Operands, room: *mut Room, _: *mut c_char) -> i32 {
    // SAFETY: the shim passes what it made.
    let (operands, room) = unsafe { (&*operands, &mut *room) };
    *room = Room {
        statistics: 2 * operands.channels,
        ..Room::default()
    };
    0
}

unsafe extern "C" fn forward(
    _: *const Place,
    operands: *const Operands,
    kept: *const Kept,
    to: *const Output,
    message: *mut c_char,
) -> i32 {
    // SAFETY: the shim passes what it made, and room for a message.
    unsafe { answer(normalize_and_activate(&*operands, &*kept, &*to), message) }
}

unsafe extern "C" fn backward(
    _: *const Place,
    operands: *const Operands,
    kept: *const Kept,
    to: *const Gradients,
    message: *mut c_char,
) -> i32 {
    // SAFETY: the shim passes what it made, and room for a message.
    unsafe { answer(differentiate(&*operands, &*kept, &*to), message) }
}

/// # Safety
/// All is as the shim makes it for tensors on the CPU.
unsafe fn normalize_and_activate(operands: &Operands, kept: &Kept, to: &Output) -> Result<(), String> {
    // SAFETY: the shim passes live, dense tensors of the stated extents; `y` and `statistics` are freshly allocated and the
    // running statistics are used by nobody else during the call.
    let (site, pau, running_mean, running_variance, statistics, y) = unsafe {
        (
            operands.site(),
            operands.coefficients.pau()?,
            from_raw_parts_mut(to.running_mean, operands.channels),
            from_raw_parts_mut(to.running_variance, operands.channels),
            from_raw_parts_mut(kept.statistics, 2 * operands.channels),
            from_raw_parts_mut(to.y, operands.result().elements()),
        )
    };
    let (mean, reciprocal) = statistics.split_at_mut(site.shape.channels);
    if operands.batch_statistics != 0 {
        let mut moments = channel_moments(pau.isa(), site.shape, site.x);
        let mut count = (site.shape.samples * site.shape.pixels) as f64;
        if !operands.group.is_null() {
            // SAFETY: the shim holds the group's reference during the call.
            count = join_moments(&mut moments, count, |sums| unsafe { share(operands, sums) })?;
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
    Ok(())
}

/// # Safety
/// All is as the shim makes it for tensors on the CPU.
unsafe fn differentiate(operands: &Operands, kept: &Kept, to: &Gradients) -> Result<(), String> {
    // SAFETY: as in `normalize_and_activate`; every gradient is freshly allocated with the extents of what it is the gradient of, and
    // that of the modulation is null exactly when there is none.
    let (site, pau, statistics, grad_y, out) = unsafe {
        let site = operands.site();
        let (elements, channels) = (site.shape.elements(), site.shape.channels);
        let pau = operands.coefficients.pau()?;
        let out = Out {
            x: from_raw_parts_mut(to.x, elements),
            u: from_raw_parts_mut(to.u, elements),
            gamma: from_raw_parts_mut(to.gamma, channels),
            beta: from_raw_parts_mut(to.beta, channels),
            modulation: (!to.modulation.is_null()).then(|| from_raw_parts_mut(to.modulation, 2 * site.shape.lines())),
            numerator: from_raw_parts_mut(to.numerator, operands.coefficients.numerator_length),
            denominator: from_raw_parts_mut(to.denominator, operands.coefficients.denominator_length),
        };
        (
            site,
            pau,
            from_raw_parts(kept.statistics.cast_const(), 2 * channels),
            from_raw_parts(to.y, operands.result().elements()),
            out,
        )
    };
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
    unsafe { share(operands, &mut towards) }?;
    let (beta, delta) = match operands.batch_statistics {
        0 => (vec![0.0; mean.len()], vec![0.0; mean.len()]),
        _ => input_coefficients(statistics, &towards),
    };
    let coefficients = InputGradient {
        alpha: &scale,
        beta: &beta,
        delta: &delta,
    };
    affine_input_gradient(pau.isa(), site.shape, site.x, out.u, coefficients, out.x);
    Ok(())
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
