//! A main PC and its workers on 127.0.0.1, paired by hand, with workshops that compute by a real
//! separator.
#![allow(dead_code, unreachable_pub, reason = "every test program uses some of it")]

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use engine::{
    Error, ErrorKind, Result,
    audio::Planar,
    catalogue::{Catalogue, Manifest, Network, Sha256},
    crew::{ChunkTask, Crew, Ending, Member, Outcome, Present, Signal, Standing, Work, compute},
    model::{ChunkInput, Quality, Separator},
    plan::Plan,
    protocol::{BlobRef, ChunkOrder, Hello, ModelOrder, Running, VERSION},
    remote::{
        ASK_AGAIN_AFTER, BlobSink, Chosen, ChunkNews, Client, ClientConfig, Computer, Hub,
        HubConfig, Identity, MainState, Peers, Prepared, Workshop,
    },
};
use tempfile::TempDir;

use super::common::{TestSong, pool, song};

/// Long enough for a computer that is busy with everything else.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until `is_so`.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    wait_for(what, || is_so().then_some(()));
}

/// Waits until there is an answer.
pub fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// A main PC.
pub struct Main {
    pub dir: TempDir,
    pub hub: Option<Hub>,
    pub models: Vec<Arc<dyn Separator>>,
    /// The catalogue's models, as TOML.
    pub manifest: String,
    pub port: u16,
    pub ask_again_after: Duration,
}

impl Main {
    /// One that is paired with these workers, which are confirmed.
    pub fn with(models: Vec<Arc<dyn Separator>>, workers: &[&Worker]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manifest = "model = []".to_owned();
        let mut main =
            Self { dir, hub: None, models, manifest, port: 0, ask_again_after: ASK_AGAIN_AFTER };
        for worker in workers {
            main.pair(worker);
        }
        main.open();
        if !workers.is_empty() {
            main.port = main.address().port();
        }
        for worker in workers {
            worker.pair(&main);
        }
        main
    }

    /// Lists a worker on this side.
    pub fn pair(&self, worker: &Worker) {
        let peers = self.peers();
        let peer = peers.add(worker.identity.device(), &worker.name, Vec::new()).unwrap();
        peers.change(peer.device, |peer| peer.confirmed = true).unwrap();
    }

    /// Starts the hub, at the same port as before.
    pub fn open(&mut self) {
        let config = HubConfig {
            data_dir: self.dir.path().into(),
            name: "Studio".into(),
            port: self.port,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            announce: false,
            ask_again_after: self.ask_again_after,
        };
        let manifest = Manifest::parse(&self.manifest).unwrap();
        let catalogue = Catalogue::new(self.dir.path(), manifest, Network::default(), Vec::new());
        let hub = Hub::with_models(config, pool(1), self.models.clone(), catalogue).unwrap();
        self.hub = Some(hub);
    }

    pub fn close(&mut self) {
        self.hub = None;
    }

    pub fn hub(&self) -> &Hub {
        self.hub.as_ref().unwrap()
    }

    pub fn peers(&self) -> Peers {
        Peers::open(self.dir.path()).unwrap()
    }

    pub fn identity(&self) -> Identity {
        Identity::load_or_create(self.dir.path()).unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.hub().status().addresses[0]
    }

    pub fn crew(&self) -> Arc<dyn Crew> {
        self.hub().crew(Chosen::All)
    }

    pub fn computer(&self, worker: &Worker) -> Option<Computer> {
        let device = worker.identity.device();
        self.hub().status().computers.iter().find(|c| c.device == device).cloned()
    }

    pub fn is_connected(&self, worker: &Worker) -> bool {
        self.computer(worker).is_some_and(|computer| computer.link.is_some())
    }

    /// How a worker stands for some work now.
    pub fn present(&self, worker: &Worker, work: &Work) -> Option<Present> {
        let device = worker.identity.device();
        self.crew().roll(work).into_iter().find(|present| present.device == device)
    }

