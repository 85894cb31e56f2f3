//! `stemhive models` as a user meets it: listing, downloading from a server on this computer,
//! importing, checking, removing, and being told what to do when it does not work.

#[path = "../../engine/tests/model_server/mod.rs"]
mod model_server;

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use integration_tests::{stemhive, synthetic_song, write_wav};
use model_server::{OK, Server, drip, send, status};
use serde_json::Value;

/// SHA-256 of [`net`].
const NET_SHA256: &str = "3c65ea93424a9c362fec0e3a69ea36031e8a358441479dd665cc6110eabe7b08";

const NET: &str = "net-3c65ea93.th";

/// What the server offers as a model's file.
fn net() -> Vec<u8> {
    (0..300_000).map(|n| (n % 251) as u8).collect()
}

/// A server with the model "tiny", and a computer that knows of it.
struct Place {
    dir: tempfile::TempDir,
    server: Server,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), server: Server::start() };
        place.server.offer(NET, &net(), "\"v1\"");
        let list = format!(
            "[[model]]\nname = \"tiny\"\ntitle = \"Tiny\"\ndescription = \"Small.\"\n\
             quality = \"Rough\"\nstems = [\"drums\", \"vocals\"]\nsegment_frames = 88200\n\
             architecture = \"htdemucs\"\nlicence = \"Free\"\ncost_core_secs_per_sec = 0.5\n\
             weights_bytes = 600000\nmemory_bytes_per_chunk = 1000000\n\
             [[model.file]]\nurl = \"{}/{NET}\"\nbytes = 300000\nsha256 = \"{NET_SHA256}\"\n",
            place.server.url
        );
        std::fs::write(place.path("list.toml"), list).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `stemhive` with its cache and data here, without proxies, knowing the official models.
    fn official(&self) -> Command {
        let mut command = stemhive();
        for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_ascii_lowercase());
        }
        command
            .current_dir(self.dir.path())
            .env("STEMHIVE_CACHE", self.path("cache"))
            .env("STEMHIVE_DATA", self.path("data"))
            .env_remove("STEMHIVE_MODEL_LIST")
            .stdin(Stdio::null());
        command
    }

    /// The same, knowing only "tiny".
    fn stemhive(&self) -> Command {
        let mut command = self.official();
        command.env("STEMHIVE_MODEL_LIST", self.path("list.toml"));
        command
    }

    /// Runs `stemhive models` with `args`; what it wrote, once its status was as expected.
    #[track_caller]
    fn models(&self, args: &[&str], expected: i32) -> (String, String) {
        run(self.stemhive().arg("models").args(args), expected)
    }

    /// The listed model called `name`.
    fn listed(&self, name: &str) -> Value {
        let lines = json(&self.models(&["list", "--json"], 0).0);
        lines.into_iter().find(|line| line["name"] == name).unwrap()
    }
}

#[track_caller]
fn run(command: &mut Command, expected: i32) -> (String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(expected), "stdout: {out}\nstderr: {err}");
    (out, err)
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_official_models_are_listed_with_what_is_known_of_them() {
    let place = Place::new();
    let lines = json(&run(place.official().args(["models", "--json"]), 0).0);
    let names: Vec<_> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["quick", "spectral", "htdemucs", "htdemucs_ft", "htdemucs_6s"]);
    assert!(lines[..2].iter().all(|line| line["state"] == "built in"));
    for line in &lines[2..] {
        assert_eq!(line["state"], "not downloaded");
        assert_eq!(line["here_bytes"], 0);
        assert!(line["licence"].as_str().unwrap().contains("research"));
        assert!(line["memory_bytes"].as_u64().unwrap() > 300_000_000);
        assert_eq!(line["hash"].as_str().unwrap().len(), 64);
        for file in line["files"].as_array().unwrap() {
            let (name, hash) = (file["name"].as_str().unwrap(), file["sha256"].as_str().unwrap());
            assert!(name.ends_with(&format!("-{}.th", &hash[..8])));
        }
    }
    assert_eq!(lines[3]["files"].as_array().unwrap().len(), 4);
    assert_eq!(lines[4]["stems"].as_array().unwrap().len(), 6);
    let text = run(place.official().args(["models", "list"]), 0).0;
    assert!(text.contains("84.1 MB with: stemhive models fetch htdemucs"), "{text}");
    assert!(!place.path("data/models").exists(), "listing leaves nothing behind");
}

