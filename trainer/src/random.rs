//! Random draws that are a function of (seed, epoch, record or step) alone.
//!
//! Each purpose has its own generator, seeded by mixing the numbers that name it: nothing depends on what was drawn
//! before, by which thread, or in which process. The numbers are those of splitmix64 (Steele et al. 2014).

use dualnet_engine::random::{GAMMA, SplitMix64, mix};

/// A small generator for draws that must repeat exactly; not for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    bits: SplitMix64,
}

/// What a generator is for; generators of different purposes share no numbers.
#[derive(Clone, Copy)]
enum Purpose {
    Record = 1,
    Epoch = 2,
    Step = 3,
    Name = 4,
}

impl Rng {
    /// The generator of one record in one epoch: its augmentation.
    pub fn for_record(seed: u64, epoch: u64, record: u64) -> Self {
        Self::keyed(Purpose::Record, [seed, epoch, record])
    }

    /// The generator of one epoch: its order of records.
    pub fn for_epoch(seed: u64, epoch: u64) -> Self {
        Self::keyed(Purpose::Epoch, [seed, epoch, 0])
    }

    /// The generator of one optimizer step in one epoch: its dropout.
    pub fn for_step(seed: u64, epoch: u64, step: u64) -> Self {
        Self::keyed(Purpose::Step, [seed, epoch, step])
    }

    /// The generator of something that has a name: a tensor's initial values.
    pub fn for_name(seed: u64, name: &str) -> Self {
        let hash = name
            .bytes()
            .fold(0, |hash, byte| mix(hash ^ u64::from(byte)).wrapping_add(GAMMA));
        Self::keyed(Purpose::Name, [seed, hash, name.len() as u64])
    }

    fn keyed(purpose: Purpose, key: [u64; 3]) -> Self {
        let state = key.into_iter().fold(purpose as u64, |state, word| {
            mix(state.wrapping_add(GAMMA)) ^ mix(word ^ GAMMA)
        });
        Self {
            bits: SplitMix64::new(mix(state)),
        }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.bits.next_u64()
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn unit_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in [0, 1), a multiple of 2⁻²⁴.
    pub fn unit_f32(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 * (1.0 / (1_u32 << 24) as f32)
    }

    /// Uniform in [low, high), up to rounding.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit_f64()
    }

    /// True with the given probability: never at 0, always at 1.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit_f64() < probability
    }

    /// Uniform in [0, bound), without bias (Lemire 2019); 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.bits.below(bound)
    }

    /// Brings `items` into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }

    /// `count` distinct indices in [0, bound), every set equally likely (Floyd's algorithm); all of them when `count`
    /// is not less than `bound`. Their order is not random.
    pub fn distinct(&mut self, count: usize, bound: usize) -> Vec<usize> {
        let count = count.min(bound);
        let mut taken = vec![0_u64; bound.div_ceil(64)];
        let mut indices = Vec::with_capacity(count);
        for last in bound - count..bound {
            let drawn = self.below(last + 1);
            let is_taken = taken[drawn / 64] >> (drawn % 64) & 1 == 1;
            let index = if is_taken { last } else { drawn };
            taken[index / 64] |= 1 << (index % 64);
            indices.push(index);
        }
        indices
    }

    /// A draw from the standard normal distribution (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit_f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit_f64()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_differ_in_every_part_of_their_key() {
        let generators = [
            Rng::for_record(0, 0, 0),
            Rng::for_record(1, 0, 0),
            Rng::for_record(0, 1, 0),
            Rng::for_record(0, 0, 1),
            Rng::for_record(0, 1, 1),
            Rng::for_record(1, 0, 1),
            Rng::for_record(1, 1, 0),
            Rng::for_epoch(0, 0),
            Rng::for_epoch(1, 0),
            Rng::for_epoch(0, 1),
            Rng::for_step(0, 0, 0),
            Rng::for_step(0, 0, 1),
            Rng::for_name(0, ""),
            Rng::for_name(0, "a"),
            Rng::for_name(0, "ab"),
            Rng::for_name(0, "ba"),
        ];
        let first: std::collections::HashSet<u64> = generators
            .iter()
            .map(|generator| generator.clone().next_u64())
            .collect();
        assert_eq!(first.len(), generators.len());
    }

    /// A change here changes every run, and breaks the resuming of those under way.
    #[test]
    fn the_draws_never_change() {
        let mut rng = Rng::for_record(1904, 7, 42);
        let drawn = [rng.next_u64(), rng.below(1000) as u64, rng.next_u64()];
        assert_eq!(drawn, [7_164_348_633_440_920_108, 886, 13_245_730_763_545_497_953]);
    }

    /// 100 000 draws: five standard deviations of the mean are 0.0046 (uniform) and 0.016 (normal).
    #[test]
    fn means_and_variances_are_right() {
        let mut rng = Rng::for_epoch(3, 0);
        let moments = |draw: &mut dyn FnMut() -> f64| {
            let draws: Vec<f64> = (0..100_000).map(|_| draw()).collect();
            let mean = draws.iter().sum::<f64>() / 1e5;
            (mean, draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5)
        };
        let (mean, variance) = moments(&mut || rng.unit_f64());
        assert!(
            (mean - 0.5).abs() < 0.0046 && (variance - 1.0 / 12.0).abs() < 0.002,
            "{mean} {variance}"
        );
        let (mean, variance) = moments(&mut || f64::from(rng.unit_f32()));
        assert!(
            (mean - 0.5).abs() < 0.0046 && (variance - 1.0 / 12.0).abs() < 0.002,
            "{mean} {variance}"
        );
        let (mean, variance) = moments(&mut || rng.normal());
        assert!(
            mean.abs() < 0.016 && (variance - 1.0).abs() < 0.025,
            "{mean} {variance}"
        );
        let (mean, variance) = moments(&mut || rng.below(7) as f64);
        assert!(
            (mean - 3.0).abs() < 0.032 && (variance - 4.0).abs() < 0.06,
            "{mean} {variance}"
        );
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::for_epoch(0, 0);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
        assert!((0..1000).all(|_| rng.below(3) < 3));
        assert!((0..1000).all(|_| rng.below(usize::MAX) < usize::MAX));
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..1000).collect();
        Rng::for_epoch(1, 2).shuffle(&mut items);
        let in_place = items
            .iter()
            .enumerate()
            .filter(|&(at, &item)| at == item as usize)
            .count();
        assert!(in_place < 10, "{in_place} items kept their place");
        items.sort_unstable();
        assert!(items.into_iter().eq(0..1000));
    }

    #[test]
    fn distinct_indices_are_distinct_and_cover_everything() {
        let mut rng = Rng::for_epoch(5, 5);
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            let mut indices = rng.distinct(3, 10);
            indices.iter().for_each(|&index| counts[index] += 1);
            indices.sort_unstable();
            indices.dedup();
            assert_eq!(indices.len(), 3);
        }
        // 3000 expected, standard deviation 46.
        assert!(counts.iter().all(|count| (2770..3230).contains(count)), "{counts:?}");
        assert!(rng.distinct(0, 10).is_empty());
        assert!(rng.distinct(5, 0).is_empty());
        assert_eq!(rng.distinct(9, 4).len(), 4);
    }
}
