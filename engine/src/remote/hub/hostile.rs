//! Computers that say nonsense to a main PC, over real sockets against the real hub: strangers, and
//! paired ones. Each is sent away or its chunk fails, with no more read of it than it may send, and
//! an honest worker beside it works on.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use tempfile::TempDir;
use tokio::{runtime::Runtime, time::timeout};

use super::{Chosen, Hub, HubConfig};
use crate::{
    audio::Planar,
    catalogue::{Catalogue, Manifest, Network},
    crew::{ChunkTask, Ending, Member, Signal, Work},
    error::Result,
    local::{DEFAULT_MEMORY_BYTES, Pool},
    model::{
        ChunkInput, ChunkSpec, JoinWindow, ModelInfo, NoProgress, Progress, Quality, Separator,
        SongStats, Stem,
    },
    plan::Plan,
    protocol::{
        ALPN_PAIR, ALPN_WORK, Answer, ChunkOrder, ChunkReply, Encoding, FromMain, FromWorker,
        Hello, MAX_FRAME_BYTES, ModelStanding, Running, VERSION, code, encode,
    },
    remote::{Identity, tls::client_config, wire},
    scheduler::Cause,
    store::Track,
};

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Halves what it is given, twice.
struct Halves(ModelInfo);

impl Halves {
    fn model() -> Arc<dyn Separator> {
        Arc::new(Self(ModelInfo {
            name: "halves".into(),
            title: "Halves".into(),
            description: "d".into(),
            stems: vec![Stem::Bass, Stem::Vocals],
            chunks: ChunkSpec {
                segment_frames: 2_000,
                stride_frames: 1_500,
                context_frames: 0,
                window: JoinWindow::Triangle,
            },
            hash: [5; 32],
            memory_bytes_per_chunk: 1,
            cost_core_secs_per_sec: 0.01,
            sums_to_mixture: true,
        }))
    }
}

impl Separator for Halves {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn separate(&self, input: &ChunkInput, _: &dyn Progress) -> Result<Vec<Planar>> {
        let half = |samples: &Vec<f32>| {
            let segment = samples.iter().skip(input.context_before_frames);
            segment.take(input.segment_frames).map(|x| x / 2.0).collect()
        };
        let stem = Planar::from_channels(input.audio.channels().iter().map(half).collect());
        Ok(vec![stem.clone(), stem])
    }
}

/// A main PC, and a network in which anybody can say to it what he likes.
struct Rig {
    dir: TempDir,
    hub: Hub,
    separator: Arc<dyn Separator>,
    network: Runtime,
    endpoint: Endpoint,
}

impl Rig {
    /// One that is paired with these.
    fn with(paired: &[&Identity]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let separator = Halves::model();
        let config = HubConfig {
            data_dir: dir.path().into(),
            name: "Studio".into(),
            port: 0,
            address: Ipv4Addr::LOCALHOST.into(),
            announce: false,
            ask_again_after: super::ASK_AGAIN_AFTER,
        };
        let pool = Arc::new(Pool::new(Some(1), DEFAULT_MEMORY_BYTES).unwrap());
        let manifest = Manifest::parse("model = []").unwrap();
        let catalogue = Catalogue::new(dir.path(), manifest, Network::default(), Vec::new());
        let models = vec![Arc::clone(&separator)];
        let hub = Hub::with_models(config, pool, models, catalogue).unwrap();
        for identity in paired {
            hub.shared.peers.add(identity.device(), "Spare", Vec::new()).unwrap();
            hub.confirm(identity.device()).unwrap();
        }
        hub.shared.look();
        let network = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let endpoint = {
            let _context = network.enter();
            Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
        };
        Self { dir, hub, separator, network, endpoint }
    }

    fn address(&self) -> SocketAddr {
        self.hub.shared.addresses()[0]
    }

    /// A connection whose handshake is over.
    async fn dial(&self, identity: &Identity, alpn: &[u8]) -> Connection {
        let tls = client_config(identity, Arc::new(|_| true), alpn).unwrap();
        let config = ClientConfig::new(Arc::new(tls));
        self.endpoint.connect_with(config, self.address(), "stemhive").unwrap().await.unwrap()
    }

    /// A worker that was welcomed, and its control stream.
    async fn welcomed(&self, identity: &Identity) -> (Connection, SendStream, RecvStream) {
        let connection = self.dial(identity, ALPN_WORK).await;
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        wire::send(&mut send, &hello()).await.unwrap();
        let answer: Answer = wire::receive(&mut recv).await.unwrap();
        assert!(matches!(answer, Answer::Welcome { .. }), "{answer:?}");
        (connection, send, recv)
    }

