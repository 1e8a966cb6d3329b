//! The records of a folder.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::source::in_any_case;

/// One file for every record directly in `folder`, sorted by name: every `.mat`, and every `.hea` that is not the header of one of
/// them. Names may be in capitals. Pipes and devices are none.
///
/// # Errors
/// A folder that cannot be read.
pub fn records_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut records, mut headers) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
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

/// How many folders lie in `folder`, whose records [`records_in`] does not give. Hidden ones do not count.
///
/// # Errors
/// A folder that cannot be read.
pub fn folders_in(folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let is_folder = kind.is_dir() || kind.is_symlink() && entry.path().is_dir();
        count += usize::from(is_folder && !entry.file_name().as_encoded_bytes().starts_with(b"."));
    }
    Ok(count)
}

/// Whether `path`, or what it links to, is there and named like a file of a recording, `.mat`, `.hea` or `.dat` in either case: nothing else should
/// be written over it.
pub fn is_recording(path: &Path) -> bool {
    let is_named = |path: &Path| {
        let extension = path.extension().unwrap_or_default();
        let names = ["mat", "hea", "dat"];
        names.iter().any(|name| extension.eq_ignore_ascii_case(name))
    };
    path.is_file() && (is_named(path) || path.canonicalize().is_ok_and(|path| is_named(&path)))
}
