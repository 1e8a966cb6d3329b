//! The functions `autograd.cpp` calls for tensors on a GPU: launches of `dualnet_cuda::pau` on the stream that libtorch works on.

use super::ffi::{Coefficients, Kernels, Place};
use super::gpu::{Driver, Gpu, launch};
use dualnet_cuda::{CudaError, Element, pau};
use std::ffi::{c_char, c_void};

/// The kernels of tensors on a GPU.
pub(super) static KERNELS: Kernels = kernels::<Driver>();

/// Those that launch on `G`.
pub(super) const fn kernels<G: Gpu>() -> Kernels {
    Kernels {
        forward: forward::<G>,
        partials,
        backward: backward::<G>,
    }
}

/// The launcher for these elements and coefficients, and the coefficients' addresses.
fn launcher(place: &Place, coefficients: &Coefficients) -> Result<(pau::Pau, pau::Coefficients<u64>), CudaError> {
    let element = match place.element {
        0 => Element::F32,
        1 => Element::F16,
        2 => Element::Bf16,
        other => return Err(CudaError::Launch(format!("a Pade activation of elements {other}"))),
    };
    let unit = pau::Coefficients {
        numerator: coefficients.numerator as u64,
        denominator: coefficients.denominator as u64,
    };
    let (m, n) = (coefficients.numerator_length, coefficients.denominator_length);
    Ok((pau::Pau::new(element, m, n)?, unit))
}

unsafe extern "C" fn forward<G: Gpu>(
    place: *const Place,
    coefficients: *const Coefficients,
    x: *const c_void,
    y: *mut c_void,
    length: usize,
    message: *mut c_char,
) -> i32 {
    // SAFETY: the shim passes what it made.
    let launcher = unsafe { launcher(&*place, &*coefficients) };
    let launches = launcher.and_then(|(pau, unit)| pau.forward(x as u64, y as u64, unit, length as u64));
    // SAFETY: the shim passes pointers into live, dense tensors of `length` elements on the device of `place`, whose allocator hands
    // their memory to later work of the same stream only; y is freshly allocated and overlaps nothing.
    unsafe { launch::<G>(place, launches, message) }
}

unsafe extern "C" fn partials(place: *const Place, coefficients: *const Coefficients, length: usize) -> usize {
    // SAFETY: the shim passes what it made. What cannot be launched needs no room, and `backward` says so.
    unsafe { launcher(&*place, &*coefficients) }
        .ok()
        .and_then(|(pau, _)| usize::try_from(pau.partials(length as u64)).ok())
        .unwrap_or(0)
}

unsafe extern "C" fn backward<G: Gpu>(
    place: *const Place,
    coefficients: *const Coefficients,
    x: *const c_void,
    grad_y: *const c_void,
    grad_x: *mut c_void,
    length: usize,
    partials: *mut f32,
    grad_numerator: *mut f32,
    grad_denominator: *mut f32,
    message: *mut c_char,
) -> i32 {
    // SAFETY: the shim passes what it made.
    let launcher = unsafe { launcher(&*place, &*coefficients) };
    let launches = launcher.and_then(|(pau, unit)| {
        let gradients = pau::Coefficients {
            numerator: grad_numerator as u64,
            denominator: grad_denominator as u64,
        };
        let maps = [x as u64, grad_y as u64, grad_x as u64];
        pau.backward(maps, partials as u64, unit, gradients, length as u64)
    });
    // SAFETY: as in `forward`; the gradients are freshly allocated, those of the coefficients as long as these, and `partials` is as long as
    // the function of that name said.
    unsafe { launch::<G>(place, launches, message) }
}

#[cfg(test)]
mod tests {
    use super::super::apply;
    use super::super::gpu::Broken;
    use super::*;
    use dualnet_cuda::{Argument, Device, Launch};
    use std::cell::RefCell;
    use std::slice::{from_raw_parts, from_raw_parts_mut};
    use tch::{Kind, Tensor};

    thread_local! {
        static SEEN: RefCell<Vec<(usize, usize, Launch<u64>)>> = const { RefCell::new(Vec::new()) };
    }

    /// Stands in for a GPU: writes down what it is given and does it with the CPU's arithmetic, for float32 in the CPU's memory.
    struct Recorder;

    impl Gpu for Recorder {
        unsafe fn run(device: usize, stream: *mut c_void, launches: &[Launch<u64>]) -> Result<(), CudaError> {
            // SAFETY: the tests' tensors are float32 on the CPU, of the extents that the launches state.
            unsafe { perform(launches) };
            let seen = launches.iter().map(|launch| (device, stream as usize, launch.clone()));
            SEEN.with_borrow_mut(|all| all.extend(seen));
            Ok(())
        }
    }

    fn numbers(launch: &Launch<u64>) -> Vec<usize> {
        let number = |argument: &Argument<u64>| match *argument {
            Argument::Memory(address) => address as usize,
            Argument::I32(number) => number as usize,
            Argument::I64(number) => number as usize,
            Argument::F32(_) => panic!("the activation has no such argument"),
        };
        launch.arguments.iter().map(number).collect()
    }

