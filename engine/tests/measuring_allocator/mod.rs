//! An allocator that counts, for tests that prove that no input makes us reserve memory by a number
//! it merely claims. To be included with `mod measuring_allocator;`.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Follows how many bytes each thread holds, and the most it ever held.
struct Measuring;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn held(more: isize) {
    HELD.set(HELD.get() + more);
    PEAK.set(PEAK.get().max(HELD.get()));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Measuring {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        held(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        held(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        held(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Measuring = Measuring;

/// What `work` gives, and the most bytes that it held on this thread's heap beyond those before.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, isize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (result, PEAK.get() - before)
}

#[test]
fn the_measure_sees_memory() {
    PEAK.set(HELD.get());
    let before = HELD.get();
    drop(std::hint::black_box(vec![0_u8; 5000]));
    assert!(PEAK.get() - before >= 5000);
    assert_eq!(HELD.get(), before);
}
