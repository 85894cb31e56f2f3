//! Models that are downloaded, imported, checked and removed, against servers of every kind.

mod catalogue_rig;
mod model_server;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use catalogue_rig::{
    HTDEMUCS, Rig, TAG, assert_helpful, network, safetensors, sha256, until_bytes,
};
use crossbeam_channel::bounded;
use engine::{
    ErrorKind,
    catalogue::{FetchPhase, ModelState},
    model::{NoProgress, Stem},
};
use model_server::{OK, Server, drip, hang, send, status};

#[test]
fn a_model_is_fetched_checked_and_removed() {
    let rig = Rig::new();
    let missing = ModelState::NotDownloaded {
        here_bytes: 0,
        missing: vec![rig.manifest.models()[0].files[0].name.clone()],
    };
    assert_eq!(rig.state("solo"), missing);
    let error = rig.catalogue().files("solo", &NoProgress).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.advice.unwrap().contains("models fetch solo"));
    assert!(rig.server.take_seen().is_empty(), "nothing is downloaded unasked");

    let (fetch, _) = rig.start();
    let shared = fetch.status();
    assert_eq!(shared.bytes_total, 300_000);
    fetch.wait().unwrap();
    rig.assert_solo();
    assert_eq!(rig.state("solo"), ModelState::Installed);

    // What is there is not asked for again.
    assert_eq!(rig.server.take_seen().len(), 1);
    rig.fetch("solo").unwrap();
    assert!(rig.server.take_seen().is_empty());

    assert_eq!(rig.catalogue().remove("solo").unwrap(), 300_000);
    assert_eq!(rig.state("solo"), missing);
    assert_eq!(rig.catalogue().remove("solo").unwrap_err().kind, ErrorKind::NotFound);
    assert!(rig.catalogue().fetch("nonesuch", Arc::new(|| {})).is_err());
}

#[test]
fn a_bag_is_fetched_file_by_file_and_its_progress_is_one() {
    let rig = Rig::new();
    rig.fetch("pair").unwrap();
    let files = rig.catalogue().files("pair", &NoProgress).unwrap();
    let found: Vec<_> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(found == rig.pair);

    // Only the file that went missing is fetched again.
    std::fs::remove_file(&files[1]).unwrap();
    match rig.state("pair") {
        ModelState::NotDownloaded { here_bytes, missing } => {
            assert_eq!((here_bytes, missing.len()), (50_000, 1));
        }
        state => panic!("{state:?}"),
    }
    rig.server.take_seen();
    let fetch = rig.catalogue().fetch("pair", Arc::new(|| {})).unwrap();
    assert_eq!(fetch.status().bytes_total, 70_000);
    fetch.wait().unwrap();
    assert_eq!(rig.server.take_seen().len(), 1);
    assert_eq!(rig.state("pair"), ModelState::Installed);
}

#[test]
fn a_download_that_was_cut_goes_on_where_it_stopped() {
    let rig = Rig::new();
    let content = rig.solo.clone();
    rig.server.next(move |_, stream| {
        send(stream, &format!("{OK}ETag: {TAG}\r\n"), Some(300_000), &content[..123_456]);
    });
    let error = rig.fetch("solo").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Network);
    assert_helpful(&error, "127.0.0.1");
    assert_eq!(rig.part_bytes(), 123_456);

    rig.server.take_seen();
    rig.fetch("solo").unwrap();
    rig.assert_solo();
    let seen = rig.server.take_seen();
    assert_eq!(seen[0].header("range"), Some("bytes=123456-"));
    assert_eq!(seen[0].header("if-range"), Some(TAG));
    assert_eq!(seen.len(), 1);
}

#[test]
fn it_tries_again_by_itself_as_long_as_something_comes() {
    let mut rig = Rig::new();
    rig.network.retries = 2;
    let content = rig.solo.clone();
    for _ in 0..5 {
        let content = content.clone();
        rig.server.next(move |seen, stream| {
            let from = seen.from() as usize;
            let head = match from {
                0 => OK.to_owned(),
                from => format!(
                    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-299999/300000\r\n"
                ),
            };
            send(stream, &head, Some(300_000 - from), &content[from..from + 10_000]);
        });
        rig.server.next(|_, stream| status(stream, "503 Service Unavailable"));
    }
    rig.fetch("solo").unwrap();
    rig.assert_solo();
    let from: Vec<_> = rig.server.take_seen().iter().map(|seen| seen.from() / 10_000).collect();
    assert_eq!(from, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
}

#[test]
fn answers_that_are_no_file_end_it_with_what_to_do() {
    let mut rig = Rig::new();
    rig.network.retries = 2;
    for (answer, tries) in [("404 Not Found", 1), ("403 Forbidden", 1), ("500 Oops", 3)] {
        for _ in 0..tries {
            rig.server.next(move |_, stream| status(stream, answer));
        }
        let error = rig.fetch("solo").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Network);
        assert_helpful(&error, &answer[..3]);
        assert_eq!(rig.server.take_seen().len(), tries, "{answer}");
        assert_eq!(rig.part_bytes(), 0);
    }
}

