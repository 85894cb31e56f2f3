//! Exports that cannot or may not finish: what they say, and that they leave nothing behind.

mod export_support;
mod small_disk;

use std::{
    ops::Range,
    process::Command,
    sync::{Arc, Condvar, Mutex},
};

use engine::{
    ErrorKind,
    audio::WORK_RATE_HZ,
    export::{Bits, ExportPhase, ExportRequest, Format, Item, Rate, plan, start},
    model::Stem,
};
use export_support::*;
use small_disk::{run_on_small_disk, small_disk};

#[test]
fn cancelling_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let request = request(dir.path(), &music(2, 10, 1, 0.5), Format::Flac(Bits::Int16));
    // Twenty minutes of sparse silence at 96 kHz: long enough to be caught in the middle.
    request.mixture.set_frames(20 * 60 * 44_100).unwrap();
    let mut request = ExportRequest { rate: Rate::Hz(96_000), ..request };
    request.song.source_frames = Some(20 * 60 * 44_100);
    request.folder = dir.path().join("new").join("folder");
    let folder = request.folder.clone();

    let woken = Arc::new((Mutex::new(0_u64), Condvar::new()));
    let of_export = Arc::clone(&woken);
    let handle = start(
        request,
        Arc::new(move || {
            *of_export.0.lock().unwrap() += 1;
            of_export.1.notify_all();
        }),
    );
    let mut seen = woken.0.lock().unwrap();
    loop {
        let status = handle.status();
        assert!(!matches!(status.phase, ExportPhase::Done(_) | ExportPhase::Failed(_)));
        if matches!(status.phase, ExportPhase::Writing) && status.bytes_written > 0 {
            assert_eq!(status.current, ["Software-Entwicklungskit - Lithium (Original).flac"]);
            assert!(status.fraction > 0.0 && status.fraction < 1.0);
            assert_eq!((status.files_done, status.files_total), (0, 1));
            assert_eq!(names_in(&folder).len(), 1, "the unfinished file has another name");
            break;
        }
        seen = woken.1.wait(seen).unwrap();
    }
    drop(seen);
    handle.cancel();
    assert_eq!(handle.wait().unwrap_err().kind, ErrorKind::Cancelled);
    assert!(!dir.path().join("new").exists(), "folders made for it are gone too");
}

#[test]
fn a_failure_in_one_file_takes_back_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let audio = music(2, 100_000, 1, 0.5);
    let stems = [(Stem::Drums, audio.clone()), (Stem::Bass, audio.clone())];
    let request = request_with_stems(dir.path(), &audio, &stems, Format::Wav(Bits::Float32));
    // Somebody cuts the cache short while it is read.
    std::fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join("bass.1.f32"))
        .unwrap()
        .set_len(90_000)
        .unwrap();
    let folder = request.folder.clone();
    let error = export(request).unwrap_err();
    assert!(error.what.contains("bass.1.f32"), "{}", error.what);
    assert!(error.kept.is_some());
    assert!(!folder.exists());
}

#[test]
fn a_name_taken_while_the_export_ran_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = request(dir.path(), &music(2, 200_000, 1, 0.5), Format::Wav(Bits::Float32));
    request.template = "{title}".into();
    std::fs::create_dir(&request.folder).unwrap();
    let target = request.folder.join("Lithium.wav");
    let in_between = target.clone();
    // Woken for the first time, the plan is made and the name chosen.
    let handle = start(
        request.clone(),
        Arc::new(move || {
            if !in_between.exists() {
                std::fs::write(&in_between, "mine").unwrap();
            }
        }),
    );
    let exported = handle.wait().unwrap();
    assert_eq!(exported.files, [request.folder.join("Lithium 2.wav")]);
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    assert_eq!(names_in(&request.folder), ["Lithium 2.wav", "Lithium.wav"]);
}

#[test]
fn folders_that_cannot_be_written_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = request(dir.path(), &music(2, 100, 1, 0.5), Format::Wav(Bits::Int16));
    let file = dir.path().join("a file");
    std::fs::write(&file, "").unwrap();
    request.folder = file.join("inside");
    let error = export(request).unwrap_err();
    assert!(error.what.contains("a file"), "{}", error.what);
}