    /// Starts a worker that answers its first chunk, the test piece, as it should, and others with
    /// the bytes that `answers` gives, one after the other.
    fn work(&self, identity: &Identity, answers: mpsc::Receiver<Reply>) {
        let (connection, send, recv) = self.network.block_on(self.welcomed(identity));
        let separator = Arc::clone(&self.separator);
        self.network.spawn(async move {
            let control = control(send, recv);
            tokio::pin!(control);
            let chunks = chunks(connection, separator, answers);
            tokio::pin!(chunks);
            tokio::join!(control, chunks);
        });
    }

    fn member(&self, identity: &Identity) -> Arc<dyn Member> {
        let model = Arc::new(self.separator.info().clone());
        let work = Work { model, quality: Quality::default(), keep: vec![0, 1].into() };
        let crew = self.hub.crew(Chosen::Only(vec![identity.device()]));
        let end = Instant::now() + DEADLINE;
        loop {
            let roll = crew.roll(&work);
            if let Some(member) = roll[0].member.clone() {
                return member;
            }
            assert!(Instant::now() < end, "it stands {:?}", roll[0].standing);
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// How a chunk ends at a member.
    fn compute(&self, member: &dyn Member) -> Ending {
        let mixture = Track::create(self.dir.path(), "mix", 2).unwrap();
        let samples: Vec<f32> = (0..5_000).map(|n| (n as f32 * 0.1).sin()).collect();
        mixture.write(0, &[&samples, &samples]).unwrap();
        let task = ChunkTask {
            separator: Arc::clone(&self.separator),
            mixture: Arc::new(mixture),
            song: SongStats { frames: 5_000, ..SongStats::default() },
            plan: Arc::new(Plan::new(5_000, self.separator.info().chunks).unwrap()),
            chunk: 1,
            keep: vec![0, 1].into(),
            target: self.dir.path().join("result"),
        };
        let (tell, told) = mpsc::sync_channel(2);
        let ended = Box::new(move |ending| tell.send(ending).unwrap());
        member.compute(task, Arc::new(Signal::default()), Box::new(|| {}), ended);
        let ending = told.recv_timeout(DEADLINE).expect("it ends");
        assert!(told.recv_timeout(DEADLINE).is_err(), "it ends once");
        ending
    }
}

fn hello() -> Hello {
    Hello {
        version: VERSION,
        program: "0.1.0".into(),
        name: "Spare".into(),
        kernels: "AVX2".into(),
        threads: 1,
        memory_bytes: 1 << 30,
        cores: 1.0,
        models: Vec::new(),
        running: Running::Ready,
    }
}

/// Is ready for every model that is ordered.
async fn control(mut send: SendStream, mut recv: RecvStream) {
    while let Ok(FromMain::Prepare(order)) = wire::receive(&mut recv).await {
        let standing = ModelStanding::Ready { slots: 1 };
        let word = FromWorker::Model { hash: order.hash, standing };
        wire::send(&mut send, &word).await.unwrap();
    }
}

/// What a worker makes of a right result.
type Reply = Box<dyn FnOnce(Vec<u8>) -> Vec<u8> + Send>;

async fn chunks(
    connection: Connection,
    separator: Arc<dyn Separator>,
    answers: mpsc::Receiver<Reply>,
) {
    let mut is_first = true;
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        let order: ChunkOrder = wire::receive(&mut recv).await.unwrap();
        let input = wire::receive_rest(&mut recv, order.payload_bytes, |_| {}).await.unwrap();
        let result = result(separator.as_ref(), &order, &input);
        let says = match answers.try_recv() {
            Ok(reply) if !is_first => reply(result),
            _ => honest(result),
        };
        is_first = false;
        // It may be called back by then.
        let _ = send.write_all(&says).await;
        let _ = send.finish();
    }
}

fn result(separator: &dyn Separator, order: &ChunkOrder, input: &[u8]) -> Vec<u8> {
    let samples: Vec<f32> =
        input.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let (left, right) = samples.split_at(order.input_frames as usize);
    let input = ChunkInput {
        audio: Planar::from_channels(vec![left.to_vec(), right.to_vec()]),
        context_before_frames: order.context_before_frames as usize,
        segment_frames: order.segment_frames as usize,
        start_frame: order.start_frame,
        song: order.song,
    };
    let stems = separator.separate(&input, &NoProgress).unwrap();
    let samples = stems.iter().flat_map(Planar::channels).flatten();
    samples.flat_map(|sample| sample.to_le_bytes()).collect()
}

fn frame<T: serde::Serialize>(message: &T) -> Vec<u8> {
    encode(message).unwrap()
}

/// A frame with this body, whatever it is.
fn raw_frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes(), body].concat()
}

