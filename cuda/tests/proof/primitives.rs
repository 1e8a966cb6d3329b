//! The emulated device: numbers, tensor-core products, exchanges.

use crate::program::{Build, build, family};
use crate::script::{On, Script};
use dualnet_cuda::probe;
use half::{bf16, f16};

/// Column k of row `row` of A lies in lane and register; four or two numbers to a register.
fn place_of_a(row: usize, k: usize, each: usize) -> (usize, usize, usize) {
    let (half, holder) = (k / (4 * each), k / each % 4);
    (row % 8 * 4 + holder, 2 * half + row / 8, k % each)
}

fn place_of_b(k: usize, column: usize, each: usize) -> (usize, usize, usize) {
    (column * 4 + k / each % 4, k / (4 * each), k % each)
}

type Encode = fn(i32) -> u32;
type Decode = fn(u32) -> f64;

/// Depth and numbers of each of [`probe::FORMATS`].
const NUMBERS: [(usize, Encode, Decode); 3] = [
    (32, |v| u32::from(v as i8 as u8), |bits| f64::from(bits as i32)),
    (16, |v| u32::from(f16::from_f32(v as f32).to_bits()), float),
    (16, |v| u32::from(bf16::from_f32(v as f32).to_bits()), float),
];

fn float(bits: u32) -> f64 {
    f64::from(f32::from_bits(bits))
}

/// Runs a product of small whole numbers, exact in every format, and compares it with that of the matrices.
fn product(on: On<'_>, format: &str, (depth, encode, decode): (usize, Encode, Decode)) -> Result<usize, String> {
    let each = depth / 8;
    let a = |row: usize, k: usize| (row * 7 + k * 3) as i32 % 11 - 5;
    let b = |k: usize, column: usize| (k * 5 + column * 2) as i32 % 9 - 4;
    let start = |row: usize, column: usize| (row + 100 * column) as i32;
    let (mut lanes_a, mut lanes_b, mut lanes_d) = (vec![0_u32; 128], vec![0_u32; 64], vec![0_u32; 128]);
    for k in 0..depth {
        for row in 0..16 {
            let (lane, register, part) = place_of_a(row, k, each);
            lanes_a[lane * 4 + register] |= encode(a(row, k)) << (part * 32 / each);
        }
        for column in 0..8 {
            let (lane, register, part) = place_of_b(k, column, each);
            lanes_b[lane * 2 + register] |= encode(b(k, column)) << (part * 32 / each);
        }
    }
    let sum_bits = |value: i32| match format {
        "s8" => value as u32,
        _ => (value as f32).to_bits(),
    };
    let d_place = |row: usize, column: usize| (row % 8 * 4 + column / 2) * 4 + row / 8 * 2 + column % 2;
    for row in 0..16 {
        for column in 0..8 {
            lanes_d[d_place(row, column)] = sum_bits(start(row, column));
        }
    }
    let mut script = Script::default();
    let memory = [
        script.input("a", &lanes_a),
        script.input("b", &lanes_b),
        script.input("d", &lanes_d),
    ];
    script.launch(&probe::product(format, memory[0], memory[1], memory[2]));
    script.save(memory[2], 128);
    script.run(on).map_err(|fault| format!("{format}: {fault:?}"))?;
    let got: Vec<u32> = script.saved("d");
    for (row, column) in (0..16).flat_map(|row| (0..8).map(move |column| (row, column))) {
        let sum: i32 = (0..depth).map(|k| a(row, k) * b(k, column)).sum();
        let (found, want) = (decode(got[d_place(row, column)]), f64::from(sum + start(row, column)));
        if found != want {
            return Err(format!("{format} [{row}, {column}]: {found}, expected {want}"));
        }
    }
    Ok(got.len())
}

