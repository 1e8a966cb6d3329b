//! `trainer launch`, and `trainer train --data-parallel`

use super::{Cli, STOPPED};
use crate::distributed::{Host, Place};
use crate::train::interrupt::on_signal;
use anyhow::{Context, bail};
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser};
use std::ffi::OsString;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Trains in several processes on this machine, each on its part of every batch.
///
/// Starts this program --nproc times and tells each process its place, as torchrun does. Gradients are summed over the
/// processes, so that --batch-size stays the whole batch; batch normalization sees each process's part apart unless
/// --batch-norm synchronized says otherwise. The first process writes the run's folder and the terminal, the others only
/// errors. When a process dies, the others stop and name it; when
/// this one is killed, they stop after the step under way. train --resume goes on from the last checkpoint. Ctrl-C stops
/// all after the step under way.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    trainer launch --nproc 2 train --data training2017 --network dualnet-s --run runs/s\n  \
    trainer launch --nproc 4 train --devices cuda --batch-norm synchronized --data training2017 --network dualnet-xl\n  \
    trainer launch --nproc 2 train --data training2017 --resume --run runs/s\n\n\
    On several machines use torchrun, on each of them:\n  \
    torchrun --no-python --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -- trainer train …\n\n\
    Training on more than one GPU goes through NCCL and has not been proven yet; on CPUs it has.")]
pub(super) struct Arguments {
    /// Processes to start; on CUDA at most one for each device.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    nproc: usize,
    /// `train` and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "train …"
    )]
    command: Vec<OsString>,
}

/// Between two looks at the processes.
const TICK: Duration = Duration::from_millis(50);
/// How long the others may take to find out that one is gone, before they are killed.
const GRACE: Duration = Duration::from_secs(8);

/// The environment's name for the launcher's process.
const LAUNCHER: &str = "TRAINER_LAUNCHER";

/// The environment's name for the number of devices that each process has one of.
const DEVICES: &str = "TRAINER_DEVICES";

const LAUNCHED_TWICE: &str = "--data-parallel starts processes of its own, which a launcher has done already: leave it out, and name one --device; with cuda each \
    process takes the GPU of its number, of those that CUDA_VISIBLE_DEVICES names";

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.command.first().is_none_or(|name| name != "train") {
        bail!("launch starts train and nothing else: trainer launch --nproc N train …");
    }
    // Wrong usage is said once, not by every process.
    let words = std::iter::once(OsString::from("trainer")).chain(arguments.command.iter().cloned());
    match Cli::try_parse_from(words) {
        Err(error) => error.exit(),
        Ok(cli) if matches!(&cli.command, super::Command::Train(train) if train.is_data_parallel()) => {
            bail!("{LAUNCHED_TWICE}")
        }
        Ok(_) => {}
    }
    start(arguments.nproc, &arguments.command, &[], None)
}

/// Starts this very command line once for each of `devices`.
pub(super) fn again(devices: &[String]) -> anyhow::Result<()> {
    let inherited = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let visible = visible(devices, inherited.as_deref())?;
    let command: Vec<OsString> = std::env::args_os().skip(1).collect();
    start(devices.len(), &command, devices, visible)
}

/// Refuses several devices in a process that another launcher than [`again`] has started: it would compute on others.
pub(super) fn check_devices(count: usize) -> anyhow::Result<()> {
    match std::env::var(DEVICES) {
        Ok(devices) if devices == count.to_string() => Ok(()),
        _ => bail!("{LAUNCHED_TWICE}"),
    }
}

/// The CUDA devices that the processes shall see, if that is to be said: each takes the one of its number.
fn visible(devices: &[String], inherited: Option<&str>) -> anyhow::Result<Option<String>> {
    let Some((first, rest)) = devices.split_first() else {
        return Ok(None);
    };
    if rest.iter().all(|device| device == first) && !first.contains(':') {
        return Ok(None);
    }
    let mut seen: Vec<String> = Vec::new();
    for device in devices {
        let Some(index) = device
            .strip_prefix("cuda:")
            .and_then(|index| index.parse::<usize>().ok())
        else {
            bail!("--devices of several processes are all cpu, all cuda, or cuda:0,cuda:1,…; {device:?} does not fit");
        };
        let name = match inherited {
            None => index.to_string(),
            Some(list) => match list.split(',').nth(index) {
                Some(name) => name.trim().to_owned(),
                None => bail!("there is no {device}: CUDA_VISIBLE_DEVICES is {list:?}"),
            },
        };
        if seen.contains(&name) {
            bail!("{device} is there twice; each process needs a device of its own");
        }
        seen.push(name);
    }
    Ok(Some(seen.join(",")))
}

/// Starts `count` processes, each on one of `devices` if there are any.
fn start(count: usize, command: &[OsString], devices: &[String], visible: Option<String>) -> anyhow::Result<()> {
    if Place::is_in_environment() {
        bail!("this process is one of several already (RANK, LOCAL_RANK or WORLD_SIZE is set); start train directly");
    }
    let program = std::env::current_exe().context("this program's file")?;
    let host = Host::open()?;
    let _ = on_signal(|| {
        SIGNALS.fetch_add(1, Ordering::SeqCst);
    });
    let mut processes = Processes(Vec::with_capacity(count));
    for rank in 0..count {
        let mut process = Command::new(&program);
        process
            .args(command)
            .env("RANK", rank.to_string())
            .env("LOCAL_RANK", rank.to_string())
            .env("WORLD_SIZE", count.to_string())
            .env("LOCAL_WORLD_SIZE", count.to_string())
            .env("MASTER_ADDR", "127.0.0.1")
            .env("MASTER_PORT", host.port().to_string())
            .env("TORCHELASTIC_USE_AGENT_STORE", "True")
            .env(LAUNCHER, std::process::id().to_string())
            .env_remove("TORCHELASTIC_RESTART_COUNT")
            .env_remove(DEVICES)
            .envs((!devices.is_empty()).then(|| (DEVICES, devices.len().to_string())))
            .envs(visible.iter().map(|list| ("CUDA_VISIBLE_DEVICES", list)))
            .stdin(Stdio::null());
        if rank > 0 {
            process.stdout(Stdio::null());
        }
        apart(&mut process);
        let started = process.spawn().with_context(|| program.display().to_string())?;
        processes.0.push(started);
    }
    processes.watch()
}

