//! Gradients summed over the processes while they are still being computed.

use super::group::{Group, Pending};
use crate::error::TrainerError;
use crate::shim;
use crate::torch::{Parameters, set_gradient};
use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

/// Bytes of a bucket; the first is smaller, so that the exchange begins early.
const BUCKET: usize = 25 << 20;
const FIRST_BUCKET: usize = 1 << 20;

unsafe extern "C" {
    fn ecg_on_gradient(
        weight: *const C_tensor,
        reducer: *const c_void,
        index: usize,
        call: unsafe extern "C" fn(*const c_void, usize) -> i32,
        release: unsafe extern "C" fn(*const c_void),
        message: *mut *mut c_char,
    ) -> i32;
    fn ecg_forget_gradient(weight: *const C_tensor, message: *mut *mut c_char) -> i32;
}

/// Sums the gradients of a network's weights over the processes of a group.
///
/// The weights are divided into buckets in reverse order, which is about the order in which their gradients become ready. A
/// bucket holds the gradients of its weights and a flag for each, 1 where there is a gradient: weights that no process has a
/// gradient of stay without, and those that only some have get the sum everywhere. Buckets start in their order, each as soon
/// as its gradients are ready, and run beside backward.
#[derive(Debug)]
pub struct Reducer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    group: Group,
    /// Bucket and slot of each weight.
    places: Vec<(usize, usize)>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    is_armed: bool,
    buckets: Vec<Bucket>,
    /// Those that have started, in order.
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Bucket {
    /// The gradients one after the other, then a flag for each.
    buffer: Tensor,
    slots: Vec<Slot>,
    missing: usize,
}

#[derive(Debug)]
struct Slot {
    weight: Tensor,
    offset: i64,
    is_ready: bool,
}

impl Reducer {
    /// Watches the gradients of the weights of `parameters`, which must be the same in every process.
    pub fn new(group: &Group, parameters: &Parameters) -> Result<Self, TrainerError> {
        let weights: Vec<Tensor> = parameters.weights().map(|(_, weight)| weight.shallow_clone()).collect();
        let mut places = vec![(0, 0); weights.len()];
        let mut buckets = Vec::new();
        let mut slots = Vec::new();
        let mut elements = 0;
        for (index, weight) in weights.iter().enumerate().rev() {
            places[index] = (buckets.len(), slots.len());
            slots.push(Slot {
                weight: weight.shallow_clone(),
                offset: elements as i64,
                is_ready: false,
            });
            elements += weight.numel();
            let limit = if buckets.is_empty() { FIRST_BUCKET } else { BUCKET };
            if elements * size_of::<f32>() >= limit || index == 0 {
                let slots = std::mem::take(&mut slots);
                buckets.push(Bucket::new(slots, elements, parameters.device())?);
                elements = 0;
            }
        }
        let state = State {
            is_armed: false,
            buckets,
            pending: Vec::new(),
        };
        let shared = Arc::new(Shared {
            group: group.clone(),
            places,
            state: Mutex::new(state),
        });
        // From here on dropping it takes the hooks away again.
        let reducer = Self { shared };
        for (index, weight) in weights.iter().enumerate() {
            let context = Arc::into_raw(Arc::clone(&reducer.shared)).cast();
            let mut message = std::ptr::null_mut();
            // SAFETY: the weight is a live leaf; the hook takes over the reference that `into_raw` made and gives it to
            // `release` when it goes; `message` is written only on failure.
            let code = unsafe { ecg_on_gradient(weight.as_ptr(), context, index, ready, release, &mut message) };
            shim::done(code, message).map_err(TrainerError::Distributed)?;
        }
        Ok(reducer)
    }

    /// To be called before each backward pass; only the last one of a step exchanges anything.
    pub fn prepare(&self, is_last: bool) -> Result<(), TrainerError> {
        let mut state = self.shared.lock();
        if !state.pending.is_empty() {
            return Err(TrainerError::Distributed(
                "the gradients of the step before are still being summed".to_owned(),
            ));
        }
        state.is_armed = is_last;
        for bucket in state.buckets.iter_mut().filter(|_| is_last) {
            bucket.clear()?;
        }
        Ok(())
    }

    /// Replaces every gradient by its sum over the processes.
    pub fn finish(&self) -> Result<(), TrainerError> {
        let mut state = self.shared.lock();
        state.is_armed = false;
        tch::no_grad(|| {
            for bucket in &mut state.buckets {
                bucket.complete()?;
            }
            self.shared.start_ready(&mut state)?;
            let State { buckets, pending, .. } = &mut *state;
            for (bucket, pending) in buckets.iter().zip(pending.drain(..)) {
                self.shared.group.wait(pending)?;
                bucket.write_back()?;
            }
            Ok(())
        })
    }
}