fn done(result: &[u8], payload_bytes: u64) -> ChunkReply {
    let hash = blake3::hash(result).into();
    ChunkReply::Done { took_secs: 0.1, hash, encoding: Encoding::Raw, payload_bytes }
}

fn honest(result: Vec<u8>) -> Vec<u8> {
    let done = frame(&done(&result, result.len() as u64));
    [frame(&ChunkReply::Started), done, result].concat()
}

/// What nobody should say, and some of it not on any stream.
fn nonsense() -> Vec<Vec<u8>> {
    vec![
        vec![0xff; 4_000],
        // Longer than any message.
        [&(MAX_FRAME_BYTES as u32 + 1).to_le_bytes()[..], &[1; 100]].concat(),
        raw_frame(&[]),
        raw_frame(&[0xff; 100]),
        raw_frame(&[77]),
        [&raw_frame(&[2; 3])[..], &raw_frame(&[0x80; 60])[..]].concat(),
        b"GET / HTTP/1.1\r\nHost: studio\r\n\r\n".to_vec(),
    ]
}

async fn end_of(connection: &Connection) -> u32 {
    match timeout(DEADLINE, connection.closed()).await.expect("it ends") {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner() as u32,
        other => panic!("{other:?}"),
    }
}

/// Writes zeros after `start` until the connection is closed; how many bytes went out.
async fn flood(connection: &Connection, start: &[u8]) -> usize {
    let Ok((mut send, _recv)) = connection.open_bi().await else { return 0 };
    let mut sent = 0;
    let mut block = start.to_vec();
    block.resize(start.len().max(1_000), 0);
    while let Ok(Ok(bytes)) = timeout(DEADLINE, send.write(&block)).await {
        sent += bytes;
        block = vec![0; 1_000];
    }
    sent
}

#[test]
fn a_stranger_that_ends_its_handshake_gets_nothing() {
    let rig = Rig::with(&[]);
    rig.hub.start_pairing().unwrap();
    let stranger = Identity::ephemeral().unwrap();
    rig.network.block_on(async {
        // Not to work, whatever it says.
        for said in nonsense().into_iter().take(2).chain([frame(&hello())]) {
            let connection = rig.dial(&stranger, ALPN_WORK).await;
            if let Ok((mut send, _recv)) = connection.open_bi().await {
                let _ = send.write_all(&said).await;
            }
            assert_eq!(end_of(&connection).await, code::NOT_PAIRED);
        }
        let connection = rig.dial(&stranger, ALPN_WORK).await;
        assert!(flood(&connection, &[0]).await <= 16 << 10);
        // And to be paired only if it makes sense.
        for said in nonsense() {
            let connection = rig.dial(&stranger, ALPN_PAIR).await;
            let (mut send, _recv) = connection.open_bi().await.unwrap();
            let _ = send.write_all(&said).await;
            let _ = send.finish();
            let end = end_of(&connection).await;
            assert!(matches!(end, code::NONSENSE | code::LIMIT), "{end}");
        }
        let connection = rig.dial(&stranger, ALPN_PAIR).await;
        let start = (MAX_FRAME_BYTES as u32).to_le_bytes();
        let sent = flood(&connection, &start).await;
        assert!(sent <= 16 << 10, "{sent}");
    });
    assert!(rig.hub.shared.peers.list().is_empty());
    // None of it was a try: the user still has a code to show.
    let stage = rig.hub.shared.desk.status().unwrap().stage;
    assert_eq!(stage, crate::remote::PairingStage::Waiting);
}

