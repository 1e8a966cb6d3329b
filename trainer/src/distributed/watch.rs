//! Notices which process is lost.
//!
//! Each process has one number in the store. Its lowest bits count its signs of life, one bit says that it left of its own
//! accord, and the highest bits count those who found it lost, so that whoever fails because of them does not blame them.

use super::environment::Place;
use super::store::Store;
use crate::ending::end_at_once;
use crate::error::TrainerError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two signs of life. Silence is counted in these rather than in time: a machine that was asleep blames nobody.
const TICK: Duration = Duration::from_millis(500);
/// Ticks of silence after which a process is lost.
const LOST_AFTER: u32 = 40;
/// The same once a collective has failed, so that somebody is gone.
const SUSPECT_AFTER: u32 = 6;
/// Ticks within which a failed collective's culprit is found, or is not found.
const NAMED_WITHIN: u32 = 30;
/// Ticks without a sign from the watch itself, which then waits for a store that does not answer.
const STORE_LOST_AFTER: u32 = 50;
/// How long a thread that cannot be told (it waits for a GPU) has before the process ends under it.
const GRACE: Duration = Duration::from_secs(8);
/// How long the last sign of life, "left", may take.
const FAREWELL: Duration = Duration::from_secs(2);

const HINT: &str = "--resume goes on from the last checkpoint";

const LEFT: i64 = 1 << 40;
const BLAMED: i64 = 1 << 41;

/// The thread that watches, what it knows, and a second one that ends a process which cannot be told: the first may itself wait for the store.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    failure: Mutex<Option<String>>,
    ticks: AtomicU64,
    /// A collective failed.
    is_suspicious: AtomicBool,
    /// The training thread may be where it cannot be told.
    is_deaf: AtomicBool,
    leaves: AtomicBool,
    has_left: AtomicBool,
}

impl Watch {
    /// Starts to give and to watch signs of life.
    pub(super) fn start(place: &Place) -> Result<Self, TrainerError> {
        let store = Store::again(place)?;
        let shared = Arc::new(Shared::default());
        let watcher = Watcher {
            peers: vec![Peer::default(); place.size],
            place: place.clone(),
            store,
            shared: Arc::clone(&shared),
        };
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
            thread.map_err(|error| TrainerError::Distributed(format!("no thread for the watch: {error}")))
        };
        let listener = Arc::clone(&shared);
        start("deaf", Box::new(move || listener.outlast(TICK, GRACE, end_with)))?;
        let thread = start("watch", Box::new(move || watcher.run()))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Who is lost, if anybody is.
    pub(super) fn failure(&self) -> Option<String> {
        self.shared.failure()
    }

    /// Ends the process, with a message, if somebody is lost while the training thread cannot be told.
    pub(super) fn set_deaf(&self, is_deaf: bool) {
        self.shared.is_deaf.store(is_deaf, Ordering::SeqCst);
    }

    /// Who is to blame for a failed collective, about which Gloo says `reason`.
    pub(super) fn explain(&self, reason: &str) -> String {
        self.shared.is_suspicious.store(true, Ordering::SeqCst);
        for _ in 0..NAMED_WITHIN {
            if let Some(failure) = self.failure() {
                return failure;
            }
            std::thread::sleep(TICK);
        }
        format!("the processes lost their connection: {reason}; {HINT}")
    }

    /// A check to repeat while waiting, once per [`tick`](Self::tick).
    pub(super) fn patience(&self) -> Patience<'_> {
        self.shared.patience()
    }

    /// How long to wait between two checks.
    pub(super) fn tick() -> Duration {
        TICK
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.leaves.store(true, Ordering::SeqCst);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        // A store that does not answer is not waited for.
        let mut waited = Duration::ZERO;
        let step = Duration::from_millis(5);
        while !self.shared.has_left.load(Ordering::SeqCst) && waited < FAREWELL {
            std::thread::sleep(step);
            waited += step;
        }
        if self.shared.has_left.load(Ordering::SeqCst) {
            let _ = thread.join();
        }
    }
}

/// Patience with a collective that does not end.
pub(super) struct Patience<'a> {
    shared: &'a Shared,
    seen: u64,
    silent: u32,
}

impl Patience<'_> {
    /// Why to wait no longer, if there is a reason.
    pub(super) fn check(&mut self) -> Option<String> {
        if let Some(failure) = self.shared.failure() {
            return Some(failure);
        }
        let ticks = self.shared.ticks.load(Ordering::SeqCst);
        self.silent = if ticks == self.seen { self.silent + 1 } else { 0 };
        self.seen = ticks;
        (self.silent >= STORE_LOST_AFTER).then(|| format!("the store does not answer any more; {HINT}"))
    }
}

