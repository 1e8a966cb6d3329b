//! The generator behind the published draws.

/// The Mersenne Twister of torch's CPU generator (Matsumoto & Nishimura 1998, with 32-bit outputs).
///
/// libtorch's own generator is one per process and belongs to the training; loader threads draw from this one.
#[derive(Clone, Debug)]
pub(super) struct Mt19937 {
    state: [u32; SIZE],
    next: usize,
}

const SIZE: usize = 624;
const SHIFT: usize = 397;

impl Mt19937 {
    /// The generator after `manual_seed(seed)`, of which the lower 32 bits count.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = [seed as u32; SIZE];
        for index in 1..SIZE {
            let before = state[index - 1];
            state[index] = 1_812_433_253_u32
                .wrapping_mul(before ^ before >> 30)
                .wrapping_add(index as u32);
        }
        Self { state, next: SIZE }
    }

    /// The next 32 random bits.
    pub(super) fn next_u32(&mut self) -> u32 {
        if self.next == SIZE {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// `torch.randint(low, high, …)` for ranges below 2²⁸; `low` where the range is empty.
    pub(super) fn integer(&mut self, low: u32, high: u32) -> u32 {
        low + self.next_u32() % high.saturating_sub(low).max(1)
    }

    fn twist(&mut self) {
        for index in 0..SIZE {
            let y = self.state[index] & 0x8000_0000 | self.state[(index + 1) % SIZE] & 0x7fff_ffff;
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + SHIFT) % SIZE] ^ y >> 1 ^ odd;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    /// The first outputs and the 10 000th of the reference implementation (C++'s `mt19937`) for its default seed 5489.
    #[test]
    fn the_generator_is_the_mersenne_twister() {
        let mut generator = Mt19937::new(5489);
        let first = [generator.next_u32(), generator.next_u32()];
        assert_eq!(first, [3_499_211_612, 581_869_302]);
        assert_eq!((2..10_000).map(|_| generator.next_u32()).last(), Some(4_123_659_995));
    }

    #[test]
    fn integers_are_those_of_torch() {
        for (seed, low, high) in [
            (1904, 0, 1_026_977),
            (1904, 10_800, 21_600),
            (0, 0, 43_937),
            (u64::from(u32::MAX) + 7, 5, 6),
        ] {
            let drawn = {
                let _drawing = crate::train::drawing();
                tch::manual_seed(seed as i64);
                Tensor::randint_low(i64::from(low), i64::from(high), [700], (Kind::Int64, Device::Cpu))
            };
            let drawn = Vec::<i64>::try_from(drawn).expect("integers");
            let mut generator = Mt19937::new(seed);
            let ours: Vec<i64> = drawn.iter().map(|_| i64::from(generator.integer(low, high))).collect();
            assert_eq!(ours, drawn, "seed {seed}, {low} to {high}");
        }
    }
}
