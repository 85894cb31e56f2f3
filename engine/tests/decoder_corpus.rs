//! Every file of the decoder corpus, good, odd and hostile: it opens or is refused clearly, in bounded
//! time and memory; what FFmpeg decodes, we decode to the same length.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::mpsc::sync_channel,
    time::Duration,
};

use engine::{Error, ErrorKind, decode::Decoder};

/// Far beyond what any of these small files needs on a busy machine; only a hang takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// What decoding a file may add to the peak of resident memory, in KiB.
const MEMORY_KIB: u64 = 64 << 10;

/// Codecs that we refuse by name.
const REFUSED_CODECS: &[&str] =
    &["ape", "musepack7", "musepack8", "wavpack", "wmav2", "speex", "mp4als"];

/// What we do where FFmpeg does otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ours {
    Frames(u64),
    Refused(ErrorKind),
}
use Ours::{Frames, Refused};

/// Where we differ from FFmpeg 5.1, and why. Paths are below `decoders/`.
const EXCEPTIONS: &[(&str, &[(&str, Ours)])] = &[
    (
        "AAC with its true length in iTunSMPB or an edit list: FFmpeg takes off the encoder's delay \
         but leaves its padding, and ffprobe's duration counts both or is rounded to milliseconds",
        &[
            (
                "Serial-ATA+lofty-rs/lofty/tests/files/assets/minimal/m4a_codec_aac.m4a",
                Frames(68_546),
            ),
            ("Serial-ATA+lofty-rs/lofty/tests/files/assets/non_full_meta_atom.m4a", Frames(68_546)),
            ("beetbox+beets/test/rsrc/full.m4a", Frames(44_100)),
            ("beetbox+beets/test/rsrc/soundcheck-nonascii.m4a", Frames(44_100)),
            ("beetbox+beets/test/rsrc/t_time.m4a", Frames(44_100)),
        ],
    ),
    (
        "its last frame is cut off so early that it cannot be decoded; FFmpeg makes something up",
        &[("Serial-ATA+lofty-rs/lofty/tests/taglib/data/invalid-frames3.mp3", Frames(6_912))],
    ),
    (
        "LAME's tag says how much is padding; FFmpeg does not take it off files of so few frames",
        &[
            ("tinytag+tinytag/tinytag/tests/samples/mpeg25_id3v1.mp3", Frames(1_200)),
            ("tinytag+tinytag/tinytag/tests/samples/mpeg25_id3v2.mp3", Frames(1_200)),
            (
                "tinytag+tinytag/tinytag/tests/samples/vbr_xing_header_short.mp3",
                Refused(ErrorKind::Damaged),
            ),
        ],
    ),
    (
        "junk between frames: FFmpeg plays what we skip, and forgets LAME's delay in the first",
        &[
            ("Serial-ATA+lofty-rs/lofty/tests/taglib/data/garbage.mp3", Frames(19_631)),
            ("lieff+minimp3/vectors/l3-nonstandard-compl-sideinfo-size.bit", Frames(248_832)),
        ],
    ),
    (
        "rate, channels or bit depth change on the way: FFmpeg converts or drops, we refuse",
        &[
            (
                "lieff+minimp3/vectors/l3-nonstandard-he_44_48khz.bit",
                Refused(ErrorKind::Unsupported),
            ),
            (
                "ietf-wg-cellar+flac-test-files/uncommon/02 - increasing number of channels.flac",
                Refused(ErrorKind::Damaged),
            ),
            (
                "ietf-wg-cellar+flac-test-files/uncommon/04 - changing bitdepth.flac",
                Refused(ErrorKind::Damaged),
            ),
        ],
    ),
    (
        "FFmpeg loses the first frame; the conformance stream has 49 of 384 samples",
        &[("lieff+minimp3/vectors/l1-fl1.bit", Frames(18_816))],
    ),
    (
        "video container, refused by name",
        &[(
            "UltraStar-Deluxe+Play/UltraStar Play/Assets/PlayModeTests/MediaFileFormatTests/\
             MediaFileFormatTestSongs/avi.avi",
            Refused(ErrorKind::Unsupported),
        )],
    ),
    (
        "FFmpeg refuses it, we read it",
        &[
            (
                "Serial-ATA+lofty-rs/lofty/tests/fuzz/assets/wavfile_read_from/\
                 2_IDX_63_RAND_104275228651573584855676.wav",
                Frames(1_961),
            ),
            (
                "ietf-wg-cellar+flac-test-files/faulty/07 - other metadata blocks preceding \
                 streaminfo metadata block.flac",
                Frames(106_031),
            ),
            ("lieff+minimp3/vectors/ILL2_layer1.bit", Frames(1_152)),
            ("tinytag+tinytag/tinytag/tests/samples/chinese_id3.mp3", Frames(47)),
        ],
    ),
];