impl Shared {
    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn patience(&self) -> Patience<'_> {
        Patience {
            shared: self,
            seen: self.ticks.load(Ordering::SeqCst),
            silent: 0,
        }
    }

    /// Calls `end` with the reason where patience is at its end while the training thread cannot be told, until the watch ends.
    fn outlast(&self, tick: Duration, grace: Duration, end: impl FnOnce(String)) {
        let is = |state: &AtomicBool| state.load(Ordering::SeqCst);
        let mut patience = self.patience();
        while !is(&self.leaves) {
            std::thread::sleep(tick);
            let Some(failure) = patience.check().filter(|_| is(&self.is_deaf)) else {
                continue;
            };
            std::thread::sleep(grace);
            if !is(&self.leaves) && is(&self.is_deaf) {
                return end(failure);
            }
        }
    }

    fn fail(&self, failure: String) {
        let mut slot = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(format!("{failure}; {HINT}"));
    }
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    signs: i64,
    silent: u32,
    /// Ticks since it said that it left.
    gone: u32,
    blamed: bool,
}

impl Peer {
    fn hear(&mut self, number: i64) {
        let signs = number & (LEFT - 1);
        // Whoever has not arrived yet is not silent.
        self.silent = if signs == self.signs && signs > 0 {
            self.silent + 1
        } else {
            0
        };
        self.signs = signs;
        self.gone = if number & LEFT == 0 { 0 } else { self.gone + 1 };
        self.blamed = number >= BLAMED;
    }
}

/// The lost process, and in which words, if one is lost; `me` does not count. Whoever left is missed where a collective failed, or where this
/// process waits for all (`is_deaf`): not at once then, because the wait can be just over.
fn verdict(peers: &[Peer], me: usize, is_suspicious: bool, is_deaf: bool) -> Option<(usize, String)> {
    let others = || peers.iter().enumerate().filter(|&(rank, _)| rank != me);
    if let Some((rank, _)) = others().find(|(_, peer)| peer.blamed) {
        return Some((rank, format!("rank {rank} was lost")));
    }
    let is_missed = |peer: &Peer| peer.gone > if is_suspicious { 0 } else { SUSPECT_AFTER };
    if (is_suspicious || is_deaf)
        && let Some((rank, _)) = others().find(|(_, peer)| is_missed(peer))
    {
        return Some((
            rank,
            format!("rank {rank} ended before the others; its own message says why"),
        ));
    }
    let (rank, peer) = others()
        .filter(|(_, peer)| peer.gone == 0)
        .max_by_key(|(_, peer)| peer.silent)?;
    if is_suspicious && peer.silent >= SUSPECT_AFTER {
        return Some((rank, format!("rank {rank} was lost: its connection closed")));
    }
    let seconds = (LOST_AFTER * TICK.as_millis() as u32) / 1000;
    (peer.silent >= LOST_AFTER).then(|| (rank, format!("rank {rank} was lost: no sign of life for {seconds} s")))
}

struct Watcher {
    place: Place,
    store: Store,
    peers: Vec<Peer>,
    shared: Arc<Shared>,
}

impl Watcher {
    fn run(mut self) {
        let (mut has_judged, mut has_store) = (false, true);
        while !self.shared.leaves.load(Ordering::SeqCst) {
            if !has_judged {
                match self.look() {
                    Ok(None) => {}
                    Ok(Some((rank, failure))) => {
                        has_judged = true;
                        // First, because this process may end as soon as it knows.
                        if self.peers[rank].gone == 0 {
                            let _ = self.store.add(&name(rank), BLAMED);
                        }
                        self.shared.fail(failure);
                    }
                    Err(_) => {
                        (has_judged, has_store) = (true, false);
                        self.shared.fail(match self.place.store_is_kept {
                            true => "the process that started this one was lost, and its store with it".to_owned(),
                            false => "rank 0 was lost, and the store with it".to_owned(),
                        });
                    }
                }
            } else if has_store {
                has_store = self.store.add(&name(self.place.rank), 1).is_ok();
            }
            self.shared.ticks.fetch_add(1, Ordering::SeqCst);
            std::thread::park_timeout(TICK);
        }
        if has_store {
            let _ = self.store.add(&name(self.place.rank), LEFT);
        }
        self.shared.has_left.store(true, Ordering::SeqCst);
    }

