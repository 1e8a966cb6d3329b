use super::super::gpu::Broken;
use super::super::{ConditionalPau, Gain};
use super::super::{ffi, site_cpu};
use super::*;
use crate::train::DropoutUnit;
use dualnet_cuda::{Argument, Device, Launch};
use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use tch::{Kind, Tensor};

thread_local! {
    static SEEN: RefCell<Vec<Launch<u64>>> = const { RefCell::new(Vec::new()) };
}

/// Stands in for a GPU: writes down what it is given and does it with the CPU's arithmetic, in the CPU's memory.
struct Recorder;

static RECORDING: Kernels = kernels::<Recorder>();

impl Gpu for Recorder {
    unsafe fn run(device: usize, stream: *mut c_void, launches: &[Launch<u64>]) -> Result<(), CudaError> {
        assert!(device == 0 && stream.is_null(), "the CPU has one device and no stream");
        assert!(launches.iter().all(|launch| launch.family == "site"));
        let names: Vec<&str> = launches.iter().map(|launch| &*launch.kernel).collect();
        // SAFETY: the tests' tensors are float32 on the CPU, of the extents that the launches state.
        unsafe {
            match (&names[..], launches) {
                (["site_moments", "site_lines", _], [moments, lines, map]) => forward(Some(moments), lines, map),
                (["site_lines", _], [lines, map]) => forward(None, lines, map),
                (["site_backward", "site_gradients", "site_unit_gradients", "site_input"], all) => backward(all),
                _ => panic!("{names:?}"),
            }
        }
        SEEN.with_borrow_mut(|seen| seen.extend_from_slice(launches));
        Ok(())
    }
}

/// Addresses, then whole numbers.
fn arguments(launch: &Launch<u64>) -> (Vec<u64>, Vec<usize>) {
    let (mut addresses, mut numbers) = (Vec::new(), Vec::new());
    for argument in &launch.arguments {
        match *argument {
            Argument::Memory(address) => addresses.push(address),
            Argument::I32(number) => numbers.push(number as u32 as usize),
            // See `gain`.
            Argument::F32(_) => {}
            Argument::I64(_) => panic!("a site has no such argument"),
        }
    }
    (addresses, numbers)
}

/// The address, or null.
fn given(is_given: usize, address: u64) -> *const f32 {
    match is_given {
        0 => null(),
        _ => address as *const f32,
    }
}

/// A gain as the shim passes it: factors, key and probability.
type Passed = (*const f32, *const u64, f64);

/// The gain that a launch states: addresses of factors and key, which of them it is, and the threshold of the draws.
fn gain(launch: &Launch<u64>, [factors, key]: [u64; 2], [kind, threshold]: [usize; 2]) -> Passed {
    let share = threshold as f64 * 2_f64.powi(-32);
    let factor = (1.0 / (1.0 - share)) as f32;
    assert_eq!(launch.arguments.last(), Some(&Argument::F32(factor)));
    match kind {
        0 | 1 => {
            assert_eq!(threshold, 0, "nothing is drawn");
            (given(kind, factors), null(), 0.0)
        }
        2 => (null(), key as *const u64, share),
        _ => panic!("a gain of kind {kind}"),
    }
}

/// # Safety
/// There is room for `count` numbers at the address.
unsafe fn overwrite(address: u64, count: usize) {
    assert_ne!(address, 0);
    // SAFETY: the caller vouches for the room.
    unsafe { std::slice::from_raw_parts_mut(address as *mut f32, count) }.fill(f32::NAN);
}

/// Operands from the arguments of a kernel over maps: `[x, …]`, the optional ones, the unit's, extents and numbers of coefficients.
fn operands(
    [x, gamma, beta, p, q]: [u64; 5],
    [modulation, shortcut]: [*const f32; 2],
    (gain, key, share): Passed,
    extents: &[usize],
    [m, n, pool]: [usize; 3],
) -> Operands {
    for map in [x, shortcut as u64, gain as u64] {
        assert_eq!(map % 16, 0, "not where the kernels take it");
    }
    Operands {
        samples: extents[0],
        height: extents[1],
        width: extents[2],
        channels: extents[3],
        pool,
        coefficients: ffi::Coefficients {
            numerator: p as *const f32,
            numerator_length: m,
            denominator: q as *const f32,
            denominator_length: n,
        },
        x: x as *const f32,
        gamma: gamma as *const f32,
        beta: beta as *const f32,
        modulation,
        shortcut,
        gain,
        key,
        share,
        batch_statistics: 0,
        group: null(),
    }
}

