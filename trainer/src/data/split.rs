//! Which records train and which validate.

use super::{DataError, Dataset};

const PAPER: &str = include_str!("splits/paper.txt");
const CHALLENGE: &str = include_str!("splits/challenge.txt");
const COURSE_6000: &str = include_str!("splits/course6000.txt");

/// A division of a data set, as indices into the order of its `REFERENCE.csv`.
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
    /// [`DataError::UnknownSplit`] when it is neither; [`DataError::Split`] for a faulty file.
    pub fn find(name: &str) -> Result<Self, DataError> {
        if Self::NAMES.contains(&name) {
            return Self::named(name);
        }
        match std::fs::read_to_string(name) {
            Ok(text) => Self::parse(name, &text),
            Err(_) => Err(DataError::UnknownSplit { name: name.to_owned() }),
        }
    }

    /// Parses two lines, `train` and `validation`, each with the indices of its records. Together they name every
    /// record from 0 on once.
    ///
    /// # Errors
    /// [`DataError::Split`] names what is missing, is not an index, is named twice or left out.
    pub fn parse(name: &str, text: &str) -> Result<Self, DataError> {
        let fault = |problem| DataError::Split {
            name: name.to_owned(),
            problem,
        };
        let mut lines = text.lines();
        let mut list = |part: &str| -> Result<Vec<u32>, DataError> {
            let mut words = lines.next().unwrap_or_default().split_ascii_whitespace();
            if words.next() != Some(part) {
                return Err(fault(format!("no line that begins with {part:?}")));
            }
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
        if lines.next().is_some() {
            return Err(fault("more than two lines".to_owned()));
        }
        let records = train.len() + validation.len();
        let mut seen = vec![false; records];
        for &index in train.iter().chain(&validation) {
            match seen.get_mut(index as usize) {
                None => return Err(fault(format!("index {index} is outside the {records} records"))),
                Some(true) => return Err(fault(format!("index {index} is named twice"))),
                Some(unseen) => *unseen = true,
            }
        }
        Ok(Self {
            name: name.to_owned(),
            train,
            validation,
        })
    }

    /// How many records the split divides.
    pub fn records(&self) -> usize {
        self.train.len() + self.validation.len()
    }

    /// Makes sure that the split was made for a data set of this size.
    ///
    /// # Errors
    /// [`DataError::SplitSize`].
    pub fn check(&self, dataset: &Dataset) -> Result<(), DataError> {
        let (expected, found) = (self.records(), dataset.recordings.len());
        if expected == found {
            return Ok(());
        }
        Err(DataError::SplitSize {
            name: self.name.clone(),
            expected,
            found,
        })
    }
}
