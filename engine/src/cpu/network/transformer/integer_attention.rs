//! The attention of a Transformer layer, both operands of its products rounded to 8 bits.

use crate::cpu::kernels::integer::{PairPanels, Product, Quantize, Results};
use crate::cpu::kernels::{Aligned, Buffer, Operand, PANEL, Softmax, padded};
use crate::plan::AttentionRounding;
use crate::signal::WINDOWS;
use crate::simd::Isa;

/// Attention of every head: `projected [80, 3·width]` to `mixed`, whose rows are `stride` apart.
pub(super) fn attend(
    isa: Isa,
    rounding: AttentionRounding,
    (heads, width): (usize, usize),
    projected: &[f32],
    (mixed, stride): (&mut [f32], usize),
    (floats, bytes): (&mut Aligned, &mut Buffer<i16>),
) {
    let AttentionRounding {
        scores: [query, key],
        mixed: [weight, value],
    } = rounding;
    let per_head = width / heads;
    let (row, columns) = (3 * width, padded(WINDOWS));
    let (length, head_columns) = (per_head.next_multiple_of(2), padded(per_head));
    let root = 1.0 / (per_head as f32).sqrt();

    // Queries [80, length], keys and values in panels of pairs, scores [80, columns].
    let sizes = [
        WINDOWS * length,
        columns * length,
        WINDOWS * head_columns,
        WINDOWS * columns,
        3 * WINDOWS * width,
    ];
    let bytes = bytes.resize(sizes.iter().sum());
    bytes.fill(0);
    let (queries, rest) = bytes.split_at_mut(sizes[0]);
    let (keys, rest) = rest.split_at_mut(sizes[1]);
    let (values, rest) = rest.split_at_mut(sizes[2]);
    let (weights, rounded) = rest.split_at_mut(sizes[3]);
    let floats = floats.resize(WINDOWS * columns + WINDOWS * width + 2 * columns.max(head_columns));
    let (scores, rest) = floats.split_at_mut(WINDOWS * columns);
    let (scaled, rest) = rest.split_at_mut(WINDOWS * width);
    let (factors, zeros) = rest.split_at_mut(columns.max(head_columns));
    zeros.fill(0.0);

    let thirds = projected.chunks_exact(row).zip(scaled.chunks_exact_mut(width));
    for (projected, scaled) in thirds {
        for (to, from) in scaled.iter_mut().zip(projected) {
            *to = from * root;
        }
    }
    let (rounded_queries, rest) = rounded.split_at_mut(WINDOWS * width);
    isa.run(Quantize {
        from: scaled,
        to: rounded_queries,
        rounding: query.into(),
    });
    let (rounded_keys, rounded_values) = rest.split_at_mut(WINDOWS * width);
    for step in 0..WINDOWS {
        let parts = [
            (&mut *rounded_keys, key, width),
            (&mut *rounded_values, value, 2 * width),
        ];
        for (to, quantization, first) in parts {
            isa.run(Quantize {
                from: &projected[step * row + first..][..width],
                to: &mut to[step * width..][..width],
                rounding: quantization.into(),
            });
        }
    }
    let query_rows: Vec<usize> = (0..WINDOWS).map(|step| step * length).collect();
    let score_rows: Vec<usize> = (0..WINDOWS).map(|step| step * columns).collect();
    for head in 0..heads {
        let first = head * per_head;
        for step in 0..WINDOWS {
            let at = step * width + first;
            queries[step * length..][..per_head].copy_from_slice(&rounded_queries[at..][..per_head]);
            for i in 0..per_head {
                let pair = (step / PANEL * length / 2 + i / 2) * PANEL + step % PANEL;
                keys[2 * pair + i % 2] = rounded_keys[at + i];
                let pair = (i / PANEL * (WINDOWS / 2) + step / 2) * PANEL + i % PANEL;
                values[2 * pair + step % 2] = rounded_values[at + i];
            }
        }
        factors.fill(query.scale * key.scale);
        isa.run(Product {
            batch: 1,
            a: queries,
            a_rows: Operand::of(&query_rows),
            b: PairPanels {
                data: keys,
                pairs: length / 2,
                panels: columns / PANEL,
            },
            c: Results::Values(scores, factors, zeros),
            c_rows: Operand::of(&score_rows),
        });
        isa.run(Softmax {
            values: scores,
            stride: columns,
            columns: WINDOWS,
            factor: 1.0,
        });
        isa.run(Quantize {
            from: scores,
            to: weights,
            rounding: weight.into(),
        });
        factors.fill(weight.scale * value.scale);
        let mixed_rows: Vec<usize> = (0..WINDOWS).map(|step| step * stride + first).collect();
        isa.run(Product {
            batch: 1,
            a: weights,
            a_rows: Operand::of(&score_rows),
            b: PairPanels {
                data: values,
                pairs: WINDOWS / 2,
                panels: head_columns / PANEL,
            },
            c: Results::Values(mixed, factors, zeros),
            c_rows: Operand::of(&mixed_rows),
        });
    }
}
