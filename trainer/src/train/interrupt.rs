//! Ctrl-C and termination, seen between two steps and in the validation of one process.

use crate::ending::end_at_once;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Signals within this time after the first are the same request: the kernel tells a process of its parent's death once for each of the parent's threads.
const ONE_REQUEST: Duration = Duration::from_millis(200);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    First,
    /// Nothing that the first did not.
    Same,
    Again,
}

/// Tells a second request from an echo of the first.
#[derive(Debug, Default)]
struct Requests {
    first: Option<Instant>,
}

impl Requests {
    fn hear(&mut self, now: Instant) -> Heard {
        match self.first {
            None => {
                self.first = Some(now);
                Heard::First
            }
            Some(first) if now.saturating_duration_since(first) <= ONE_REQUEST => Heard::Same,
            Some(_) => Heard::Again,
        }
    }
}

/// From now on Ctrl-C, SIGTERM and SIGHUP ask the run to stop after the step under way; a second Ctrl-C ends the process at once, with exit status 130.
///
/// A signal that the process was started to ignore stays ignored. Call this from the thread that computes, before it starts others that multiply matrices: none of them
/// takes these signals then. While oneDNN multiplies matrices, as for an LSTM whose units are not in sixteens, the stack pointer stands at the start of a block of the heap, and a signal's
/// frame would overwrite what lies before it.
pub fn listen() {
    handle(true);
}

/// As [`listen`], without a word: one of several processes speaks for all.
pub fn listen_silently() {
    handle(false);
}

fn handle(speaks: bool) {
    let mut requests = Requests::default();
    let is_set = on_signal(move || match requests.hear(Instant::now()) {
        Heard::First => {
            REQUESTED.store(true, Ordering::SeqCst);
            if speaks {
                eprintln!("trainer: stopping after this step; once more ends it at once");
            }
        }
        Heard::Same => {}
        Heard::Again => end_at_once(130),
    });
    if is_set {
        leave_to_others();
    }
}

/// Calls `handler` on Ctrl-C, SIGTERM and SIGHUP, on a thread of its own, but for those that the process was started to ignore: `nohup` has it
/// ignore SIGHUP, and a shell has what runs in its background ignore Ctrl-C. Only the first call of a process counts. Whether there is a handler.
pub(crate) fn on_signal(handler: impl FnMut() + Send + 'static) -> bool {
    static IS_SET: OnceLock<bool> = OnceLock::new();
    *IS_SET.get_or_init(|| {
        let ignored = ignored();
        // The handler's thread takes them, whatever this one was started with.
        take();
        let is_set = ctrlc::set_handler(handler).is_ok();
        restore(&ignored, is_set);
        is_set
    })
}

#[cfg(unix)]
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// What `ctrlc` handles.
#[cfg(unix)]
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The signals that are ignored; all of them are from here on, since asking means setting.
#[cfg(unix)]
fn ignored() -> Vec<Signal> {
    let is_ignored = |signal_of: &Signal| {
        // SAFETY: ignoring a signal runs no code.
        let before = unsafe { signal(*signal_of, SigHandler::SigIgn) };
        matches!(before, Ok(SigHandler::SigIgn))
    };
    SIGNALS.into_iter().filter(is_ignored).collect()
}

/// Ignores `ignored` again, and gives the others their default back where no handler took them.
#[cfg(unix)]
fn restore(ignored: &[Signal], is_set: bool) {
    for signal_of in SIGNALS {
        let action = match ignored.contains(&signal_of) {
            true => SigHandler::SigIgn,
            false if is_set => continue,
            false => SigHandler::SigDfl,
        };
        // SAFETY: neither ignoring a signal nor its default runs code of ours.
        let _ = unsafe { signal(signal_of, action) };
    }
}

/// Has this thread take the signals again.
#[cfg(unix)]
fn take() {
    let _ = SigSet::from_iter(SIGNALS).thread_unblock();
}

/// Has this thread, and those it starts, leave the signals to others.
#[cfg(unix)]
fn leave_to_others() {
    let _ = SigSet::from_iter(SIGNALS).thread_block();
}

#[cfg(not(unix))]
fn take() {}

#[cfg(not(unix))]
fn leave_to_others() {}

#[cfg(not(unix))]
fn ignored() {}

#[cfg(not(unix))]
fn restore((): &(), _: bool) {}

/// Whether a stop was asked for.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_no_second_request() {
        let mut requests = Requests::default();
        let start = Instant::now();
        assert_eq!(requests.hear(start), Heard::First);
        for later in [Duration::ZERO, Duration::from_millis(3), ONE_REQUEST] {
            assert_eq!(requests.hear(start + later), Heard::Same);
        }
        assert_eq!(requests.hear(start + 2 * ONE_REQUEST), Heard::Again);
    }
}
