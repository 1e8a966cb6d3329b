//! The WFDB header, a text file.
//!
//! Layout: WFDB Applications Guide, header(5).

use super::signal::Format;
use crate::record::RecordError;
use crate::record::text::one_line;

/// Headers are a few hundred bytes; a larger text is something else.
const LARGEST: usize = 1 << 20;

/// A single-segment header.
#[derive(Debug)]
pub(in crate::record) struct Header {
    /// For messages.
    pub(super) file: String,
    pub(super) sampling_rate_hz: Option<f64>,
    /// Samples per lead.
    pub(super) samples: Option<u64>,
    pub(super) signals: Vec<Signal>,
}

/// One lead as its header line describes it.
#[derive(Debug)]
pub(super) struct Signal {
    /// The line, counted from 1.
    pub(super) line: usize,
    /// The signal file, a plain name.
    pub(super) file: String,
    pub(super) format: Format,
    /// Samples by which this lead begins later in the file than the others.
    pub(super) skew: usize,
    /// Bytes in front of the samples.
    pub(super) offset: u64,
    pub(super) calibration: Calibration,
    pub(super) initial: Option<i64>,
    pub(super) checksum: Option<u16>,
    pub(super) name: Option<String>,
}

/// What the gain of a lead says.
#[derive(Debug, Default)]
pub(super) struct Calibration {
    /// ADC units per mV; `None` for an uncalibrated lead (gain 0) and for one that is no voltage.
    pub(super) gain: Option<f64>,
    /// Whether the gain is negative: the lead is stored upside down.
    pub(super) inverted: bool,
    /// The unit of a lead that is no voltage.
    pub(super) other_unit: Option<String>,
}

/// Whether `bytes` are text whose first line that is no comment could open a header.
pub(in crate::record) fn recognize(bytes: &[u8]) -> bool {
    if bytes.len() > LARGEST || bytes.contains(&0) {
        return false;
    }
    let text = String::from_utf8_lossy(bytes);
    let mut fields = content(&text)
        .next()
        .map(|(_, line)| line.split_whitespace())
        .into_iter()
        .flatten();
    let name = fields.next().unwrap_or_default();
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-./~".contains(character);
    name.chars().all(plain) && fields.next().is_some_and(|count| count.parse::<u32>().is_ok())
}

/// The lines that say something, with their numbers from 1. Editors on Windows put a byte-order mark in front of a text.
fn content(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

impl Header {
    /// Parses the text of the header `file`.
    pub(in crate::record) fn parse(file: &str, bytes: &[u8]) -> Result<Self, RecordError> {
        if !recognize(bytes) {
            return Err(RecordError::Header {
                file: file.to_owned(),
                line: 1,
                reason: "not a WFDB header (record name, number of signals, sampling rate, number of samples)"
                    .to_owned(),
            });
        }
        let text = String::from_utf8_lossy(bytes);
        let mut lines = content(&text);
        let (number, record) = lines.next().unwrap_or((1, ""));
        let line = Line { file, number };
        let mut fields = record.split_whitespace();
        if fields.next().is_some_and(|name| name.contains('/')) {
            return Err(line.unsupported("a record of several segments", "name the header of one segment"));
        }
        let announced: usize = line.number("number of signals", fields.next().unwrap_or_default())?;
        let rate = fields.next().map(|rate| rate.split('/').next().unwrap_or(rate));
        let sampling_rate_hz = rate.map(|rate| line.number("sampling rate", rate)).transpose()?;
        let samples = fields
            .next()
            .map(|samples| line.number("number of samples", samples))
            .transpose()?;

        let signals = lines
            .map(|(number, text)| Line { file, number }.signal(text))
            .collect::<Result<Vec<_>, _>>()?;
        if signals.len() != announced || signals.is_empty() {
            return Err(line.error(format!(
                "{announced} signals are announced, {} are described",
                signals.len()
            )));
        }
        Ok(Self {
            file: file.to_owned(),
            sampling_rate_hz,
            samples: samples.filter(|count| *count > 0),
            signals,
        })
    }
}

/// A line of the header, for messages.
struct Line<'a> {
    file: &'a str,
    number: usize,
}

