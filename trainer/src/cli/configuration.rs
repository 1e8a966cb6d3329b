//! The file of --config: what it says, and nothing that it does not say.

use crate::data::KnownDataset;
use crate::train::TrainOptions;
use anyhow::{Context, bail};
use dualnet_export::network::NetworkConfig;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A TOML file with a table `[network]` and a table `[train]`, either of which may be left out.
#[derive(Default)]
pub(super) struct Configuration {
    path: PathBuf,
    network: Option<toml::Table>,
    train: toml::Table,
}

/// What such a file may hold; [`NetworkConfig::from_table`] reads the other table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(rename = "network")]
    _network: Option<toml::Table>,
    #[serde(default, rename = "train")]
    _train: TrainOptions,
}

impl Configuration {
    /// Reads a file; without one nothing is said.
    ///
    /// # Errors
    /// Options that there are not, with the line.
    pub(super) fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let parsed = toml::from_str::<Tables>(&text).and_then(|_| text.parse::<toml::Table>());
        let mut tables = match parsed {
            Ok(tables) => tables,
            Err(error) => bail!("{}: {}", path.display(), with_line(&error, &text)),
        };
        let mut table = |name: &str| match tables.remove(name) {
            Some(toml::Value::Table(table)) => Some(table),
            _ => None,
        };
        Ok(Self {
            path: path.to_owned(),
            network: table("network"),
            train: table("train").unwrap_or_default(),
        })
    }

    /// The network that the table `[network]` makes of the published one called `name`, or of the one that it names itself; `None` without
    /// that table.
    ///
    /// # Errors
    /// A table of another network than `name`; one that describes no network.
    pub(super) fn network(&self, name: Option<&str>) -> anyhow::Result<Option<NetworkConfig>> {
        let Some(mut table) = self.network.clone() else {
            return Ok(None);
        };
        if let Some(name) = name {
            let begun = table.get("preset").or(table.get("name"));
            if let Some(other) = begun.filter(|other| other.as_str() != Some(name)) {
                bail!(
                    "{}: its table [network] is of {other}, and --network says {name:?}; leave one of the two out",
                    self.path.display()
                );
            }
            table.insert("preset".to_owned(), name.into());
        }
        let config = NetworkConfig::from_table(table.into());
        config.map(Some).with_context(|| self.path.display().to_string())
    }

    /// The data set, if the file names one.
    pub(super) fn dataset(&self) -> Option<KnownDataset> {
        self.train.get("dataset")?.clone().try_into().ok()
    }

    /// The number of records or segments that are used, if the file limits it.
    pub(super) fn limit(&self) -> Option<usize> {
        usize::try_from(self.train.get("limit")?.as_integer()?).ok()
    }

    /// `options` with what the table `[train]` says in the place of what they say. The plans of the run that the file is of, which was made longer or
    /// shorter, are that run's own.
    pub(super) fn apply(&self, options: TrainOptions) -> anyhow::Result<TrainOptions> {
        if self.train.is_empty() {
            return Ok(options);
        }
        let mut table = toml::Table::try_from(&options).context("the default options")?;
        merge(&mut table, self.train.clone());
        let mut options: TrainOptions = table.try_into().context("the options")?;
        options.earlier_plans.clear();
        Ok(options)
    }
}

/// Puts what `given` says in the place of what `options` say, table by table.
fn merge(options: &mut toml::Table, given: toml::Table) {
    for (name, value) in given {
        match (options.get_mut(&name), value) {
            (Some(toml::Value::Table(options)), toml::Value::Table(given)) => merge(options, given),
            (_, value) => _ = options.insert(name, value),
        }
    }
}

/// What is wrong with a TOML file, and in which line.
fn with_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: {}", before.matches('\n').count() + 1, error.message()),
        None => error.message().to_owned(),
    }
}