#[test]
fn a_model_is_fetched_used_checked_mended_and_removed() {
    let place = Place::new();
    write_wav(&place.path("s.wav"), &synthetic_song(22_050, 44_100), 44_100);
    let separate = ["separate", "s.wav", "--model", "tiny"];
    let (_, stderr) = run(place.stemhive().args(separate), 2);
    assert!(stderr.contains("stemhive models fetch tiny"), "{stderr}");
    let (_, stderr) = run(place.stemhive().args(["separate", "s.wav", "--model", "none"]), 2);
    assert!(stderr.contains("spectral"), "{stderr}");

    // The server breaks off once; the same run goes on from there.
    place.server.next(|_, stream| send(stream, OK, Some(300_000), &net()[..100_000]));
    let lines = json(&place.models(&["fetch", "tiny", "--json"], 0).0);
    let from: Vec<_> = place.server.take_seen().iter().map(model_server::Seen::from).collect();
    assert_eq!(from, [0, 100_000]);
    assert!(lines.iter().all(|line| line["event"] == "end" || line["model"] == "tiny"));
    let progress: Vec<_> = lines.iter().filter(|line| line["event"] == "progress").collect();
    assert!(progress.iter().all(|line| line["of_bytes"] == 300_000));
    assert_eq!(lines[lines.len() - 2]["event"], "done");
    assert_eq!(lines[lines.len() - 1]["done"], 1);
    assert_eq!(place.listed("tiny")["state"], "installed");
    assert!(place.models(&["verify"], 0).0.contains(NET));
    // Bytes that only look like weights are found out when they are to be used.
    let (_, stderr) = run(place.stemhive().args(separate), 1);
    assert!(stderr.contains("neither a PyTorch archive"), "{stderr}");

    let file = place.path("data/models").join(NET);
    let mut bytes = net();
    bytes[7] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (_, stderr) = place.models(&["verify"], 1);
    assert!(stderr.contains("SHA-256") && stderr.contains("models fetch tiny"), "{stderr}");
    assert_eq!(place.listed("tiny")["state"], "damaged");
    let lines = json(&place.models(&["verify", "--json"], 1).0);
    assert_eq!((&lines[0]["event"], &lines[0]["model"]), (&"error".into(), &"tiny".into()));
    assert!(place.models(&["fetch", "tiny"], 0).0.contains("tiny is ready"));
    assert!(std::fs::read(&file).unwrap() == net());

    assert!(place.models(&["remove", "tiny"], 0).0.contains("0.3 MB"));
    assert!(!file.exists());
    place.models(&["remove", "tiny"], 1);
    place.models(&["fetch", "nonesuch"], 1);
    place.models(&["fetch", "spectral"], 1);
}

#[test]
fn a_file_that_is_there_already_is_imported() {
    let place = Place::new();
    std::fs::write(place.path("from a friend"), net()).unwrap();
    let (stdout, _) = place.models(&["import", "from a friend"], 0);
    assert_eq!(stdout, "tiny is ready\n");
    assert_eq!(place.listed("tiny")["state"], "installed");
    let lines = json(&place.models(&["import", "from a friend", "--json"], 0).0);
    assert_eq!((&lines[0]["model"], &lines[0]["was_there"]), (&"tiny".into(), &true.into()));
    std::fs::write(place.path("song.mp3"), "no model").unwrap();
    let (_, stderr) = place.models(&["import", "song.mp3"], 1);
    assert!(stderr.contains("song.mp3") && stderr.contains("Kept: Nothing was copied"), "{stderr}");
    assert!(place.server.take_seen().is_empty());
}

