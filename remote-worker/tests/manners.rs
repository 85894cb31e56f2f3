//! When a spare computer works: settings, hours, battery and whoever uses it.

use std::{
    fs::{self, File, FileTimes},
    path::Path,
    time::{Duration, SystemTime},
};

use engine::{ErrorKind, crew::PauseReason, protocol::Running};
use stemhive_worker::{
    polite::{Activity, Hours, Manners, Session, Use, on_battery},
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
    let mut activity = Activity::new(root, None);
    assert_eq!(activity.look(), None, "there is nothing to use");
    for file in ["dev/tty1", "dev/pts/0"] {
        device(root, file, minutes(30));
    }
    device(root, "dev/ttyS0", minutes(0));
    device(root, "dev/pts/ptmx", minutes(0));
    device(root, "dev/null", minutes(0));
    assert_eq!(activity.look(), None);
    for file in ["dev/tty1", "dev/pts/0"] {
        device(root, file, minutes(1));
        assert_eq!(activity.look(), Some(Use::Terminal), "{file}");
        device(root, file, minutes(30));
        assert_eq!(activity.look(), None, "{file}");
    }
}

/// `/proc/interrupts` of a laptop on which so many keys were pressed.
fn interrupts(root: &Path, keys: u64, pad: u64) {
    write(
        root,
        "proc/interrupts",
        &format!(
            "            CPU0       CPU1       \n\
             \x20  0:          9          0  IR-IO-APIC    2-edge      timer\n\
             \x20  1:          3          {keys}  IR-IO-APIC    1-edge      i8042\n\
             \x20 51:          0          {pad}  IR-IO-APIC   51-fasteoi   ELAN0676:00\n\
             \x20127:     991205    8820117  IR-PCI-MSI-0000:00:14.0    0-edge      xhci_hcd\n\
             NMI:        101         99   Non-maskable interrupts\n"
        ),
    );
}

/// A device on USB with these classes and protocols of its interfaces.
fn usb(root: &Path, name: &str, interfaces: &[(&str, &str)], transfers: u64) {
    for (n, (class, protocol)) in interfaces.iter().enumerate() {
        let interface = format!("sys/bus/usb/devices/{name}:1.{n}");
        write(root, &format!("{interface}/bInterfaceClass"), &format!("{class}\n"));
        write(root, &format!("{interface}/bInterfaceProtocol"), &format!("{protocol}\n"));
    }
    write(root, &format!("sys/bus/usb/devices/{name}/urbnum"), &format!("{transfers}\n"));
}

#[test]
fn keys_and_mice_are_noticed_and_nothing_else() {
    let other = |root: &Path, n: u64| {
        usb(root, "1-3", &[("08", "50")], 4_000 + n);
        // Headphones with buttons, and an uninterruptible power supply.
        usb(root, "1-4", &[("01", "00"), ("03", "00")], 9_000 + n);
        usb(root, "1-5", &[("03", "00")], 77 + n);
    };
    type Change = fn(&Path);
    let used: [Change; 4] = [
        |root| interrupts(root, 101, 7),
        |root| interrupts(root, 100, 9),
        |root| usb(root, "1-1.2", &[("03", "01"), ("03", "00")], 501),
        |root| usb(root, "1-2", &[("03", "02")], 900),
    ];
    for (n, change) in used.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "sys/bus/i2c/drivers/i2c_hid_acpi/i2c-ELAN0676:00/name", "ELAN0676:00\n");
        interrupts(root, 100, 7);
        usb(root, "1-1.2", &[("03", "01"), ("03", "00")], 500);
        usb(root, "1-2", &[("03", "02")], 800);
        other(root, 0);
        let mut activity = Activity::new(root, None);
        assert_eq!(activity.look(), None, "what was before is not seen");
        other(root, 10);
        assert_eq!(activity.look(), None);
        change(root);
        assert_eq!(activity.look(), Some(Use::Inputs), "{n}");
        assert_eq!(activity.look(), Some(Use::Inputs), "for a while");
    }
}

/// What `loginctl show-session` of systemd 255 prints for these properties.
fn shown(class: &str, kind: &str, state: &str, locked: &str, idle: (&str, u64)) -> String {
    let (hint, since) = idle;
    format!(
        "Type={kind}\nClass={class}\nState={state}\nIdleHint={hint}\nIdleSinceHint={since}\n\
         LockedHint={locked}\n"
    )
}

const NEVER_TOLD: (&str, u64) = ("no", 0);

#[test]
fn answers_of_logind_are_read() {
    let answer = [
        shown("user", "x11", "active", "no", NEVER_TOLD),
        shown("greeter", "wayland", "online", "no", NEVER_TOLD),
        shown("user", "tty", "active", "no", ("no", 1_699_999_000_000_000)),
        shown("manager", "unspecified", "active", "no", NEVER_TOLD),
        shown("user-early", "wayland", "online", "yes", ("yes", 1_699_999_000_000_000)),
    ]
    .join("\n");
    let session = |is_graphical, is_active, is_locked, is_idle| Session {
        is_graphical,
        is_active,
        is_locked,
        is_idle,
    };
    assert_eq!(
        Session::parse(&answer),
        [
            session(true, true, false, None),
            session(false, true, false, Some(false)),
            session(true, false, true, Some(true)),
        ]
    );
    // An older one, with everything it says.
    let old = "Id=c1\nTimestamp=Sun 2019-11-17 18:34:11 EST\nVTNr=8\nDisplay=:0\nRemote=no\n\
               Service=mdm\nType=x11\nClass=user\nActive=yes\nState=active\nIdleHint=no\n\
               IdleSinceHint=0\nIdleSinceHintMonotonic=0\nName=chris\n";
    assert_eq!(Session::parse(old), [session(true, true, false, None)]);
    assert_eq!(Session::parse(""), []);
    assert_eq!(Session::parse("\n\nClass\n=\n"), []);
}

