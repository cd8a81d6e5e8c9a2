//! How much memory a thread takes, counted where it is taken.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The system's allocator, and counters of each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Without destructors, so that they can be counted on to the end of the thread.
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// Bytes that a piece of work takes in this thread at a time, at most.
pub(crate) fn taken<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    MOST.set(before);
    let result = work();
    (result, usize::try_from(MOST.get() - before).unwrap_or(0))
}

fn count(bytes: usize) {
    // A request of more than isize::MAX never comes here: there is no such layout.
    let now = NOW.get().wrapping_add(bytes.cast_signed());
    NOW.set(now);
    MOST.set(MOST.get().max(now));
}

fn uncount(bytes: usize) {
    NOW.set(NOW.get().wrapping_sub(bytes.cast_signed()));
}

// SAFETY: each call is passed on to the system's allocator as it is, and the counters take no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        uncount(layout.size());
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        uncount(layout.size());
        count(size);
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_and_given_back_is_counted() {
        let (kept, taken) = taken(|| {
            drop(vec![1u8; 3000]);
            vec![1u8; 2000]
        });
        assert_eq!((kept.len(), taken), (2000, 3000));
    }
}
