//! A real job's journal, cut anywhere or with a bit flipped in any record: the stems come out right.

mod common;
mod fake_crew;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use common::{Gate, TestSeparator, copy_folder, pool, request, results, song, spec, start};
use engine::job::{self, JobPhase};
use fake_crew::{Act, FakeCrew};

const CHUNKS: usize = 4;

/// Length and checksum before every record, and what the file begins with.
const HEADER_BYTES: usize = 8;

fn free() -> Arc<TestSeparator> {
    Arc::new(TestSeparator::new(spec(100, 70)))
}

/// Where the records of a journal begin.
fn records(journal: &[u8]) -> Vec<usize> {
    let (mut at, mut found) = (HEADER_BYTES, vec![]);
    while at < journal.len() {
        found.push(at);
        let length = u32::from_le_bytes(journal[at..at + 4].try_into().unwrap());
        at += HEADER_BYTES + length as usize;
    }
    assert_eq!(at, journal.len(), "the journal is whole");
    found
}

/// Opens a copy of `dir` whose journal is `journal` and lets it finish; how much was computed.
fn finish(
    song: &common::TestSong,
    dir: &Path,
    copy: &Path,
    journal: &[u8],
) -> (usize, common::Results) {
    copy_folder(dir, copy);
    std::fs::write(copy.join("journal"), journal).unwrap();
    let separator = free();
    let status = start(song, &separator, copy, &pool(1)).wait();
    assert!(matches!(status.phase, JobPhase::Done), "{:?}", status.phase);
    let found = results(copy);
    std::fs::remove_dir_all(copy).unwrap();
    (separator.computed().len(), found)
}

#[test]
fn a_journal_cut_at_any_byte_or_spoilt_in_any_record_never_yields_a_wrong_stem() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 1, CHUNKS as u64 * 70);
    let done = home.path().join("done");
    assert!(matches!(start(&song, &free(), &done, &pool(1)).wait().phase, JobPhase::Done));
    let reference = results(&done);

    // Broken off when three quarters are there, some by another computer.
    let half = home.path().join("half");
    let crew = FakeCrew::new();
    crew.prove();
    crew.join(1, 1, Arc::new(|_, _| Act::Compute));
    let gate = Arc::new(Gate::default());
    gate.open(CHUNKS * 3 / 4);
    let separator = TestSeparator::behind(&gate, spec(100, 70));
    let mut request = request(&song, &separator, &half, &pool(1));
    request.crew = Some(Arc::clone(&crew) as _);
    let (tell, news) = crossbeam_channel::bounded(1);
    request.wake = Arc::new(move || _ = tell.try_send(()));
    let job = job::start(request).unwrap();
    while job.status().committed() < CHUNKS * 3 / 4 - 1 {
        news.recv_timeout(std::time::Duration::from_secs(120)).unwrap();
    }
    drop(job);

    for (name, dir) in [("half", half), ("done", done)] {
        let journal = std::fs::read(dir.join("journal")).unwrap();
        let whole = finish(&song, &dir, &home.path().join("whole"), &journal);
        assert!(whole.0 < CHUNKS, "what the journal says is used");
        let starts = records(&journal);
        let cuts = (0..=journal.len()).map(|cut| journal[..cut].to_vec());
        let flips = starts.iter().enumerate().map(|(n, &start)| {
            let end = starts.get(n + 1).copied().unwrap_or(journal.len());
            let bit = (n * 2_654_435_761) % ((end - start) * 8);
            let mut spoilt = journal.clone();
            spoilt[start + bit / 8] ^= 1 << (bit % 8);
            spoilt
        });
        let journals: Vec<Vec<u8>> = cuts.chain(flips).collect();
        let next = AtomicUsize::new(0);
        // They mostly wait for the disk.
        std::thread::scope(|scope| {
            for lane in 0..8 {
                let (next, journals, dir, song) = (&next, &journals, &dir, &song);
                let (copy, reference) = (home.path().join(format!("copy {lane}")), &reference);
                scope.spawn(move || {
                    while let Some(journal) = journals.get(next.fetch_add(1, Ordering::SeqCst)) {
                        let (computed, found) = finish(song, dir, &copy, journal);
                        assert_eq!(found, *reference, "{name}, {} bytes", journal.len());
                        assert!(computed <= CHUNKS);
                    }
                });
            }
        });
    }
}
