//! `stemhive workers` as a user meets it, but for pairing itself: the list of paired computers is
//! told and changed, whoever wrote it, and `--workers` knows whom it has.

use std::{net::SocketAddr, path::PathBuf, process::Output};

use engine::{crew::DeviceId, remote::Peers};
use integration_tests::{stemhive, synthetic_song, write_wav};
use serde_json::Value;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The list of paired computers, as the window has it.
    fn peers(&self) -> Peers {
        Peers::open(&self.path("data")).unwrap()
    }

    fn pair(&self, n: u8, name: &str) {
        let address: SocketAddr = ([192, 168, 1, n], 5_000).into();
        self.peers().add(DeviceId([n; 32]), name, vec![address]).unwrap();
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output: Output = stemhive()
            .current_dir(self.dir.path())
            .env("STEMHIVE_CACHE", self.path("cache"))
            .env("STEMHIVE_DATA", self.path("data"))
            .args(args)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn without_computers_there_is_a_way_to_pair_one() {
    let place = Place::new();
    let (status, told, noted) = place.run(&["workers", "list"]);
    assert_eq!((status, told.as_str()), (0, ""));
    assert!(noted.contains("stemhive workers pair"), "{noted}");
    assert_eq!(place.run(&["workers", "list", "--json"]), (0, String::new(), String::new()));
    let (status, _, noted) = place.run(&["workers", "forget", "Attic"]);
    assert_eq!(status, 2);
    assert!(noted.contains("none is paired"), "{noted}");
    assert!(!place.path("data/device.key").exists(), "nothing is made for nobody");
}

#[test]
fn computers_are_listed_confirmed_renamed_paused_and_forgotten() {
    let place = Place::new();
    place.pair(7, "Studio-PC");
    place.pair(9, "Laptop-3");
    let (_, told, _) = place.run(&["workers", "list"]);
    assert!(told.contains("B  Studio-PC") && told.contains("C  Laptop-3"), "{told}");
    assert!(told.contains(&DeviceId([7; 32]).fingerprint()), "{told}");

    let peer = || place.peers().find(DeviceId([7; 32])).unwrap();
    assert!(!peer().confirmed);
    for (args, said) in [
        (vec!["confirm", "studio-pc"], "Studio-PC may work"),
        (vec!["pause", "B"], "Studio-PC is paused"),
        (vec!["rename", "B", "Laptop-3"], "Studio-PC is shown as Laptop-3 2"),
    ] {
        let (status, told, noted) = place.run(&[&["workers"], &args[..]].concat());
        assert_eq!((status, told.trim_end()), (0, said), "{noted}");
    }
    assert!(peer().confirmed && peer().paused);
    let (_, told, _) = place.run(&["workers", "list", "--json"]);
    let first: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!((&first["name"], &first["letter"]), (&"Laptop-3 2".into(), &"B".into()));
    assert_eq!(first["state"], "paused");

    place.peers().change(DeviceId([7; 32]), |peer| peer.accused = Some("Wrong".into())).unwrap();
    assert_eq!(place.run(&["workers", "resume", "Laptop-3 2"]).0, 0);
    assert!(!peer().paused && peer().accused.is_none());
    assert_eq!(place.run(&["workers", "forget", "Laptop-3 2"]).0, 0);
    assert_eq!(place.peers().find(DeviceId([7; 32])), None);
    assert_eq!(place.peers().list().len(), 1, "the other one stays");
}

#[test]
fn separating_by_computers_that_are_not_there_is_refused() {
    let place = Place::new();
    place.pair(7, "Studio-PC");
    write_wav(&place.path("a.wav"), &synthetic_song(4_410, 44_100), 44_100);
    let (status, _, noted) = place.run(&["separate", "a.wav", "--workers", "Studio-PC,Attic"]);
    assert_eq!(status, 2);
    assert!(noted.contains("no computer “Attic”; there is: Studio-PC"), "{noted}");
    let (status, told, noted) = place.run(&["separate", "a.wav", "--workers", "none", "--json"]);
    assert_eq!(status, 0, "{noted}");
    let lines = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let done = lines.into_iter().find(|line| line["event"] == "done").unwrap();
    assert_eq!(done["workers"][0]["name"], "This PC");
    assert_eq!(done["workers"][0]["pieces"], done["pieces"]);
}
