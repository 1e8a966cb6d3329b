//! Products of tiles from shared memory (`product.cuh`) on the host.

use crate::program::{Build, build};
use crate::script::{On, Script};
use dualnet_cuda::{Argument, Element, Launch, Precision};

/// Whether the product of small whole numbers, exact in every type, is what it should be for two depths.
pub fn passes(on: On<'_>, precision: Precision) -> Result<(), String> {
    for depth in [32, 64] {
        let a = |row: usize, k: usize| (row * 7 + k * 3) as i32 % 11 - 5;
        let b = |column: usize, k: usize| (k * 5 + column * 2) as i32 % 9 - 4;
        let all = |rows: usize, value: &dyn Fn(usize, usize) -> i32| -> Vec<u8> {
            let values = (0..rows * depth).map(|index| value(index / depth, index % depth));
            match precision {
                Precision::Float(element) => element.encode(values.map(|value| value as f32)),
                Precision::Int8 => values.map(|value| value as u8).collect(),
            }
        };
        let mut script = Script::default();
        let memory = [
            script.bytes("a", precision.bytes(), all(16, &a)),
            script.bytes("b", precision.bytes(), all(8, &b)),
            script.output("d", 4, 128),
        ];
        let mut arguments = memory.map(Argument::Memory).to_vec();
        arguments.extend([depth, depth + 16, depth + 8].map(|number| Argument::I32(number as i32)));
        script.launch(&Launch {
            family: "product",
            kernel: format!("product_{}", precision.name()),
            blocks: 1,
            rows: 1,
            threads: 32,
            shared_bytes: 0,
            together: false,
            arguments,
        });
        script.save(memory[2], 128);
        script.run(on).map_err(|fault| format!("{precision:?}: {fault:?}"))?;
        let got: Vec<i32> = match precision {
            Precision::Int8 => script.saved("d"),
            Precision::Float(_) => script
                .saved_floats("d", Element::F32)
                .into_iter()
                .map(|v| v as i32)
                .collect(),
        };
        for (index, &got) in got.iter().enumerate() {
            let want: i32 = (0..depth).map(|k| a(index / 8, k) * b(index % 8, k)).sum();
            if got != want {
                return Err(format!(
                    "{precision:?}, depth {depth}, output {index}: {got}, expected {want}"
                ));
            }
        }
    }
    Ok(())
}

#[test]
fn a_warps_tile_is_the_product_of_its_rows() {
    let program = build("product", include_str!("product.cu"), Build::Sanitized);
    let on = On::host(&program, 4);
    for precision in Precision::ALL {
        passes(on, precision).unwrap_or_else(|error| panic!("{error}"));
    }
}
