//! A server that offers small models, a computer that knows of them, and what both are asked.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crossbeam_channel::{Receiver, bounded};
use engine::{
    Error,
    catalogue::{Catalogue, Fetch, Manifest, ModelState, Network},
    model::{NoProgress, checkpoint::Checkpoint, htdemucs, nn::Kernels},
};

use crate::model_server::Server;

/// A file's content, another one for each `seed`.
pub(crate) fn content(bytes: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut content = Vec::new();
    content.resize_with(bytes, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    content
}

/// The smallest network there is, all of whose weights are `seed`, as safetensors. What weights it
/// has is found by asking the loader what it lacks.
pub(crate) fn network(seed: u8) -> Vec<u8> {
    static SHAPES: OnceLock<BTreeMap<String, Vec<usize>>> = OnceLock::new();
    let shapes = SHAPES.get_or_init(|| {
        let mut shapes = BTreeMap::new();
        loop {
            let file = safetensors(HTDEMUCS, &shapes, 0);
            let checkpoint = Checkpoint::from_bytes(&file, "test").unwrap();
            let Err(error) = htdemucs::Network::load(checkpoint, Kernels::detect()) else {
                return shapes;
            };
            let (_, lack) = error.what.split_once('“').unwrap();
            let (name, lack) = lack.split_once('”').unwrap();
            let shape = lack.split(['[', ']']).nth(1).unwrap();
            let shape = shape.split(", ").map(|n| n.parse().unwrap()).collect();
            assert!(shapes.insert(name.to_owned(), shape).is_none(), "{}", error.what);
        }
    });
    safetensors(HTDEMUCS, shapes, seed)
}

/// A checkpoint of `class` with weights of these shapes.
pub(crate) fn safetensors(class: &str, shapes: &BTreeMap<String, Vec<usize>>, seed: u8) -> Vec<u8> {
    let kwargs = r#"{"sources":["vocals","drums"],"segment":2,"channels":8,"depth":1,"t_layers":1,"t_heads":1}"#;
    let mut header = serde_json::json!({
        "__metadata__": { "klass": class, "args": "[]", "kwargs": kwargs }
    });
    let mut end = 0;
    for (name, shape) in shapes {
        let begin = end;
        end += shape.iter().product::<usize>() * 2;
        header[name] =
            serde_json::json!({ "dtype": "F16", "shape": shape, "data_offsets": [begin, end] });
    }
    let header = header.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + end, seed);
    file
}

pub(crate) const HTDEMUCS: &str = "demucs.htdemucs.HTDemucs";

pub(crate) fn sha256(content: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A model as a manifest lists it, of files by address and content.
pub(crate) fn listed(name: &str, files: &[(String, &[u8])]) -> String {
    let mut text = format!(
        "[[model]]\nname = \"{name}\"\ntitle = \"{name}\"\ndescription = \"d\"\nquality = \"q\"\n\
         stems = [\"drums\", \"vocals\"]\nsegment_frames = 88200\narchitecture = \"htdemucs\"\nlicence = \"l\"\n\
         cost_core_secs_per_sec = 1.0\nweights_bytes = 1\nmemory_bytes_per_chunk = 1\n"
    );
    for (url, content) in files {
        let (bytes, hash) = (content.len(), sha256(content));
        text += &format!("[[model.file]]\nurl = \"{url}\"\nbytes = {bytes}\nsha256 = \"{hash}\"\n");
    }
    text
}

/// A server with one model of one file ("solo") and one of two ("pair"), and a computer.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) solo: Vec<u8>,
    pub(crate) pair: [Vec<u8>; 2],
    pub(crate) manifest: Manifest,
    pub(crate) network: Network,
}

pub(crate) const TAG: &str = "\"v1\"";

impl Rig {
    pub(crate) fn new() -> Self {
        let server = Server::start();
        let solo = content(300_000, 1);
        let pair = [content(50_000, 2), content(70_000, 3)];
        let offered = |content: &[u8]| {
            let name = format!("net-{}.th", &sha256(content)[..8]);
            server.offer(&name, content, TAG);
            format!("{}/{name}", server.url)
        };
        let of_pair = pair.each_ref().map(|content| (offered(content), &content[..]));
        let manifest = listed("solo", &[(offered(&solo), &solo)]) + &listed("pair", &of_pair);
        Self {
            server,
            dir: tempfile::tempdir().unwrap(),
            solo,
            pair,
            manifest: Manifest::parse(&manifest).unwrap(),
            network: Network {
                // Long enough that nothing but a test of time-outs ever sees them.
                connect: Duration::from_secs(300),
                stall: Duration::from_secs(300),
                retries: 0,
                pause: Duration::ZERO,
                variables: Arc::new(|_| None),
            },
        }
    }

    pub(crate) fn catalogue(&self) -> Catalogue {
        let reserved = vec!["spectral".to_owned()];
        Catalogue::new(self.dir.path(), self.manifest.clone(), self.network.clone(), reserved)
    }

    pub(crate) fn fetch(&self, name: &str) -> Result<(), Arc<Error>> {
        self.catalogue().fetch(name, Arc::new(|| {})).unwrap().wait()
    }

    pub(crate) fn state(&self, name: &str) -> ModelState {
        self.catalogue().entry(name).unwrap().state
    }

    pub(crate) fn part_bytes(&self) -> u64 {
        match self.state("solo") {
            ModelState::NotDownloaded { here_bytes, .. } => here_bytes,
            state => panic!("{state:?}"),
        }
    }

    /// Where the one file of "solo" belongs.
    pub(crate) fn solo_path(&self) -> PathBuf {
        let name = &self.manifest.models()[0].files[0].name;
        self.catalogue().dir().join(name)
    }

    /// "solo" is there, whole and checked, and nothing is left of its download.
    pub(crate) fn assert_solo(&self) {
        let files = self.catalogue().files("solo", &NoProgress).unwrap();
        assert_eq!(files, [self.solo_path()]);
        assert!(std::fs::read(&files[0]).unwrap() == self.solo);
        assert_eq!(self.left_in_incoming(), Vec::<String>::new());
    }

    pub(crate) fn left_in_incoming(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.catalogue().dir().join("incoming")).unwrap();
        files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".lock"))
            .collect()
    }

    /// Starts fetching "solo"; the receiver hears of every change.
    pub(crate) fn start(&self) -> (Fetch, Receiver<()>) {
        let (changed, changes) = bounded(1);
        let wake = Arc::new(move || {
            // Full means that it was told already.
            let _ = changed.try_send(());
        });
        (self.catalogue().fetch("solo", wake).unwrap(), changes)
    }

    /// Writes `content` as a file of the user's.
    pub(crate) fn users_file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// Waits until `bytes` bytes are here.
pub(crate) fn until_bytes(fetch: &Fetch, changes: &Receiver<()>, bytes: u64) {
    while fetch.status().bytes_done < bytes {
        assert!(!fetch.status().has_ended(), "{fetch:?}");
        changes.recv().unwrap();
    }
}

/// Three lines that a user can do something with.
pub(crate) fn assert_helpful(error: &Error, hint: &str) {
    assert!(error.what.contains(hint), "{}", error.what);
    assert!(error.kept.is_some(), "{error:?}");
    let advice = error.advice.as_deref().unwrap();
    assert!(advice.contains("http://127.0.0.1") && advice.contains("models import"), "{advice}");
}
