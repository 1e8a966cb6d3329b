//! Predictions as CSV, in the form of the PhysioNet/CinC 2017 competition that `engine score` reads.

use crate::evaluate::probability_column;
use anyhow::Result;

/// Lines `record,class`, or `record,class,probability_af,probability_N,…` with the other classes' probabilities in the
/// order of the network's outputs.
pub(super) struct Answers {
    writer: csv::Writer<Vec<u8>>,
    classes: Vec<String>,
    /// Outputs in the order of the columns; empty without probabilities.
    columns: Vec<usize>,
}

impl Answers {
    pub(super) fn new(classes: &[String], with_probabilities: bool) -> Result<Self> {
        let mut columns = Vec::new();
        if with_probabilities {
            let af = |output: &usize| classes[*output] == "A";
            columns.extend((0..classes.len()).filter(af));
            columns.extend((0..classes.len()).filter(|output| !af(output)));
        }
        let name = |&output: &usize| probability_column(&classes[output]);
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = ["record", "class"].map(str::to_owned).into_iter();
        writer.write_record(header.chain(columns.iter().map(name)))?;
        Ok(Self {
            writer,
            classes: classes.to_vec(),
            columns,
        })
    }

    /// The most probable class of a record; of equal ones the first.
    pub(super) fn add(&mut self, record: &str, probabilities: &[f32]) -> Result<()> {
        let largest = probabilities.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let first = probabilities.iter().position(|&p| p == largest);
        let class = first
            .and_then(|class| self.classes.get(class))
            .cloned()
            .unwrap_or_default();
        let values = self
            .columns
            .iter()
            .map(|&output| probabilities.get(output).map(f32::to_string).unwrap_or_default());
        let row = [record.to_owned(), class].into_iter().chain(values);
        Ok(self.writer.write_record(row)?)
    }

    /// Several records, with their probabilities `[records, classes]`.
    pub(super) fn add_all(&mut self, records: &[String], probabilities: &[f32]) -> Result<()> {
        let rows = probabilities.chunks_exact(self.classes.len());
        records
            .iter()
            .zip(rows)
            .try_for_each(|(record, row)| self.add(record, row))
    }

    /// A record without an answer, which the competition counts as normal.
    pub(super) fn add_failed(&mut self, record: &str) -> Result<()> {
        let empty = (0..=self.columns.len()).map(|_| "");
        Ok(self.writer.write_record(std::iter::once(record).chain(empty))?)
    }

    /// The text of the file.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        Ok(self.writer.into_inner()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(classes: &[&str], with_probabilities: bool, rows: &[&[f32]]) -> String {
        let classes: Vec<String> = classes.iter().map(|&class| class.to_owned()).collect();
        let mut answers = Answers::new(&classes, with_probabilities).expect("a header");
        rows.iter().for_each(|row| answers.add("r", row).expect("a row"));
        answers.add_failed("bad, worse").expect("a row");
        String::from_utf8(answers.finish().expect("a file")).expect("text")
    }

    #[test]
    fn the_competition_s_form_and_that_with_probabilities() {
        let four = ["N", "O", "A", "~"];
        assert_eq!(
            text(&four, false, &[&[0.1, 0.2, 0.6, 0.1], &[0.4, 0.1, 0.1, 0.4]]),
            "record,class\nr,A\nr,N\n\"bad, worse\",\n"
        );
        assert_eq!(
            text(&four, true, &[&[0.125, 0.25, 0.5, 0.125]]),
            "record,class,probability_af,probability_N,probability_O,probability_~\n\
             r,A,0.5,0.125,0.25,0.125\n\"bad, worse\",,,,,\n"
        );
        assert_eq!(
            text(&["N", "A"], true, &[&[0.75, 0.25]]),
            "record,class,probability_af,probability_N\nr,N,0.25,0.75\n\"bad, worse\",,,\n"
        );
    }
}
