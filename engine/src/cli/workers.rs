//! Spreads work over threads and hands the results back in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::Scope;

/// Results, per thread, that may wait for an earlier one.
const WAITING: usize = 16;

/// Calls `work` on every item on up to `threads` threads, and `take` on this one with every result, in the items' order,
/// as soon as it and all before it are there. Before a thread works on an item, it calls `announce` on the one that comes up next for it. Stops
/// early when `take` fails.
///
/// No item is worked on before all but the last [`WAITING`] per thread in front of it were taken, so a slow item or a slow taker
/// bounds what is in memory. Where the system starts fewer threads, those do the work, and this one where there is none.
///
/// # Errors
/// What `take` returns.
pub fn in_order<T: Sync, R: Send, E>(
    items: &[T],
    threads: usize,
    announce: impl Fn(&T) + Sync,
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.min(items.len()).max(1);
    let begin = |index: usize| {
        let item = items.get(index)?;
        items.get(index + threads).into_iter().for_each(&announce);
        Some(item)
    };
    let alone = |take: &mut dyn FnMut(R) -> Result<(), E>| {
        (0..items.len()).try_for_each(|index| begin(index).map_or(Ok(()), |item| take(work(item))))
    };
    if threads == 1 {
        return alone(&mut take);
    }
    let next = AtomicUsize::new(0);
    let gate = Gate::default();
    let (sender, receiver) = mpsc::channel();
    let started = std::thread::scope(|scope| {
        // Dropped before the threads are waited for, on an error and on a panic too.
        let open = Open(&gate);
        let mut started = 0;
        while started < threads {
            let sender = sender.clone();
            let (next, gate, begin, work) = (&next, &gate, &begin, &work);
            let worker = move || {
                let _closing = Closing(gate);
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = begin(index) else { break };
                    if !gate.pass(index, WAITING * threads) || sender.send((index, work(item))).is_err() {
                        break;
                    }
                }
            };
            if start(scope, worker).is_err() {
                break;
            }
            started += 1;
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut expected = 0;
        for (index, result) in receiver {
            early.insert(index, result);
            while let Some(result) = early.remove(&expected) {
                take(result)?;
                expected += 1;
                open.taken(expected);
            }
        }
        Ok(started)
    })?;
    if started == 0 { alone(&mut take) } else { Ok(()) }
}

/// Starts a thread, which the system may refuse.
fn start<'scope>(scope: &'scope Scope<'scope, '_>, worker: impl FnOnce() + Send + 'scope) -> io::Result<()> {
    #[cfg(test)]
    if tests::refused() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    std::thread::Builder::new().spawn_scoped(scope, worker).map(drop)
}

/// Holds back threads that are too far ahead.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// Results taken.
    taken: usize,
    /// No more will be.
    closed: bool,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.state().closed = true;
        self.moved.notify_all();
    }

    /// Waits until item `index` is one of the next `window`; `false` when nothing is taken any more.
    fn pass(&self, index: usize, window: usize) -> bool {
        let ahead = |state: &mut State| !state.closed && index >= state.taken + window;
        let state = self.moved.wait_while(self.state(), ahead);
        !state.unwrap_or_else(PoisonError::into_inner).closed
    }
}

/// A thread's side of a gate, which closes when the thread panics: its result will never be taken, and the others must not wait for that.
struct Closing<'a>(&'a Gate);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
    }
}

/// The taker's side of a gate, which closes with it.
struct Open<'a>(&'a Gate);

impl Open<'_> {
    fn taken(&self, count: usize) {
        self.0.state().taken = count;
        self.0.moved.notify_all();
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn results_come_in_order_for_any_number_of_threads() {
        let items: Vec<usize> = (0..200).collect();
        for threads in [1, 2, 7, 500] {
            let mut seen = Vec::new();
            let slow_first = |item: &usize| {
                if item.is_multiple_of(50) {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                *item
            };
            let collect = |item| {
                seen.push(item);
                Ok::<_, ()>(())
            };
            in_order(&items, threads, |_| (), slow_first, collect).unwrap();
            assert_eq!(seen, items, "{threads} threads");
        }
    }

    thread_local! {
        /// Threads that are still started; `None` for any number.
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    pub(super) fn refused() -> bool {
        let left = LEFT.get();
        LEFT.set(left.map(|left| left.saturating_sub(1)));
        left == Some(0)
    }

    #[test]
    fn fewer_threads_than_asked_for_do_the_same_work() {
        let items: Vec<usize> = (0..200).collect();
        for started in [0, 1, 2] {
            LEFT.set(Some(started));
            let mut seen = Vec::new();
            let collect = |item| {
                seen.push(item);
                Ok::<_, ()>(())
            };
            in_order(&items, 5, |_| (), |item| *item, collect).unwrap();
            assert_eq!(seen, items, "{started} threads");
        }
        LEFT.set(None);
    }

    #[test]
    fn a_failing_taker_ends_the_work() {
        let items: Vec<usize> = (0..1000).collect();
        for threads in [1, 2] {
            let result = in_order(
                &items,
                threads,
                |_| (),
                |item| *item,
                |item| if item == 3 { Err(item) } else { Ok(()) },
            );
            assert_eq!(result, Err(3));
        }
    }

    #[test]
    fn every_item_but_the_first_of_each_thread_is_announced() {
        let items: Vec<usize> = (0..50).collect();
        for threads in [1, 3] {
            let announced = Mutex::new(Vec::new());
            let announce = |item: &usize| announced.lock().unwrap().push(*item);
            in_order(&items, threads, announce, |item| *item, |_| Ok::<_, ()>(())).unwrap();
            let mut announced = announced.into_inner().unwrap();
            announced.sort_unstable();
            assert_eq!(announced, items[threads..]);
        }
    }

    #[test]
    fn nothing_runs_far_ahead_of_a_slow_taker() {
        let items: Vec<usize> = (0..500).collect();
        let (threads, taken) = (3, AtomicUsize::new(0));
        let work = |item: &usize| item.saturating_sub(taken.load(Ordering::SeqCst));
        let take = |ahead| {
            if taken.fetch_add(1, Ordering::SeqCst) < 3 {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            assert!(ahead < WAITING * threads, "{ahead} items ahead");
            Ok::<_, ()>(())
        };
        in_order(&items, threads, |_| (), work, take).unwrap();
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panicking_worker_ends_the_work() {
        let items: Vec<usize> = (0..1000).collect();
        let work = |item: &usize| assert!(*item != 3, "the worker");
        in_order(&items, 2, |_| (), work, |()| Ok::<_, ()>(())).unwrap();
    }

    #[test]
    #[should_panic(expected = "the taker")]
    fn a_panicking_taker_ends_the_work() {
        let items: Vec<usize> = (0..1000).collect();
        let take = |_| -> Result<(), ()> { panic!("the taker") };
        in_order(&items, 2, |_| (), |item| *item, take).unwrap();
    }
}
