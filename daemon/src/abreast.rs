//! Work on many things that do not depend on each other, on two threads. [`map`] and [`each`] are the entry points.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Things that are worth a second thread.
const MANY: usize = 256;
/// Things that are handed out at once: enough that handing out costs nothing, few enough that neither thread waits long for the other.
const TOGETHER: usize = 32;

/// What `work` makes of each item, in the order of the items. `start` makes what a thread keeps from one item to the next.
pub(crate) fn map<T: Sync, S, R: Send>(
    items: &[T],
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> R + Sync,
) -> Vec<R> {
    let all = |state: &mut S, items: &[T]| -> Vec<R> { items.iter().map(|item| work(state, item)).collect() };
    if items.len() < MANY {
        return all(&mut start(), items);
    }
    let pieces: Vec<_> = items.chunks(TOGETHER).enumerate().collect();
    let left = AtomicUsize::new(pieces.len());
    let run = || {
        let mut state = start();
        let mut done = Vec::new();
        while let Some((at, piece)) = take(&left).and_then(|index| pieces.get(index)) {
            done.push((*at, all(&mut state, piece)));
        }
        done
    };
    let mut done = on_two(run);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().flat_map(|(_, made)| made).collect()
}

/// Does `work` on each item; few are done in order. The first error ends it, once the other thread has done what it is at.
pub(crate) fn each<T: Sync, S, E: Send>(
    items: &[T],
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    if items.len() < MANY {
        let mut state = start();
        return items.iter().try_for_each(|item| work(&mut state, item));
    }
    let pieces: Vec<_> = items.chunks(TOGETHER).collect();
    let left = AtomicUsize::new(pieces.len());
    let failed = AtomicBool::new(false);
    let run = || {
        let mut state = start();
        let mut errors = Vec::new();
        while let Some(piece) = take(&left).and_then(|index| pieces.get(index)) {
            if failed.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = piece.iter().try_for_each(|item| work(&mut state, item)) {
                failed.store(true, Ordering::Relaxed);
                errors.push(error);
            }
        }
        errors
    };
    on_two(run).into_iter().next().map_or(Ok(()), Err)
}

/// The next piece of those that are left. The last ones go first: one thing of a change is as large as all others together, the
/// record of the config, and it comes at the end.
fn take(left: &AtomicUsize) -> Option<usize> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        .ok()
        .map(|before| before - 1)
}

/// What two threads make of it, together. Two: with more it is the journal of the file system that they wait for.
fn on_two<R: Send>(run: impl Fn() -> Vec<R> + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let other = scope.spawn(&run);
        let mut done = run();
        done.extend(other.join().expect("work on a thing does not panic"));
        done
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::{MANY, each, map};

    #[test]
    fn results_come_in_the_order_of_the_items_however_many() {
        for count in [0, 1, MANY - 1, MANY, 5 * MANY + 7] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = map(&items, || (), |(), item| item * 2);
            assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn everything_is_worked_on_once() {
        for count in [MANY - 1, 5 * MANY + 7] {
            let items: Vec<usize> = (0..count).collect();
            let seen = Mutex::new(Vec::new());
            let done: Result<(), ()> = each(
                &items,
                || (),
                |(), item| {
                    seen.lock().unwrap().push(*item);
                    Ok(())
                },
            );
            assert_eq!(done, Ok(()));
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            assert_eq!(seen, items);
        }
    }

    #[test]
    fn an_error_ends_the_work() {
        let items: Vec<usize> = (0..100 * MANY).collect();
        let seen = Mutex::new(0);
        let done = each(
            &items,
            || (),
            |(), item| {
                *seen.lock().unwrap() += 1;
                if *item == items.len() - 1 {
                    Err(*item)
                } else {
                    Ok(())
                }
            },
        );
        assert_eq!(done, Err(items.len() - 1));
        let few: Vec<usize> = (0..MANY - 1).collect();
        assert_eq!(
            each(
                &few,
                || (),
                |(), item| if *item > 2 { Err(*item) } else { Ok(()) }
            ),
            Err(3)
        );
        assert!(
            *seen.lock().unwrap() < items.len(),
            "the rest was done all the same"
        );
    }
}
