//! Every number of channels, on every instruction set, against one channel after the other. Whole numbers: any order gives the same bits.

use super::*;
use dualnet_engine::simd::{Isa, Kernel, MAX_LANES};

const WIDTH: usize = 2 * MAX_LANES;
/// Rows as of attention maps, and as of relative embeddings.
const APART: [usize; 2] = [WIDTH, WIDTH + 5];

struct All {
    count: usize,
}

/// What the functions gave, one after the other.
type Results = Vec<Vec<f32>>;

/// Two sets of rows, a row, factors, and what is added to.
type Operands = ([Vec<f32>; 2], Vec<f32>, [Vec<f32>; 2], [Vec<f32>; 2]);

fn numbers(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + salt * 11) % 17) as f32 - 8.0).collect()
}

fn operands(count: usize) -> Operands {
    (
        [0, 1].map(|k| numbers(count * APART[k], k)),
        numbers(WIDTH, 2),
        [3, 4].map(|salt| numbers(count, salt)),
        [0, 1].map(|k| numbers(count * APART[k], 5 + k)),
    )
}

fn to_write([first, second]: &mut [Vec<f32>; 2]) -> [RowsMut<'_>; 2] {
    [(first, APART[0]), (second, APART[1])].map(|(values, apart)| RowsMut { values, apart })
}

impl Kernel for All {
    type Output = Results;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Results {
        let (values, row, factors, added) = operands(self.count);
        let rows = [0, 1].map(|k| Rows {
            values: &values[k],
            apart: APART[k],
        });
        let mut results = Vec::new();
        let mut out = vec![f32::NAN; WIDTH];
        combine(simd, &factors[0], rows[1], &mut out);
        results.push(out.clone());
        combine_products(simd, self.count, rows[0], rows[1], &mut out);
        results.push(out);
        let mut pairs = vec![f32::NAN; 2 * self.count];
        dots(simd, &row, rows, &mut pairs);
        results.push(pairs);

        let (mut gradients, mut towards) = (added.clone(), numbers(WIDTH, 7));
        let of = [&factors[0][..], &factors[1]];
        dots_back(simd, of, &row, rows, &mut to_write(&mut gradients), &mut towards);
        results.extend(gradients);
        results.push(towards);

        let mut gradients = added.clone();
        let [mut sums, mut of_rows] = to_write(&mut gradients);
        combine_back(simd, &row, &factors[0], rows[1], &mut sums, &mut of_rows);
        results.extend(gradients);

        let mut gradients = added;
        combine_products_back(simd, self.count, &row, rows, &mut to_write(&mut gradients));
        results.extend(gradients);
        results
    }
}

fn one_after_the_other(count: usize) -> Results {
    let (values, row, factors, added) = operands(count);
    let of = |k: usize, c: usize, j: usize| values[k][c * APART[k] + j];
    let over = |sum: &dyn Fn(usize) -> f32| (0..WIDTH).map(sum).sum::<f32>();
    let along = |value: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
        (0..WIDTH).map(|j| (0..count).map(|c| value(c, j)).sum()).collect()
    };
    // `added`, and `value` of every channel and place.
    let plus = |k: usize, value: &dyn Fn(usize, usize) -> f32| {
        let mut out = added[k].clone();
        for (c, j) in (0..count).flat_map(|c| (0..WIDTH).map(move |j| (c, j))) {
            out[c * APART[k] + j] += value(c, j);
        }
        out
    };
    let mut results = vec![
        along(&|c, j| factors[0][c] * of(1, c, j)),
        along(&|c, j| of(0, c, j) * of(1, c, j)),
        (0..2 * count)
            .map(|i| over(&|j| row[j] * of(i % 2, i / 2, j)))
            .collect(),
    ];
    results.extend([0, 1].map(|k| plus(k, &|c, j| factors[k][c] * row[j])));
    let towards = along(&|c, j| factors[0][c] * of(0, c, j) + factors[1][c] * of(1, c, j));
    results.push(towards.iter().zip(numbers(WIDTH, 7)).map(|(sum, x)| sum + x).collect());
    let mut sums = added[0].clone();
    for c in 0..count {
        sums[c * APART[0]] += over(&|j| row[j] * of(1, c, j));
    }
    results.push(sums);
    results.push(plus(1, &|c, j| factors[0][c] * row[j]));
    results.push(plus(0, &|c, j| row[j] * of(1, c, j)));
    results.push(plus(1, &|c, j| row[j] * of(0, c, j)));
    results
}

#[test]
fn channels_together_give_what_they_give_one_after_the_other() {
    for count in 1..=9 {
        let expected = one_after_the_other(count);
        for isa in Isa::available() {
            assert_eq!(isa.run(All { count }), expected, "{isa:?}, {count} channels");
        }
    }
}