#[test]
fn requests_without_sense_are_refused_before_anything_happens() {
    let dir = tempfile::tempdir().unwrap();
    let audio = music(2, 1_000, 1, 0.5);
    let good = request_with_stems(dir.path(), &audio, &[(Stem::Bass, audio.clone())], FORMATS[0]);
    let refused = |change: &dyn Fn(&mut ExportRequest)| {
        let mut request = good.clone();
        change(&mut request);
        assert_eq!(plan(&request, None).unwrap_err().kind, ErrorKind::Invalid);
        let error = export(request).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        error.what.clone()
    };
    assert!(refused(&|r| r.items.clear()).contains("Nothing"));
    assert!(refused(&|r| r.items = vec![Item::Stem(Stem::Piano)]).contains("piano"));
    assert!(refused(&|r| r.items = vec![Item::Mix, Item::Mix]).contains("twice"));
    assert!(refused(&|r| r.template = "{tilte}".into()).contains("tilte"));
    assert!(refused(&|r| r.format = Format::Flac(Bits::Float32)).contains("FLAC"));
    assert!(refused(&|r| r.rate = Rate::Hz(0)).contains("0 Hz"));
    assert!(refused(&|r| r.folder = "".into()).contains("folder"));
    refused(&|r| r.lanes.clear());
    #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
    let ranges: [Range<u64>; 4] = [0..0, 7..7, 9..3, 0..1_001];
    for range in ranges {
        refused(&|r| r.range = Some(range.clone()));
    }
    assert!(!good.folder.exists());
}

/// Runs only inside [`what_a_killed_export_left_is_swept_by_the_next`], in a process that it ends in
/// the middle.
#[test]
fn killed_while_writing() {
    let Some(folder) = std::env::var_os("STEMHIVE_TEST_KILLED_EXPORT") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut request = request(dir.path(), &music(2, 400_000, 1, 0.5), Format::Wav(Bits::Float32));
    request.folder = folder.into();
    let folder = request.folder.clone();
    let handle = start(
        request,
        // As a kill would: nothing is unwound, dropped or removed.
        Arc::new(move || {
            if names_in(&folder).iter().any(|name| name.ends_with(".part")) {
                std::process::abort();
            }
        }),
    );
    panic!("it ended by itself: {:?}", handle.wait());
}

#[test]
fn what_a_killed_export_left_is_swept_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("out");
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed_while_writing"])
        .env("STEMHIVE_TEST_KILLED_EXPORT", &folder)
        .output()
        .unwrap();
    assert!(!run.status.success() && run.status.code() != Some(101), "{run:?}");
    let left = names_in(&folder);
    assert!(left.len() == 1 && left[0].ends_with(".part"), "{left:?}");

    // One that is being written, by an export of another process for all we know, and somebody's
    // own file of a similar name.
    let live = std::fs::File::create(folder.join(".stemhive-live.part")).unwrap();
    live.lock().unwrap();
    std::fs::write(folder.join(".stemhive-notes.txt"), "mine").unwrap();
    let mut again = request(dir.path(), &music(2, 1_000, 1, 0.5), Format::Wav(Bits::Float32));
    again.template = "{title}".into();
    export(again.clone()).unwrap();
    let names = [".stemhive-live.part", ".stemhive-notes.txt", "Lithium.wav"];
    assert_eq!(names_in(&folder), names);
    drop(live);
    export(again).unwrap();
    assert_eq!(names_in(&folder), [".stemhive-notes.txt", "Lithium 2.wav", "Lithium.wav"]);
}

/// Runs only inside [`a_full_disk_says_so_and_leaves_nothing`].
#[test]
fn on_a_full_disk() {
    let Some(disk) = small_disk() else { return };
    let dir = tempfile::tempdir().unwrap();
    let frames = 20 * WORK_RATE_HZ as usize;
    // FLAC's size is not known beforehand; WAV's is, and is refused before writing.
    for (format, begun) in [(Format::Flac(Bits::Int24), true), (FORMATS[0], false)] {
        let mut request = request(dir.path(), &music(2, frames, 1, 0.5), format);
        request.folder = disk.join("stems");
        let warned = plan(&request, None).unwrap().warnings;
        assert!(warned.iter().any(|w| w.contains("free space")), "{warned:?}");
        let error = export(request).unwrap_err();
        assert_eq!(error.kind, ErrorKind::DiskFull, "{error:?}");
        assert_eq!(error.what.contains("needs"), !begun, "{}", error.what);
        assert!(error.kept.is_some() && error.advice.is_some());
        assert_eq!(names_in(&disk), Vec::<String>::new());
    }
}

#[test]
fn a_full_disk_says_so_and_leaves_nothing() {
    run_on_small_disk("on_a_full_disk", "1m");
}
