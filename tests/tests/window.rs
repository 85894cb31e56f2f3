//! The real window on a virtual display, driven by mouse and keys as a user would: open a song, hear
//! it separated, mute, solo, play, seek, export, quit. What it shows is read off the screen.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use integration_tests::{stemhive_path, synthetic_song, write_wav};
use tempfile::TempDir;

/// How long anything may take before the test fails; a busy machine renders slowly in software.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long to wait for an answer before a harmless key is pressed again.
const PRESS_AGAIN: Duration = Duration::from_secs(15);

/// Colours of the stems' waveforms in the dark theme, top to bottom.
const STEM_COLOURS: [[u8; 3]; 4] =
    [[0xF2, 0x8F, 0x6B], [0x53, 0x94, 0xF4], [0x93, 0xEB, 0xCB], [0xD0, 0x70, 0xB8]];

const SECS: usize = 20;

/// A virtual display; ended with the test.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    /// `None`, with a line that says so, where the programs for it are missing.
    fn start() -> Option<Self> {
        let missing = ["xdotool", "import"].iter().find(|program| {
            Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_err()
        });
        let server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1440x900x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let (None, Ok(mut server)) = (missing, server) else {
            eprintln!(
                "skipped: Xvfb, xdotool or ImageMagick is not there; script/test installs them"
            );
            return None;
        };
        let mut number = String::new();
        BufReader::new(server.stdout.take().expect("a pipe"))
            .read_line(&mut number)
            .expect("the display's number");
        Some(Self { server, name: format!(":{}", number.trim()) })
    }

    fn xdotool(&self, arguments: &[&str]) -> String {
        let output = Command::new("xdotool")
            .env("DISPLAY", &self.name)
            .args(arguments)
            .output()
            .expect("xdotool runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The screen, or nothing while it cannot be had.
    fn screen(&self) -> Option<Screen> {
        let output = Command::new("import")
            .env("DISPLAY", &self.name)
            .args(["-window", "root", "-depth", "8", "ppm:-"])
            .output()
            .expect("import runs");
        Screen::from_ppm(&output.stdout)
    }

    /// Waits until the screen shows `what`.
    fn wait_for(&self, what: &str, mut is_so: impl FnMut(&Screen) -> bool) -> Screen {
        self.press_until(what, &[], &mut is_so)
    }

    /// Waits until the screen shows `what`, giving `xdotool` its arguments again every few seconds:
    /// for what does no harm twice and may come before the window listens.
    fn press_until(
        &self,
        what: &str,
        arguments: &[&str],
        mut is_so: impl FnMut(&Screen) -> bool,
    ) -> Screen {
        let deadline = Instant::now() + PATIENCE;
        let mut pressed = None::<Instant>;
        loop {
            if !arguments.is_empty() && pressed.is_none_or(|at| at.elapsed() > PRESS_AGAIN) {
                self.xdotool(arguments);
                pressed = Some(Instant::now());
            }
            let screen = self.screen();
            if let Some(screen) = &screen
                && is_so(screen)
            {
                return screen.clone();
            }
            if Instant::now() > deadline {
                let picture = std::env::temp_dir().join("stemhive-window-test.ppm");
                screen.inspect(|screen| screen.save(&picture));
                panic!("{what} did not happen; the screen is in {}", picture.display());
            }
        }
    }

    /// Waits until the window of `program` has the focus, however long it takes to appear. `said` is
    /// where the program's messages go.
    fn focus_window(&self, program: &mut Child, said: &Path) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = program.try_wait().expect("our child") {
                let said = std::fs::read_to_string(said).unwrap_or_default();
                panic!("the program ended before it had a window: {status}, {said}");
            }
            let found = self.xdotool(&["search", "--onlyvisible", "--name", "Stemhive"]);
            if let Some(window) = found.lines().next() {
                self.xdotool(&["windowfocus", window]);
                if self.xdotool(&["getwindowfocus"]) == window {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "the window did not come up");
        }
    }
}

/// A program that does not outlive the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[derive(Clone)]
struct Screen {
    width: usize,
    pixels: Vec<[u8; 3]>,
}

impl Screen {
    /// "P6\n<width> <height>\n255\n" and three bytes a pixel; `None` for half a picture.
    fn from_ppm(bytes: &[u8]) -> Option<Self> {
        let mut at = 0;
        let mut word = || {
            let start = at + bytes[at..].iter().position(|b| !b.is_ascii_whitespace())?;
            at = start + bytes[start..].iter().position(u8::is_ascii_whitespace)?;
            std::str::from_utf8(&bytes[start..at]).ok()
        };
        if word()? != "P6" {
            return None;
        }
        let (width, height): (usize, usize) = (word()?.parse().ok()?, word()?.parse().ok()?);
        word()?;
        let pixels: Vec<_> = bytes[at + 1..].chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
        (pixels.len() == width * height).then_some(Self { width, pixels })
    }