/// Where the stand-in works.
const CPU: Place = Place {
    device: 0,
    element: 0,
    stream: null_mut(),
};

/// Gives a call room for a message, which it must not need.
fn succeed(call: impl FnOnce(*mut c_char) -> i32) {
    let mut message = [0; 256];
    assert_eq!(call(message.as_mut_ptr()), 0);
}

/// # Safety
/// The arguments are as the launcher's documentation states, on the CPU.
unsafe fn forward(moments: Option<&Launch<u64>>, lines: &Launch<u64>, map: &Launch<u64>) {
    let (small, of_lines) = arguments(lines);
    let [partials, gamma, beta, modulation, mean, variance, statistics, kept] = small[..] else {
        panic!("arguments")
    };
    let (maps, numbers) = arguments(map);
    let [x, same, shortcut, factors, key, y, p, q] = maps[..] else {
        panic!("arguments")
    };
    let [records, _, _, channels, chunks, has_shortcut, kind, threshold, m, n] = numbers[..] else {
        panic!("arguments")
    };
    assert_eq!(kept, same);
    assert_eq!(of_lines[6], usize::from(moments.is_some()));
    if let Some(moments) = moments {
        assert_eq!(arguments(moments).0, [x, mean, partials]);
    }
    let pool = usize::from(map.kernel == "site_forward_pooled");
    let optional = [given(of_lines[5], modulation), given(has_shortcut, shortcut)];
    let gain = gain(map, [factors, key], [kind, threshold]);
    let operands = Operands {
        batch_statistics: usize::from(moments.is_some()),
        ..operands([x, gamma, beta, p, q], optional, gain, &numbers, [m, n, pool])
    };
    let kept = Kept {
        statistics: statistics as *mut f64,
        lines: kept as *mut f32,
    };
    let to = Output {
        running_mean: mean as *mut f32,
        running_variance: variance as *mut f32,
        partials: partials as *mut f32,
        y: y as *mut f32,
    };
    // SAFETY: the caller vouches for addresses and lengths.
    unsafe {
        overwrite(partials, 2 * records * chunks * channels);
        overwrite(kept.lines as u64, 2 * records * channels);
        succeed(|message| (site_cpu::KERNELS.forward)(&CPU, &operands, &kept, &to, message));
    }
}

