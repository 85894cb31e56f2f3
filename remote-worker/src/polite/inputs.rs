//! Keyboards, mice and screens, as far as Linux tells everybody about them: how many interrupts and
//! USB transfers keyboards and mice caused (never which keys), and whether screens are on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use engine::store::read_bounded;

use super::activity::files;

/// Most bytes of a file with counts; `/proc/interrupts` has a column for every processor.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Keyboards and mice of a computer.
#[derive(Debug)]
pub(super) struct Inputs {
    root: PathBuf,
    counts: Option<BTreeMap<String, u64>>,
    moved: Option<Instant>,
}

impl Inputs {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), counts: None, moved: None }
    }

    /// Whether one moved, as seen by looking often, within this time.
    pub(super) fn moved_within(&mut self, time: Duration) -> bool {
        let counts = self.count();
        if self.counts.as_ref().is_some_and(|before| *before != counts) {
            self.moved = Some(Instant::now());
        }
        self.counts = Some(counts);
        self.moved.is_some_and(|at| at.elapsed() < time)
    }

    /// Whether all that someone could use is counted. What comes by radio is not.
    pub(super) fn are_all_seen(&self) -> bool {
        let devices = text(&self.root.join("proc/bus/input/devices"));
        let is_radio = |device: &str| {
            // Buttons of headphones have no "sysrq".
            let handlers = device.lines().find_map(|line| line.strip_prefix("H: Handlers="));
            let is_used_by = |word: &str| word == "sysrq" || word.starts_with("mouse");
            device.contains("Bus=0005")
                && handlers.is_some_and(|words| words.split_whitespace().any(is_used_by))
        };
        self.counts.as_ref().is_some_and(|counts| !counts.is_empty())
            && !devices.split("\n\n").any(is_radio)
    }

    /// What each caused since the computer was started.
    fn count(&self) -> BTreeMap<String, u64> {
        let mut counts = self.usb();
        counts.extend(self.interrupts());
        counts
    }

    /// Built-in keyboards and touchpads have interrupts of their own, which carry their names.
    fn interrupts(&self) -> BTreeMap<String, u64> {
        let i2c = self.root.join("sys/bus/i2c/drivers");
        let hid = files(&i2c, |name| name.starts_with("i2c_hid"));
        let touchpads = hid.flat_map(|driver| files(&driver, |name| name.starts_with("i2c-")));
        let mut names: Vec<String> = touchpads.map(|pad| word(&pad.join("name"))).collect();
        names.push("i8042".to_owned());
        let interrupts = text(&self.root.join("proc/interrupts"));
        let is_input = |line: &&str| {
            let mut words = line.split_whitespace().map(|word| word.trim_end_matches(','));
            words.any(|word| names.iter().any(|name| name == word))
        };
        let count = |line: &str| {
            let mut words = line.split_whitespace();
            let number = words.next()?.to_owned();
            Some((number, words.map_while(|word| word.parse::<u64>().ok()).sum()))
        };
        interrupts.lines().filter(is_input).filter_map(count).collect()
    }

    /// The kernel hands a keyboard or mouse another transfer whenever it had something to say. Of
    /// devices that do something else, too, that would say nothing.
    fn usb(&self) -> BTreeMap<String, u64> {
        const HID: &str = "03";
        let devices = self.root.join("sys/bus/usb/devices");
        let mut found = BTreeMap::new();
        for interface in files(&devices, |name| name.contains(':')) {
            let Some(name) = interface.file_name().and_then(|name| name.to_str()) else { continue };
            let Some((device, _)) = name.split_once(':') else { continue };
            let (is_only_hid, is_key_or_mouse): &mut (bool, bool) =
                found.entry(device.to_owned()).or_insert((true, false));
            *is_only_hid &= word(&interface.join("bInterfaceClass")) == HID;
            let protocol = word(&interface.join("bInterfaceProtocol"));
            *is_key_or_mouse |= matches!(protocol.as_str(), "01" | "02");
        }
        found.retain(|_, (is_only_hid, is_key_or_mouse)| *is_only_hid && *is_key_or_mouse);
        let count = |device: String| {
            let transfers = word(&devices.join(&device).join("urbnum")).parse().ok()?;
            Some((device, transfers))
        };
        found.into_keys().filter_map(count).collect()
    }
}

/// Whether every screen that is connected is switched off; false where no screen is known.
pub(super) fn are_screens_off(root: &Path) -> bool {
    let outputs = files(&root.join("sys/class/drm"), |name| name.starts_with("card"));
    let mut connected =
        outputs.filter(|output| word(&output.join("status")) == "connected").peekable();
    connected.peek().is_some() && connected.all(|output| word(&output.join("dpms")) != "On")
}

fn text(path: &Path) -> String {
    let bytes = read_bounded(path, MAX_FILE_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn word(path: &Path) -> String {
    text(path).trim().to_owned()
}
