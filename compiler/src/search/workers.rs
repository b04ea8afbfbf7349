//! Work that is shared among threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::SearchError;
use crate::learn::Watch;

/// Gives `f` each of `items`, on several threads; results are in the order of the items. `watch` sees a step for each.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    watch: &mut (dyn Watch + Send),
    f: impl Fn(&T) -> Result<R, SearchError> + Sync,
) -> Result<Vec<R>, SearchError> {
    let next = AtomicUsize::new(0);
    let watch = Mutex::new(watch);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, items.len().max(1)) {
            scope.spawn(|| loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { break };
                let result = f(item);
                if result.is_err() {
                    next.store(items.len(), Ordering::Relaxed);
                }
                watch.lock().unwrap_or_else(PoisonError::into_inner).step();
                found.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, result)| result).collect()
}
