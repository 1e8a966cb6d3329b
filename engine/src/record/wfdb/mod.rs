//! WFDB records: a text header and its signal files.

mod header;
mod signal;

use std::path::Path;

use header::Signal;
pub(super) use header::{Header, recognize};
use signal::{Format, Stored};

use super::lead::{HeaderRate, Lead, choose};
use super::matlab::{self, Level, Number};
use super::text::{label, one_line};
use super::{MAX_SAMPLES, OpenOptions, RecordError, Warning, source};

impl Header {
    /// Reads the chosen lead from its signal file in `folder`.
    pub(super) fn read(&self, folder: &Path, options: &OpenOptions) -> Result<Lead, RecordError> {
        let lead = self.choose(options)?;
        let signal = &self.signals[lead];
        let path = source::in_any_case(&folder.join(&signal.file));
        let bytes = source::load_beside(&path, options.memory_map)?;
        let file = label(&path);
        let named_mat = Path::new(&signal.file)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("mat"));
        match matlab::recognize(&bytes) {
            Some(Level::Five) => self.read_matlab(lead, &file, &bytes, Level::Five, options),
            Some(Level::Four) if signal.offset > 0 || named_mat => {
                self.read_matlab(lead, &file, &bytes, Level::Four, options)
            }
            None if named_mat => Err(RecordError::UnknownFormat { file }),
            _ => self.read_raw(lead, &file, &bytes),
        }
    }

    /// Reads the chosen lead of the `.mat` file at `path`, in messages `file`, that this header describes.
    pub(super) fn read_beside(
        &self,
        path: &Path,
        file: &str,
        bytes: &[u8],
        level: Level,
        options: &OpenOptions,
    ) -> Result<Lead, RecordError> {
        let name = path.file_name().unwrap_or_default();
        let described = |signal: &Signal| source::in_any_case(&path.with_file_name(&signal.file));
        if let Some(other) = self
            .signals
            .iter()
            .find(|signal| described(signal).file_name() != Some(name))
        {
            let (other, name) = (one_line(&other.file), one_line(&name.to_string_lossy()));
            let reason = format!("it describes {other}, not {name}");
            return Err(self.contradiction(reason));
        }
        self.read_matlab(self.choose(options)?, file, bytes, level, options)
    }

    fn choose(&self, options: &OpenOptions) -> Result<usize, RecordError> {
        let names: Vec<_> = self.signals.iter().map(|signal| signal.name.clone()).collect();
        choose(&self.file, "the record", &names, options.lead.as_deref())
    }

    /// The place of `lead` among the leads of its signal file, and their number.
    fn interleaving(&self, lead: usize) -> Result<(usize, usize), RecordError> {
        let signal = &self.signals[lead];
        let sharing = || self.signals.iter().filter(|other| other.file == signal.file);
        if let Some(other) = sharing().find(|other| (other.format, other.offset) != (signal.format, signal.offset)) {
            return Err(RecordError::Header {
                file: self.file.clone(),
                line: other.line,
                reason: format!("leads of {} differ in format or byte offset", one_line(&signal.file)),
            });
        }
        let before = self.signals[..lead]
            .iter()
            .filter(|other| other.file == signal.file)
            .count();
        Ok((before, sharing().count()))
    }

    fn read_raw(&self, lead: usize, file: &str, bytes: &[u8]) -> Result<Lead, RecordError> {
        let signal = &self.signals[lead];
        let (place, leads) = self.interleaving(lead)?;
        let room = (bytes.len() as u64).saturating_sub(signal.offset);
        let frames = self.samples.unwrap_or_else(|| signal.format.count(room) / leads as u64);
        let total = frames.checked_mul(leads as u64);
        let needed = total.map_or(u128::MAX, |total| signal.format.bytes(total));
        if needed > u128::from(room) {
            return Err(RecordError::Truncated {
                file: file.to_owned(),
                what: format!("the signal of {frames} samples in {leads} leads"),
                offset: signal.offset,
                needed: u64::try_from(needed).unwrap_or(u64::MAX),
                available: room,
            });
        }
        if frames > MAX_SAMPLES {
            let what = format!("a lead of {frames} samples");
            return Err(RecordError::TooLarge {
                file: file.to_owned(),
                what,
                limit: MAX_SAMPLES,
            });
        }
        let start = bytes.len() - room as usize;
        let mut stored = Stored::new(signal.format, signal.skew);
        stored.decode(&bytes[start..start + needed as usize], place, leads);
        let mut warnings = Vec::new();
        let surplus = room - needed as u64;
        // Format 212 stores pairs, of which the last may hold one sample only.
        let padding = u64::from(signal.format == Format::F212 && frames * leads as u64 % 2 == 1);
        if surplus > padding {
            if self.samples.is_none() {
                let next = signal.format.bytes((frames + 1) * leads as u64);
                return Err(RecordError::Truncated {
                    file: file.to_owned(),
                    what: format!("sample {frames} of {leads} leads"),
                    offset: signal.offset + needed as u64,
                    needed: (next - needed) as u64,
                    available: surplus,
                });
            }
            warnings.push(Warning::Surplus { bytes: surplus });
        }
        self.checked(lead, file, stored, warnings)
    }

    fn read_matlab(
        &self,
        lead: usize,
        file: &str,
        bytes: &[u8],
        level: Level,
        options: &OpenOptions,
    ) -> Result<Lead, RecordError> {
        let signal = &self.signals[lead];
        let (place, leads) = self.interleaving(lead)?;
        let array = matlab::find(file, bytes, level, &options.variable)?;
        let (rows, columns) = array.shape(file)?;
        if rows != leads {
            return Err(self.contradiction(format!("it describes {leads} leads, {file} holds {rows}")));
        }
        if let Some(samples) = self.samples.filter(|samples| *samples != columns as u64) {
            return Err(self.contradiction(format!("it announces {samples} samples, {file} holds {columns}")));
        }
        let fits = match signal.format {
            Format::F16 => array.number == Number::I16 && !array.big_endian,
            Format::F61 => array.number == Number::I16 && array.big_endian,
            Format::F32 => array.number == Number::I32 && !array.big_endian,
            Format::F80 => array.number == Number::U8,
            Format::F24 | Format::F212 => false,
        };
        if level == Level::Four && (!fits || signal.offset != array.offset as u64) {
            let (code, offset) = (signal.format.code(), signal.offset);
            return Err(self.contradiction(format!(
                "it says format {code} from byte {offset} on, {file} holds {:?} ({}-endian) from byte {} on",
                array.number,
                if array.big_endian { "big" } else { "little" },
                array.offset
            )));
        }
        let mut stored = Stored::new(signal.format, signal.skew);
        match fits {
            true => array.pieces(leads, |piece| {
                stored.decode(piece, place, leads);
                Ok(())
            })?,
            false => array.samples(file, place, leads, |samples| {
                stored.take(samples).map_err(|(sample, value)| {
                    let code = signal.format.code();
                    self.contradiction(format!("it says format {code}, sample {sample} of {file} is {value}"))
                })
            })?,
        }
        self.checked(lead, file, stored, Vec::new())
    }

    /// Holds what was stored against the header's initial value and checksum, then turns a lead of negative gain upright.
    ///
    /// A checksum of 0 is what writers put that compute none (all headers of the 2017 challenge); their initial values
    /// cannot be relied on either, so that a wrong one is worth a warning only.
    fn checked(
        &self,
        lead: usize,
        file: &str,
        stored: Stored,
        mut warnings: Vec<Warning>,
    ) -> Result<Lead, RecordError> {
        let signal = &self.signals[lead];
        let checksum = signal.checksum.filter(|checksum| *checksum != 0);
        if checksum.is_some_and(|checksum| !stored.sums_to(checksum)) {
            return Err(self.contradiction(format!("the checksum of line {} is not that of {file}", signal.line)));
        }
        if let (Some(stated), Some(found)) = (signal.initial, stored.first)
            && stated != found
            && found != signal.format.invalid()
        {
            if checksum.is_some() {
                let reason = format!(
                    "line {} gives {stated} as the first sample, {file} begins with {found}",
                    signal.line
                );
                return Err(self.contradiction(reason));
            }
            warnings.push(Warning::InitialValue { stated, found });
        }
        let mut samples = stored.samples;
        let calibration = &signal.calibration;
        if calibration.inverted {
            samples.samples.iter_mut().for_each(|sample| *sample = -*sample);
        }
        if let Some(unit) = calibration.other_unit.clone() {
            warnings.push(Warning::NoVoltage { unit });
        }
        Ok(Lead {
            samples,
            name: signal.name.clone(),
            gain: calibration.gain,
            header: Some(HeaderRate {
                file: self.file.clone(),
                hz: self.sampling_rate_hz,
            }),
            warnings,
            invalid_code: None,
        })
    }

    fn contradiction(&self, reason: String) -> RecordError {
        RecordError::Contradiction {
            file: self.file.clone(),
            reason,
        }
    }
}