    fn save(&self, path: &Path) {
        let mut bytes =
            format!("P6\n{} {}\n255\n", self.width, self.pixels.len() / self.width).into_bytes();
        bytes.extend(self.pixels.iter().flatten());
        let _ = std::fs::write(path, bytes);
    }

    /// Pixels of about `colour` where the lanes' waveforms are.
    fn of_colour(&self, colour: [u8; 3]) -> usize {
        let near = |p: &[u8; 3]| p.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 12);
        let rows = self.pixels.chunks(self.width).skip(130);
        rows.map(|row| row[245..1130].iter().filter(|p| near(p)).count()).sum()
    }

    fn shows_stem(&self, lane: usize) -> bool {
        self.of_colour(STEM_COLOURS[lane]) > 1500
    }

    /// The clock at the bottom left.
    fn clock(&self) -> Vec<[u8; 3]> {
        let rows = self.pixels.chunks(self.width).skip(840).take(44);
        rows.flat_map(|row| row[240..335].to_vec()).collect()
    }
}

fn wavs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|e| e.path()));
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(wavs(&path));
        } else if path.extension().is_some_and(|e| e == "wav") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_musician_opens_separates_mixes_exports_and_quits() {
    let Some(display) = Display::start() else { return };
    let home = TempDir::new().expect("a temporary folder");
    let song = home.path().join("Lithium.mp4.wav");
    let frames = 44_100 * SECS + 123;
    write_wav(&song, &synthetic_song(frames, 44_100), 44_100);
    let exported = home.path().join("home");
    std::fs::create_dir(&exported).expect("a writable folder");

    let said = home.path().join("said");
    let mut stemhive = Command::new(stemhive_path())
        .arg("--cache-dir")
        .arg(home.path().join("cache"))
        .arg(&song)
        .env("DISPLAY", &display.name)
        .env("HOME", &exported)
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_DATA_HOME")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&said).expect("a new file"))
        .spawn()
        .map(Ended)
        .expect("the program starts");
    display.focus_window(&mut stemhive.0, &said);
    let key = |keys: &str| display.xdotool(&["key", keys]);

    let screen = display
        .wait_for("separating every lane", |screen| (0..4).all(|lane| screen.shows_stem(lane)));
    let stopped = screen.clock();

    key("2");
    display.wait_for("muting the bass", |screen| {
        !screen.shows_stem(1) && screen.shows_stem(0) && screen.shows_stem(3)
    });
    key("shift+4");
    display.wait_for("soloing the vocals", |screen| {
        screen.shows_stem(3) && !screen.shows_stem(0) && !screen.shows_stem(2)
    });
    key("0");
    display.wait_for("switching all on", |screen| (0..4).all(|lane| screen.shows_stem(lane)));

    key("space");
    display.wait_for("playing", |screen| screen.clock() != stopped);
    key("space");
    display.xdotool(&["mousemove", "700", "300", "click", "1"]);
    key("Home");
    display.wait_for("going back to the start", |screen| screen.clock() == stopped);

    key("ctrl+shift+e");
    // The dialog dims what is behind it.
    display.wait_for("the export dialog", |screen| !screen.shows_stem(0));
    // It is not taken before the dialog knows what it would write.
    let started = "the export's start";
    display.press_until(started, &["key", "Return"], |screen| screen.shows_stem(0));
    let deadline = Instant::now() + PATIENCE;
    // Files appear together, all of them complete.
    while wavs(&exported).len() < 5 {
        assert!(Instant::now() < deadline, "the export did not end: {:?}", wavs(&exported));
        display.screen();
    }
    let files = wavs(&exported);
    assert_eq!(files.len(), 5, "four stems and the mix: {files:?}");
    for file in &files {
        let reader = hound::WavReader::open(file).expect("a WAV");
        assert_eq!(reader.duration() as usize, frames, "{}", file.display());
        assert_eq!(reader.spec().channels, 2);
    }

    key("ctrl+q");
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = stemhive.0.try_wait().expect("our child") {
            break status;
        }
        assert!(Instant::now() < deadline, "it did not quit");
        std::thread::yield_now();
    };
    assert!(status.success(), "{status}");
}