    /// Waits until a worker is ready for some work.
    pub fn member(&self, worker: &Worker, work: &Work) -> Arc<dyn Member> {
        wait_for("a worker to be ready", || self.present(worker, work)?.member)
    }

    /// Waits until a worker stands so.
    pub fn wait_standing(&self, worker: &Worker, work: &Work, is_it: impl Fn(&Standing) -> bool) {
        let standing = || self.present(worker, work).map(|present| present.standing);
        let end = Instant::now() + DEADLINE;
        while !standing().is_some_and(|standing| is_it(&standing)) {
            assert!(Instant::now() < end, "it stands {:?}", standing());
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}

/// All of a model's stems.
pub fn work(separator: &dyn Separator) -> Work {
    let model = separator.info();
    Work {
        model: Arc::new(model.clone()),
        quality: Quality::default(),
        keep: (0..model.stems.len()).collect(),
    }
}

/// A spare PC.
pub struct Worker {
    pub dir: TempDir,
    pub name: String,
    pub identity: Identity,
    pub shop: Arc<Shop>,
    pub client: Option<Client>,
}

impl Worker {
    pub fn new(name: &str, shop: Shop) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_create(dir.path()).unwrap();
        Self { dir, name: name.into(), identity, shop: Arc::new(shop), client: None }
    }

    pub fn peers(&self) -> Peers {
        Peers::open(self.dir.path()).unwrap()
    }

    /// Lists a main PC on this side.
    pub fn pair(&self, main: &Main) {
        self.pair_at(main, main.address());
    }

    pub fn pair_at(&self, main: &Main, address: SocketAddr) {
        self.peers().add(main.identity().device(), "Studio", vec![address]).unwrap();
    }

    pub fn start(&mut self) {
        let config =
            ClientConfig { identity: self.identity.clone(), peers: self.peers(), discover: false };
        let workshop = Arc::clone(&self.shop) as Arc<dyn Workshop>;
        self.client = Some(Client::start(config, workshop).unwrap());
    }

    pub fn stop(&mut self) {
        self.client = None;
    }

    pub fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    /// How the only connection is.
    pub fn state(&self) -> Option<MainState> {
        Some(self.client().status().mains.first()?.state.clone())
    }
}

/// What a workshop makes of a right result before it is sent.
pub type Tamper = Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>;

/// Computes with `models` on threads of its own, and keeps received files in a folder.
pub struct Shop {
    pub models: Vec<Arc<dyn Separator>>,
    pub hello: Mutex<Hello>,
    pub tamper: Tamper,
    pub slots: u16,
    /// Where files go; without it none are wanted.
    pub files_dir: Option<PathBuf>,
    /// There is no room for any model.
    pub is_full: AtomicBool,
    pub orders: Mutex<Vec<ModelOrder>>,
    /// How much was there already when a file was asked for.
    pub resumed_at: Mutex<Vec<u64>>,
    pub computing: Arc<AtomicUsize>,
    pub chunk_orders: Mutex<Vec<ChunkOrder>>,
    /// A file that is open; the next one waits for it, as it would for a lock.
    receiving: Arc<AtomicUsize>,
}

impl Shop {
    pub fn new(models: Vec<Arc<dyn Separator>>) -> Self {
        let hello = Hello {
            version: VERSION,
            program: "0.1.0".into(),
            name: "Spare".into(),
            kernels: "AVX2".into(),
            threads: 4,
            memory_bytes: 8 << 30,
            cores: 3.5,
            models: Vec::new(),
            running: Running::Ready,
        };
        Self {
            models,
            hello: Mutex::new(hello),
            tamper: Arc::new(|bytes| bytes),
            slots: 1,
            files_dir: None,
            is_full: AtomicBool::default(),
            orders: Mutex::default(),
            resumed_at: Mutex::default(),
            computing: Arc::default(),
            chunk_orders: Mutex::default(),
            receiving: Arc::default(),
        }
    }

