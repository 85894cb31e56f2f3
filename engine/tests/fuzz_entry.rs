//! The fuzz targets of `fuzz/`, a few thousand cases each: any bytes, and valid ones that were changed.
//! Nothing panics, and no claim in them makes us take more memory than they deserve.

mod measuring_allocator;

use engine::{
    catalogue::Sha256,
    crew::{DeviceId, PauseReason},
    model::{SongStats, Stem},
    protocol::{
        Answer, BlobHead, BlobRef, ChunkOrder, ChunkReply, Encoding, FRAME_PREFIX_BYTES, FromMain,
        FromWorker, Hello, LinkKind, MAX_NAME_BYTES, ModelOrder, ModelStanding, PairAnswer,
        PairConfirm, PairHello, PairProof, PairRefusal, Refusal, Running, encode,
    },
    remote::Ticket,
    scheduler::Cause,
    store::Journal,
};
use measuring_allocator::peak_of;
use proptest::{prelude::*, sample::Index};

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets are another crate")]
mod entry;

/// serde sets aside a mebibyte at most for a list that says how long it is.
const FRUGAL_BYTES: isize = 3 << 20;

fn frugal(entry: impl Fn(&[u8]), bytes: &[u8]) {
    let ((), taken) = peak_of(|| entry(bytes));
    assert!(taken < FRUGAL_BYTES + 16 * bytes.len() as isize, "{taken} for {}", bytes.len());
}

/// Valid frames of every kind of message on control and pairing streams.
fn valid_frames() -> Vec<Vec<u8>> {
    let hash = [0xab; 32];
    let sha256 = Sha256([0xcd; 32]);
    let order = ModelOrder {
        hash,
        name: "m".repeat(MAX_NAME_BYTES),
        shifts: 2,
        overlap: 0.25,
        stems: vec![Stem::Vocals, Stem::Drums],
        files: vec![BlobRef { sha256, bytes: 1 << 28 }; 4],
    };
    let hello = Hello {
        version: 1,
        program: "0.1.0".into(),
        name: "Laptop-3".into(),
        kernels: "AVX2".into(),
        threads: 8,
        memory_bytes: 16 << 30,
        cores: 6.5,
        models: vec![hash; 3],
        running: Running::Paused(PauseReason::Battery),
    };
    let text = || "Anna".to_owned();
    let pair = |proof| PairHello { version: 1, program: text(), name: text(), proof };
    [
        encode(&hello),
        encode(&Answer::Welcome { name: text(), program: text() }),
        encode(&Answer::Refused(Refusal::UpdateNeeded { version: 2, program: text() })),
        encode(&FromWorker::Running(Running::Ready)),
        encode(&FromWorker::Model { hash, standing: ModelStanding::Refused { why: text() } }),
        encode(&FromWorker::Model {
            hash,
            standing: ModelStanding::Getting { done_bytes: 1, bytes: 2 },
        }),
        encode(&FromWorker::SendBlob { sha256, from: 77 }),
        encode(&FromWorker::Link(LinkKind::WiFi)),
        encode(&FromMain::Prepare(order)),
        encode(&FromMain::Moved { port: 47_110 }),
        encode(&pair(PairProof::Code { share: hash })),
        encode(&pair(PairProof::Ticket { tag: hash })),
        encode(&PairAnswer::Share(hash)),
        encode(&PairAnswer::Welcome { tag: hash, name: text() }),
        encode(&PairAnswer::Refused(PairRefusal::WrongCode { tries_left: 2 })),
        encode(&PairAnswer::Refused(PairRefusal::UpdateNeeded { version: 2, program: text() })),
        encode(&PairConfirm { tag: hash }),
    ]
    .map(|frame| frame.expect("short"))
    .to_vec()
}

/// Valid bodies of the frames that head payloads.
fn valid_heads() -> Vec<Vec<u8>> {
    let order = ChunkOrder {
        model: [7; 32],
        keep: vec![0, 3],
        input_frames: 343_980,
        context_before_frames: 1000,
        segment_frames: 300_000,
        start_frame: 44_100,
        song: SongStats { frames: 1 << 24, mono_mean: 0.1, mono_std: 0.2, rms: 0.3, peak: 0.9 },
        encoding: Encoding::Packed,
        payload_bytes: 2_751_840,
        pack_result: true,
    };
    let done = ChunkReply::Done {
        took_secs: 1.5,
        hash: [9; 32],
        encoding: Encoding::Raw,
        payload_bytes: 1 << 20,
    };
    let failed = ChunkReply::Failed { cause: Cause::BadResult, what: "Oh".into() };
    [
        encode(&order),
        encode(&ChunkReply::Started),
        encode(&ChunkReply::Progress(f32::NAN)),
        encode(&done),
        encode(&failed),
        encode(&ChunkReply::Stopped),
        encode(&BlobHead { sha256: Sha256([5; 32]), from: u64::MAX }),
    ]
    .map(|frame| frame.expect("short").split_off(FRAME_PREFIX_BYTES))
    .to_vec()
}

