//! The records of a folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One file for every record directly in `folder`, sorted by name: its `.mat`, or its `.hea` when there is no `.mat` of
/// that name.
///
/// # Errors
/// A folder that cannot be read.
pub fn records_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut records: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let is_mat = match extension.as_deref().and_then(|extension| extension.to_str()) {
            Some("mat") => true,
            Some("hea") => false,
            _ => continue,
        };
        if path.is_dir() {
            continue;
        }
        let stem = path.file_stem().unwrap_or_default().to_owned();
        if is_mat || !records.contains_key(&stem) {
            records.insert(stem, path);
        }
    }
    Ok(records.into_values().collect())
}