#[test]
fn who_says_nothing_is_sent_away_after_five_seconds() {
    let worker = Identity::ephemeral().unwrap();
    let rig = Rig::with(&[&worker]);
    rig.hub.start_pairing().unwrap();
    rig.network.block_on(async {
        let began = Instant::now();
        let silent = rig.dial(&worker, ALPN_WORK).await;
        // A stream in which nothing comes, or not all of it, is no better.
        let half = rig.dial(&worker, ALPN_WORK).await;
        let (mut send, _recv) = half.open_bi().await.unwrap();
        let said = frame(&hello());
        send.write_all(&said[..said.len() - 1]).await.unwrap();
        let stranger = rig.dial(&Identity::ephemeral().unwrap(), ALPN_PAIR).await;
        let (ends, others) =
            tokio::join!(end_of(&silent), async { (end_of(&half).await, end_of(&stranger).await) });
        assert_eq!((ends, others), (code::LIMIT, (code::LIMIT, code::LIMIT)));
        // Not before, or a slow network would be shut out.
        assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
        // It may come again.
        rig.welcomed(&worker).await;
    });
}

#[test]
fn a_paired_computer_that_says_no_hello_is_sent_away() {
    let (bad, good) = (Identity::ephemeral().unwrap(), Identity::ephemeral().unwrap());
    let rig = Rig::with(&[&bad, &good]);
    let (_keep, answers) = mpsc::sync_channel(1);
    rig.work(&good, answers);
    let member = rig.member(&good);
    rig.network.block_on(async {
        for said in nonsense() {
            let connection = rig.dial(&bad, ALPN_WORK).await;
            let (mut send, _recv) = connection.open_bi().await.unwrap();
            let _ = send.write_all(&said).await;
            assert_eq!(end_of(&connection).await, code::NONSENSE, "{said:?}");
        }
        // A Hello of the right form that makes no sense.
        let mut strange = vec![hello(); 3];
        strange[0].name = "x".repeat(60_000);
        strange[1].cores = f32::NAN;
        strange[2].models = vec![[0; 32]; 65];
        for hello in strange {
            let connection = rig.dial(&bad, ALPN_WORK).await;
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            wire::send(&mut send, &hello).await.unwrap();
            let answer: Answer = wire::receive(&mut recv).await.unwrap();
            assert!(matches!(answer, Answer::Refused(_)), "{answer:?}");
        }
        // No more is read than the longest message, and what is on its way.
        let connection = rig.dial(&bad, ALPN_WORK).await;
        let sent = flood(&connection, &(MAX_FRAME_BYTES as u32).to_le_bytes()).await;
        assert!(sent <= MAX_FRAME_BYTES + (32 << 10), "{sent}");
    });
    assert!(matches!(rig.compute(&*member), Ending::Stored { .. }));
}

#[test]
fn a_worker_opens_one_stream_and_no_more() {
    let worker = Identity::ephemeral().unwrap();
    let rig = Rig::with(&[&worker]);
    rig.network.block_on(async {
        let (connection, _send, _recv) = rig.welcomed(&worker).await;
        let patience = Duration::from_millis(300);
        assert!(timeout(patience, connection.open_bi()).await.is_err());
        assert!(timeout(patience, connection.open_uni()).await.is_err());
        assert_eq!(connection.close_reason(), None);
    });
}

