//! The crew: who of the paired computers can do some work, and getting those ready that could.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{task::spawn_blocking, time::sleep};

use super::{
    Chosen,
    lease::{Parcel, RemoteMember, Reply, exchange},
    session::Session,
    shared::Shared,
};
use crate::{
    assemble::ChunkHash,
    audio::WORK_RATE_HZ,
    crew::{Crew, DeviceId, Member, Present, Signal, Standing, Work},
    error::{Error, ErrorKind, Result},
    model::{Separator, Stem},
    protocol::{FromMain, ModelOrder, ModelStanding},
    remote::{Setup, canary, text::printable_sentence, wire::Broken},
    scheduler::WorkerSpec,
    song::Wake,
};

/// After a test piece was handed back.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often it is looked whether a test piece gets on.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a worker gets ready for: the model's hash and the stems.
pub(super) type WorkKey = ([u8; 32], Arc<[usize]>);

/// How a connected worker stands for some work.
pub(super) struct Candidate(Mutex<Asked>);

struct Asked {
    standing: Standing,
    member: Option<Arc<dyn Member>>,
    /// When it is to be asked: at first, and some time after it refused.
    next: Option<Instant>,
}

impl Candidate {
    /// One that is to be asked at once.
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Asked { standing: Standing::Testing, member: None, next: Some(now) }))
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> (Standing, Option<Arc<dyn Member>>) {
        let asked = self.asked();
        (asked.standing.clone(), asked.member.clone())
    }

    /// Whether it is time to ask the worker; true once, for whoever does.
    fn is_to_be_asked(&self, now: Instant) -> bool {
        self.asked().next.take_if(|next| *next <= now).is_some()
    }

    fn set(&self, shared: &Shared, standing: Standing) {
        let is_refusal = matches!(standing, Standing::Refused { .. });
        let next = is_refusal.then(|| Instant::now() + shared.config().ask_again_after);
        *self.asked() = Asked { standing, member: None, next };
        shared.changed();
    }

    fn is_ready(&self, member: Arc<dyn Member>) {
        *self.asked() = Asked { standing: Standing::Ready, member: Some(member), next: None };
    }
}

/// The paired computers that a job may use.
pub(super) struct Roll {
    pub(super) shared: Arc<Shared>,
    pub(super) chosen: Chosen,
}

impl Crew for Roll {
    fn roll(&self, work: &Work) -> Vec<Present> {
        let is_chosen = |device: DeviceId| match &self.chosen {
            Chosen::All => true,
            Chosen::None => false,
            Chosen::Only(devices) => devices.contains(&device),
        };
        let peers = self.shared.peers.list().into_iter().filter(|peer| is_chosen(peer.device));
        let present = |peer: crate::remote::Peer| {
            let session = self.shared.session(peer.device);
            let (standing, member) = match (self.shared.standing(&peer), &session) {
                (Standing::Ready, Some(session)) => ask(&self.shared, session, work),
                // It went between two looks.
                (Standing::Ready, None) => (Standing::Away, None),
                (standing, _) => (standing, None),
            };
            let about = session.as_ref().map(|s| &s.about).or(peer.about.as_ref());
            Present {
                device: peer.device,
                letter: peer.letter,
                threads: about.map_or(0, |about| about.threads),
                name: peer.name,
                standing,
                member,
            }
        };
        peers.map(present).collect()
    }

    fn watch(&self, poke: Wake) -> Box<dyn Send + Sync> {
        self.shared.watchers.add(poke)
    }

    fn accuse(&self, device: DeviceId, work: &Work) {
        let why = format!("What it computed with “{}” was wrong", work.model.title);
        if let Err(error) = self.shared.peers.change(device, |peer| peer.accuse(why)) {
            tracing::warn!(%error, "a computer that was wrong is used again after the next start");
        }
        self.shared.changed();
    }
}

/// How a worker stands for `work`; the first to ask has it get ready, and whoever asks some time after
/// it refused has it try again.
fn ask(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    work: &Work,
) -> (Standing, Option<Arc<dyn Member>>) {
    let now = Instant::now();
    let candidate = session.candidate((work.model.hash, Arc::clone(&work.keep)), now);
    let state = candidate.state();
    if candidate.is_to_be_asked(now) {
        let (shared, session, work) = (Arc::clone(shared), Arc::clone(session), work.clone());
        let runtime = shared.runtime.clone();
        runtime.spawn(async move {
            let unready = tokio::select! {
                ready = get_ready(&shared, &session, &work, &candidate) => ready.err(),
                _ = session.connection.closed() => return,
            };
            match unready {
                Some(Unready::Stands(standing)) => candidate.set(&shared, standing),
                Some(Unready::Broken(broken)) => {
                    tracing::warn!(?broken, "a computer did not get ready");
                    let why = "It did not get ready: what it said made no sense".to_owned();
                    candidate.set(&shared, Standing::Refused { why });
                }
                None => {}
            }
        });
    }
    state
}

/// Why a worker did not get ready.
enum Unready {
    Stands(Standing),
    Broken(Broken),
}

impl Unready {
    fn refused(error: &Error) -> Self {
        Self::Stands(Standing::Refused { why: error.what.clone() })
    }
}