#[test]
fn a_server_that_ignores_ranges_sends_all_of_it_again() {
    let rig = Rig::new();
    let content = rig.solo.clone();
    let first = content.clone();
    rig.server.next(move |_, stream| send(stream, OK, Some(300_000), &first[..1000]));
    rig.fetch("solo").unwrap_err();
    rig.server.next(move |seen, stream| {
        assert_eq!(seen.from(), 1000);
        send(stream, OK, Some(300_000), &content);
    });
    rig.fetch("solo").unwrap();
    rig.assert_solo();
}

#[test]
fn a_server_that_goes_on_elsewhere_is_asked_for_all_of_it() {
    let mut rig = Rig::new();
    rig.network.retries = 2;
    let content = rig.solo.clone();
    let other = |range: &'static str| {
        move |_: &model_server::Seen, stream: &mut std::net::TcpStream| {
            let head = format!("HTTP/1.1 206 Partial Content\r\n{range}");
            send(stream, &head, Some(10), b"0123456789");
        }
    };
    for range in ["Content-Range: bytes 5-14/300000\r\n", "Content-Range: who knows\r\n", ""] {
        let content = content.clone();
        rig.server.next(move |_, stream| send(stream, OK, Some(300_000), &content[..1000]));
        rig.server.next(other(range));
        rig.fetch("solo").unwrap();
        let from: Vec<_> = rig.server.take_seen().iter().map(|seen| seen.from()).collect();
        assert_eq!(from, [0, 1000, 0], "{range}");
        rig.assert_solo();
        rig.catalogue().remove("solo").unwrap();
    }
    // Likewise when it says that the file is shorter than what is here.
    rig.server.next(move |_, stream| send(stream, OK, Some(300_000), &content[..1000]));
    rig.server.next(|_, stream| status(stream, "416 Range Not Satisfiable"));
    rig.fetch("solo").unwrap();
    rig.assert_solo();
}

#[test]
fn a_server_that_lies_about_the_length_is_not_believed() {
    let rig = Rig::new();
    for claimed in [299_999, 300_001, 5_000_000_000] {
        let content = rig.solo.clone();
        rig.server.next(move |_, stream| send(stream, OK, Some(claimed), &content));
        let error = rig.fetch("solo").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert_helpful(&error, &claimed.to_string());
        assert_eq!(rig.part_bytes(), 0, "nothing is written");
    }
    let content = rig.solo.clone();
    rig.server.next(move |_, stream| send(stream, OK, Some(300_000), &content[..1000]));
    rig.fetch("solo").unwrap_err();
    rig.server.next(|_, stream| {
        let head = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1000-1999/2000\r\n";
        send(stream, head, Some(1000), &[0; 1000]);
    });
    assert_eq!(rig.fetch("solo").unwrap_err().kind, ErrorKind::Damaged);
    assert_eq!(rig.part_bytes(), 1000);
}

#[test]
fn an_endless_body_is_cut_at_the_length_of_the_file() {
    let rig = Rig::new();
    // The right bytes and more and more: enough came when the file is whole.
    let content = rig.solo.clone();
    rig.server.next(move |_, stream| {
        send(stream, OK, None, &content);
        drip(stream);
    });
    rig.fetch("solo").unwrap();
    rig.assert_solo();
    rig.catalogue().remove("solo").unwrap();

    // Nothing but wrong bytes: no more of them than the file is long.
    rig.server.next(|_, stream| {
        send(stream, OK, None, &[7; 300_000]);
        drip(stream);
    });
    let error = rig.fetch("solo").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert_helpful(&error, "SHA-256");
    assert_eq!(rig.part_bytes(), 0, "wrong bytes are not kept");
}

