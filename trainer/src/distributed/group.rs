//! The processes that compute together, and what they exchange.

use super::environment::Place;
use super::gloo::{Gloo, Progress, Work};
use super::nccl::{Lane, Nccl};
use super::store::Store;
use super::watch::Watch;
use crate::error::TrainerError;
use crate::shim;
use std::ffi::{c_char, c_void};
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tch::{Device, TchError, Tensor};
use torch_sys::C_tensor;

/// A process among those that train together; clones are the same one.
///
/// After the first error every later call fails with the same message.
#[derive(Clone, Debug)]
pub struct Group {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    /// Before the store, which may be kept here: it says there that this process leaves.
    watch: Watch,
    store: Store,
    common: ManuallyDrop<Mutex<Gloo>>,
    gradients: ManuallyDrop<Mutex<Gloo>>,
    nccl: Mutex<Option<Nccl>>,
    failure: OnceLock<String>,
}

/// A sum under way.
#[derive(Debug)]
pub(super) enum Pending {
    Gloo(Work),
    Nccl,
}

unsafe extern "C" {
    fn ecg_sum_over_processes(
        x: *const C_tensor,
        group: *const c_void,
        release: unsafe extern "C" fn(*const c_void),
        sum: unsafe extern "C" fn(*const c_void, *mut C_tensor) -> i32,
        message: *mut *mut c_char,
    ) -> *mut C_tensor;
}

impl Group {
    /// The group that the environment names ([`Place::from_environment`]), once all of its processes are there.
    ///
    /// # Errors
    /// Unusable variables, a store that cannot be reached within 5 minutes, processes that cannot reach each other or are not there within
    /// 30 minutes.
    pub fn from_environment() -> Result<Option<Self>, TrainerError> {
        Place::from_environment()?.map(Self::join).transpose()
    }

