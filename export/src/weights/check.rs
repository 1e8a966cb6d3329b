//! Whether a file's tensors are those of a network.

use super::{Data, OPTIMIZER_PREFIX, StateDict, WeightsError};
use crate::network::{Parameter, ParameterKind};
use std::fmt;
use std::path::{Path, PathBuf};

/// How many names a message lists of each kind.
const LISTED: usize = 3;

/// The ways in which tensors differ from a network's parameter list. At least one list is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// The file.
    pub path: PathBuf,
    /// Parameters that the file lacks.
    pub missing: Vec<String>,
    /// Tensors that the network does not have.
    pub extra: Vec<String>,
    /// Tensors of another shape or element type: name, what it is, what the network has.
    pub misshapen: Vec<(String, String, String)>,
    /// Tensors with NaN or infinite elements.
    pub not_finite: Vec<String>,
    /// Running variances with negative elements.
    pub negative: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let misshapen: Vec<String> = self
            .misshapen
            .iter()
            .map(|(name, is, expected)| format!("`{name}` is {is}, expected {expected}"))
            .collect();
        let quoted = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        let parts: Vec<String> = [
            ("missing", quoted(&self.missing)),
            ("not in the network", quoted(&self.extra)),
            ("wrong shape", misshapen),
            ("NaN or infinite", quoted(&self.not_finite)),
            ("negative variance", quoted(&self.negative)),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(kind, names)| format!("{kind}: {}", list(&names)))
        .collect();
        write!(f, "{}: {}", self.path.display(), parts.join("; "))
    }
}

fn list(names: &[String]) -> String {
    match names.len().checked_sub(LISTED) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..LISTED].join(", ")),
    }
}

impl Mismatch {
    fn is_empty(&self) -> bool {
        [&self.missing, &self.extra, &self.not_finite, &self.negative]
            .iter()
            .all(|names| names.is_empty())
            && self.misshapen.is_empty()
    }
}

impl StateDict {
    /// Holds the tensors to a network's parameter list.
    ///
    /// Counters and index tables ([`ParameterKind::Integer`]) may be missing, because evaluation needs none of them; the
    /// trainer's own tensors ([`OPTIMIZER_PREFIX`]) are passed over. `path` is named in the message.
    ///
    /// # Errors
    /// [`WeightsError::Mismatch`] with every tensor that is missing, extra, of another shape, not finite, or a negative
    /// variance.
    pub fn check(&self, path: &Path, parameters: &[Parameter]) -> Result<(), WeightsError> {
        let mut mismatch = self.compare_shapes(parameters);
        for (name, tensor) in &self.tensors {
            let Data::F32(values) = &tensor.data else { continue };
            if !name.starts_with(OPTIMIZER_PREFIX) && values.iter().any(|value| !value.is_finite()) {
                mismatch.not_finite.push(name.clone());
            } else if name.ends_with("running_var") && values.iter().any(|&value| value < 0.0) {
                mismatch.negative.push(name.clone());
            }
        }
        if mismatch.is_empty() {
            return Ok(());
        }
        mismatch.path = path.to_owned();
        Err(WeightsError::Mismatch(Box::new(mismatch)))
    }

    /// Whether names and shapes are those of the list, whatever the values.
    pub fn fits(&self, parameters: &[Parameter]) -> bool {
        self.compare_shapes(parameters).is_empty()
    }

    fn compare_shapes(&self, parameters: &[Parameter]) -> Mismatch {
        let mut mismatch = Mismatch::default();
        let mut known = std::collections::BTreeSet::new();
        for parameter in parameters {
            known.insert(parameter.name.as_str());
            let integer = parameter.kind == ParameterKind::Integer;
            match self.get(&parameter.name) {
                None if integer => {}
                None => mismatch.missing.push(parameter.name.clone()),
                Some(tensor) => {
                    let kind = |integer: bool| if integer { "int64" } else { "float32" };
                    let is_integer = tensor.as_i64().is_some();
                    if tensor.shape != parameter.shape || is_integer != integer {
                        mismatch.misshapen.push((
                            parameter.name.clone(),
                            format!("{} {:?}", kind(is_integer), tensor.shape),
                            format!("{} {:?}", kind(integer), parameter.shape),
                        ));
                    }
                }
            }
        }
        let unknown = |name: &&String| !known.contains(name.as_str()) && !name.starts_with(OPTIMIZER_PREFIX);
        mismatch.extra = self.tensors.keys().filter(unknown).cloned().collect();
        mismatch
    }
}
