//! Which records train and which validate.

use std::collections::HashSet;
use std::path::Path;

use dualnet_engine::bounded::text_up_to;

use super::{DataError, Dataset};

/// A published list has 50 kB.
const MOST: u64 = 16 << 20;

const PAPER: &str = include_str!("splits/paper.txt");
const CHALLENGE: &str = include_str!("splits/challenge.txt");
const COURSE_6000: &str = include_str!("splits/course6000.txt");

/// A division of a data set or of a part of it, as indices into the order of its `REFERENCE.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// What the split is called.
    pub name: String,
    /// The records trained on.
    pub train: Vec<u32>,
    /// The records validated on.
    pub validation: Vec<u32>,
}

impl Split {
    /// The published splits: 7000/1528 and 8028/500 of the 8528 released records, and 5000/1000 of the 6000-record
    /// course set.
    pub const NAMES: [&'static str; 3] = ["paper", "challenge", "course6000"];

    /// The published split of this name.
    ///
    /// # Errors
    /// [`DataError::UnknownSplit`].
    pub fn named(name: &str) -> Result<Self, DataError> {
        match name {
            "paper" => Self::parse(name, PAPER),
            "challenge" => Self::parse(name, CHALLENGE),
            "course6000" => Self::parse(name, COURSE_6000),
            _ => Err(DataError::UnknownSplit { name: name.to_owned() }),
        }
    }

    /// The published split of this name, or the one in the file of this name.
    ///
    /// # Errors
    /// [`DataError::UnknownSplit`] when it is neither; [`DataError::Split`] for a faulty or unreadable file.
    pub fn find(name: &str) -> Result<Self, DataError> {
        if Self::NAMES.contains(&name) {
            return Self::named(name);
        }
        match text_up_to(MOST, Path::new(name)) {
            Ok(text) => Self::parse(name, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(DataError::UnknownSplit { name: name.to_owned() })
            }
            Err(error) => Err(DataError::Split {
                name: name.to_owned(),
                problem: format!("it cannot be read: {error}"),
            }),
        }
    }

    /// Parses two lines, `train` and `validation` in any order, each with the indices of its records, counted from 0. No index is
    /// named twice; records may be left out. [`check`](Self::check) compares them with a data set.
    ///
    /// # Errors
    /// [`DataError::Split`] names what is missing, is not an index or is named twice.
    pub fn parse(name: &str, text: &str) -> Result<Self, DataError> {
        let fault = |problem| DataError::Split {
            name: name.to_owned(),
            problem,
        };
        let list = |part: &str| -> Result<Vec<u32>, DataError> {
            let mut lines = text.lines().map(str::split_ascii_whitespace);
            let line = lines.find_map(|mut words| (words.next() == Some(part)).then_some(words));
            let words = line.ok_or_else(|| fault(format!("no line that begins with {part:?}")))?;
            let indices: Vec<u32> = words
                .map(|word| {
                    word.parse()
                        .map_err(|_| fault(format!("{part}: {word:?} is not an index")))
                })
                .collect::<Result<_, _>>()?;
            if indices.is_empty() {
                Err(fault(format!("{part} is empty")))
            } else {
                Ok(indices)
            }
        };
        let (train, validation) = (list("train")?, list("validation")?);
        if text.lines().count() > 2 {
            return Err(fault("more than two lines".to_owned()));
        }
        // A set, because an index may be any number.
        let mut seen = HashSet::new();
        for &index in train.iter().chain(&validation) {
            if !seen.insert(index) {
                return Err(fault(format!("index {index} is named twice")));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            train,
            validation,
        })
    }

    /// How many records the split names.
    pub fn records(&self) -> usize {
        self.train.len() + self.validation.len()
    }

    /// Makes sure that the data set has every record of the split, and where the split is a published one no other, in the order of their names.
    ///
    /// # Errors
    /// [`DataError::SplitSize`] for a published split of another number of records, [`DataError::Split`] of another order;
    /// [`DataError::SplitIndex`].
    pub fn check(&self, dataset: &Dataset) -> Result<(), DataError> {
        let (expected, records) = (self.records(), dataset.recordings.len());
        if Self::NAMES.contains(&self.name.as_str()) && expected != records {
            return Err(DataError::SplitSize {
                name: self.name.clone(),
                expected,
                found: records,
            });
        }
        let names = || dataset.recordings.iter().map(|recording| recording.name.as_str());
        let disorder = || names().zip(names().skip(1)).find(|(name, next)| name > next);
        if let Some((name, next)) = disorder().filter(|_| Self::NAMES.contains(&self.name.as_str())) {
            return Err(DataError::Split {
                name: self.name.clone(),
                problem: format!(
                    "it divides the records in the order in which they were released, that of their names; here {next} comes after {name}"
                ),
            });
        }
        let mut indices = self.train.iter().chain(&self.validation);
        match indices.find(|&&index| index as usize >= records) {
            Some(&index) => Err(DataError::SplitIndex {
                name: self.name.clone(),
                index,
                records,
            }),
            None => Ok(()),
        }
    }
}