/// # Safety
/// As for [`forward`].
unsafe fn backward(launches: &[Launch<u64>]) {
    let of_map = &launches[0];
    let [map, gradients, unit, input] = [0, 1, 2, 3].map(|index| arguments(&launches[index]));
    let [
        x,
        lines,
        statistics,
        shortcut,
        factors,
        key,
        grad_y,
        grad_u,
        sums,
        unit_partials,
        p,
        q,
    ] = map.0[..]
    else {
        panic!("arguments")
    };
    let [
        records,
        _,
        _,
        channels,
        chunks,
        has_shortcut,
        kind,
        threshold,
        m,
        n,
        pool,
    ] = map.1[..]
    else {
        panic!("arguments")
    };
    let [
        _,
        _,
        gamma,
        beta,
        modulation,
        grad_gamma,
        grad_beta,
        grad_modulation,
        towards,
    ] = gradients.0[..]
    else {
        panic!("arguments")
    };
    let [is_modulated, batch_statistics] = gradients.1[5..] else {
        panic!("arguments")
    };
    let [_, _, _, grad_p, grad_q] = unit.0[..] else {
        panic!("arguments")
    };
    let grad_x = input.0[4];
    assert_eq!(gradients.0[..2], [sums, statistics]);
    assert_eq!(unit.0[..3], [unit_partials, p, q]);
    assert_eq!(input.0[..4], [x, grad_u, lines, towards]);
    let optional = [given(is_modulated, modulation), given(has_shortcut, shortcut)];
    let gain = gain(of_map, [factors, key], [kind, threshold]);
    let operands = Operands {
        batch_statistics,
        ..operands([x, gamma, beta, p, q], optional, gain, &map.1, [m, n, pool])
    };
    assert_eq!(grad_y % 16, 0);
    let kept = Kept {
        statistics: statistics as *mut f64,
        lines: lines as *mut f32,
    };
    let to = Gradients {
        y: grad_y as *const f32,
        u: grad_u as *mut f32,
        x: grad_x as *mut f32,
        gamma: grad_gamma as *mut f32,
        beta: grad_beta as *mut f32,
        modulation: given(is_modulated, grad_modulation).cast_mut(),
        numerator: grad_p as *mut f32,
        denominator: grad_q as *mut f32,
        sums: sums as *mut f32,
        unit_partials: unit_partials as *mut f32,
        towards: towards as *mut f32,
    };
    // SAFETY: the caller vouches for addresses and lengths.
    unsafe {
        overwrite(sums, 2 * records * chunks * channels);
        overwrite(unit_partials, (m + n) * unit.1[0]);
        overwrite(towards, 2 * channels);
        succeed(|message| (site_cpu::KERNELS.backward)(&CPU, &operands, &kept, &to, message));
    }
}

/// Values between -2 and 2 that repeat nowhere near each other.
fn values(size: &[i64], step: f64) -> Tensor {
    let count = size.iter().product::<i64>();
    let line = Tensor::arange(count, (Kind::Float, tch::Device::Cpu));
    ((line * step).sin() * 2.0).view(size)
}

fn leaf(tensor: Tensor) -> Tensor {
    tensor.set_requires_grad(true)
}

/// A feature map in channels-last memory, `offset` floats away from where libtorch puts tensors.
fn map(step: f64, offset: i64) -> Tensor {
    let flat = values(&[2 * 5 * 4 * 8 + offset], step).narrow(0, offset, 2 * 5 * 4 * 8);
    flat.view([2, 5, 4, 8]).permute([0, 3, 1, 2])
}

/// One way to put a site together: whether there is a modulation, a shortcut, pooling, statistics of the batch; what is left out.
#[derive(Clone, Copy, Debug)]
struct Case([bool; 4], Option<DropoutUnit>);

impl Case {
    const FULL: Self = Self([true; 4], Some(DropoutUnit::Channels));
}

/// What a site gives and takes: the result, the running statistics, then all gradients; and the addresses of x and the result.
fn run(
    Case(case, dropout): Case,
    x: Tensor,
    kernels: Option<&'static Kernels>,
) -> Result<(Vec<Tensor>, [u64; 2]), tch::TchError> {
    let [modulated, shortcut, pool, batch_statistics] = case;
    let x = leaf(x);
    let channels = x.size()[1];
    let [gamma, beta] = [0.7, 0.3].map(|step| leaf(values(&[channels], step)));
    let modulation = leaf(values(&[2, 2 * channels], 0.9));
    // Not in the order of the kernels.
    let added = leaf(values(&x.size(), 0.13));
    let factors = values(&[2, channels], 1.7).relu();
    let key = Tensor::from_slice(&[0x1234_5678_90ab_cdef_i64]);
    let p = leaf(Tensor::from_slice(&[0.1_f32, 0.5, 0.3, -0.2, 0.4, 0.1]));
    let q = leaf(Tensor::from_slice(&[0.2_f32, -0.4, 0.1, 0.3]));
    let (running_mean, running_variance) = (values(&[channels], 0.5), values(&[channels], 0.4).exp());
    let site = ConditionalPau {
        x: &x,
        gamma: &gamma,
        beta: &beta,
        modulation: modulated.then_some(&modulation),
        shortcut: shortcut.then_some(&added),
        gain: dropout.map(|unit| match unit {
            DropoutUnit::Channels => Gain::Channels(&factors),
            DropoutUnit::Elements => Gain::Elements { key: &key, share: 0.3 },
        }),
        numerator: &p,
        denominator: &q,
        running_mean: &running_mean,
        running_variance: &running_variance,
        batch_statistics,
        pool,
        group: None,
    };
    let y = match kernels {
        Some(kernels) => site.apply_with(kernels)?,
        None => site.apply()?,
    };
    // The gradient that arrives is not in the order of the kernels.
    (&y * values(&y.size(), 0.31) + &y).sum(Kind::Float).backward();
    let addresses = [&x, &y].map(|tensor| tensor.data_ptr() as u64);
    let mut all = vec![y.detach(), running_mean, running_variance];
    all.extend([&x, &gamma, &beta, &p, &q].map(Tensor::grad));
    all.extend(
        [(modulated, &modulation), (shortcut, &added)]
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, t)| t.grad()),
    );
    Ok((all, addresses))
}

