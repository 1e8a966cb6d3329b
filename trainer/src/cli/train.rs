//! `trainer train`

use super::check::check;
use super::flags::{RunFlags, device_of};
use super::progress::Terminal;
use super::{ToldElsewhere, launch, loader_threads, say, thread_count, use_threads};
use crate::device::said_of_auto;
use crate::error::TrainerError;
use crate::train::{Changes, Records, Team, TrainOptions, Training, interrupt};
use anyhow::bail;
use clap::{Args, CommandFactory};
use std::path::PathBuf;

/// Trains on the training records of a split and keeps the epoch that is best on its validation records.
///
/// The run's folder gets run.toml (the configuration), log.csv, log.jsonl and TensorBoard's event files, best.safetensors,
/// last.safetensors, a checkpoint every few epochs, and at the end result.json. The defaults are the published recipe
/// (Rohr et al. 2022). Ctrl-C stops after the step under way, or in the validation of one process; --resume goes on from there. Under torchrun or trainer launch
/// each process computes its part of every batch.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder of the data set (A00001.mat … with REFERENCE.csv, or 00000_batched.pkl.gz …).
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of the run.
    #[arg(long, value_name = "DIR", default_value = "run")]
    run: PathBuf,
    /// Go on with the run in that folder: how it trains is read from its last checkpoint, but for --epochs, --device and --threads. On the CPU, with as
    /// many threads, it ends with the bits of a run that was not stopped.
    #[arg(long)]
    resume: bool,
    /// Passes over the training records; with --resume, a new number for the rest of the schedule.
    #[arg(long)]
    epochs: Option<usize>,
    /// Where to compute: cpu, cuda, cuda:1, auto; several, separated by commas, with --data-parallel.
    #[arg(long, visible_alias = "device", value_name = "DEVICE,…", value_delimiter = ',')]
    devices: Vec<String>,
    /// Train on all --devices at once, one process each, on this machine.
    #[arg(long)]
    data_parallel: bool,
    /// Threads that compute; one more prepares the batches, up to four where a GPU computes. The default is the number of cores, divided among the processes
    /// on this machine.
    #[arg(long, value_name = "N", value_parser = thread_count())]
    threads: Option<usize>,
    /// On a GPU, start each operation of a step by itself instead of recording the step once.
    #[arg(long)]
    no_cuda_graph: bool,
    /// Print nothing but errors.
    #[arg(long)]
    quiet: bool,
    #[command(flatten, next_help_heading = "The run (with --resume, its checkpoint decides)")]
    flags: RunFlags,
}

impl Arguments {
    /// Whether it starts a process for each of its devices.
    pub(super) fn is_data_parallel(&self) -> bool {
        self.data_parallel
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.resume {
        refuse_decided_flags()?;
    }
    match (arguments.devices.len(), arguments.data_parallel) {
        (0 | 1, false) => {}
        (0 | 1, true) => bail!("--data-parallel needs more than one of --devices, such as cuda:0,cuda:1 or cpu,cpu"),
        (_, false) => bail!("several --devices need --data-parallel"),
        (_, true) if !Team::is_in_environment() => return launch::again(&arguments.devices),
        (count, true) => launch::check_devices(count)?,
    }
    let resolved = match arguments.resume {
        true => None,
        false => Some(arguments.flags.resolve(arguments.epochs, &arguments.devices)?),
    };
    launch::stop_with_launcher()?;
    let team = Team::from_environment()?;
    let is_first = team.is_first();
    match is_first {
        true => interrupt::listen(),
        false => interrupt::listen_silently(),
    }
    use_threads(arguments.threads)?;
    let shard = team.shard();
    let records = |options: &TrainOptions| Records::open(options, &arguments.data, loader_threads(&options.device));
    let mut training = match resolved {
        None => {
            let changes = Changes {
                epochs: arguments.epochs,
                device: device_of(&arguments.devices),
            };
            Training::resume_in(team, &arguments.run, changes, records)?
        }
        Some((network, options)) => {
            let checked = |options: &TrainOptions| check(records(options)?, shard, arguments.quiet || !is_first);
            let started = Training::start_in(team, network, options, &arguments.run, checked);
            told_once(started, is_first)?
        }
    };
    if arguments.no_cuda_graph {
        training.without_cuda_graph();
    }
    let mut terminal = Terminal::new(arguments.quiet || !is_first).with_records_per_step(training.options().batch_size);
    if is_first && !arguments.quiet {
        let device = said_of_auto(&training.options().device);
        device.iter().chain(training.notes()).for_each(say);
        if training.epochs_left() == 0 {
            say(format_args!(
                "{}: all {} epochs are done; --resume --epochs N makes it longer",
                arguments.run.display(),
                training.options().epochs
            ));
        }
    }
    told_once(training.run(&mut terminal), is_first)
}

/// Leaves to the first process what every process has the same to say of.
fn told_once<T>(result: Result<T, TrainerError>, is_first: bool) -> anyhow::Result<T> {
    match result {
        Err(TrainerError::Interrupted { .. } | TrainerError::NotBegun) if !is_first => {
            Err(ToldElsewhere { is_stopped: true }.into())
        }
        Err(TrainerError::Diverged { .. } | TrainerError::NoAnswers { .. }) if !is_first => {
            Err(ToldElsewhere { is_stopped: false }.into())
        }
        result => Ok(result?),
    }
}

/// A flag that the checkpoint decides would otherwise be passed over in silence.
fn refuse_decided_flags() -> anyhow::Result<()> {
    let command = super::Cli::command();
    let matches = command.clone().try_get_matches_from(std::env::args_os())?;
    let Some(("train", given)) = matches.subcommand() else {
        return Ok(());
    };
    let decided = RunFlags::augment_args(clap::Command::new("flags"));
    for argument in decided.get_arguments() {
        let id = argument.get_id().as_str();
        if given.value_source(id) == Some(clap::parser::ValueSource::CommandLine) {
            bail!(
                "--{} cannot be used with --resume: the run's last checkpoint decides it",
                argument.get_long().unwrap_or(id)
            );
        }
    }
    Ok(())
}