    /// Gives a sign of life and looks for everybody else's.
    fn look(&mut self) -> Result<Option<(usize, String)>, String> {
        self.store.add(&name(self.place.rank), 1)?;
        for (rank, peer) in self.peers.iter_mut().enumerate() {
            if rank != self.place.rank {
                peer.hear(self.store.add(&name(rank), 0)?);
            }
        }
        let [is_suspicious, is_deaf] =
            [&self.shared.is_suspicious, &self.shared.is_deaf].map(|state| state.load(Ordering::SeqCst));
        Ok(verdict(&self.peers, self.place.rank, is_suspicious, is_deaf))
    }
}

fn end_with(failure: String) {
    eprintln!("trainer: {failure}");
    end_at_once(2);
}

fn name(rank: usize) -> String {
    format!("life/{rank}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The watch of both gives no sign.
    #[test]
    fn only_who_cannot_be_told_is_ended() {
        let brief = Duration::from_millis(1);
        let deaf = Shared::default();
        deaf.is_deaf.store(true, Ordering::SeqCst);
        let mut reason = String::new();
        deaf.outlast(brief, brief, |failure| reason = failure);
        assert!(reason.contains("the store does not answer"), "{reason}");

        let hearing = Shared::default();
        std::thread::scope(|threads| {
            threads.spawn(|| hearing.outlast(brief, brief, |failure| panic!("{failure}")));
            std::thread::sleep(brief * (3 * STORE_LOST_AFTER));
            hearing.leaves.store(true, Ordering::SeqCst);
        });
    }

    #[test]
    fn patience_ends_with_a_failure_or_a_store_that_keeps_the_watch_waiting() {
        let shared = Shared::default();
        let mut patience = shared.patience();
        for _ in 1..STORE_LOST_AFTER {
            assert_eq!(patience.check(), None);
        }
        shared.ticks.fetch_add(1, Ordering::SeqCst);
        for _ in 0..STORE_LOST_AFTER {
            assert_eq!(patience.check(), None);
        }
        assert!(
            patience
                .check()
                .is_some_and(|reason| reason.contains("the store does not answer"))
        );
        shared.fail("rank 1 was lost".to_owned());
        assert!(
            shared
                .patience()
                .check()
                .is_some_and(|reason| reason.starts_with("rank 1 was lost"))
        );
    }

    fn peers(numbers: &[[i64; 50]]) -> Vec<Peer> {
        let mut peers = vec![Peer::default(); numbers.len()];
        for (peer, numbers) in peers.iter_mut().zip(numbers) {
            numbers.iter().for_each(|&number| peer.hear(number));
        }
        peers
    }

    const ALIVE: fn(usize) -> i64 = |tick| tick as i64 + 1;

    #[test]
    fn the_living_and_those_to_come_are_not_lost() {
        let peers = peers(&[std::array::from_fn(ALIVE), [0; 50], std::array::from_fn(ALIVE)]);
        assert_eq!(verdict(&peers, 0, false, false), None);
        assert_eq!(verdict(&peers, 0, true, false), None);
    }

    #[test]
    fn the_silent_one_is_named() {
        let silent = std::array::from_fn(|tick| ALIVE(tick.min(5)));
        let briefly = std::array::from_fn(|tick| ALIVE(tick.min(40)));
        let found = verdict(&peers(&[silent, std::array::from_fn(ALIVE), silent]), 0, false, false);
        assert_eq!(found.map(|(rank, _)| rank), Some(2));
        let briefly = peers(&[std::array::from_fn(ALIVE), briefly]);
        assert_eq!(verdict(&briefly, 0, false, false), None);
        assert_eq!(verdict(&briefly, 0, true, false).map(|(rank, _)| rank), Some(1));
    }

    #[test]
    fn whoever_left_counts_only_when_missed_and_the_blamed_first() {
        let left = std::array::from_fn(|tick| if tick > 2 { LEFT + 3 } else { 3 });
        let blamed = std::array::from_fn(|tick| if tick > 2 { BLAMED + 3 } else { 3 });
        let alive = std::array::from_fn(ALIVE);
        assert_eq!(verdict(&peers(&[alive, left]), 0, false, false), None);
        let found = verdict(&peers(&[alive, left]), 0, false, true);
        assert!(found.is_some_and(|(rank, words)| rank == 1 && words.contains("its own message")));
        let just_left = std::array::from_fn(|tick| if tick > 45 { LEFT + 3 } else { ALIVE(tick) });
        assert_eq!(verdict(&peers(&[alive, just_left]), 0, false, true), None);
        let found = verdict(&peers(&[alive, left]), 0, true, false);
        assert!(found.is_some_and(|(rank, words)| rank == 1 && words.contains("its own message")));
        assert_eq!(
            verdict(&peers(&[alive, left, blamed]), 0, true, false).map(|(rank, _)| rank),
            Some(2)
        );
    }
}
