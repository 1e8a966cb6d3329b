//! Ctrl-C and termination, seen between two steps.

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C, SIGTERM and SIGHUP ask the run to stop after the step under way; a second Ctrl-C ends the process at once.
///
/// Does nothing when the process has such a handler already.
pub fn listen() {
    handle(true);
}

/// As [`listen`], without a word: one of several processes speaks for all.
pub fn listen_silently() {
    handle(false);
}

fn handle(speaks: bool) {
    let _ = ctrlc::try_set_handler(move || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        if speaks {
            eprintln!("trainer: stopping after this step; once more ends it at once");
        }
    });
}

/// Whether a stop was asked for.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