/// What FFmpeg found in a file.
struct Reference {
    codec: String,
    rate_hz: u32,
    channels: u16,
    frames: u64,
    seconds: Option<f64>,
    in_mp4: bool,
}

impl Reference {
    /// Whether `frames` is FFmpeg's own count or, in containers that know their length, ffprobe's.
    /// (FFmpeg drops samples of a Vorbis stream of one page, and keeps the padding of AAC.)
    fn agrees(&self, frames: u64) -> bool {
        let bare_stream = ["mp1", "mp2", "mp3"].contains(&self.codec.as_str()) && !self.in_mp4;
        let probed = self.seconds.filter(|_| !bare_stream).map(|s| s * f64::from(self.rate_hz));
        frames == self.frames || probed.is_some_and(|probed| (frames as f64 - probed).abs() < 0.6)
    }
}

struct Decoded {
    rate_hz: u32,
    channels: u16,
    frames: u64,
}

#[test]
fn every_file_decodes_to_its_length_or_is_refused_clearly() {
    let Some(root) = shared_audio() else { return };
    let references = references();
    let exceptions = exceptions();
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut failures = Vec::new();
    let files = files(&root);
    for file in &files {
        let peak_before = peak_memory_kib();
        let result = decode_within_deadline(file);
        let grown = peak_memory_kib().saturating_sub(peak_before);
        let name = file.strip_prefix(&root).expect("below the root");
        let name = name.to_str().expect("the corpus has UTF-8 names").replace('\\', "/");
        if grown > MEMORY_KIB {
            failures.push(format!("{name}: took {grown} KiB of memory"));
        }
        match judge(&name, file, &result, references.get(&name), &exceptions) {
            Ok(verdict) => *counts.entry(verdict).or_default() += 1,
            Err(why) => failures.push(format!("{name}: {why}")),
        }
    }
    println!("decoder corpus, {} files: {counts:?}", files.len());
    let unused = exceptions.keys().filter(|name| !root.join("decoders").join(name).is_file());
    failures.extend(unused.map(|name| format!("{name}: an exception without a file")));
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn judge(
    name: &str,
    path: &Path,
    result: &Result<Decoded, Error>,
    reference: Option<&Reference>,
    exceptions: &BTreeMap<String, Ours>,
) -> Result<&'static str, String> {
    if let Err(error) = result {
        if !error.what.contains(&*path.to_string_lossy()) {
            return Err(format!("the message does not name the file: {}", error.what));
        }
        if error.advice.is_none() {
            return Err(format!("no advice: {}", error.what));
        }
    }
    let exception = exceptions.get(name.strip_prefix("decoders/").unwrap_or(name));
    match (exception, result, reference) {
        (Some(Frames(frames)), Ok(ours), _) if *frames == ours.frames => Ok("exception, decoded"),
        (Some(Refused(kind)), Err(error), _) if *kind == error.kind => Ok("exception, refused"),
        (Some(expected), Ok(ours), _) => Err(format!("{} frames, not {expected:?}", ours.frames)),
        (Some(expected), Err(error), _) => Err(format!("{}, not {expected:?}", error.what)),
        (None, Err(error), Some(there)) if REFUSED_CODECS.contains(&there.codec.as_str()) => {
            match error.kind {
                ErrorKind::Unsupported => Ok("refused by name"),
                kind => Err(format!("refused as {kind:?}: {}", error.what)),
            }
        }
        (None, Err(error), Some(there)) => {
            Err(format!("{} frames of {} refused: {}", there.frames, there.codec, error.what))
        }
        (None, Err(_), None) => Ok("unreadable for all"),
        (None, Ok(ours), None) => Err(format!("decoded {} frames of what is none", ours.frames)),
        (None, Ok(ours), Some(there)) => {
            if (ours.rate_hz, ours.channels) != (there.rate_hz, there.channels) {
                Err(format!("{} channels at {} Hz", ours.channels, ours.rate_hz))
            } else if !there.agrees(ours.frames) {
                Err(format!("{} frames, FFmpeg {}", ours.frames, there.frames))
            } else {
                Ok("decoded to length")
            }
        }
    }
}

