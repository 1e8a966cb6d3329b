//! Ctrl-C and termination, seen between two steps.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C, SIGTERM and SIGHUP ask the run to stop after the step under way; a second Ctrl-C ends the process at once.
///
/// A signal that the process was started to ignore stays ignored.
pub fn listen() {
    handle(true);
}

/// As [`listen`], without a word: one of several processes speaks for all.
pub fn listen_silently() {
    handle(false);
}

fn handle(speaks: bool) {
    on_signal(move || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        if speaks {
            eprintln!("trainer: stopping after this step; once more ends it at once");
        }
    });
}

/// Calls `handler` on Ctrl-C, SIGTERM and SIGHUP, but for those that the process was started to ignore: `nohup` has it ignore SIGHUP,
/// and a shell has what runs in its background ignore Ctrl-C. Only the first call of a process counts.
pub(crate) fn on_signal(handler: impl FnMut() + Send + 'static) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let ignored = ignored();
        let is_set = ctrlc::set_handler(handler).is_ok();
        restore(&ignored, is_set);
    });
}

#[cfg(unix)]
use nix::sys::signal::{SigHandler, Signal, signal};

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

#[cfg(not(unix))]
fn ignored() {}

#[cfg(not(unix))]
fn restore((): &(), _: bool) {}

/// Whether a stop was asked for.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