fn valid_tickets() -> Vec<Vec<u8>> {
    let addresses = ["192.168.1.24:47110", "[fd00::7]:1"].map(|a| a.parse().expect("one"));
    let ticket = |count| Ticket {
        addresses: addresses.iter().copied().cycle().take(count).collect(),
        device: DeviceId([7; 32]),
        secret: [9; 16],
    };
    [1, 2, 8].map(|count| ticket(count).to_string().into_bytes()).to_vec()
}

fn valid_journals() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("journal");
    let (mut journal, _) = Journal::open(&path).expect("a new one");
    for n in 0..4 {
        let joined = entry::Record::Joined((0..n * 3).collect());
        for record in [entry::Record::Done { chunk: n, hash: [7; 32] }, joined] {
            journal.append(&record).expect("room");
        }
    }
    vec![std::fs::read(&path).expect("a file")]
}

/// One way to change bytes.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index),
    /// A length that claims the most there can be.
    Huge(Index),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = any::<Index>;
    let change = prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, to)| Change::Set(at, to)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, b)| Change::Insert(at, b)),
        at().prop_map(Change::Cut),
        (at(), at()).prop_map(|(from, to)| Change::Remove(from, to)),
        (at(), at()).prop_map(|(from, to)| Change::Repeat(from, to)),
        at().prop_map(Change::Huge),
    ];
    prop::collection::vec(change, 0..5)
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let end = bytes.len() + 1;
        let span = |from: &Index, to: &Index| {
            let (from, to) = (from.index(end), to.index(end));
            from.min(to)..from.max(to)
        };
        match change {
            Change::Insert(at, more) => {
                let at = at.index(end);
                bytes.splice(at..at, more.iter().copied());
            }
            Change::Cut(at) => bytes.truncate(at.index(end)),
            Change::Remove(from, to) => drop(bytes.drain(span(from, to))),
            Change::Repeat(from, to) => {
                let span = span(from, to);
                let piece = bytes[span.clone()].to_vec();
                bytes.splice(span.end..span.end, piece);
            }
            Change::Huge(at) => {
                let at = at.index(end);
                bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]);
            }
            Change::Set(..) | Change::Flip(..) if bytes.is_empty() => {}
            Change::Set(at, to) => bytes[at.index(end - 1)] = *to,
            Change::Flip(at, bit) => bytes[at.index(end - 1)] ^= 1 << bit,
        }
    }
    bytes
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
}

fn almost_valid(valid: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(valid), changes()).prop_map(|(bytes, changes)| changed(bytes, &changes))
}

#[test]
fn what_is_valid_is_read() {
    for bytes in valid_frames() {
        frugal(entry::frames, &bytes);
    }
    frugal(entry::frames, &valid_frames().concat());
    valid_heads().iter().for_each(|bytes| frugal(entry::chunk, bytes));
    valid_tickets().iter().for_each(|bytes| frugal(entry::ticket, bytes));
    valid_journals().iter().for_each(|bytes| frugal(entry::journal, bytes));
}

/// Not a test: writes what is valid where the fuzzer begins.
#[test]
#[ignore = "writes into fuzz/corpus"]
fn write_corpus() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let targets = [
        ("frames", valid_frames()),
        ("chunk", valid_heads()),
        ("ticket", valid_tickets()),
        ("journal", valid_journals()),
    ];
    for (target, inputs) in targets {
        let dir = corpus.join(target);
        std::fs::create_dir_all(&dir).expect("a folder");
        for (n, bytes) in inputs.iter().enumerate() {
            std::fs::write(dir.join(format!("valid-{n}")), bytes).expect("a file");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_frames(bytes in any_bytes()) {
        // With a prefix that fits, since hardly any does by chance.
        let prefix = (bytes.len() as u32).to_le_bytes();
        frugal(entry::frames, &[&prefix, &bytes[..]].concat());
        frugal(entry::frames, &bytes);
    }

    #[test]
    fn changed_frames(bytes in almost_valid(valid_frames())) {
        frugal(entry::frames, &bytes);
        let body = bytes.get(FRAME_PREFIX_BYTES..).unwrap_or_default();
        let prefix = (body.len() as u32).to_le_bytes();
        frugal(entry::frames, &[&prefix, body].concat());
    }

    #[test]
    fn any_heads(bytes in any_bytes()) {
        frugal(entry::chunk, &bytes);
    }

    #[test]
    fn changed_heads(bytes in almost_valid(valid_heads())) {
        frugal(entry::chunk, &bytes);
    }

    #[test]
    fn any_ticket(bytes in any_bytes(), digits in "stemhive1-[a-z2-7]{0,300}") {
        frugal(entry::ticket, &bytes);
        frugal(entry::ticket, digits.as_bytes());
    }

    #[test]
    fn changed_ticket(bytes in almost_valid(valid_tickets())) {
        frugal(entry::ticket, &bytes);
    }

    #[test]
    fn any_journal(bytes in any_bytes()) {
        frugal(entry::journal, &[b"STEMJRN1", &bytes[..]].concat());
        frugal(entry::journal, &bytes);
    }

    #[test]
    fn changed_journal(bytes in almost_valid(valid_journals())) {
        frugal(entry::journal, &bytes);
    }
}