impl From<Broken> for Unready {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// Sends the model where it is missing, has the test piece computed on both sides, and compares.
async fn get_ready(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    work: &Work,
    candidate: &Candidate,
) -> Result<(), Unready> {
    let separator = find_model(shared, work).map_err(|e| Unready::refused(&e))?;
    let expected = async {
        let expected = shared.canaries.expected(&shared.pool, &separator, work).await;
        expected.map_err(|e| Unready::refused(&e))
    };
    let theirs = async {
        let slots = prepare(shared, session, work, candidate).await?;
        candidate.set(shared, Standing::Testing);
        let (hash, took) = test(session, work).await?;
        Ok((slots, hash, took))
    };
    let (expected, (slots, hash, took)) = tokio::try_join!(expected, theirs)?;
    let segment_frames = work.model.chunks.segment_frames;
    let segment_secs = segment_frames as f64 / f64::from(WORK_RATE_HZ);
    shared.tested(session.device, (segment_secs / took.as_secs_f64().max(1e-6)) as f32);
    if hash != expected {
        return Err(Unready::Stands(Standing::Differs));
    }
    let slots = usize::from(slots.max(1));
    let shares_threads = separator.uses_all_threads();
    // The test piece had all threads to itself.
    let crowd = if shares_threads { slots } else { 1 };
    let expected_secs_per_frame =
        took.as_secs_f64() * crowd as f64 / (segment_frames as f64).max(1.0);
    let spec = WorkerSpec { slots, local: false, shares_threads, expected_secs_per_frame };
    let member = RemoteMember {
        session: Arc::downgrade(session),
        spec,
        runtime: shared.runtime.clone(),
        peers: shared.peers.clone(),
        device: session.device,
        setup: Setup {
            program: session.about.program.clone(),
            kernels: session.about.kernels.clone(),
            model: work.model.hash,
        },
    };
    candidate.is_ready(Arc::new(member));
    shared.changed();
    Ok(())
}

/// The model of `work`, exactly that one.
fn find_model(shared: &Shared, work: &Work) -> Result<Arc<dyn Separator>> {
    let separator = shared.roster.find_with(&work.model.name, work.quality)?;
    if separator.info().hash == work.model.hash {
        return Ok(separator);
    }
    let what = format!("The model “{}” changed meanwhile", work.model.title);
    Err(Error::new(ErrorKind::Invalid, what))
}

/// Has the worker get the model; how many chunks it computes at a time.
async fn prepare(
    shared: &Arc<Shared>,
    session: &Session,
    work: &Work,
    candidate: &Candidate,
) -> Result<u16, Unready> {
    let stems = &work.model.stems;
    let stems: Vec<Stem> = work.keep.iter().filter_map(|&stem| stems.get(stem).copied()).collect();
    let (name, wanted, roster) =
        (work.model.name.clone(), stems.clone(), Arc::clone(&shared.roster));
    let files = spawn_blocking(move || roster.blobs(&name, &wanted)).await;
    let files = files.map_err(|_| Broken::Lost)?.map_err(|e| Unready::refused(&e))?;
    let _turn = session.preparing.lock().await;
    let mut answers = session.expect(work.model.hash, &files);
    let order = ModelOrder {
        hash: work.model.hash,
        name: work.model.name.clone(),
        shifts: work.quality.shifts,
        overlap: work.quality.overlap,
        stems,
        files: files.iter().map(|(blob, _)| *blob).collect(),
    };
    session.order(FromMain::Prepare(order)).await?;
    loop {
        answers.changed().await.map_err(|_| Broken::Lost)?;
        let answer = answers.borrow_and_update().clone();
        match answer {
            Some(ModelStanding::Ready { slots }) => return Ok(slots),
            Some(ModelStanding::Getting { done_bytes, bytes }) => {
                let share = (done_bytes as f64 / bytes.max(1) as f64).min(1.0) as f32;
                candidate.set(shared, Standing::GettingModel(share));
            }
            Some(ModelStanding::Refused { why }) => {
                let why = printable_sentence(&why);
                return Err(Unready::Stands(Standing::Refused { why }));
            }
            None => {}
        }
    }
}

/// Has the worker compute the test piece: the result's hash, and how long it took.
async fn test(session: &Session, work: &Work) -> Result<(ChunkHash, Duration), Unready> {
    loop {
        session.ready().await;
        let (model, keep) = (Arc::clone(&work.model), Arc::clone(&work.keep));
        let parcel =
            spawn_blocking(move || Parcel::new(model.hash, &keep, &canary::piece(&model), false));
        let parcel = parcel.await.map_err(|_| Broken::Lost)?.map_err(|e| Unready::refused(&e))?;
        let (signal, started) = (Signal::default(), AtomicBool::new(false));
        let exchange = exchange(session, parcel, &signal, || started.store(true, Relaxed));
        tokio::pin!(exchange);
        let reply = tokio::select! {
            reply = &mut exchange => reply?,
            () = until_stuck(session, work, &signal, &started) => {
                signal.cancel();
                // Not to be had any more, whatever it says.
                let _ = exchange.await;
                let why = "It did not get on with the test piece".to_owned();
                return Err(Unready::Stands(Standing::SetAside { left: None, why }));
            }
        };
        match reply {
            Reply::Done { bytes, took, .. } => return Ok((blake3::hash(&bytes).into(), took)),
            Reply::Failed(_, error) => {
                let why = format!("It failed on the test piece: {}", error.what);
                return Err(Unready::Stands(Standing::Refused { why }));
            }
            Reply::Stopped => sleep(TRY_AGAIN_AFTER).await,
        }
    }
}

/// Until a worker has not got on with its test piece for too long.
async fn until_stuck(session: &Session, work: &Work, signal: &Signal, started: &AtomicBool) {
    let mut patience = canary::Patience::new(&work.model, session.about.cores, Instant::now());
    while !patience.is_over(Instant::now(), started.load(Relaxed), signal.done()) {
        sleep(LOOK_EVERY).await;
    }
}