impl Line<'_> {
    fn error(&self, reason: String) -> RecordError {
        RecordError::Header {
            file: self.file.to_owned(),
            line: self.number,
            reason,
        }
    }

    fn unsupported(&self, found: &str, supported: &'static str) -> RecordError {
        RecordError::Unsupported {
            file: self.file.to_owned(),
            found: found.to_owned(),
            supported,
        }
    }

    fn number<T: std::str::FromStr>(&self, what: &str, text: &str) -> Result<T, RecordError> {
        text.parse()
            .map_err(|_| self.error(format!("the {what} is not a number: {}", one_line(text))))
    }

    /// A line `file format[xN][:skew][+offset] gain[(baseline)][/units] resolution zero initial checksum block description`,
    /// which may end after any field from `format` on.
    fn signal(&self, text: &str) -> Result<Signal, RecordError> {
        let mut rest = text;
        let mut next = || {
            let (field, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            rest = tail.trim_start();
            Some(field).filter(|field| !field.is_empty())
        };
        let file = next().unwrap_or_default().to_owned();
        if !is_plain(&file) {
            let name = one_line(&file);
            return Err(RecordError::OutsideFolder {
                file: self.file.to_owned(),
                line: self.number,
                name,
            });
        }
        let format = next().ok_or_else(|| self.error("a signal without a format".to_owned()))?;
        let (format, offset) = format.split_once('+').unwrap_or((format, "0"));
        let (format, skew) = format.split_once(':').unwrap_or((format, "0"));
        let (format, per_frame) = format.split_once('x').unwrap_or((format, "1"));
        let offset = self.number("byte offset", offset)?;
        let skew = self.number("skew", skew)?;
        if self.number::<u32>("number of samples per frame", per_frame)? != 1 {
            let found = format!("a lead with {per_frame} samples per frame (line {})", self.number);
            return Err(self.unsupported(&found, "every lead must have one sample per frame"));
        }
        let code = self.number("signal format", format)?;
        let format = Format::from_code(code).ok_or_else(|| {
            let found = format!("signal format {code} (line {})", self.number);
            self.unsupported(&found, "supported are the formats 16, 24, 32, 61, 80 and 212")
        })?;
        let calibration = next().map(|gain| self.calibration(gain)).transpose()?;
        let _resolution: Option<i64> = next().map(|text| self.number("ADC resolution", text)).transpose()?;
        let _zero: Option<i64> = next().map(|text| self.number("ADC zero", text)).transpose()?;
        let initial = next().map(|text| self.number("initial value", text)).transpose()?;
        let checksum: Option<i64> = next().map(|text| self.number("checksum", text)).transpose()?;
        let _block: Option<i64> = next().map(|text| self.number("block size", text)).transpose()?;
        let name = Some(rest.trim()).filter(|name| !name.is_empty()).map(str::to_owned);
        let checksum = checksum.map(|sum| sum as u16);
        Ok(Signal {
            line: self.number,
            file,
            format,
            skew,
            offset,
            calibration: calibration.unwrap_or_default(),
            initial,
            checksum,
            name,
        })
    }

    /// A field `gain[(baseline)][/units]`.
    fn calibration(&self, text: &str) -> Result<Calibration, RecordError> {
        let (gain, unit) = text.split_once('/').unwrap_or((text, ""));
        let gain: f64 = self.number("gain", gain.split('(').next().unwrap_or(gain))?;
        let per_unit = match unit.to_ascii_lowercase().as_str() {
            "" | "mv" => Some(1.0),
            // The micro sign, the Greek letter, and either of them in an encoding that is not UTF-8.
            "uv" | "\u{b5}v" | "\u{3bc}v" | "\u{fffd}v" => Some(1e3),
            "nv" => Some(1e6),
            "v" => Some(1e-3),
            _ => None,
        };
        let per_mv = per_unit.map(|per_unit| gain.abs() * per_unit);
        Ok(Calibration {
            gain: per_mv.filter(|gain| gain.is_finite() && *gain != 0.0),
            inverted: gain.is_finite() && gain < 0.0,
            other_unit: per_unit.is_none().then(|| one_line(unit)),
        })
    }
}

/// Whether `name` is a file's name without any folder, on every operating system.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | ".." | "-") && !name.contains(['/', '\\', ':', '\0'])
}
