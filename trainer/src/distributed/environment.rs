//! A process's place among others, as launchers write it into the environment.

use crate::error::TrainerError;
use std::str::FromStr;

/// Which process this is, and where all of them meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `RANK`: this process's number, from 0.
    pub rank: usize,
    /// `LOCAL_RANK`: its number on its machine, from 0; the CUDA device it takes.
    pub local_rank: usize,
    /// `WORLD_SIZE`: how many processes there are.
    pub size: usize,
    /// `MASTER_ADDR`: where the store is.
    pub host: String,
    /// `MASTER_PORT`.
    pub port: u16,
    /// `TORCHELASTIC_USE_AGENT_STORE`: the launcher keeps the store; otherwise rank 0 does.
    pub store_is_kept: bool,
    /// `TORCHELASTIC_RESTART_COUNT`: tells this start's keys in a kept store from those of earlier ones.
    pub attempt: usize,
}

/// Any of these says that there is a team.
const TELLING: [&str; 3] = ["RANK", "LOCAL_RANK", "WORLD_SIZE"];

impl Place {
    /// Whether the environment speaks of other processes at all.
    pub fn is_in_environment() -> bool {
        TELLING.into_iter().any(|name| std::env::var_os(name).is_some())
    }

    /// The place that the environment names; `None` without one and for a process alone (`WORLD_SIZE=1`).
    ///
    /// # Errors
    /// A variable that is missing or unusable, by name.
    pub fn from_environment() -> Result<Option<Self>, TrainerError> {
        Self::read(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, TrainerError> {
        let Some(told_by) = TELLING.into_iter().find(|name| lookup(name).is_some()) else {
            return Ok(None);
        };
        let text = |name: &str| match lookup(name) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(fault(format!(
                "{name} is not set, but {told_by} is; torchrun and trainer launch set them all"
            ))),
        };
        let rank = number::<usize>("RANK", &text("RANK")?, "a number from 0")?;
        let local_rank = number::<usize>("LOCAL_RANK", &text("LOCAL_RANK")?, "a number from 0")?;
        let size = number::<i32>("WORLD_SIZE", &text("WORLD_SIZE")?, "a number from 1")?;
        let size = usize::try_from(size).ok().filter(|&size| size > 0);
        let Some(size) = size else {
            return Err(fault("WORLD_SIZE must be at least 1".to_owned()));
        };
        if rank >= size {
            return Err(fault(format!(
                "RANK must be below WORLD_SIZE, which is {size}, not {rank}"
            )));
        }
        if local_rank > rank {
            return Err(fault(format!(
                "LOCAL_RANK must be at most RANK, which is {rank}, not {local_rank}"
            )));
        }
        let port = number::<u16>("MASTER_PORT", &text("MASTER_PORT")?, "a port from 1 to 65535")?;
        if port == 0 {
            return Err(fault("MASTER_PORT must be a port from 1 to 65535, not 0".to_owned()));
        }
        let host = text("MASTER_ADDR")?;
        let store_is_kept = match lookup("TORCHELASTIC_USE_AGENT_STORE").as_deref() {
            Some("True") => true,
            None | Some("False" | "") => false,
            Some(other) => {
                return Err(fault(format!(
                    "TORCHELASTIC_USE_AGENT_STORE must be True or False, not {other:?}"
                )));
            }
        };
        let attempt = match lookup("TORCHELASTIC_RESTART_COUNT") {
            Some(count) => number::<usize>("TORCHELASTIC_RESTART_COUNT", &count, "a number from 0")?,
            None => 0,
        };
        Ok((size > 1).then_some(Self {
            rank,
            local_rank,
            size,
            host,
            port,
            store_is_kept,
            attempt,
        }))
    }

    /// Processes on this machine (`LOCAL_WORLD_SIZE`), at least one; only the number of threads depends on it.
    pub fn processes_here() -> usize {
        let count = std::env::var("LOCAL_WORLD_SIZE")
            .ok()
            .and_then(|count| count.parse().ok());
        count.unwrap_or(1).max(1)
    }
}

fn number<T: FromStr>(name: &str, value: &str, wanted: &str) -> Result<T, TrainerError> {
    value
        .parse()
        .map_err(|_| fault(format!("{name} must be {wanted}, not {value:?}")))
}

fn fault(reason: String) -> TrainerError {
    TrainerError::Distributed(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [(&str, &str); 5] = [
        ("RANK", "1"),
        ("LOCAL_RANK", "0"),
        ("WORLD_SIZE", "2"),
        ("MASTER_ADDR", "node-0"),
        ("MASTER_PORT", "29500"),
    ];

    fn read(change: &[(&str, Option<&str>)]) -> Result<Option<Place>, TrainerError> {
        Place::read(|name| {
            let changed = change.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            let whole = WHOLE.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            changed.unwrap_or(whole).map(str::to_owned)
        })
    }

    #[test]
    fn the_place_is_what_torchrun_says() {
        let place = Place {
            rank: 1,
            local_rank: 0,
            size: 2,
            host: "node-0".to_owned(),
            port: 29500,
            store_is_kept: true,
            attempt: 3,
        };
        let change = [
            ("TORCHELASTIC_USE_AGENT_STORE", Some("True")),
            ("TORCHELASTIC_RESTART_COUNT", Some("3")),
        ];
        assert_eq!(read(&change).expect("a place"), Some(place));
        let alone = [("RANK", Some("0")), ("WORLD_SIZE", Some("1"))];
        assert_eq!(read(&alone).expect("nobody else"), None);
        let silent = [("RANK", None), ("LOCAL_RANK", None), ("WORLD_SIZE", None)];
        assert_eq!(read(&silent).expect("nothing said"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, _) in WHOLE {
            let error = read(&[(name, None)]).expect_err("incomplete").to_string();
            assert!(error.starts_with(name), "{error}");
            let error = read(&[(name, Some(""))]).expect_err("empty").to_string();
            assert!(error.starts_with(name), "{error}");
        }
        for (name, value) in [
            ("RANK", "2"),
            ("RANK", "-1"),
            ("RANK", "one"),
            ("LOCAL_RANK", "2"),
            ("WORLD_SIZE", "0"),
            ("WORLD_SIZE", "99999999999"),
            ("MASTER_PORT", "0"),
            ("MASTER_PORT", "65536"),
            ("TORCHELASTIC_USE_AGENT_STORE", "maybe"),
            ("TORCHELASTIC_RESTART_COUNT", "x"),
        ] {
            let error = read(&[(name, Some(value))]).expect_err("unusable").to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