#[test]
fn wrong_bytes_are_never_installed() {
    let rig = Rig::new();
    let mut wrong = rig.solo.clone();
    wrong[200_000] ^= 1;
    rig.server.offer(rig.solo_path().file_name().unwrap().to_str().unwrap(), &wrong, TAG);
    let error = rig.fetch("solo").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert_helpful(&error, "SHA-256");
    assert!(!rig.solo_path().exists());
    assert_eq!(rig.part_bytes(), 0);
}

#[test]
fn a_file_that_changed_between_two_tries_is_fetched_as_a_whole() {
    let mut rig = Rig::new();
    let name = rig.solo_path().file_name().unwrap().to_str().unwrap().to_owned();
    for tag in [TAG, ""] {
        // The first version is wrong, and only its first half arrives.
        let head = if tag.is_empty() { OK.to_owned() } else { format!("{OK}ETag: {tag}\r\n") };
        rig.server.next(move |_, stream| send(stream, &head, Some(300_000), &[9; 150_000]));
        rig.fetch("solo").unwrap_err();
        assert_eq!(rig.part_bytes(), 150_000);

        let tag = if tag.is_empty() { "" } else { "\"v2\"" };
        rig.server.offer(&name, &rig.solo, tag);
        rig.server.take_seen();
        // With a tag the server tells at once; without one the hash tells at the end.
        rig.network.retries = 1;
        rig.fetch("solo").unwrap();
        rig.network.retries = 0;
        rig.assert_solo();
        let from: Vec<_> = rig.server.take_seen().iter().map(|seen| seen.from()).collect();
        assert_eq!(from, if tag.is_empty() { vec![150_000, 0] } else { vec![150_000] });
        rig.catalogue().remove("solo").unwrap();
    }
}

#[test]
fn a_silent_server_is_given_up_and_what_came_is_kept() {
    let mut rig = Rig::new();
    let content = rig.solo.clone();
    let half = content.clone();
    rig.server.next(move |_, stream| {
        send(stream, OK, Some(300_000), &half[..150_000]);
        hang(stream);
    });
    rig.network.stall = Duration::from_millis(100);
    let error = rig.fetch("solo").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Network);
    assert_helpful(&error, "silent");
    assert!(rig.part_bytes() <= 150_000);

    rig.server.next(|_, stream| hang(stream));
    assert_helpful(&rig.fetch("solo").unwrap_err(), "silent");

    rig.network.stall = Duration::from_secs(300);
    rig.fetch("solo").unwrap();
    rig.assert_solo();
}

#[test]
fn cancelling_ends_it_whatever_it_waits_for() {
    let mut rig = Rig::new();
    // A server that says nothing at all.
    let (asked, is_asked) = bounded(1);
    rig.server.next(move |_, stream| {
        asked.send(()).unwrap();
        hang(stream);
    });
    let (fetch, _changes) = rig.start();
    is_asked.recv().unwrap();
    fetch.cancel();
    assert_eq!(fetch.wait().unwrap_err().kind, ErrorKind::Cancelled);

    // Bytes that come one by one.
    let content = rig.solo.clone();
    rig.server.next(move |_, stream| {
        send(stream, OK, Some(300_000), &content[..1000]);
        drip(stream);
    });
    let (fetch, changes) = rig.start();
    until_bytes(&fetch, &changes, 1010);
    assert!(matches!(fetch.status().phase, FetchPhase::Receiving));
    fetch.cancel();
    assert_eq!(fetch.wait().unwrap_err().kind, ErrorKind::Cancelled);
    assert!(rig.part_bytes() >= 1010);

    // Dropping it is cancelling it; the zeros that dripped in are found out by the hash.
    let (fetch, _changes) = rig.start();
    drop(fetch);
    rig.network.retries = 1;
    rig.fetch("solo").unwrap();
    rig.assert_solo();
}

#[test]
fn a_server_that_hangs_up_is_told_of_with_a_way_to_do_without() {
    let rig = Rig::new();
    rig.server.next(|_, _| {});
    let error = rig.fetch("solo").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Network);
    assert_helpful(&error, "connection to 127.0.0.1 failed");
    let url = rig.manifest.models()[0].files[0].url.as_ref().unwrap();
    assert!(error.advice.as_ref().unwrap().contains(url));
}