/// The reference decoder's PCM comes with some of minimp3's vectors, as 16-bit.
#[test]
fn mpeg_vectors_decode_to_the_reference_samples() {
    let Some(root) = shared_audio() else { return };
    let mut compared = 0;
    for file in files(&root.join("decoders/lieff+minimp3/vectors")) {
        let reference = std::fs::read(file.with_extension("pcm")).unwrap_or_default();
        let reference: Vec<f64> = reference
            .chunks_exact(2)
            .map(|s| f64::from(i16::from_le_bytes([s[0], s[1]])) / 32_768.0)
            .collect();
        // Decoders may differ on streams that break the standard.
        let standard = !file.to_string_lossy().contains("nonstandard");
        if file.extension() != Some("bit".as_ref()) || reference.is_empty() || !standard {
            continue;
        }
        let Ok(mut decoder) = Decoder::open(&file) else { continue };
        let mut ours = Vec::new();
        while let Ok(Some(block)) = decoder.next_block() {
            for frame in 0..block.frames() {
                ours.extend(block.channels().iter().map(|channel| f64::from(channel[frame])));
            }
        }
        let n = ours.len().min(reference.len());
        let squares: f64 = ours.iter().zip(&reference).map(|(a, b)| (a - b).powi(2)).sum();
        let rms = (squares / n as f64).sqrt();
        println!("{}: {n} samples, RMS error {:.3} LSB", file.display(), rms * 32_768.0);
        assert!(rms * 32_768.0 < 1.0, "{}: RMS error {rms}", file.display());
        compared += 1;
    }
    assert!(compared >= 8, "only {compared} vectors were compared");
}

fn decode_within_deadline(path: &Path) -> Result<Decoded, Error> {
    let (sender, receiver) = sync_channel(1);
    let worker_path = path.to_owned();
    std::thread::spawn(move || sender.send(decode(&worker_path)));
    receiver
        .recv_timeout(DEADLINE)
        .unwrap_or_else(|_| panic!("{}: hangs or panics", path.display()))
}

fn decode(path: &Path) -> Result<Decoded, Error> {
    let mut decoder = Decoder::open(path)?;
    let spec = decoder.info().source;
    let mut frames = 0;
    while let Some(block) = decoder.next_block()? {
        assert_eq!(block.channel_count(), usize::from(spec.channels));
        assert!(block.channels().iter().flatten().all(|sample| sample.is_finite()));
        frames += block.frames() as u64;
    }
    assert_eq!(frames, decoder.frames());
    Ok(Decoded { rate_hz: spec.sample_rate_hz, channels: spec.channels, frames })
}

/// Peak of resident memory so far, in KiB; 0 where the system does not tell.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn references() -> BTreeMap<String, Reference> {
    include_str!("data/decoder_corpus.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [path, codec, rate_hz, channels, frames, seconds] =
                line.split('\t').collect::<Vec<_>>().try_into().expect("six columns");
            let reference = Reference {
                codec: codec.into(),
                rate_hz: rate_hz.parse().expect("a rate"),
                channels: channels.parse().expect("a channel count"),
                frames: frames.parse().expect("a frame count"),
                seconds: seconds.parse().ok(),
                in_mp4: path.ends_with(".m4a"),
            };
            (path.into(), reference)
        })
        .collect()
}

fn exceptions() -> BTreeMap<String, Ours> {
    EXCEPTIONS.iter().flat_map(|(_, files)| *files).map(|(n, o)| ((*n).into(), *o)).collect()
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable corpus").flatten() {
            let path = entry.path();
            if !path.is_dir() {
                found.push(path);
            } else if !path.ends_with("multitracks") {
                folders.push(path);
            }
        }
    }
    found.retain(|path| !path.ends_with("MANIFEST.md"));
    found.sort();
    found
}

/// The folder of audio made by others, which is not part of the repository.
fn shared_audio() -> Option<PathBuf> {
    let path = std::env::var_os("STEMHIVE_SHARED_AUDIO").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/audio"),
        PathBuf::from,
    );
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: “{}” is not there", path.display());
    None
}