#[test]
fn what_does_not_work_is_told_with_what_to_do() {
    let place = Place::new();
    place.server.next(|_, stream| status(stream, "404 Not Found"));
    let (_, stderr) = place.models(&["fetch", "tiny"], 1);
    let address = format!("{}/{NET}", place.server.url);
    for hint in ["404", "Kept: ", &address, "stemhive models import FILE"] {
        assert!(stderr.contains(hint), "{hint} in {stderr}");
    }

    // The official server by a proxy that does not let anybody through: no request leaves this
    // computer, and the message says who refused.
    place.server.take_seen();
    place.server.next(|_, stream| status(stream, "403 Forbidden"));
    let mut command = place.official();
    command.env("HTTPS_PROXY", &place.server.url).args(["models", "fetch", "htdemucs"]);
    let (_, stderr) = run(&mut command, 1);
    let seen = place.server.take_seen();
    let asked: Vec<_> = seen.iter().map(|s| (s.method.as_str(), s.path.as_str())).collect();
    assert_eq!(asked, [("CONNECT", "dl.fbaipublicfiles.com:443")]);
    assert!(stderr.contains("proxy") && stderr.contains("955717e8-8726e21a.th"), "{stderr}");

    std::fs::write(place.path("list.toml"), "[[model]]\nname = 1").unwrap();
    let (_, stderr) = place.models(&["list"], 1);
    assert!(stderr.contains("list.toml"), "{stderr}");
}

/// A network of HTDemucs's layout with random weights, small enough for tests.
const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/data/htdemucs/four.th");

#[test]
fn a_model_file_separates_where_it_lies_and_where_it_was_imported_to() {
    let place = Place::new();
    write_wav(&place.path("s.wav"), &synthetic_song(66_150, 44_100), 44_100);
    let separate = |model: &str, out: &str, more: &[&str]| {
        let args = ["separate", "s.wav", "--bits", "32f", "--model", model, "-o", out];
        run(place.stemhive().args(args).args(more), 0);
        let dir = place.path(out);
        move |stem: &str| std::fs::read(dir.join(format!("s/{stem}.wav"))).ok()
    };
    let by_file = separate(SMALL, "by-file", &[]);
    place.models(&["import", SMALL], 0);
    assert_eq!(place.listed("four")["state"], "installed");
    let (cache, other) = (place.path("cache"), place.path("other-cache"));
    std::fs::rename(cache, other).unwrap();
    let by_name = separate("four", "by-name", &["--threads", "1"]);
    for stem in ["drums", "bass", "other", "vocals"] {
        assert!(by_file(stem).is_some());
        assert_eq!(by_file(stem), by_name(stem), "{stem}");
    }

    std::fs::remove_dir_all(place.path("cache")).unwrap();
    let alone = separate("four", "alone", &["--stems", "bass"]);
    assert_eq!(alone("bass"), by_name("bass"));
    assert_eq!(alone("drums"), None);
    let shifted = separate("four", "shifted", &["--stems", "bass", "--shifts", "2"]);
    assert!(shifted("bass").is_some_and(|bass| Some(bass) != by_name("bass")));
    let overlapped = separate("four", "overlapped", &["--stems", "bass", "--overlap", "0.5"]);
    assert!(overlapped("bass").is_some_and(|bass| Some(bass) != by_name("bass")));

    let no_model = place.stemhive().args(["separate", "s.wav", "--model", "s.wav"]).output();
    let no_model = no_model.unwrap();
    assert_eq!(no_model.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&no_model.stderr).contains("s.wav"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_download_keeps_what_came() {
    let place = Place::new();
    place.server.next(|_, stream| {
        send(stream, OK, Some(300_000), &net()[..50_000]);
        drip(stream);
    });
    let mut child = place
        .stemhive()
        .args(["models", "fetch", "tiny", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    while next()["bytes"].as_u64().is_none_or(|bytes| bytes < 50_000) {}
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(place.listed("tiny")["here_bytes"].as_u64().unwrap() >= 50_000);
    place.server.take_seen();
    place.models(&["fetch", "tiny"], 0);
    assert!(place.server.take_seen()[0].from() >= 50_000);
}
