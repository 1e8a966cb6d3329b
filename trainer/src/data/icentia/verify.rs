//! Whether a folder holds what was released.

use super::crops::Draws;
use super::folder::{Found, PATIENTS, labels_of, list, name, samples_of};
use super::{Icentia, RELEASED_SAMPLES, SEGMENTS, labels, signal};
use crate::data::verify::{Fault, Findings, Kind};
use crate::data::{DataError, Progress, Shard};
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::path::Path;

/// What a whole folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// Patients, numbered from 0.
    pub patients: u32,
    /// Samples of each segment.
    pub samples: u32,
}

impl Default for Released {
    /// 11 000 patients, segments of 1 048 577 samples.
    fn default() -> Self {
        Self {
            patients: PATIENTS,
            samples: RELEASED_SAMPLES,
        }
    }
}

/// Reads every file to its end, which verifies its checksum, its shape and its annotations; where a sample of a published crop is not
/// finite, as far as there. Nothing is known of the content of
/// the released files, so that an altered one of the right form is not noticed. `progress` hears of every file.
///
/// # Errors
/// The folder cannot be listed.
pub fn verify(folder: &Path, released: Released, progress: &(dyn Fn() + Sync)) -> Result<Findings, DataError> {
    let (patients, extra) = list(folder)?;
    let mut faults: Vec<Fault> = (0..released.patients)
        .filter(|patient| !patients.contains_key(patient))
        .map(|patient| Fault::new(Kind::Missing, format!("patient {}", name(patient))))
        .collect();
    let found: Vec<Vec<Fault>> = patients
        .par_iter()
        .map(|(&patient, &found)| {
            let faults = patient_faults(folder, patient, found, released);
            progress();
            faults
        })
        .collect();
    faults.extend(found.into_iter().flatten());
    Ok(Findings {
        records: patients.values().filter(|&&found| found == Found::BOTH).count(),
        faults,
        extra,
    })
}

/// How many files there are to read; what [`verify`] makes progress in.
pub(crate) fn patients(folder: &Path) -> Result<usize, DataError> {
    Ok(list(folder)?.0.len())
}

/// Patients of each thread between two words of progress.
const AT_A_TIME: usize = 2;

/// Reads a share of the patients' files as training does; [`Source::check`](crate::data::Source::check).
pub(super) fn check(
    icentia: &Icentia,
    shard: Shard,
    progress: &mut Progress<'_>,
) -> Result<ControlFlow<()>, DataError> {
    let patients = &icentia.patients[shard.range(icentia.patients.len())];
    let (mut failures, mut done) = (Vec::new(), 0);
    for some in patients.chunks(AT_A_TIME * rayon::current_num_threads()) {
        let errors = some.par_iter().filter_map(|&(patient, _)| read(icentia, patient).err());
        failures.extend(errors.map(|error| error.to_string()).collect::<Vec<String>>());
        done += some.len();
        if progress(done, patients.len()).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    DataError::of_failures(failures, &icentia.folder, patients.len())?;
    Ok(ControlFlow::Continue(()))
}

fn read(icentia: &Icentia, patient: u32) -> Result<(), DataError> {
    let (samples, annotations) = (
        samples_of(&icentia.folder, patient),
        labels_of(&icentia.folder, patient),
    );
    // Crops that are drawn anew may come upon any sample.
    let draws = match icentia.has_fresh_crops(patient) {
        true => Draws::Whole,
        false => Draws::Published,
    };
    let (crops, shape) = signal::read(&samples, draws, icentia.segments, &mut finite)?;
    labels::classes(&annotations, &crops, Some(shape)).map(drop)
}

fn finite(_: usize, crop: &[f32]) -> Result<(), String> {
    match crop.iter().all(|sample| sample.is_finite()) {
        true => Ok(()),
        false => Err("a sample is not a finite number".to_owned()),
    }
}

fn patient_faults(folder: &Path, patient: u32, found: Found, released: Released) -> Vec<Fault> {
    let mut faults = Vec::new();
    let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (samples, annotations) = (samples_of(folder, patient), labels_of(folder, patient));
    let mut shape = None;
    if !found.samples {
        faults.push(Fault::new(Kind::Missing, file(&samples)));
    } else {
        match signal::read(&samples, Draws::Published, SEGMENTS, &mut finite) {
            Err(error) => faults.push(Fault::new(Kind::Damaged, error.to_string())),
            Ok((_, found)) => {
                shape = Some(found);
                if found.samples != released.samples {
                    let what = format!(
                        "{}: segments of {} samples, not {}",
                        file(&samples),
                        found.samples,
                        released.samples
                    );
                    faults.push(Fault::new(Kind::Altered, what));
                }
            }
        }
    }
    if !found.labels {
        faults.push(Fault::new(Kind::Missing, file(&annotations)));
    } else if let Err(error) = labels::classes(&annotations, &[], shape) {
        faults.push(Fault::new(Kind::Damaged, error.to_string()));
    }
    faults
}
