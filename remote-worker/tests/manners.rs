//! When a spare computer works: settings, hours, battery and whoever uses it.

use std::{
    fs::{self, File, FileTimes},
    path::Path,
    time::{Duration, SystemTime},
};

use engine::{ErrorKind, crew::PauseReason, protocol::Running};
use stemhive_worker::{
    polite::{Activity, Hours, Manners, on_battery},
    settings::Settings,
};

fn write(root: &Path, file: &str, content: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn supply(root: &Path, name: &str, files: &[(&str, &str)]) {
    for (file, content) in files {
        write(root, &format!("sys/class/power_supply/{name}/{file}"), &format!("{content}\n"));
    }
}

/// A device that was read from so long ago.
fn device(root: &Path, file: &str, ago: Duration) {
    write(root, file, "");
    let read = FileTimes::new().set_accessed(SystemTime::now() - ago);
    File::options().write(true).open(root.join(file)).unwrap().set_times(read).unwrap();
}

fn minute(text: &str) -> u16 {
    let (hour, minute) = text.split_once(':').unwrap();
    hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap()
}

#[test]
fn a_battery_counts_when_it_empties_and_nothing_else_is_plugged_in() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    assert!(!on_battery(root), "nothing is known");
    supply(root, "BAT0", &[("type", "Battery"), ("status", "Charging")]);
    assert!(!on_battery(root));
    supply(root, "BAT0", &[("status", "Discharging")]);
    assert!(on_battery(root));
    supply(root, "AC", &[("type", "Mains"), ("online", "0")]);
    assert!(on_battery(root));
    supply(root, "AC", &[("online", "1")]);
    assert!(!on_battery(root), "a battery may empty while it is plugged in");

    let dir = tempfile::tempdir().unwrap();
    let mouse = [("type", "Battery"), ("scope", "Device"), ("status", "Discharging")];
    supply(dir.path(), "hidpp_battery_0", &mouse);
    assert!(!on_battery(dir.path()), "that is a mouse's");
}

#[test]
fn someone_who_typed_of_late_uses_the_computer() {
    let dir = tempfile::tempdir().unwrap();
    let (root, minutes) = (dir.path(), |n: u64| Duration::from_secs(60 * n));
    let mut activity = Activity::new(root);
    assert!(!activity.is_used(), "there is nothing to use");
    for file in ["dev/tty1", "dev/pts/0", "dev/input/event3"] {
        device(root, file, minutes(30));
    }
    device(root, "dev/ttyS0", minutes(0));
    device(root, "dev/pts/ptmx", minutes(0));
    device(root, "dev/null", minutes(0));
    assert!(!activity.is_used());
    for file in ["dev/tty1", "dev/pts/0", "dev/input/event3"] {
        device(root, file, minutes(1));
        assert!(activity.is_used(), "{file}");
        device(root, file, minutes(30));
        assert!(!activity.is_used(), "{file}");
    }
}

#[test]
fn hours_go_over_midnight() {
    let night: Hours = "22:00-07:00".parse().unwrap();
    for (at, inside) in [
        ("21:59", false),
        ("22:00", true),
        ("23:59", true),
        ("0:00", true),
        ("06:59", true),
        ("07:00", false),
        ("12:00", false),
    ] {
        assert_eq!(night.contains(minute(at)), inside, "{at}");
    }
    let day: Hours = " 9:30 - 24:00 ".parse().unwrap();
    assert!(!day.contains(minute("9:29")) && day.contains(minute("9:30")));
    assert!(day.contains(minute("23:59")) && !day.contains(minute("0:00")));
    let always: Hours = "00:00-00:00".parse().unwrap();
    assert!((0..1440).all(|minute| always.contains(minute)));
    assert_eq!(night.to_string(), "22:00-07:00");
    for wrong in
        ["", "22", "22:00", "22:00-", "22:60-23:00", "24:00-01:00", "25:00-01:00", "1:2-3:4"]
    {
        let error = wrong.parse::<Hours>().unwrap_err();
        assert!(error.contains("22:00-07:00"), "{wrong}: {error}");
    }
}

#[test]
fn the_strongest_reason_for_a_break_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    supply(root, "BAT0", &[("type", "Battery"), ("status", "Discharging")]);
    device(root, "dev/pts/0", Duration::ZERO);
    let hours = vec!["22:00-07:00".parse().unwrap(), "12:00-13:00".parse().unwrap()];
    let settings = Settings { hours, ..Settings::default() };
    let (night, noon, day) = (minute("23:00"), minute("12:30"), minute("15:00"));
    let mut manners = Manners::new(root, &settings);
    let paused = |reason| Running::Paused(reason);
    assert_eq!(manners.look(true, day, true), paused(PauseReason::Owner));
    assert_eq!(manners.look(false, day, true), paused(PauseReason::Schedule));
    assert_eq!(manners.look(false, noon, true), paused(PauseReason::Battery));
    supply(root, "BAT0", &[("status", "Full")]);
    assert_eq!(manners.look(false, night, true), paused(PauseReason::UserActive));
    device(root, "dev/pts/0", Duration::from_secs(3600));
    assert_eq!(manners.look(false, night, true), paused(PauseReason::Trouble));
    assert_eq!(manners.look(false, night, false), Running::Ready);

    // Who does not mind is not bothered.
    supply(root, "BAT0", &[("status", "Discharging")]);
    device(root, "dev/pts/0", Duration::ZERO);
    let settings =
        Settings { pause_on_battery: false, pause_when_used: false, ..Settings::default() };
    assert_eq!(Manners::new(root, &settings).look(false, day, false), Running::Ready);
}

#[test]
fn settings_are_read_and_their_errors_name_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("worker.toml");
    assert_eq!(Settings::read(&path).unwrap(), Settings::default());
    let usual = Settings::default();
    assert!(usual.pause_when_used && usual.pause_on_battery && usual.idle_io && usual.nice == 10);
    fs::write(
        &path,
        "name = \"Attic\"\nthreads = 3\nmemory_mb = 1024\nnice = 19\nidle_io = false\n\
         pause_when_used = false\npause_on_battery = false\n\
         hours = [\"22:00-07:00\", \"12:00-13:00\"]\n",
    )
    .unwrap();
    let settings = Settings::read(&path).unwrap();
    assert_eq!(settings.shown_name(), "Attic");
    assert_eq!((settings.threads, settings.memory_mb, settings.nice), (Some(3), 1024, 19));
    assert!(!(settings.idle_io || settings.pause_when_used || settings.pause_on_battery));
    assert_eq!(settings.hours.len(), 2);
    for (text, hints) in [
        ("nice = 10\n\ncolour = 1\n", ["line 3", "colour"]),
        ("hours = [\"22:00\"]", ["line 1", "22:00-07:00"]),
        ("# fast\nthreads = \"many\"", ["line 2", "many"]),
        ("threads = 0", ["threads", "1 to 1024"]),
        ("nice = -5", ["nice", "0 to 19"]),
        ("memory_mb = 1", ["memory_mb", "64"]),
        ("name = \" \"", ["name", "bytes"]),
        ("= 1", ["line 1", "worker.toml"]),
    ] {
        fs::write(&path, text).unwrap();
        let error = Settings::read(&path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        for hint in hints.into_iter().chain(["worker.toml"]) {
            assert!(error.what.contains(hint), "{text}: {}", error.what);
        }
    }
}