/// The whole way through libtorch's autograd, forward and backward: all that goes in and comes out is where it belongs.
#[test]
fn results_and_gradients_are_those_of_the_cpu() {
    let dropouts = [None, Some(DropoutUnit::Channels), Some(DropoutUnit::Elements)];
    let cases = (0..16).flat_map(|bits| dropouts.map(|dropout| Case([1, 2, 4, 8].map(|bit| bits & bit != 0), dropout)));
    for case in cases {
        let (cpu, _) = run(case, map(0.17, 0), None).expect("the CPU's operation");
        for (x, is_own) in [(map(0.17, 0), true), (map(0.17, 0).contiguous(), false)] {
            let (stood_in, [x, y]) = run(case, x, Some(&RECORDING)).expect("launches");
            let seen = SEEN.take();
            assert_eq!(seen.len(), if case.0[3] { 7 } else { 6 });
            let [forward, backward] = [&seen[seen.len() - 5], &seen[seen.len() - 4]].map(|launch| arguments(launch).0);
            assert_eq!((forward[0] == x, forward[5]), (is_own, y), "{case:?}");
            assert_eq!(backward[0], forward[0], "the map is saved, not copied");
            for (index, (a, b)) in cpu.iter().zip(&stood_in).enumerate() {
                assert!(a.equal(b), "{case:?}: {index}");
            }
            assert_eq!(cpu.len(), stood_in.len());
        }
    }
}

/// Kernels read 16 bytes at once: a map elsewhere is copied first, which the stand-in checks.
#[test]
fn maps_are_brought_to_multiples_of_16_bytes() {
    let (cpu, _) = run(Case::FULL, map(0.17, 1), None).expect("the CPU's operation");
    let (stood_in, _) = run(Case::FULL, map(0.17, 1), Some(&RECORDING)).expect("launches");
    SEEN.take();
    assert!(cpu.iter().zip(&stood_in).all(|(a, b)| a.equal(b)));
}

#[test]
fn what_cannot_run_is_an_error() {
    static REFUSING: Kernels = kernels::<Broken>();
    let error = |x: Tensor, kernels| run(Case::FULL, x, Some(kernels)).expect_err("refused").to_string();
    assert!(error(map(0.17, 0), &REFUSING).contains("out of memory"));
    let narrow = map(0.17, 0).narrow(1, 0, 6);
    assert!(error(narrow, &RECORDING).contains("supported"));
    assert!(error(map(0.17, 0).to_kind(Kind::Double), &RECORDING).contains("float32"));
    let flat = map(0.17, 0).narrow(2, 0, 1);
    assert!(error(flat, &RECORDING).contains("extents"));
    let none = (null(), null(), 0.0);
    let group = 0;
    let shared = Operands {
        group: (&raw const group).cast(),
        ..operands([0; 5], [null(); 2], none, &[2, 5, 4, 8], [6, 4, 0])
    };
    let refused = shared
        .launcher()
        .expect_err("processes that share the statistics")
        .to_string();
    assert!(refused.contains("not shared"), "{refused}");
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
    let error = run(Case([false; 4], None), map(0.17, 0), Some(&KERNELS))
        .expect_err("no GPU")
        .to_string();
    assert!(error.contains("NVIDIA driver"), "{error}");
}