#[test]
fn nonsense_on_the_control_stream_ends_that_connection_only() {
    let (bad, good) = (Identity::ephemeral().unwrap(), Identity::ephemeral().unwrap());
    let rig = Rig::with(&[&bad, &good]);
    let (_keep, answers) = mpsc::sync_channel(1);
    rig.work(&good, answers);
    let member = rig.member(&good);
    let unasked = FromWorker::SendBlob { sha256: crate::catalogue::Sha256([1; 32]), from: 0 };
    let says = nonsense().into_iter().chain([frame(&unasked)]);
    rig.network.block_on(async {
        for said in says {
            let (connection, mut send, _recv) = rig.welcomed(&bad).await;
            let _ = send.write_all(&said).await;
            assert_eq!(end_of(&connection).await, code::NONSENSE, "{said:?}");
        }
        // An answer that nobody waits for says nothing.
        let (connection, mut send, _recv) = rig.welcomed(&bad).await;
        for standing in [
            ModelStanding::Ready { slots: u16::MAX },
            ModelStanding::Getting { done_bytes: u64::MAX, bytes: 0 },
            ModelStanding::Refused { why: "\u{202e}".repeat(10_000) },
        ] {
            wire::send(&mut send, &FromWorker::Model { hash: [9; 32], standing }).await.unwrap();
        }
        wire::send(&mut send, &FromWorker::Running(Running::Leaving)).await.unwrap();
        let end = Instant::now() + DEADLINE;
        let is_leaving = || {
            let session = rig.hub.shared.session(bad.device());
            session.is_some_and(|session| session.running() == Running::Leaving)
        };
        while !is_leaving() {
            assert!(Instant::now() < end && connection.close_reason().is_none());
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    });
    assert!(matches!(rig.compute(&*member), Ending::Stored { .. }));
}

/// Answers to a chunk that are wrong, by name.
fn wrong_answers() -> Vec<(&'static str, Reply)> {
    fn claim(how: fn(&mut f32, &mut Encoding, &mut u64)) -> Reply {
        Box::new(move |result| {
            let (mut took_secs, mut encoding) = (0.1, Encoding::Raw);
            let mut payload_bytes = result.len() as u64;
            how(&mut took_secs, &mut encoding, &mut payload_bytes);
            let hash = blake3::hash(&result).into();
            let done = ChunkReply::Done { took_secs, hash, encoding, payload_bytes };
            [frame(&done), result].concat()
        })
    }
    fn packed(raw_bytes: usize) -> Reply {
        Box::new(move |result| {
            let payload = zstd::bulk::compress(&vec![0; raw_bytes], 1).unwrap();
            let hash = blake3::hash(&result).into();
            let payload_bytes = payload.len() as u64;
            let encoding = Encoding::Packed;
            let done = ChunkReply::Done { took_secs: 0.1, hash, encoding, payload_bytes };
            [frame(&done), payload].concat()
        })
    }
    let mut answers: Vec<(&str, Reply)> = vec![
        ("nothing", Box::new(|_| Vec::new())),
        ("a start and no end", Box::new(|_| frame(&ChunkReply::Started))),
        ("longer than any", claim(|_, _, bytes| *bytes = u64::MAX)),
        ("no bytes", claim(|_, _, bytes| *bytes = 0)),
        ("a byte more", claim(|_, _, bytes| *bytes += 1)),
        ("packed and longer", claim(|_, encoding, _| *encoding = Encoding::Packed)),
        ("packed and none", packed(0)),
        ("packed, and far more than it should be", packed(64 << 20)),
        ("no time", claim(|secs, _, _| *secs = f32::NAN)),
        ("less than no time", claim(|secs, _, _| *secs = -1.0)),
        ("longer than time", claim(|secs, _, _| *secs = f32::INFINITY)),
        ("bytes behind it", Box::new(|result| [honest(result), vec![0; 9]].concat())),
        ("bytes missing", Box::new(|result| honest(result.clone())[..result.len()].to_vec())),
        ("another hash", Box::new(|result| [frame(&done(&[1], 32_000)), result].concat())),
        (
            "not numbers",
            Box::new(|mut result| {
                result[..4].copy_from_slice(&f32::NAN.to_le_bytes());
                honest(result)
            }),
        ),
        (
            "a word behind the word",
            Box::new(|_| raw_frame(&[&frame(&ChunkReply::Started)[4..], &[0]].concat())),
        ),
    ];
    for said in nonsense() {
        answers.push(("nonsense", Box::new(move |_| said)));
    }
    answers
}

#[test]
fn wrong_answers_fail_their_chunk_and_nothing_else() {
    let (bad, good) = (Identity::ephemeral().unwrap(), Identity::ephemeral().unwrap());
    let rig = Rig::with(&[&bad, &good]);
    let (wrong, answers) = mpsc::sync_channel(1);
    rig.work(&bad, answers);
    let (_keep, answers) = mpsc::sync_channel(1);
    rig.work(&good, answers);
    let members = [&bad, &good].map(|identity| rig.member(identity));
    for (name, reply) in wrong_answers() {
        wrong.send(reply).unwrap();
        let ending = rig.compute(&*members[0]);
        assert!(matches!(ending, Ending::Failed(Cause::BadResult, _)), "{name}: {ending:?}");
        let ending = rig.compute(&*members[1]);
        assert!(matches!(ending, Ending::Stored { .. }), "beside {name}: {ending:?}");
    }
    // Progress that is no share of anything is no progress, and the result is as good.
    wrong
        .send(Box::new(|result| {
            let shares = [f32::NAN, f32::NEG_INFINITY, -1.0, 0.5, f32::INFINITY, 7.0];
            let told = shares.iter().flat_map(|share| frame(&ChunkReply::Progress(*share)));
            told.chain(honest(result)).collect()
        }))
        .unwrap();
    assert!(matches!(rig.compute(&*members[0]), Ending::Stored { .. }));
}
