//! Spreads work over threads and hands the results back in order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// Calls `work` on every item on up to `threads` threads, and `take` on this one with every result, in the items' order,
/// as soon as it and all before it are there. Stops early when `take` fails.
///
/// # Errors
/// What `take` returns.
pub fn in_order<T: Sync, R: Send, E>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.iter().try_for_each(|item| take(work(item)));
    }
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            let (next, stopped, work) = (&next, &stopped, &work);
            scope.spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    if sender.send((index, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut expected = 0;
        for (index, result) in receiver {
            early.insert(index, result);
            while let Some(result) = early.remove(&expected) {
                expected += 1;
                take(result).inspect_err(|_| stopped.store(true, Ordering::Relaxed))?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
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
            in_order(&items, threads, slow_first, collect).unwrap();
            assert_eq!(seen, items, "{threads} threads");
        }
    }

    #[test]
    fn a_failing_taker_ends_the_work() {
        let items: Vec<usize> = (0..1000).collect();
        for threads in [1, 2] {
            let result = in_order(
                &items,
                threads,
                |item| *item,
                |item| if item == 3 { Err(item) } else { Ok(()) },
            );
            assert_eq!(result, Err(3));
        }
    }
}