    /// Joins the group at `place`; returns when all are there.
    ///
    /// # Errors
    /// As [`from_environment`](Self::from_environment); processes that expect another number of them.
    pub fn join(place: Place) -> Result<Self, TrainerError> {
        let store = Store::meet(&place)?;
        let watch = Watch::start(&place)?;
        watch.set_deaf(true);
        let fault = |reason: String| {
            let reason = watch.failure().unwrap_or(reason);
            TrainerError::Distributed(format!("rank {} cannot meet the others: {reason}", place.rank))
        };
        check_size(&store, &place).map_err(fault)?;
        let join = |name, threads| Gloo::join(&store, &place, name, threads).map_err(fault);
        let (common, gradients) = (join("common/", 1)?, join("gradients/", 2)?);
        watch.set_deaf(false);
        let inner = Inner {
            watch,
            store,
            common: ManuallyDrop::new(Mutex::new(common)),
            gradients: ManuallyDrop::new(Mutex::new(gradients)),
            nccl: Mutex::new(None),
            failure: OnceLock::new(),
            place,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// This process's number.
    pub fn rank(&self) -> usize {
        self.inner.place.rank
    }

    /// Its number on its machine.
    pub fn local_rank(&self) -> usize {
        self.inner.place.local_rank
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.inner.place.size
    }

    /// Replaces `values`, dense in memory, by their sums over the processes: the same bits in each of them.
    pub fn all_reduce_sum(&self, values: &Tensor) -> Result<(), TrainerError> {
        if self.is_nothing(values)? {
            return Ok(());
        }
        match values.device() {
            Device::Cpu => {
                let work = lock(&self.inner.common).all_reduce(values);
                self.finish(work)
            }
            device => self.on_cuda(device, |nccl| nccl.all_reduce(values, Lane::Current)),
        }
    }

    /// Replaces `values`, dense in memory, by those of the process `root`.
    pub fn broadcast(&self, values: &Tensor, root: usize) -> Result<(), TrainerError> {
        if self.is_nothing(values)? {
            return Ok(());
        }
        match values.device() {
            Device::Cpu => {
                let work = lock(&self.inner.common).broadcast(values, root);
                self.finish(work)
            }
            device => self.on_cuda(device, |nccl| nccl.broadcast(values, root)),
        }
    }

    /// Replaces numbers by their sums over the processes.
    pub fn sum(&self, values: &mut [f64]) -> Result<(), TrainerError> {
        let tensor = Tensor::f_from_slice(values)?;
        self.all_reduce_sum(&tensor)?;
        Ok(tensor.f_copy_data(values, values.len())?)
    }

    /// The sum of `x` over the processes, differentiable: the gradient is the sum of all processes' gradients.
    pub fn differentiable_sum(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mut message = std::ptr::null_mut();
        // SAFETY: the tensor is live, `lend` and `release` hand a reference to this group to the shim and back, and
        // `message` is written only on failure.
        let result = unsafe { ecg_sum_over_processes(x.as_ptr(), self.lend(), release, sum, &mut message) };
        shim::tensor(result, message)
    }

    /// What failed, once something has: the reason behind errors that libtorch passed through.
    pub fn failure(&self) -> Option<TrainerError> {
        self.inner.failure.get().cloned().map(TrainerError::Distributed)
    }

    /// A reference to this group for C++, which must give it to [`release`].
    pub(crate) fn lend(&self) -> *const c_void {
        Box::into_raw(Box::new(self.clone())).cast_const().cast()
    }

    /// Starts to sum a bucket of gradients; buckets must start in the same order everywhere.
    pub(super) fn start_sum(&self, values: &Tensor) -> Result<Pending, TrainerError> {
        self.is_nothing(values)?;
        match values.device() {
            Device::Cpu => {
                let work = lock(&self.inner.gradients).all_reduce(values);
                work.map(Pending::Gloo).map_err(|reason| self.fail(&reason))
            }
            device => {
                self.on_cuda(device, |nccl| nccl.all_reduce(values, Lane::Side))?;
                Ok(Pending::Nccl)
            }
        }
    }

    /// Waits for a bucket; on CUDA, lets torch's stream wait for it.
    pub(super) fn wait(&self, pending: Pending) -> Result<(), TrainerError> {
        match pending {
            Pending::Gloo(work) => self.finish(Ok(work)),
            Pending::Nccl => match &mut *lock(&self.inner.nccl) {
                Some(nccl) => nccl.join().map_err(|reason| self.fail(&reason)),
                None => Ok(()),
            },
        }
    }

    fn finish(&self, work: Result<Work, String>) -> Result<(), TrainerError> {
        let mut work = work.map_err(|reason| self.fail(&reason))?;
        let mut patience = self.inner.watch.patience();
        loop {
            match work.wait(Watch::tick()) {
                Progress::Done => {
                    self.inner.watch.set_deaf(false);
                    return Ok(());
                }
                Progress::Failed(reason) => return Err(self.fail(&self.inner.watch.explain(&reason))),
                Progress::UnderWay => {
                    if let Some(failure) = patience.check() {
                        return Err(self.fail(&failure));
                    }
                }
            }
        }
    }

    /// Whether there is nothing to exchange.
    fn is_nothing(&self, values: &Tensor) -> Result<bool, TrainerError> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        if !values.is_contiguous() {
            return Err(TrainerError::Distributed(
                "only tensors that are dense in memory are exchanged".to_owned(),
            ));
        }
        Ok(values.numel() == 0)
    }

    fn on_cuda(&self, device: Device, issue: impl FnOnce(&mut Nccl) -> Result<(), String>) -> Result<(), TrainerError> {
        let mut slot = lock(&self.inner.nccl);
        // Until the next sum over Gloo the thread may wait for its GPU, and the GPU for a process that is lost.
        self.inner.watch.set_deaf(true);
        if slot.is_none() {
            let connected = Nccl::connect(&self.inner.store, self.rank(), self.size(), device);
            *slot = Some(connected.map_err(|reason| self.fail(&reason))?);
        }
        match &mut *slot {
            Some(nccl) => issue(nccl).map_err(|reason| self.fail(&reason)),
            None => Ok(()),
        }
    }

    fn fail(&self, reason: &str) -> TrainerError {
        TrainerError::Distributed(self.inner.failure.get_or_init(|| reason.to_owned()).clone())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // After a failure collectives may be under way that never end; the process ends instead.
        if self.failure.get().is_none() {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe {
                ManuallyDrop::drop(&mut self.common);
                ManuallyDrop::drop(&mut self.gradients);
            }
        }
    }
}

/// Makes sure that this process waits for as many others as the first one does.
fn check_size(store: &Store, place: &Place) -> Result<(), String> {
    const NAME: &str = "size";
    if place.rank == 0 {
        return store.set(NAME, &(place.size as u64).to_le_bytes());
    }
    let mut first = [0; 8];
    store.get(NAME, &mut first)?;
    match u64::from_le_bytes(first) {
        size if size == place.size as u64 => Ok(()),
        size => Err(format!("WORLD_SIZE is {} here and {size} in rank 0", place.size)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a reference back that [`Group::lend`] made; null is allowed.
///
/// # Safety
/// `group` must be such a reference, not yet given back.
pub(crate) unsafe extern "C" fn release(group: *const c_void) {
    if !group.is_null() {
        // SAFETY: the caller vouches for it.
        drop(unsafe { Box::from_raw(group.cast_mut().cast::<Group>()) });
    }
}

unsafe extern "C" fn sum(group: *const c_void, values: *mut C_tensor) -> i32 {
    // SAFETY: the shim holds a reference that `lend` made, and passes a live tensor that is nobody else's.
    let (group, values) = unsafe { (&*group.cast::<Group>(), Tensor::clone_from_ptr(values)) };
    i32::from(group.all_reduce_sum(&values).is_err())
}
