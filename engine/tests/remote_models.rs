//! Model files on their way to a worker: resumed where they broke off, never believed unseen.

mod common;
mod remote_rig;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{
    catalogue::{Model, Sha256},
    crew::Standing,
    model::{
        Separator, Stem,
        checkpoint::Checkpoint,
        htdemucs::{Config, Htdemucs, Profile},
        spectral::Spectral,
    },
};
use remote_rig::{Main, Shop, Worker, wait_until, work};

/// A tiny network of random weights, and what it is known by.
struct Net {
    bytes: Vec<u8>,
    sha256: Sha256,
    sources: Vec<Stem>,
    segment_frames: usize,
}

impl Net {
    fn new() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/htdemucs/four.th");
        let bytes = std::fs::read(&path).unwrap();
        let config = Config::of(&Checkpoint::read(&path).unwrap()).unwrap();
        let sha256 = Sha256::of(&bytes);
        Self { sha256, sources: config.sources, segment_frames: config.segment_frames, bytes }
    }

    /// The same model on a worker, from the file that came.
    fn separator(&self, path: PathBuf) -> Arc<dyn Separator> {
        let profile = Profile {
            name: "tiny".into(),
            title: "tiny".into(),
            description: "d".into(),
            sources: self.sources.clone(),
            segment_frames: self.segment_frames,
            weights: vec![vec![1.0; self.sources.len()]],
            weights_hash: Model::hash_of_weights([self.sha256].iter()),
        };
        Arc::new(Htdemucs::new(profile, Box::new(move |_| Checkpoint::read(&path))))
    }

    /// A main PC that has the model, and a worker that has not.
    fn apart(&self) -> (Main, Worker, Arc<dyn Separator>) {
        let files_dir = tempfile::tempdir().unwrap().keep();
        let separator = self.separator(files_dir.join(self.sha256.to_string()));
        let mut shop = Shop::new(vec![Arc::clone(&separator)]);
        shop.files_dir = Some(files_dir);
        let worker = Worker::new("Spare", shop);
        let mut main = Main::with(vec![Arc::new(Spectral::new())], &[]);
        main.close();
        std::fs::create_dir_all(main.dir.path().join("models")).unwrap();
        std::fs::write(main.dir.path().join("models/tiny.th"), &self.bytes).unwrap();
        main.manifest = self.manifest();
        main.pair(&worker);
        main.open();
        main.port = main.address().port();
        worker.pair(&main);
        (main, worker, separator)
    }

    fn manifest(&self) -> String {
        let stems: Vec<_> = self.sources.iter().map(|stem| format!("{:?}", stem.name())).collect();
        MANIFEST
            .replace("STEMS", &stems.join(", "))
            .replace("FRAMES", &self.segment_frames.to_string())
            .replace("BYTES", &self.bytes.len().to_string())
            .replace("SHA256", &self.sha256.to_string())
    }

    fn part(&self, worker: &Worker) -> PathBuf {
        self.whole(worker).with_extension("part")
    }

    fn whole(&self, worker: &Worker) -> PathBuf {
        worker.shop.files_dir.as_ref().unwrap().join(self.sha256.to_string())
    }
}

const MANIFEST: &str = r#"
[[model]]
name = "tiny"
title = "tiny"
description = "d"
quality = "q"
stems = [STEMS]
segment_frames = FRAMES
architecture = "htdemucs"
licence = "l"
cost_core_secs_per_sec = 1.0
weights_bytes = 1
memory_bytes_per_chunk = 1
[[model.file]]
url = "http://127.0.0.1/tiny.th"
bytes = BYTES
sha256 = "SHA256"
"#;

#[test]
fn a_missing_model_is_sent_and_used() {
    let net = Net::new();
    let (main, mut worker, separator) = net.apart();
    worker.start();
    main.member(&worker, &work(separator.as_ref()));
    assert_eq!(std::fs::read(net.whole(&worker)).unwrap(), net.bytes);
    let orders = worker.shop.orders.lock().unwrap();
    let [file] = orders[0].files[..] else { panic!("{orders:?}") };
    assert_eq!((file.sha256, file.bytes), (net.sha256, net.bytes.len() as u64));
}

#[test]
fn a_file_goes_on_where_it_broke_off() {
    let net = Net::new();
    let (main, mut worker, separator) = net.apart();
    let work = work(separator.as_ref());
    let len = net.bytes.len();
    for there in [1, 4_095, 70_000, len / 2 + 1, len - 1, len] {
        let _ = std::fs::remove_file(net.whole(&worker));
        std::fs::write(net.part(&worker), &net.bytes[..there]).unwrap();
        worker.start();
        main.member(&worker, &work);
        assert_eq!(worker.shop.resumed_at.lock().unwrap().last(), Some(&(there as u64)));
        assert_eq!(std::fs::read(net.whole(&worker)).unwrap(), net.bytes);
        worker.stop();
        main.wait_standing(&worker, &work, |standing| *standing == Standing::Away);
    }
}

#[test]
fn a_file_survives_that_either_side_goes_in_the_middle() {
    let net = Net::new();
    let (mut main, mut worker, separator) = net.apart();
    let work = work(separator.as_ref());
    let (part, whole) = (net.part(&worker), net.whole(&worker));
    worker.start();
    for (cut, least) in [50_000, 150_000, 250_000].into_iter().enumerate() {
        wait_until("some of it to come", || {
            main.crew().roll(&work);
            whole.exists() || std::fs::metadata(&part).is_ok_and(|part| part.len() > least)
        });
        if cut % 2 == 0 {
            worker.stop();
            worker.start();
        } else {
            main.close();
            main.open();
        }
    }
    main.member(&worker, &work);
    assert_eq!(std::fs::read(whole).unwrap(), net.bytes);
}

#[test]
fn a_file_that_came_out_wrong_is_thrown_away_and_told() {
    let net = Net::new();
    let (main, mut worker, separator) = net.apart();
    let work = work(separator.as_ref());
    std::fs::write(net.part(&worker), [0; 1_000]).unwrap();
    worker.start();
    let why = "The file's hash is wrong".to_owned();
    main.wait_standing(&worker, &work, |standing| {
        *standing == Standing::Refused { why: why.clone() }
    });
    assert!(!net.whole(&worker).exists() && !net.part(&worker).exists());
    main.hub().try_again(worker.identity.device()).unwrap();
    main.member(&worker, &work);
    assert_eq!(std::fs::read(net.whole(&worker)).unwrap(), net.bytes);
}
