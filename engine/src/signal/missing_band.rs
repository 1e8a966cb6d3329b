//! The bands of the spectrogram that a recording cannot hold.

use super::kernel::PASS_EDGE;
use super::{BINS, FFT_LEN, HOP, SAMPLING_RATE_HZ};

/// Bins below the edge that the missing ones are filled from: the level of the noise there, above most of the ECG.
const SOURCE_BINS: usize = 6;
/// Bins at the edge that the transform's window smears the fall into.
const SMEARED_BINS: usize = 1;

/// Fills the bands that a lead recorded at `rate_hz` below 300 Hz has nothing in, frame by frame, with the bands just below,
/// folded at the edge and back.
///
/// The logarithm of nothing is far from anything the network was trained on. Folding is how speech coders extend a narrow
/// band. `spectrogram` is `[563, 33]`, `samples` the length of the lead at 300 Hz. Rates of 300 Hz and more change nothing, nor do
/// those below 72 Hz, which leave too few bands to fold.
pub fn fill_missing_band(spectrogram: &mut [f32], samples: usize, rate_hz: f64) {
    if rate_hz >= SAMPLING_RATE_HZ {
        return;
    }
    let bin_hz = SAMPLING_RATE_HZ / FFT_LEN as f64;
    let edge = (PASS_EDGE * rate_hz / 2.0 / bin_hz) as usize;
    let Some(last) = edge
        .checked_sub(SMEARED_BINS)
        .filter(|&last| last >= SOURCE_BINS && last + 1 < BINS)
    else {
        return;
    };
    for frame in spectrogram.chunks_exact_mut(BINS).take(1 + samples / HOP) {
        for bin in last + 1..BINS {
            let distance = (bin - last) % (2 * SOURCE_BINS);
            let folded = if distance <= SOURCE_BINS {
                distance
            } else {
                2 * SOURCE_BINS - distance
            };
            frame[bin] = frame[last - folded];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::SPECTROGRAM_LEN;

    fn counted() -> Vec<f32> {
        (0..SPECTROGRAM_LEN).map(|i| (i % BINS) as f32).collect()
    }

    #[test]
    fn the_empty_bands_of_a_slow_recording_are_folded_from_those_below() {
        let mut spectrogram = counted();
        fill_missing_band(&mut spectrogram, 6400, 200.0);
        let frame = &spectrogram[..BINS];
        let kept: Vec<f32> = (0..=18).map(|bin| bin as f32).collect();
        assert_eq!(frame[..19], kept);
        assert_eq!(
            frame[19..],
            [17., 16., 15., 14., 13., 12., 13., 14., 15., 16., 17., 18., 17., 16.]
        );
        assert_eq!(spectrogram[200 * BINS..201 * BINS], *frame);
        assert_eq!(spectrogram[201 * BINS..], counted()[201 * BINS..], "the padding stays");
    }

    #[test]
    fn a_recording_of_300_hz_or_more_keeps_every_band() {
        for rate in [300.0, 360.0, 500.0, 20_000.0] {
            let mut spectrogram = counted();
            fill_missing_band(&mut spectrogram, 9000, rate);
            assert_eq!(spectrogram, counted(), "{rate} Hz");
        }
    }

    #[test]
    fn the_slowest_recordings_are_left_alone() {
        let mut spectrogram = counted();
        fill_missing_band(&mut spectrogram, 9000, 50.0);
        assert_eq!(spectrogram, counted());
    }
}
