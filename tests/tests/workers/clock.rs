//! Wall clocks that jump, on either computer and by hours, while a song is separated. Nothing may
//! depend on them: deadlines are of the clock that never jumps. Linux only, where a library can be
//! put before a program that has another opinion of the time.

use std::{
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
    time::Instant,
};

use tempfile::NamedTempFile;

use crate::computers::{MainPc, Worker, separates_as_alone};

const HOUR_SECS: i64 = 3_600;
const YEAR_SECS: i64 = 365 * 24 * HOUR_SECS;

/// The wall clock of a computer's programs.
pub(crate) struct Clock {
    library: PathBuf,
    /// Seconds by which it is wrong, in native byte order.
    shift: Mutex<NamedTempFile>,
}

impl Clock {
    /// A right one; none, with a line that says so, where there is no compiler for it.
    fn new() -> Option<Self> {
        static LIBRARY: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
        let built = LIBRARY.get_or_init(|| {
            let dir = tempfile::tempdir().expect("a folder");
            let library = dir.path().join("clock.so");
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workers/clock_shim.c");
            let made = Command::new("cc")
                .args(["-shared", "-fPIC", "-O1", "-o"])
                .args([&library, &source])
                .status();
            (cfg!(target_os = "linux") && made.is_ok_and(|status| status.success()))
                .then_some((dir, library))
        });
        let Some((_, library)) = built else {
            eprintln!("skipped: no library can be made that shifts a program's clock");
            return None;
        };
        let clock = Self {
            library: library.clone(),
            shift: Mutex::new(NamedTempFile::new().expect("a file")),
        };
        clock.jump(0);
        Some(clock)
    }

    /// So many seconds from the right time from now on.
    pub(crate) fn jump(&self, secs: i64) {
        let mut file = self.shift.lock().expect("no other test failed here");
        file.seek(SeekFrom::Start(0)).expect("a file");
        file.write_all(&secs.to_ne_bytes()).expect("room");
    }

    /// What a program must be started with to have it.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        let shift = self.shift.lock().expect("no other test failed here").path().to_owned();
        [("LD_PRELOAD", self.library.clone()), ("STEMHIVE_TEST_CLOCK", shift)]
    }
}

#[test]
fn clocks_that_jump_change_nothing() {
    let (Some(here), Some(there)) = (Clock::new(), Clock::new()) else { return };
    // No certificate expires, so that computers need not agree on the year to be paired.
    here.jump(-3 * YEAR_SECS);
    there.jump(YEAR_SECS);
    let main = MainPc::with_clock(here);
    let mut worker = Worker::paired_with_clock(&main, "Studio-PC", there);
    let began = Instant::now();
    let done = separates_as_alone(&main, [&mut worker], |job, workers| {
        for (here, there) in [(7, -5), (-26, 400), (0, 0)] {
            main.clock().jump(here * HOUR_SECS);
            workers[0].clock().jump(there * HOUR_SECS);
            // It goes on helping, or the song is over.
            job.wait_for_piece_elsewhere();
        }
    });
    let took_secs = done["elapsed_secs"].as_f64().expect("a number");
    assert!((0.0..=began.elapsed().as_secs_f64()).contains(&took_secs), "{done}");
    main.wait_for(&worker);
}

#[test]
fn a_ticket_is_no_good_while_the_clock_is_wrong() {
    let Some(clock) = Clock::new() else { return };
    let main = MainPc::with_clock(clock);
    Worker::paired_after_jump(&main, "Studio-PC", HOUR_SECS);
}