    /// # Safety
    /// The arguments are as the launcher's documentation states, on the CPU.
    unsafe fn perform(launches: &[Launch<u64>]) {
        // SAFETY: the caller vouches for addresses and lengths.
        let read = |address: usize, length: usize| unsafe { from_raw_parts(address as *const f32, length) };
        // SAFETY: as above.
        let write = |address: usize, length: usize| unsafe { from_raw_parts_mut(address as *mut f32, length) };
        match launches {
            [forward] => {
                assert_eq!(forward.kernel, "pau_forward_f32_5_4");
                let [x, y, p, m, q, n, count] = numbers(forward)[..] else {
                    panic!("arguments")
                };
                let pau = dualnet_engine::pau::Pau::new(read(p, m), read(q, n)).expect("a unit");
                pau.forward(read(x, count), write(y, count));
            }
            [backward, gradients] => {
                assert_eq!(
                    [&*backward.kernel, &*gradients.kernel],
                    ["pau_backward_f32_5_4", "pau_gradients"]
                );
                let [x, grad_y, grad_x, partials, p, m, q, n, count] = numbers(backward)[..] else {
                    panic!("arguments")
                };
                let [same, _, _, _, _, _, _, grad_p, grad_q] = numbers(gradients)[..] else {
                    panic!("arguments")
                };
                assert_eq!(same, partials);
                let pau = dualnet_engine::pau::Pau::new(read(p, m), read(q, n)).expect("a unit");
                write(partials, 10).fill(0.0);
                let sums = pau.backward_parallel(read(x, count), read(grad_y, count), write(grad_x, count));
                write(grad_p, m).copy_from_slice(&sums.numerator);
                write(grad_q, n).copy_from_slice(&sums.denominator);
            }
            _ => panic!("{launches:?}"),
        }
    }

    fn leaf(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    /// The whole way through libtorch's autograd, forward and backward: the launches get the tensors' own addresses, and the gradients are
    /// those of the CPU's operation.
    #[test]
    fn launches_work_on_the_tensors_themselves() {
        static RECORDING: Kernels = kernels::<Recorder>();
        let values = Tensor::arange(60, (Kind::Float, tch::Device::Cpu)) / 10.0 - 3.0;
        let mut gradients = Vec::new();
        for kernels in [&super::super::cpu::KERNELS, &RECORDING] {
            let x = values.view([3, 4, 5]).permute([0, 2, 1]).set_requires_grad(true);
            let (p, q) = (leaf(&[0.1, 0.5, 0.3, -0.2, 0.4, 0.1]), leaf(&[0.2, -0.4, 0.1, 0.3]));
            let y = apply(&x, &p, &q, kernels).expect("the unit");
            (&y * &x.detach()).sum(Kind::Float).backward();
            let address = |tensor: &Tensor| tensor.data_ptr() as u64;
            SEEN.with_borrow_mut(|seen| {
                for (device, stream, _) in &*seen {
                    assert_eq!((*device, *stream), (0, 0), "the CPU has one device and no stream");
                }
                if let [(_, _, forward), (_, _, backward), _] = &seen[..] {
                    let memory =
                        |launch: &Launch<u64>, index: usize| launch.arguments[index] == Argument::Memory(address(&x));
                    assert!(memory(forward, 0) && memory(backward, 0));
                    assert_eq!(forward.arguments[1], Argument::Memory(address(&y)));
                    assert_eq!(forward.arguments[2], Argument::Memory(address(&p)));
                    assert_eq!(forward.arguments.last(), Some(&Argument::I64(60)));
                }
                assert_eq!(seen.len(), if std::ptr::eq(kernels, &RECORDING) { 3 } else { 0 });
                seen.clear();
            });
            gradients.push([y.detach(), x.grad(), p.grad(), q.grad()]);
        }
        for (cpu, stood_in) in gradients[0].iter().zip(&gradients[1]) {
            assert!(cpu.equal(stood_in) && cpu.stride() == stood_in.stride());
        }
    }

    #[test]
    fn half_precision_and_other_orders_have_kernels_of_their_own() {
        let place = |element| Place {
            device: 1,
            element,
            stream: std::ptr::null_mut(),
        };
        let unit = |numerator_length, denominator_length| Coefficients {
            numerator: std::ptr::null(),
            numerator_length,
            denominator: std::ptr::null(),
            denominator_length,
        };
        let kernel = |element, m, n| {
            let (pau, unit) = launcher(&place(element), &unit(m, n))?;
            Ok::<_, CudaError>(pau.forward(0, 0, unit, 1)?.remove(0).kernel)
        };
        assert_eq!(kernel(1, 6, 4).unwrap(), "pau_forward_f16_5_4");
        assert_eq!(kernel(2, 9, 8).unwrap(), "pau_forward_bf16_8_8");
        assert!(kernel(0, 10, 4).is_err() && kernel(0, 0, 4).is_err() && kernel(3, 6, 4).is_err());
    }

    #[test]
    fn what_a_gpu_reports_is_the_errors_text() {
        static REFUSING: Kernels = kernels::<Broken>();
        let x = leaf(&[1.0, 2.0]);
        let error = apply(&x, &leaf(&[0.1, 0.5]), &leaf(&[0.2]), &REFUSING).unwrap_err();
        assert!(error.to_string().contains("out of memory"), "{error}");
        let far = apply(&x, &leaf(&[0.1; 12]), &leaf(&[0.2]), &REFUSING).unwrap_err();
        assert!(far.to_string().contains("1 to 9 and 1 to 8 are supported"), "{far}");
    }

    /// The driver itself, where there is none or no kernels: an error, never a result.
    #[test]
    fn without_a_gpu_nothing_runs() {
        if Device::count().is_ok() {
            dualnet_fixtures::report(format_args!(
                "skipped: this machine has a GPU; the error of a driver that is not there is not tested"
            ));
            return;
        }
        let error = apply(&leaf(&[1.0]), &leaf(&[0.1]), &leaf(&[0.2]), &KERNELS).unwrap_err();
        assert!(error.to_string().contains("NVIDIA driver"), "{error}");
    }
}