/// A process that a launcher started stops as on Ctrl-C when the launcher is gone, even if it was killed and could stop nobody.
///
/// # Errors
/// The launcher is gone already.
#[cfg(target_os = "linux")]
pub(super) fn stop_with_launcher() -> anyhow::Result<()> {
    use nix::sys::{prctl::set_pdeathsig, signal::Signal};
    let Ok(launcher) = std::env::var(LAUNCHER) else {
        return Ok(());
    };
    set_pdeathsig(Signal::SIGTERM)?;
    if nix::unistd::getppid().to_string() != launcher {
        bail!("trainer launch, which started this process, is gone");
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn stop_with_launcher() -> anyhow::Result<()> {
    Ok(())
}

/// The processes by rank; none outlives this.
struct Processes(Vec<Child>);

impl Processes {
    fn watch(&mut self) -> anyhow::Result<()> {
        let mut ended = Ended::default();
        let mut forwarded = 0;
        let mut running: Vec<usize> = (0..self.0.len()).collect();
        while !running.is_empty() {
            while forwarded < SIGNALS.load(Ordering::SeqCst) {
                forwarded += 1;
                running.iter().for_each(|&rank| interrupt(&mut self.0[rank]));
            }
            let mut still = Vec::with_capacity(running.len());
            for rank in running {
                match self.0[rank].try_wait()? {
                    None => still.push(rank),
                    Some(status) if !status.success() => ended.add(rank, status),
                    Some(_) => {}
                }
            }
            running = still;
            if ended.first.is_some_and(|at| at.elapsed() > GRACE) {
                for rank in running.drain(..) {
                    self.0[rank].kill()?;
                    ended.add(rank, self.0[rank].wait()?);
                }
            }
            std::thread::sleep(TICK);
        }
        match ended.worst {
            None => Ok(()),
            // It has said itself that it stops, or what it met.
            Some((_, status)) if was_stopped(status) || status.code() == Some(2) => Err(super::ToldElsewhere {
                is_stopped: was_stopped(status),
            }
            .into()),
            Some((rank, status)) => {
                bail!("rank {rank} ended first, with {status}; --resume goes on from the last checkpoint")
            }
        }
    }
}

/// The processes that ended otherwise than well.
#[derive(Default)]
struct Ended {
    /// When the first of them did.
    first: Option<Instant>,
    /// The first that failed, or else the first that was stopped.
    worst: Option<(usize, ExitStatus)>,
}

impl Ended {
    fn add(&mut self, rank: usize, status: ExitStatus) {
        self.first.get_or_insert_with(Instant::now);
        if self
            .worst
            .is_none_or(|(_, worst)| was_stopped(worst) && !was_stopped(status))
        {
            self.worst = Some((rank, status));
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            if let Ok(None) = child.try_wait() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// Whether a process was asked to stop, be it before it listened.
#[cfg(unix)]
fn was_stopped(status: ExitStatus) -> bool {
    use nix::sys::signal::Signal;
    use std::os::unix::process::ExitStatusExt;
    status.code() == Some(STOPPED) || status.signal() == Some(Signal::SIGTERM as i32)
}

#[cfg(not(unix))]
fn was_stopped(status: ExitStatus) -> bool {
    status.code() == Some(STOPPED)
}

/// Ctrl-C then reaches a process once, from here, as SIGTERM: what started this program may have it ignore the other.
#[cfg(unix)]
fn apart(process: &mut Command) {
    use std::os::unix::process::CommandExt;
    process.process_group(0);
}

#[cfg(unix)]
fn interrupt(child: &mut Child) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    if let Ok(id) = i32::try_from(child.id()) {
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
    }
}

#[cfg(not(unix))]
fn apart(_process: &mut Command) {}

#[cfg(not(unix))]
fn interrupt(child: &mut Child) {
    let _ = child.kill();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_sees_the_devices_that_were_named() {
        let visible = |devices: &[&str], inherited| {
            let devices: Vec<String> = devices.iter().map(|&device| device.to_owned()).collect();
            visible(&devices, inherited).map_err(|error| error.to_string())
        };
        assert_eq!(visible(&["cpu", "cpu"], None), Ok(None));
        assert_eq!(visible(&["cuda", "cuda"], Some("5")), Ok(None));
        assert_eq!(visible(&["cuda:2", "cuda:0"], None), Ok(Some("2,0".to_owned())));
        assert_eq!(visible(&["cuda:1", "cuda:0"], Some("4,7")), Ok(Some("7,4".to_owned())));
        for (devices, inherited, word) in [
            (["cuda:0", "cpu"], None, "cpu"),
            (["cuda:0", "cuda:0"], None, "twice"),
            (["cuda:0", "cuda:x"], None, "cuda:x"),
            (["cuda:0", "cuda:1"], Some("3"), "CUDA_VISIBLE_DEVICES"),
        ] {
            let error = visible(&devices, inherited).expect_err("refused");
            assert!(error.contains(word), "{error}");
        }
    }
}
