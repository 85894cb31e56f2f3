//! A worker at work: connections, manners, log and status, until it is told to stop.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use engine::{
    Result,
    crew::DeviceId,
    engine::EngineConfig,
    protocol::Running,
    remote::{Client, ClientConfig, ClientStatus, Identity, MainState, MainStatus, Peers},
};
use jiff::Zoned;
use serde_json::json;

use crate::{
    folder::{Folder, Main, Status},
    log::Log,
    polite::Manners,
    settings::Settings,
    shop::{Shop, ShopConfig},
};

/// How often the status is renewed, and how often manners are looked at.
const TICK: Duration = Duration::from_secs(1);
const MANNERS_EVERY: Duration = Duration::from_secs(2);

/// How long running chunks may take when the worker leaves.
const LEAVE_PATIENCE: Duration = Duration::from_secs(20);

/// Programs such as `timeout` pass one signal on twice.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// What a worker runs with.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// Its data folder.
    pub folder: Folder,
    /// What its owner wants.
    pub settings: Settings,
    /// List of models instead of the program's own.
    pub model_list: Option<std::path::PathBuf>,
    /// Where it writes.
    pub log: Log,
}

/// Works until SIGTERM or Ctrl+C; the second one ends the process at once.
///
/// # Errors
/// When another worker has the folder; when key, list of main PCs or models cannot be read; when
/// the computing process does not start.
pub fn run(config: RunConfig) -> Result<()> {
    let RunConfig { folder, settings, model_list, log } = config;
    let _lock = folder.lock()?;
    let bell = Bell::with_signals(log);
    let identity = Identity::load_or_create(folder.dir())?;
    let peers = Peers::open(folder.dir())?;
    let engine = EngineConfig {
        data_dir: folder.dir().to_owned(),
        threads: settings.threads,
        model_list,
        ..EngineConfig::default()
    };
    let shop_config = ShopConfig {
        name: settings.shown_name(),
        engine,
        memory_bytes: settings.memory_mb << 20,
        nice: settings.nice,
        idle_io: settings.idle_io,
        program: own_program()?,
    };
    let mut at_work = AtWork {
        name: shop_config.name.clone(),
        memory_bytes: shop_config.memory_bytes,
        device: identity.device(),
        shop: Shop::open(shop_config, log)?,
        manners: Manners::new(Path::new("/"), &settings),
        client: None,
        told: None,
        seen: ClientStatus::default(),
        written: None,
        folder,
        peers,
        log,
    };
    at_work.greet();
    at_work.work(&identity, &bell)?;
    at_work.leave();
    Ok(())
}

fn own_program() -> Result<std::path::PathBuf> {
    std::env::current_exe().map_err(|e| engine::Error::io("find", Path::new("stemhive-worker"), e))
}

struct AtWork {
    name: String,
    memory_bytes: u64,
    device: DeviceId,
    folder: Folder,
    peers: Peers,
    shop: Arc<Shop>,
    manners: Manners,
    log: Log,
    /// None while no main PC is known.
    client: Option<Client>,
    /// What main PCs were told last.
    told: Option<Running>,
    seen: ClientStatus,
    written: Option<Status>,
}

impl AtWork {
    fn greet(&self) {
        let (fingerprint, threads) = (self.device.fingerprint(), self.shop.status().threads);
        let facts = json!({ "name": self.name, "fingerprint": fingerprint, "threads": threads });
        self.log.say("ready", facts, || {
            let plural = if threads == 1 { "" } else { "s" };
            format!("“{}” ({fingerprint}) works with {threads} thread{plural}", self.name)
        });
        if self.peers.list().is_empty() {
            self.log.say("unpaired", json!({}), || {
                "Not paired with any computer yet; do so with: stemhive-worker join".to_owned()
            });
        }
    }

    fn work(&mut self, identity: &Identity, bell: &Bell) -> Result<()> {
        let mut looked: Option<Instant> = None;
        while !bell.is_told_to_end() {
            if looked.is_none_or(|at| at.elapsed() >= MANNERS_EVERY) {
                self.mind_manners();
                looked = Some(Instant::now());
            }
            if self.client.is_none() && self.is_paired() {
                self.connect(identity, bell)?;
            }
            self.tell_changes();
            self.write_status(None);
            bell.wait(TICK);
        }
        Ok(())
    }