#[test]
fn two_downloads_of_one_file_do_not_meet() {
    let rig = Rig::new();
    let content = rig.solo.clone();
    rig.server.next(move |_, stream| {
        send(stream, OK, Some(300_000), &content[..1000]);
        hang(stream);
    });
    let (fetch, changes) = rig.start();
    until_bytes(&fetch, &changes, 1000);
    // The second comes by handles of its own, as another process would.
    let error = rig.fetch("solo").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy);
    assert!(error.kept.is_some() && error.advice.is_some());
    assert_eq!(rig.catalogue().remove("solo").unwrap_err().kind, ErrorKind::Busy);
    drop(fetch);
    rig.fetch("solo").unwrap();
    rig.assert_solo();
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let rig = Rig::new();
    let to = |location: String| {
        move |_: &model_server::Seen, stream: &mut std::net::TcpStream| {
            send(stream, &format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n"), Some(0), b"");
        }
    };
    let name = rig.solo_path().file_name().unwrap().to_str().unwrap().to_owned();
    rig.server.next(to(format!("{}/{name}", rig.server.url)));
    rig.fetch("solo").unwrap();
    rig.assert_solo();
    rig.catalogue().remove("solo").unwrap();
    for _ in 0..20 {
        rig.server.next(to(format!("{}/around", rig.server.url)));
    }
    assert_helpful(&rig.fetch("solo").unwrap_err(), "from one address to the next");
    assert!(rig.server.take_seen().len() < 10);
}

#[test]
fn the_proxy_of_the_variables_is_used() {
    let mut rig = Rig::new();
    let proxy = Server::start();
    let address = proxy.url.clone();
    rig.network.variables = Arc::new(move |name| (name == "ALL_PROXY").then(|| address.clone()));
    proxy.next(|seen, stream| {
        assert_eq!(seen.method, "CONNECT");
        status(stream, "403 Forbidden");
    });
    let error = rig.fetch("solo").unwrap_err();
    assert_helpful(&error, &format!("by the proxy {}", proxy.url.trim_start_matches("http://")));
    assert!(rig.server.take_seen().is_empty());
    assert_eq!(proxy.take_seen()[0].path, rig.server.url.trim_start_matches("http://"));

    // One that lets it through: the request arrives and so does the file.
    let target = rig.server.url.trim_start_matches("http://").to_owned();
    proxy.next(move |_, stream| {
        send(stream, OK, None, b"");
        let server = std::net::TcpStream::connect(target).unwrap();
        let (mut from, mut to) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut &server, stream);
    });
    rig.fetch("solo").unwrap();
    rig.assert_solo();
}

#[test]
fn damage_is_found_told_and_mended() {
    let rig = Rig::new();
    rig.fetch("solo").unwrap();
    let verdicts = rig.catalogue().verify(&NoProgress).unwrap();
    assert_eq!(verdicts.len(), 1);
    assert_eq!(verdicts[0].problem, None);

    // A bit that turned over shows when the file is read: at once when its time changed too.
    let mut bytes = rig.solo.clone();
    bytes[1000] ^= 4;
    std::fs::write(rig.solo_path(), &bytes).unwrap();
    let error = rig.catalogue().files("solo", &NoProgress).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert!(error.advice.unwrap().contains("models fetch solo"));
    assert!(matches!(rig.state("solo"), ModelState::Damaged { .. }));
    let verdicts = rig.catalogue().verify(&NoProgress).unwrap();
    assert!(verdicts[0].problem.as_ref().unwrap().contains("SHA-256"));
    rig.fetch("solo").unwrap();
    rig.assert_solo();

    // When its time was kept, when it is asked for.
    let time = std::fs::metadata(rig.solo_path()).unwrap().modified().unwrap();
    std::fs::write(rig.solo_path(), &bytes).unwrap();
    std::fs::File::options().write(true).open(rig.solo_path()).unwrap().set_modified(time).unwrap();
    assert!(rig.catalogue().verify(&NoProgress).unwrap()[0].problem.is_some());
    rig.fetch("solo").unwrap();

    std::fs::write(rig.solo_path(), &rig.solo[..100]).unwrap();
    assert!(matches!(rig.state("solo"), ModelState::Damaged { why } if why.contains("100 bytes")));
    rig.fetch("solo").unwrap();
    rig.assert_solo();
}

#[test]
fn an_official_file_is_known_by_its_content() {
    let rig = Rig::new();
    let catalogue = rig.catalogue();
    let source = rig.users_file("download (1)", &rig.solo);
    let imported = catalogue.import(&source, &NoProgress).unwrap();
    assert_eq!((imported.model.as_str(), imported.was_there), ("solo", false));
    rig.assert_solo();
    assert!(source.exists());
    assert!(catalogue.import(&source, &NoProgress).unwrap().was_there);

    // Half of a bag is not yet the bag.
    let first = rig.users_file("a.th", &rig.pair[0]);
    let imported = catalogue.import(&first, &NoProgress).unwrap();
    assert_eq!((imported.model.as_str(), imported.missing.len()), ("pair", 1));
    let second = rig.users_file("b.th", &rig.pair[1]);
    assert!(catalogue.import(&second, &NoProgress).unwrap().missing.is_empty());
    assert_eq!(rig.state("pair"), ModelState::Installed);
    assert!(rig.server.take_seen().is_empty());

    // A file put into the folder by hand serves too, once its hash was looked at.
    catalogue.remove("solo").unwrap();
    std::fs::copy(&source, rig.solo_path()).unwrap();
    rig.assert_solo();
}

