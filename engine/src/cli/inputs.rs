//! What the command line names: files, folders of records, standard input.

use std::path::{Path, PathBuf};

use anyhow::bail;
use dualnet_engine::record::{left_out_of, recordings_of};

/// Something to classify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A recording's file.
    File(PathBuf),
    /// Standard input.
    Standard,
    /// A folder without recordings, and why it has none.
    Unusable(PathBuf, String),
}

/// The inputs `arguments` name, in their order; a folder stands for its records, sorted by name.
///
/// # Errors
/// Standard input named twice.
pub fn expand(arguments: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    if arguments.iter().filter(|argument| is_standard(argument)).count() > 1 {
        bail!("standard input (-) can be read only once");
    }
    let inputs = arguments.iter().flat_map(|argument| {
        if is_standard(argument) {
            return vec![Input::Standard];
        }
        match recordings_of(argument) {
            Ok(records) => records.into_iter().map(Input::File).collect(),
            Err(reason) => vec![Input::Unusable(argument.clone(), reason)],
        }
    });
    Ok(inputs.collect())
}

fn is_standard(argument: &Path) -> bool {
    argument.as_os_str() == "-"
}

/// What is left out: a sentence for each folder among `arguments` that holds others.
pub fn left_out(arguments: &[PathBuf]) -> impl Iterator<Item = String> {
    let folders = arguments.iter().filter(|argument| !is_standard(argument));
    folders.filter_map(|folder| left_out_of(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_gives_each_record_once_and_sorted() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "b.hea",
            "b.dat",
            "a.mat",
            "a.hea",
            "c.MAT",
            "REFERENCE.csv",
            "notes.txt",
        ] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        fs::create_dir(folder.path().join("d.mat")).unwrap();
        let names: Vec<_> = expand(&[folder.path().to_owned()])
            .unwrap()
            .into_iter()
            .map(|input| match input {
                Input::File(path) => path.file_name().unwrap().to_str().unwrap().to_owned(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["a.mat", "b.hea", "c.MAT"]);
    }

    #[test]
    fn an_empty_folder_is_no_silent_success() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = expand(&[folder.path().to_owned()]).unwrap();
        assert!(matches!(&inputs[..], [Input::Unusable(path, _)] if path == folder.path()));
    }

    #[test]
    fn folders_in_a_folder_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let named = [folder.path().to_owned(), "-".into(), "x.mat".into()];
        fs::write(folder.path().join("a.mat"), b"").unwrap();
        fs::create_dir(folder.path().join(".hidden")).unwrap();
        assert_eq!(left_out(&named).count(), 0);
        for (name, said) in [("one", "1 folder in it is"), ("two", "2 folders in it are")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            let notes: Vec<String> = left_out(&named).collect();
            assert!(notes.len() == 1 && notes[0].contains(said), "{notes:?}");
        }
    }

    #[test]
    fn standard_input_is_read_once() {
        assert_eq!(
            expand(&["-".into(), "x.mat".into()]).unwrap(),
            [Input::Standard, Input::File("x.mat".into())]
        );
        assert!(expand(&["-".into(), "-".into()]).is_err());
    }
}