/// Runs the exchange among the threads of a block, and compares what each has then.
fn exchange(on: On<'_>) -> Result<usize, String> {
    let values: Vec<f32> = (0..128).map(|i| i as f32).collect();
    let mut script = Script::default();
    let (from, to) = (script.input("values", &values), script.output("out", 4, 256));
    script.launch(&probe::exchange(from, to));
    script.save(to, 256);
    script.run(on).map_err(|fault| format!("{fault:?}"))?;
    let backwards = |i: usize| (127 - i) as f32;
    let shifted = |i: usize| backwards(if i % 32 < 29 { i + 3 } else { i });
    let want: Vec<f32> = (0..128).map(backwards).chain((0..128).map(shifted)).collect();
    let got: Vec<f32> = script.saved("out");
    match got == want {
        true => Ok(got.len()),
        false => Err(format!("{got:?}, expected {want:?}")),
    }
}

/// All of `probe`.
pub fn probes_pass(on: On<'_>) -> Result<usize, String> {
    let formats = probe::FORMATS.into_iter().zip(NUMBERS);
    let products = formats.map(|(format, numbers)| product(on, format, numbers));
    Ok(products.sum::<Result<usize, String>>()? + exchange(on)?)
}

#[test]
fn products_and_exchanges_are_their_definition() {
    let program = build("probe", &family("probe"), Build::Sanitized);
    probes_pass(On::host(&program, 11)).unwrap_or_else(|error| panic!("{error}"));
}

/// All 65 536 bit patterns both ways, and rounding at and beside every tie.
#[test]
fn sixteen_bit_numbers_are_those_of_the_hardware() {
    let source = include_str!("numbers.cu");
    let program = build("numbers", source, Build::Sanitized);
    let patterns: Vec<u16> = (0..=u16::MAX).collect();
    let mut values: Vec<f32> = Vec::new();
    for bits in (0..=u16::MAX).step_by(7) {
        for near in [f16::from_bits(bits).to_f32(), bf16::from_bits(bits).to_f32()] {
            let tie = |step: u32| f32::from_bits(near.to_bits().wrapping_add(step));
            values.extend([0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001].map(tie));
        }
    }
    values.truncate(65_536);
    let mut script = Script::default();
    let memory = [script.input("patterns", &patterns), script.input("values", &values)];
    let outputs = ["wide_f16", "wide_bf16", "f16", "bf16"];
    let sizes = [4, 4, 2, 2];
    let places: Vec<_> = outputs
        .iter()
        .zip(sizes)
        .map(|(&name, bytes)| script.output(name, bytes, 65_536))
        .collect();
    script.launch(&dualnet_cuda::Launch {
        family: "numbers",
        kernel: "numbers".to_owned(),
        blocks: 256,
        rows: 1,
        threads: 256,
        shared_bytes: 0,
        together: false,
        arguments: memory
            .into_iter()
            .chain(places.iter().copied())
            .map(dualnet_cuda::Argument::Memory)
            .collect(),
    });
    for &place in &places {
        script.save(place, 65_536);
    }
    script
        .run(On::host(&program, 11))
        .unwrap_or_else(|fault| panic!("{fault:?}"));
    let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    let (wide_f16, wide_bf16) = (script.saved::<f32>("wide_f16"), script.saved::<f32>("wide_bf16"));
    let (to_f16, to_bf16) = (script.saved::<u16>("f16"), script.saved::<u16>("bf16"));
    for (i, &bits) in patterns.iter().enumerate() {
        assert!(same(wide_f16[i], f16::from_bits(bits).to_f32()), "f16 {bits:#06x}");
        assert!(same(wide_bf16[i], bf16::from_bits(bits).to_f32()), "bf16 {bits:#06x}");
        let (half, brain) = (f16::from_bits(to_f16[i]), bf16::from_bits(to_bf16[i]));
        let (want_half, want_brain) = (f16::from_f32(values[i]), bf16::from_f32(values[i]));
        assert!(same(half.to_f32(), want_half.to_f32()), "{:e} to f16", values[i]);
        assert!(same(brain.to_f32(), want_brain.to_f32()), "{:e} to bf16", values[i]);
    }
}