    fn path(dir: &Path, blob: &BlobRef) -> PathBuf {
        dir.join(blob.sha256.to_string())
    }
}

/// Counts something for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Workshop for Shop {
    fn hello(&self) -> Hello {
        self.hello.lock().unwrap().clone()
    }

    fn prepare(&self, order: &ModelOrder) -> Prepared {
        self.orders.lock().unwrap().push(order.clone());
        if self.is_full.load(Ordering::SeqCst) {
            return Prepared::Refused { why: "Its disk is full".into() };
        }
        if let Some(dir) = &self.files_dir {
            let lacks = |blob: &&BlobRef| !Self::path(dir, blob).exists();
            let lacking: Vec<_> = order.files.iter().filter(lacks).copied().collect();
            if !lacking.is_empty() {
                return Prepared::Lacks(lacking);
            }
        }
        match self.models.iter().any(|model| model.info().hash == order.hash) {
            true => Prepared::Ready { slots: self.slots },
            false => Prepared::Refused { why: "It has no such model".into() },
        }
    }

    fn receive(&self, blob: &BlobRef) -> Result<Box<dyn BlobSink>> {
        let dir = self.files_dir.as_ref().unwrap();
        wait_until("the file to be closed", || self.receiving.load(Ordering::SeqCst) == 0);
        let _open = Counted::new(&self.receiving);
        let sink = FileSink { path: Self::path(dir, blob), blob: *blob, _open };
        self.resumed_at.lock().unwrap().push(sink.have_bytes());
        Ok(Box::new(sink))
    }

    fn compute(
        &self,
        order: ChunkOrder,
        input: Vec<u8>,
        signal: Arc<Signal>,
        tell: Box<dyn Fn(ChunkNews) + Send + Sync>,
    ) {
        let model = self.models.iter().find(|model| model.info().hash == order.model);
        let model = Arc::clone(model.expect("a model that was prepared"));
        let keep: Vec<usize> = order.keep.iter().map(|&stem| stem.into()).collect();
        let input = chunk_input(&order, &input);
        let computing = Counted::new(&self.computing);
        self.chunk_orders.lock().unwrap().push(order);
        let tamper = Arc::clone(&self.tamper);
        std::thread::spawn(move || {
            let _computing = computing;
            tell(ChunkNews::Started);
            let outcome = compute(model.as_ref(), &input, &keep, &signal);
            tell(news_of(outcome, &tamper));
        });
    }
}

fn news_of(outcome: Outcome, tamper: &Tamper) -> ChunkNews {
    match outcome {
        Outcome::Stems { stems, took } => ChunkNews::Done { bytes: tamper(bytes_of(&stems)), took },
        Outcome::Failed(cause, error) => ChunkNews::Failed { cause, what: error.what },
        Outcome::Halted(error) => {
            ChunkNews::Failed { cause: engine::scheduler::Cause::Error, what: error.what }
        }
        Outcome::Stopped => ChunkNews::Stopped,
    }
}

/// The bytes of a chunk file.
pub fn bytes_of(stems: &[Planar]) -> Vec<u8> {
    let samples = stems.iter().flat_map(Planar::channels).flatten();
    samples.flat_map(|sample| sample.to_le_bytes()).collect()
}

fn chunk_input(order: &ChunkOrder, bytes: &[u8]) -> ChunkInput {
    let frames = order.input_frames as usize;
    assert_eq!(bytes.len(), frames * 8);
    let samples: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let (left, right) = samples.split_at(frames);
    ChunkInput {
        audio: Planar::from_channels(vec![left.to_vec(), right.to_vec()]),
        context_before_frames: order.context_before_frames as usize,
        segment_frames: order.segment_frames as usize,
        start_frame: order.start_frame,
        song: order.song,
    }
}