impl Drop for Reducer {
    fn drop(&mut self) {
        let weights: Vec<Tensor> = {
            let state = self.shared.lock();
            let slots = state.buckets.iter().flat_map(|bucket| &bucket.slots);
            slots.map(|slot| slot.weight.shallow_clone()).collect()
        };
        for weight in weights {
            let mut message = std::ptr::null_mut();
            // SAFETY: the weight is live and no backward pass is under way: those borrow this reducer until `finish`.
            let code = unsafe { ecg_forget_gradient(weight.as_ptr(), &mut message) };
            // There is nobody to tell.
            let _ = shim::done(code, message);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the gradient of one weight, and starts whatever is ready.
    fn ready(&self, index: usize) -> Result<(), TrainerError> {
        let mut state = self.lock();
        if !state.is_armed {
            return Ok(());
        }
        let Some(&(bucket, slot)) = self.places.get(index) else {
            return Ok(());
        };
        tch::no_grad(|| state.buckets[bucket].take_in(slot))?;
        self.start_ready(&mut state)
    }

    fn start_ready(&self, state: &mut State) -> Result<(), TrainerError> {
        while let Some(bucket) = state.buckets.get(state.pending.len())
            && bucket.missing == 0
        {
            let pending = self.group.start_sum(&bucket.buffer)?;
            state.pending.push(pending);
        }
        Ok(())
    }
}

impl Bucket {
    fn new(slots: Vec<Slot>, elements: usize, device: Device) -> Result<Self, TrainerError> {
        let length = (elements + slots.len()) as i64;
        Ok(Self {
            buffer: Tensor::f_zeros([length], (Kind::Float, device))?,
            missing: slots.len(),
            slots,
        })
    }

    fn clear(&mut self) -> Result<(), TrainerError> {
        let _ = self.buffer.f_zero_()?;
        self.missing = self.slots.len();
        self.slots.iter_mut().for_each(|slot| slot.is_ready = false);
        Ok(())
    }

    /// The flags, `[slots]`.
    fn flags(&self) -> Result<Tensor, TrainerError> {
        let count = self.slots.len() as i64;
        Ok(self.buffer.f_narrow(0, self.buffer.size()[0] - count, count)?)
    }

    /// The part of the buffer for one weight, in its shape.
    fn values(&self, slot: &Slot) -> Result<Tensor, TrainerError> {
        let weight = &slot.weight;
        let part = self.buffer.f_narrow(0, slot.offset, weight.numel() as i64)?;
        Ok(part.f_view(weight.size().as_slice())?)
    }

    fn take_in(&mut self, index: usize) -> Result<(), TrainerError> {
        let slot = &self.slots[index];
        if slot.is_ready {
            return Err(TrainerError::Distributed(
                "a weight has got its gradient twice in one backward pass".to_owned(),
            ));
        }
        let gradient = slot.weight.f_grad()?;
        if gradient.defined() {
            self.values(slot)?.f_copy_(&gradient)?;
            let _ = self.flags()?.f_narrow(0, index as i64, 1)?.f_fill_(1.0)?;
        }
        self.slots[index].is_ready = true;
        self.missing -= 1;
        Ok(())
    }

    /// Takes in what no backward pass has announced: gradients of earlier parts, or none at all.
    fn complete(&mut self) -> Result<(), TrainerError> {
        for index in 0..self.slots.len() {
            if !self.slots[index].is_ready {
                self.take_in(index)?;
            }
        }
        Ok(())
    }

    fn write_back(&self) -> Result<(), TrainerError> {
        let flags: Vec<f32> = crate::torch::flattened(&self.flags()?)?;
        for (slot, flag) in self.slots.iter().zip(flags) {
            if flag == 0.0 {
                continue;
            }
            let sum = self.values(slot)?;
            let mut gradient = slot.weight.f_grad()?;
            if gradient.defined() {
                gradient.f_copy_(&sum)?;
                continue;
            }
            let mut own = slot.weight.f_zeros_like()?;
            own.f_copy_(&sum)?;
            set_gradient(&slot.weight, &own)?;
        }
        Ok(())
    }
}

unsafe extern "C" fn ready(reducer: *const c_void, index: usize) -> i32 {
    // SAFETY: the hook holds the reference that `Reducer::new` gave it.
    let shared = unsafe { &*reducer.cast::<Shared>() };
    i32::from(shared.ready(index).is_err())
}

unsafe extern "C" fn release(reducer: *const c_void) {
    // SAFETY: called once for each reference that `Reducer::new` made.
    drop(unsafe { Arc::from_raw(reducer.cast::<Shared>()) });
}