/// A program that answers as `loginctl` does.
#[cfg(target_os = "linux")]
fn loginctl(root: &Path, sessions: &[String]) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let names = (0..sessions.len()).map(|n| format!("{:7} 1000 anna seat0 tty{n}\n", n + 2));
    write(root, "list", &names.collect::<String>());
    write(root, "show", &sessions.join("\n"));
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in\nlist-sessions) cat '{0}/list';;\nshow-session) cat \
         '{0}/show';;\n*) exit 1;;\nesac\n",
        root.display()
    );
    write(root, "loginctl", &script);
    let path = root.join("loginctl");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[cfg(target_os = "linux")]
#[test]
fn a_desktop_that_never_tells_does_not_keep_it_from_working_for_ever() {
    let told = 1_699_999_000_000_000;
    let screen = |root: &Path, name: &str, status: &str, dpms: &str| {
        write(root, &format!("sys/class/drm/{name}/status"), &format!("{status}\n"));
        write(root, &format!("sys/class/drm/{name}/dpms"), &format!("{dpms}\n"));
    };
    let radio = "I: Bus=0005 Vendor=046d Product=b342 Version=0111\nN: Name=\"K380 Keyboard\"\n\
                 H: Handlers=sysrq kbd leds event9 \n";
    let headphones = "I: Bus=0005 Vendor=0000 Product=0000 Version=0000\nN: Name=\"WH (AVRCP)\"\n\
                      H: Handlers=kbd event11 \n";
    let look = |sessions: &[String], prepare: &dyn Fn(&Path), then: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let program = loginctl(root, sessions);
        interrupts(root, 100, 7);
        prepare(root);
        let mut activity = Activity::new(root, Some(&program));
        activity.look();
        then(root);
        activity.look()
    };
    let nothing = |_: &Path| {};
    let press = |root: &Path| interrupts(root, 101, 7);
    let person =
        |kind: &str, state: &str, locked: &str, idle| [shown("user", kind, state, locked, idle)];
    let silent = person("x11", "active", "no", NEVER_TOLD);
    assert_eq!(look(&[], &nothing, &press), None, "nobody is logged in");
    assert_eq!(look(&silent, &nothing, &nothing), None, "no key was pressed");
    assert_eq!(look(&silent, &nothing, &press), Some(Use::Inputs));
    let locked = person("x11", "active", "yes", NEVER_TOLD);
    assert_eq!(look(&locked, &nothing, &press), None);
    assert_eq!(look(&person("x11", "online", "no", NEVER_TOLD), &nothing, &press), None);
    // One that does tell is believed.
    assert_eq!(look(&person("wayland", "active", "no", ("yes", told)), &nothing, &press), None);
    let busy = person("wayland", "active", "no", ("no", told));
    assert_eq!(look(&busy, &nothing, &nothing), Some(Use::Desktop));
    // Terminals count by what is typed into them.
    assert_eq!(look(&person("tty", "active", "no", ("no", told)), &nothing, &nothing), None);

    let off = |root: &Path| {
        screen(root, "card1-eDP-1", "connected", "Off");
        screen(root, "card1-HDMI-A-1", "disconnected", "Off");
    };
    assert_eq!(look(&silent, &off, &press), None);
    let one_on = |root: &Path| {
        off(root);
        screen(root, "card1-DP-2", "connected", "On");
    };
    assert_eq!(look(&silent, &one_on, &press), Some(Use::Inputs));

    let devices = |text: &str| {
        let text = text.to_owned();
        move |root: &Path| write(root, "proc/bus/input/devices", &text)
    };
    assert_eq!(look(&silent, &devices(radio), &nothing), Some(Use::Unwatched));
    assert_eq!(look(&silent, &devices(headphones), &nothing), None);
    let unseen = |root: &Path| fs::remove_file(root.join("proc/interrupts")).unwrap();
    assert_eq!(look(&silent, &unseen, &nothing), Some(Use::Unwatched));
}

#[test]
fn a_break_is_explained_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut manners = Manners::new(dir.path(), &Settings::default());
    assert_eq!(manners.look(false, 0, false), Running::Ready);
    device(dir.path(), "dev/pts/0", Duration::ZERO);
    let PauseReason::UserActive = reason(manners.look(false, 0, false)) else { panic!() };
    let why = manners.why(PauseReason::UserActive);
    assert!(why.contains("terminal") && why.contains("pause_when_used = false"), "{why}");
    assert!(manners.why(PauseReason::Owner).contains("stemhive-worker resume"));
}

fn reason(running: Running) -> PauseReason {
    let Running::Paused(reason) = running else { panic!("it works") };
    reason
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