struct FileSink {
    path: PathBuf,
    blob: BlobRef,
    _open: Counted,
}

impl FileSink {
    fn part(&self) -> PathBuf {
        self.path.with_extension("part")
    }
}

impl BlobSink for FileSink {
    fn have_bytes(&self) -> u64 {
        std::fs::metadata(self.part()).map_or(0, |there| there.len())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut part = options.create(true).append(true).open(self.part()).unwrap();
        part.write_all(bytes).unwrap();
        // Slow enough to be cut.
        std::thread::sleep(Duration::from_millis(2));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let bytes = std::fs::read(self.part()).unwrap();
        if Sha256::of(&bytes) != self.blob.sha256 {
            std::fs::remove_file(self.part()).unwrap();
            return Err(Error::new(ErrorKind::Damaged, "The file's hash is wrong"));
        }
        std::fs::rename(self.part(), &self.path).unwrap();
        Ok(())
    }
}

/// A song and where results of its chunks go.
pub struct Desk {
    dir: TempDir,
    song: TestSong,
    separator: Arc<dyn Separator>,
    plan: Arc<Plan>,
    next: AtomicUsize,
}

impl Desk {
    pub fn new(separator: Arc<dyn Separator>, channels: usize, frames: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let song = song(dir.path(), channels, frames);
        let plan = Arc::new(Plan::new(frames, separator.info().chunks).unwrap());
        Self { dir, song, separator, plan, next: AtomicUsize::new(0) }
    }

    pub fn chunks(&self) -> usize {
        self.plan.segments().len()
    }

    pub fn task(&self, chunk: usize, keep: &[usize]) -> ChunkTask {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        ChunkTask {
            separator: Arc::clone(&self.separator),
            mixture: Arc::clone(&self.song.song.mixture),
            song: self.song.song.stats,
            plan: Arc::clone(&self.plan),
            chunk,
            keep: keep.into(),
            target: self.dir.path().join(format!("{chunk}-{n}")),
        }
    }

    /// The bytes of a chunk computed here.
    pub fn local(&self, chunk: usize, keep: &[usize]) -> Vec<u8> {
        stored(self.task(chunk, keep).run(&Signal::default()))
    }

    pub fn begin(&self, member: &dyn Member, chunk: usize, keep: &[usize]) -> Sent {
        let sent = Sent { signal: Arc::default(), told: Arc::default() };
        let (started, ended) = (Arc::clone(&sent.told), Arc::clone(&sent.told));
        member.compute(
            self.task(chunk, keep),
            Arc::clone(&sent.signal),
            Box::new(move || started.lock().unwrap().started += 1),
            Box::new(move |ending| ended.lock().unwrap().endings.push(ending)),
        );
        sent
    }

    /// How a chunk ends at a member.
    pub fn compute(&self, member: &dyn Member, chunk: usize, keep: &[usize]) -> Ending {
        self.begin(member, chunk, keep).wait()
    }
}

/// A chunk that is somewhere else.
pub struct Sent {
    pub signal: Arc<Signal>,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    started: usize,
    endings: Vec<Ending>,
}

impl Sent {
    pub fn has_started(&self) -> bool {
        self.told.lock().unwrap().started == 1
    }

    pub fn has_ended(&self) -> bool {
        !self.told.lock().unwrap().endings.is_empty()
    }

    pub fn wait(&self) -> Ending {
        wait_for("a chunk to end", || {
            let mut told = self.told.lock().unwrap();
            assert!(told.endings.len() <= 1 && told.started <= 1);
            told.endings.pop()
        })
    }
}

/// The bytes of a chunk that ended well; they are what their hash says.
pub fn stored(ending: Ending) -> Vec<u8> {
    let Ending::Stored { target, hash, .. } = ending else { panic!("it ended as {ending:?}") };
    let bytes = std::fs::read(target).unwrap();
    assert_eq!(blake3::hash(&bytes), hash);
    bytes
}