    /// Whether a main PC is on the list by now; a client looks for itself.
    fn is_paired(&self) -> bool {
        if let Err(error) = self.peers.refresh() {
            self.log.error(&error);
        }
        !self.peers.list().is_empty()
    }

    fn connect(&mut self, identity: &Identity, bell: &Bell) -> Result<()> {
        let config =
            ClientConfig { identity: identity.clone(), peers: self.peers.clone(), discover: true };
        let client = Client::start(config, self.shop.clone())?;
        client.set_wake(bell.waker());
        self.client = Some(client);
        Ok(())
    }

    fn mind_manners(&mut self) {
        let now = Zoned::now();
        let minute =
            u16::try_from(i32::from(now.hour()) * 60 + i32::from(now.minute())).unwrap_or(0);
        let trouble = self.shop.status().trouble_left.is_some();
        let running = self.manners.look(self.folder.is_paused(), minute, trouble);
        if self.told == Some(running) {
            return;
        }
        let was_paused = matches!(self.told, Some(Running::Paused(_)));
        match running {
            Running::Paused(reason) => {
                let facts = json!({ "reason": format!("{reason:?}") });
                let why = self.manners.why(reason);
                self.log.say("paused", facts, || format!("Paused: {why}"));
            }
            _ if was_paused => self.log.say("resumed", json!({}), || "Works again".to_owned()),
            _ => {}
        }
        // The shop works whenever main PCs were told so.
        if running == Running::Ready {
            self.shop.set_running(running);
        }
        if let Some(client) = &self.client {
            client.set_running(running);
        }
        self.shop.set_running(running);
        self.told = Some(running);
    }

    /// Logs what became otherwise with main PCs.
    fn tell_changes(&mut self) {
        let Some(client) = &self.client else { return };
        let now = client.status();
        for main in &now.mains {
            let before = self.seen.mains.iter().find(|before| before.device == main.device);
            tell_change(self.log, before, main);
        }
        self.seen = (*now).clone();
    }

    fn write_status(&mut self, state: Option<&str>) {
        let shop = self.shop.status();
        let paused = match self.told {
            Some(Running::Paused(reason)) => Some(self.manners.why(reason)),
            _ => None,
        };
        let state = state.unwrap_or(match &paused {
            Some(_) => "paused",
            None if self.seen.mains.is_empty() => "unpaired",
            None if shop.chunks_running > 0 => "working",
            None => "ready",
        });
        let mut refused = BTreeMap::new();
        for (why, count) in self.seen.mains.iter().flat_map(|main| &main.refused) {
            *refused.entry(why.clone()).or_default() += count;
        }
        // What the shop alone knows: models, above all.
        for (why, count) in shop.refused {
            refused.entry(why).or_insert(count);
        }
        let status = Status {
            pid: std::process::id(),
            bench_pid: shop.bench_pid,
            name: self.name.clone(),
            fingerprint: self.device.fingerprint(),
            state: state.to_owned(),
            paused,
            mains: self.seen.mains.iter().map(shown).collect(),
            chunks_done: shop.chunks_done,
            refused,
            speed_x_real_time: shop.speed_x_real_time,
            threads: shop.threads,
            memory_bytes: self.memory_bytes,
        };
        // The disk sleeps while nothing happens.
        if self.written.as_ref() == Some(&status) {
            return;
        }
        match self.folder.tell(&status) {
            Ok(()) => self.written = Some(status),
            Err(error) => self.log.error(&error),
        }
    }

    fn leave(mut self) {
        self.log.say("leaving", json!({}), || {
            "Leaving: pieces that run may end; press Ctrl+C again to end at once".to_owned()
        });
        self.write_status(Some("leaving"));
        if let Some(client) = self.client.take() {
            client.leave(LEAVE_PATIENCE);
        }
        self.log.say("ended", json!({}), || "Ended".to_owned());
    }
}

