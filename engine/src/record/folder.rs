//! The records of a folder.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::source::in_any_case;

/// One file for every record directly in `folder`, sorted by name: every `.mat`, and every `.hea` that is not the header of one of
/// them. Names may be in capitals. Pipes, devices and hidden files (`._A00001.mat` of macOS) are none.
///
/// # Errors
/// A folder that cannot be read.
pub fn records_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut records, mut headers) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_hidden(&entry) {
            continue;
        }
        let path = entry.path();
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let files = match extension.as_deref().and_then(|extension| extension.to_str()) {
            Some("mat") => &mut records,
            Some("hea") => &mut headers,
            _ => continue,
        };
        // A link that leads nowhere stays, so that it is named.
        if path.metadata().map_or(true, |metadata| metadata.is_file()) {
            files.push(path);
        }
    }
    let described: HashSet<PathBuf> = records
        .iter()
        .map(|path| in_any_case(&path.with_extension("hea")))
        .collect();
    records.extend(headers.into_iter().filter(|header| !described.contains(header)));
    records.sort_unstable_by(|a, b| (a.file_stem(), a).cmp(&(b.file_stem(), b)));
    Ok(records)
}

/// The recordings that `path` names: those of a folder, as [`records_in`] has them, or itself.
///
/// # Errors
/// Why a folder gives none, in a few words.
pub fn recordings_of(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    match records_in(path) {
        Ok(records) if records.is_empty() => Err("this folder holds no recording (.mat or .hea)".to_owned()),
        Ok(records) => Ok(records),
        Err(error) => Err(format!("this folder cannot be read: {error}")),
    }
}

/// What [`recordings_of`] leaves out of a folder, in a sentence: the folders in it. Hidden ones do not count.
pub fn left_out_of(path: &Path) -> Option<String> {
    let inside = match folders_in(path) {
        0 => return None,
        1 => "1 folder in it is not searched; name it to read what it holds".to_owned(),
        count => format!("{count} folders in it are not searched; name them to read what they hold"),
    };
    Some(format!("{}: {inside}", path.display()))
}

fn folders_in(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_folder = |entry: &fs::DirEntry| {
        let kind = entry.file_type();
        kind.is_ok_and(|kind| kind.is_dir() || kind.is_symlink() && entry.path().is_dir())
    };
    entries.filter(|entry| !is_hidden(entry) && is_folder(entry)).count()
}

fn is_hidden(entry: &fs::DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// Whether `path` is named like a file of a recording: `.mat`, `.hea` or `.dat`, in either case.
pub(crate) fn is_recording(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    let names = ["mat", "hea", "dat"];
    names.iter().any(|name| extension.eq_ignore_ascii_case(name))
}
