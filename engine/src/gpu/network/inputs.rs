//! What the host copies in: raw samples, which the first launch prepares, or prepared inputs.

use dualnet_cuda::{CudaError, Element, preprocess};
use half::f16;

use super::{Numbers, Writer};
use crate::gpu::lead::{Form, Lead};
use crate::gpu::program::{ALIGNMENT, Memory};
use crate::signal::{ECG_LEN, MAX_SAMPLES, SPECTROGRAM_LEN};

/// The network's inputs in device memory, of its numbers' element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inputs {
    /// `[records, 80, 256]`.
    pub(super) ecg: Memory,
    /// `[records, 563, 33]`.
    pub(super) spectrogram: Memory,
}

impl Writer<'_, '_> {
    pub(super) fn inputs(&mut self, form: Form) -> Result<Inputs, CudaError> {
        let records = self.size.records;
        let element = self.element();
        let bytes = |length: usize| (records * length * element.bytes()) as u64;
        if form == Form::Prepared {
            return Ok(Inputs {
                ecg: self.builder.input("windows", bytes(ECG_LEN)),
                spectrogram: self.builder.input("spectrogram", bytes(SPECTROGRAM_LEN)),
            });
        }
        let batch = preprocess::Batch {
            samples: self
                .builder
                .input("samples", (records * MAX_SAMPLES * size_of::<i16>()) as u64),
            lengths: self.builder.input("lengths", (records * size_of::<i32>()) as u64),
            ecg: self.builder.scratch("windows", bytes(ECG_LEN)),
            spectrogram: self.builder.scratch("spectrogram", bytes(SPECTROGRAM_LEN)),
        };
        // The lengths are not known yet; `Lead` has none that the launcher would refuse.
        let lengths = vec![MAX_SAMPLES as i32; records];
        let launch = preprocess::preprocess(element, batch, MAX_SAMPLES, &lengths)?;
        self.builder.launch(launch);
        Ok(Inputs {
            ecg: batch.ecg,
            spectrogram: batch.spectrogram,
        })
    }
}

/// Writes leads, which have one form, as a program of so many records and these numbers has its inputs: copies of the last fill it up.
pub(in crate::gpu) fn write_inputs(leads: &[&Lead], records: usize, numbers: Numbers, bytes: &mut [u8]) {
    let samples_bytes = records * MAX_SAMPLES * size_of::<i16>();
    let ecg_bytes = records * ECG_LEN * numbers.element().bytes();
    let second = |first: usize| first.next_multiple_of(ALIGNMENT as usize);
    let copies = leads.last().into_iter().cycle();
    for (index, lead) in leads.iter().chain(copies).take(records).enumerate() {
        match lead {
            Lead::Samples(samples) => {
                let row = &mut bytes[index * MAX_SAMPLES * size_of::<i16>()..][..MAX_SAMPLES * size_of::<i16>()];
                for (to, sample) in row.as_chunks_mut().0.iter_mut().zip(samples) {
                    *to = sample.to_le_bytes();
                }
                let length = (samples.len() as i32).to_le_bytes();
                bytes[second(samples_bytes) + index * length.len()..][..length.len()].copy_from_slice(&length);
            }
            Lead::Prepared { ecg, spectrogram } => {
                write_floats(ecg, numbers.element(), bytes, index * ECG_LEN);
                let rest = &mut bytes[second(ecg_bytes)..];
                write_floats(spectrogram, numbers.element(), rest, index * SPECTROGRAM_LEN);
            }
        }
    }
}

/// Elements from the element `first` on.
fn write_floats(values: &[f32], element: Element, bytes: &mut [u8], first: usize) {
    let bytes = &mut bytes[first * element.bytes()..][..values.len() * element.bytes()];
    match element {
        Element::F16 => {
            for (to, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
                *to = f16::from_f32(*value).to_le_bytes();
            }
        }
        _ => {
            for (to, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
                *to = value.to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four records.
    fn written(leads: &[Lead], numbers: Numbers) -> Vec<u8> {
        let of_samples = MAX_SAMPLES * size_of::<i16>() + size_of::<i32>();
        let of_values = (ECG_LEN + SPECTROGRAM_LEN) * numbers.element().bytes();
        let mut bytes = vec![0xff; 4 * of_samples.max(of_values) + ALIGNMENT as usize];
        write_inputs(&leads.iter().collect::<Vec<_>>(), 4, numbers, &mut bytes);
        bytes
    }

    #[test]
    fn copies_of_the_last_lead_fill_a_launch_up() {
        let samples = [40, 3000, 77].map(|length| Lead::Samples((0..length).collect()));
        let values = |count: usize, first: usize| (first..first + count).map(|i| (i % 509) as f32).collect();
        let prepared = [1, 2, 3].map(|record| Lead::Prepared {
            ecg: values(ECG_LEN, record),
            spectrogram: values(SPECTROGRAM_LEN, 7 * record),
        });
        for leads in [samples, prepared] {
            let whole = [leads.to_vec(), vec![leads[2].clone()]].concat();
            for numbers in [Numbers::F32, Numbers::F16] {
                assert!(written(&leads, numbers) == written(&whole, numbers), "{numbers:?}");
            }
        }
    }
}