fn tell_change(log: Log, before: Option<&MainStatus>, main: &MainStatus) {
    let name = &main.name;
    let facts = |state: &str| {
        let address = match main.state {
            MainState::Connected { address } => Some(address.to_string()),
            _ => None,
        };
        json!({
            "main": name,
            "fingerprint": main.device.fingerprint(),
            "state": state,
            "address": address,
            "chunks_done": main.chunks_done,
        })
    };
    let was = before.map(|before| &before.state);
    match (&main.state, was) {
        (MainState::Connected { .. }, Some(MainState::Connected { .. })) => {}
        (MainState::Connected { address }, _) => {
            log.say("connected", facts("connected"), || format!("Connected to {name} ({address})"));
        }
        (MainState::Connecting { .. }, Some(MainState::Connected { .. })) => {
            log.say("lost", facts("connecting"), || {
                format!("The connection to {name} is lost; trying again")
            });
        }
        (MainState::Connecting { .. }, None) => {
            log.say("connecting", facts("connecting"), || format!("Looking for {name}"));
        }
        (MainState::Connecting { .. }, Some(_)) => {}
        (now, Some(before)) if now == before => {}
        (MainState::Forgotten, _) => log.say("forgotten", facts("forgotten"), || {
            format!("{name} does not know this computer any more; pair again to work for it")
        }),
        (MainState::UpdateNeeded { theirs }, _) => {
            log.say("update_needed", facts("update needed"), || {
                format!(
                    "{name} has version {theirs} and this computer {}: update the older one",
                    env!("CARGO_PKG_VERSION")
                )
            });
        }
    }
    let running = main.chunks_running;
    let was_running = before.map_or(0, |before| before.chunks_running);
    match (running, was_running) {
        (0, 1..) => log.say("idle", facts("connected"), || {
            format!("Nothing to do for {name} now; {} so far", pieces(main.chunks_done))
        }),
        (1.., _) if running != was_running => log.say("working", facts("connected"), || {
            format!("Working on {} for {name}", pieces(running as u64))
        }),
        _ => {}
    }
}

fn pieces(count: u64) -> String {
    if count == 1 { "1 piece".to_owned() } else { format!("{count} pieces") }
}

fn shown(main: &MainStatus) -> Main {
    let (state, address) = match &main.state {
        MainState::Connecting { attempt } => (format!("connecting, try {attempt}"), None),
        MainState::Connected { address } => ("connected".to_owned(), Some(address.to_string())),
        MainState::Forgotten => ("it forgot this computer".to_owned(), None),
        MainState::UpdateNeeded { theirs } => (format!("update needed, it has {theirs}"), None),
    };
    Main {
        name: main.name.clone(),
        fingerprint: main.device.fingerprint(),
        state,
        address,
        chunks_running: main.chunks_running,
        chunks_done: main.chunks_done,
    }
}

/// Rung by whoever has news, and by the signals that end the program.
struct Bell {
    ring: Sender<()>,
    rung: Receiver<()>,
    ends: Arc<AtomicBool>,
}

impl Bell {
    /// To be made once per process.
    fn with_signals(log: Log) -> Self {
        let (ring, rung) = bounded(1);
        let bell = Self { ring, rung, ends: Arc::default() };
        let (ends, wake) = (Arc::clone(&bell.ends), bell.waker());
        let mut told: Option<Instant> = None;
        let handler = move || {
            if told.get_or_insert_with(Instant::now).elapsed() > SAME_SIGNAL {
                std::process::exit(130);
            }
            ends.store(true, Ordering::Release);
            wake();
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            // Then they end the process at once, and main PCs give its chunks to others.
            log.say("error", json!({ "what": error.to_string() }), || error.to_string());
        }
        bell
    }

    fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let ring = self.ring.clone();
        // A bell that rings already rings for this news too.
        Arc::new(move || {
            let _ = ring.try_send(());
        })
    }

    /// Waits until it rings, at most `most`; a flood of news is looked at 20 times a second.
    fn wait(&self, most: Duration) {
        if self.rung.recv_timeout(most).is_ok() && !self.is_told_to_end() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_told_to_end(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }
}