#[test]
fn files_of_the_users_own_get_names_of_their_own() {
    let rig = Rig::new();
    let catalogue = rig.catalogue();
    let import = |name: &str, seed| {
        let path = rig.users_file(name, &network(seed));
        catalogue.import(&path, &NoProgress).unwrap().model
    };
    assert_eq!(import("mine.th", 10), "mine");
    assert_eq!(import("mine.th", 10), "mine", "the same again");
    assert_eq!(import("mine.th", 11), "mine-2");
    assert_eq!(import("Mine.safetensors", 12), "Mine-3");
    assert_eq!(import("solo.th", 13), "solo-2");
    assert_eq!(import("Spectral.th", 14), "Spectral-2");
    let names: Vec<_> = catalogue.list().into_iter().map(|entry| entry.model.name).collect();
    assert_eq!(names, ["solo", "pair", "Mine-3", "Spectral-2", "mine", "mine-2", "solo-2"]);
    let mine = catalogue.entry("mine").unwrap();
    assert!(mine.imported && mine.state == ModelState::Installed);
    assert_eq!(mine.model.stems, [Stem::Vocals, Stem::Drums]);
    assert_eq!(mine.model.segment_frames, 88_200);

    let files = catalogue.files("mine", &NoProgress).unwrap();
    assert!(std::fs::read(&files[0]).unwrap() == network(10));
    let fetched = catalogue.fetch("mine", Arc::new(|| {})).unwrap().wait();
    fetched.expect("it lacks nothing");
    std::fs::write(&files[0], network(15)).unwrap();
    assert_eq!(catalogue.files("mine", &NoProgress).unwrap_err().kind, ErrorKind::Damaged);
    let again = catalogue.fetch("mine", Arc::new(|| {})).unwrap().wait().unwrap_err();
    assert!(again.advice.as_ref().unwrap().contains("Import it again"));
    catalogue.remove("mine").unwrap();
    assert!(catalogue.entry("mine").is_err());
}

#[test]
fn what_is_no_model_is_not_taken_in() {
    let rig = Rig::new();
    let catalogue = rig.catalogue();
    let good = network(20);
    let prefix = &sha256(&good)[..8];
    for (name, content, kind, hint) in [
        ("page.th", &b"<html>not found</html>"[..], ErrorKind::Unsupported, "page.th"),
        ("bare.th", &safetensors(HTDEMUCS, &BTreeMap::new(), 1), ErrorKind::Damaged, "weights"),
        (
            "other.th",
            &safetensors("demucs.hdemucs.HDemucs", &BTreeMap::new(), 1),
            ErrorKind::Unsupported,
            "HDemucs",
        ),
        ("cut.th", &good[..good.len() - 1], ErrorKind::Damaged, "cut.th"),
        ("song.mp3", &good, ErrorKind::Unsupported, "neither"),
        ("net-01234567.th", &good, ErrorKind::Damaged, "01234567"),
        (&format!("net-{prefix}.th"), &good[..good.len() - 1], ErrorKind::Damaged, prefix),
        ("empty.th", b"", ErrorKind::Invalid, "empty.th"),
    ] {
        let error = catalogue.import(&rig.users_file(name, content), &NoProgress).unwrap_err();
        assert_eq!(error.kind, kind, "{name}");
        assert!(error.what.contains(hint), "{}", error.what);
    }
    assert_eq!(catalogue.import(rig.dir.path(), &NoProgress).unwrap_err().kind, ErrorKind::Invalid);
    let missing = catalogue.import(Path::new("/nonesuch.th"), &NoProgress).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert_eq!(rig.left_in_incoming(), Vec::<String>::new());
    assert_eq!(catalogue.list().len(), 2);
    let whole = rig.users_file(&format!("net-{prefix}.th"), &good);
    assert_eq!(catalogue.import(&whole, &NoProgress).unwrap().model, format!("net-{prefix}"));
}
