//! What the command line names: files, folders of records, standard input.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use dualnet_engine::record::records_in;

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
            vec![Input::Standard]
        } else if argument.is_dir() {
            folder(argument)
        } else {
            vec![Input::File(argument.clone())]
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
    folders.filter_map(|folder| {
        let inside = match folders_in(folder) {
            0 => return None,
            1 => "1 folder in it is not searched; name it to classify what it holds".to_owned(),
            count => format!("{count} folders in it are not searched; name them to classify what they hold"),
        };
        Some(format!("{}: {inside}", folder.display()))
    })
}

/// How many folders lie in `folder`, without hidden ones.
fn folders_in(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_hidden = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    let is_folder = |entry: &fs::DirEntry| {
        let kind = entry.file_type();
        kind.is_ok_and(|kind| kind.is_dir() || kind.is_symlink() && entry.path().is_dir())
    };
    entries.filter(|entry| !is_hidden(entry) && is_folder(entry)).count()
}

/// Whether `output`, the full name of a file that is there, is one that reading `input` reads: its own, or header or signal beside it.
pub fn is_read(input: &Input, output: &Path) -> bool {
    let Input::File(path) = input else { return false };
    let is_output = |path: &Path| path.canonicalize().is_ok_and(|path| path == output);
    let extension = output.extension().and_then(|extension| extension.to_str());
    let beside = extension.filter(|extension| ["mat", "hea", "dat"].contains(&extension.to_ascii_lowercase().as_str()));
    is_output(path) || beside.is_some_and(|extension| is_output(&path.with_extension(extension)))
}

fn folder(path: &Path) -> Vec<Input> {
    match records_in(path) {
        Ok(records) if records.is_empty() => {
            vec![Input::Unusable(
                path.to_owned(),
                "this folder holds no recording (.mat or .hea)".to_owned(),
            )]
        }
        Ok(records) => records.into_iter().map(Input::File).collect(),
        Err(error) => vec![Input::Unusable(
            path.to_owned(),
            format!("this folder cannot be read: {error}"),
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_output_is_read_when_it_is_a_record_or_beside_one() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        for name in ["a.mat", "a.hea", "a.csv", "b.mat"] {
            fs::write(folder.join(name), b"").unwrap();
        }
        for (input, read) in [("a.mat", ["a.mat", "a.hea"]), ("a", ["a.mat", "a.hea"])] {
            let input = Input::File(folder.join(input));
            assert!(read.iter().all(|name| is_read(&input, &folder.join(name))), "{input:?}");
            for other in ["a.csv", "b.mat", "new.mat"] {
                assert!(!is_read(&input, &folder.join(other)), "{input:?} {other}");
            }
        }
        assert!(!is_read(&Input::Standard, &folder.join("a.mat")));
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
