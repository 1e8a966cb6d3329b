//! What models say of records that they have not learned, read from a file of predictions.

use super::Records;
use crate::error::TrainerError;
use crate::evaluate::probability_column;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A CSV of predictions, as `trainer crossval --training-records` and `trainer beats --answers` write them.
#[derive(Clone, Debug)]
pub(super) struct AnswerFile {
    path: PathBuf,
    by_record: HashMap<String, Vec<f32>>,
}

/// How far from 1 the sum of a record's probabilities may be: they are written with eight digits.
const SUM: f32 = 1e-3;

impl AnswerFile {
    /// Reads a file that `path` names and `bytes` are.
    ///
    /// # Errors
    /// No CSV with a column `record` and one for each of `classes`; a record twice; what is no probability.
    pub(super) fn parse(path: &Path, bytes: &[u8], classes: &[&str]) -> Result<Self, TrainerError> {
        let path = path.to_owned();
        match parse(bytes, classes) {
            Ok(by_record) => Ok(Self { path, by_record }),
            Err(reason) => Err(TrainerError::File { path, reason }),
        }
    }

    /// Probabilities of each class, of each record that trains, in the split's order.
    ///
    /// # Errors
    /// A record that trains and is not in the file; one in the file that validates or is held back: the models that say this of the others may have
    /// learned it.
    pub(super) fn of_training_records(&self, records: &Records) -> Result<Vec<&[f32]>, TrainerError> {
        let fault = |reason: String| TrainerError::File {
            path: self.path.clone(),
            reason,
        };
        let known = |units: &[u32]| {
            let mut names = units.iter().map(|&unit| records.source.name(unit));
            names.find(|name| self.by_record.contains_key(name))
        };
        if let Some(name) = known(&records.split.validation) {
            return Err(fault(format!(
                "has {name}, which validates: the models that say this of the others may have learned it; `trainer crossval --training-records` \
                 and `trainer beats --answers` leave such records out"
            )));
        }
        if let Some(name) = known(records.held_back.as_deref().unwrap_or_default()) {
            return Err(fault(format!(
                "has {name}, which this run holds back: the models that say this of the others may have learned it; make the file with a --split \
                 that leaves the held-back records out"
            )));
        }
        let said = |&unit: &u32| {
            let name = records.source.name(unit);
            let said = self.by_record.get(&name).map(Vec::as_slice);
            said.ok_or_else(|| fault(format!("does not have {name}, which trains")))
        };
        records.split.train.iter().map(said).collect()
    }
}

/// The probabilities of `classes` of each record.
fn parse(bytes: &[u8], classes: &[&str]) -> Result<HashMap<String, Vec<f32>>, String> {
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let column = |name: &str| {
        let found = header.iter().position(|column| column == name);
        found.ok_or_else(|| format!("has no column {name}"))
    };
    let record = column("record")?;
    let columns = classes.iter().map(|class| column(&probability_column(class)));
    let columns: Vec<usize> = columns.collect::<Result<_, _>>()?;
    let mut by_record = HashMap::new();
    let others = header
        .iter()
        .filter(|column| column.starts_with("probability_"))
        .count()
        - columns.len();
    if others > 0 {
        return Err(format!(
            "has {} classes, not {}",
            others + columns.len(),
            classes.join(", ")
        ));
    }
    for row in reader.records() {
        let row = row.map_err(|error| error.to_string())?;
        let name = row.get(record).unwrap_or_default().to_owned();
        let number = |&column: &usize| row.get(column).and_then(|number| number.parse::<f32>().ok());
        let said: Option<Vec<f32>> = columns.iter().map(number).collect();
        let said = said.filter(|said| {
            said.iter().all(|&probability| probability >= 0.0) && (said.iter().sum::<f32>() - 1.0).abs() < SUM
        });
        let said = said.ok_or_else(|| format!("{name} has no probabilities with the sum 1"))?;
        if by_record.insert(name.clone(), said).is_some() {
            return Err(format!("has {name} twice"));
        }
    }
    Ok(by_record)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [&str; 2] = ["N", "A"];

    #[test]
    fn columns_are_found_by_name() {
        let said = parse(b"record,class,probability_af,probability_N\na,N,0.25,0.75\n", &CLASSES).expect("a file");
        assert_eq!(said["a"], [0.75, 0.25]);
    }

    #[test]
    fn what_says_no_probabilities_is_named() {
        let fault = |text: &str| parse(text.as_bytes(), &CLASSES).expect_err("refused");
        assert!(fault("").contains("no column record"));
        assert!(fault("record,probability_N\na,1\n").contains("no column probability_af"));
        let header = "record,probability_N,probability_af\n";
        for row in ["", "0.5,x", "NaN,0.5", "-0.5,1.5", "0.5,0.6", "inf,0", ","] {
            let fault = fault(&format!("{header}b,0.5,0.5\nA00007,{row}\n"));
            assert!(fault.contains("A00007") || fault.contains("line: 3"), "{row}: {fault}");
        }
        assert!(fault("record,probability_N,probability_af,probability_O\n").contains("3 classes, not N, A"));
        assert!(fault(&format!("{header}a,1,0\na,0,1\n")).contains("a twice"));
    }
}
