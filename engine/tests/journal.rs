//! The journal: whatever happens to its file, what it returns is a true prefix of what was written.

use std::path::Path;

use engine::store::Journal;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Record {
    Done { chunk: u32, hash: [u8; 32], secs: f32 },
    Joined(Vec<u32>),
    Nothing,
}

fn samples() -> Vec<Record> {
    (0..6u8)
        .map(|n| match n % 3 {
            0 => Record::Done { chunk: u32::from(n) << 20, hash: [n; 32], secs: 0.5 },
            1 => Record::Joined((0..u32::from(n) * 3).collect()),
            _ => Record::Nothing,
        })
        .collect()
}

fn written(path: &Path, records: &[Record]) -> Vec<u8> {
    let (mut journal, before) = Journal::open(path).unwrap();
    assert_eq!(before, [], "the journal is new");
    for record in records {
        journal.append(record).unwrap();
    }
    journal.sync().unwrap();
    std::fs::read(path).unwrap()
}

/// Opens a file of `bytes`, checks that reading leaves it alone and agrees, appends, opens again.
fn reopened(path: &Path, bytes: &[u8]) -> Vec<Record> {
    std::fs::write(path, bytes).unwrap();
    let read: Vec<Record> = Journal::read(path).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), bytes);
    let (mut journal, records) = Journal::open(path).unwrap();
    assert_eq!(read, records);
    journal.append(&Record::Joined(vec![7, 7])).unwrap();
    drop(journal);
    let (_, mut again) = Journal::open(path).unwrap();
    assert_eq!(again.pop(), Some(Record::Joined(vec![7, 7])), "appending after recovery works");
    assert_eq!(again, records);
    records
}

#[test]
fn a_cut_at_any_byte_leaves_the_whole_records_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let records = samples();
    let mut ends = vec![];
    let (mut journal, _) = Journal::open(&path).unwrap();
    for record in &records {
        journal.append(record).unwrap();
        ends.push(std::fs::metadata(&path).unwrap().len() as usize);
    }
    let bytes = std::fs::read(&path).unwrap();
    for cut in 0..=bytes.len() {
        let whole = ends.iter().filter(|&&end| end <= cut).count();
        assert_eq!(reopened(&path, &bytes[..cut]), records[..whole], "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_never_yields_a_wrong_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let records = samples();
    let bytes = written(&path, &records);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let kept = reopened(&path, &damaged);
        assert!(kept.len() < records.len(), "bit {bit} was not noticed");
        assert_eq!(kept, records[..kept.len()], "bit {bit}");
    }
}

#[test]
fn zeros_after_the_end_are_no_records() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let records = samples();
    let mut bytes = written(&path, &records);
    bytes.resize(bytes.len() + 4096, 0);
    assert_eq!(reopened(&path, &bytes), records);
}

#[test]
fn a_record_that_is_too_large_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (mut journal, _) = Journal::open(&path).unwrap();
    journal.append(&Record::Nothing).unwrap();
    let error = journal.append(&Record::Joined(vec![u32::MAX; 1 << 20])).unwrap_err();
    assert_eq!(error.kind, engine::ErrorKind::TooLarge);
    journal.append(&Record::Nothing).unwrap();
    assert_eq!(Journal::<Record>::read(&path).unwrap(), [Record::Nothing, Record::Nothing]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_nor_allocate_by_their_claims(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        keep in 0usize..200,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let records = samples();
        let mut bytes = written(&path, &records);
        bytes.truncate(keep);
        bytes.extend(garbage);
        let kept = reopened(&path, &bytes);
        prop_assert!(kept.len() <= records.len());
        prop_assert_eq!(&kept[..], &records[..kept.len()]);
    }
}
