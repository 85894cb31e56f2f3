//! A small value shared between one writer and any readers without a lock: the sequence-lock
//! pattern (Boehm, "Can seqlocks get along with programming language memory models?", 2012), built
//! of plain atomics. The writer never waits; a reader that collides with it is told so.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// `N` words that are always seen together.
#[derive(Debug)]
pub(super) struct SeqCell<const N: usize> {
    sequence: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> SeqCell<N> {
    pub(super) fn new(words: [u64; N]) -> Self {
        Self { sequence: AtomicU64::new(0), words: words.map(AtomicU64::new) }
    }

    /// Replaces all words. Only ever one thread at a time may write.
    pub(super) fn write(&self, words: [u64; N]) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (cell, word) in self.words.iter().zip(words) {
            cell.store(word, Ordering::Relaxed);
        }
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    /// The words, or `None` while the writer is in the middle of replacing them.
    pub(super) fn try_read(&self) -> Option<[u64; N]> {
        let before = self.sequence.load(Ordering::Acquire);
        let words = std::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let after = self.sequence.load(Ordering::Relaxed);
        (before == after && before.is_multiple_of(2)).then_some(words)
    }

    /// The words; waits the few nanoseconds a write takes. Not for the audio callback.
    pub(super) fn read(&self) -> [u64; N] {
        loop {
            if let Some(words) = self.try_read() {
                return words;
            }
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_sees_half_a_write() {
        let cell = SeqCell::new([0; 8]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for value in 1..=200_000 {
                    cell.write([value; 8]);
                }
            });
            let mut last = 0;
            while last < 200_000 {
                let words = cell.read();
                assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
                assert!(words[0] >= last, "time ran backwards");
                last = words[0];
            }
        });
    }
}
