//! The engine as app and tests hold it: configuration, store, thread pool and models in one place.

use std::{
    net::Ipv6Addr,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{
    catalogue::{Catalogue, Entry, Manifest, Network},
    crew::Crew,
    error::{Error, ErrorKind, Result},
    job::{self, JobHandle, JobRequest, JobSong, Stems},
    local::{DEFAULT_MEMORY_BYTES, Pool},
    model::{self, ModelInfo, Quality, Separator, Stem},
    remote::{self, Chosen, Hub, HubConfig, Peers},
    roster::Roster,
    song::{self, Found, Keeper, Song, SongId, SongState, Wake},
    store::{Cache, Kind, KnownSong, Library, Pin, Shelf, Store, Usage, size_text},
};

/// Where an engine keeps things and what it may use.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineConfig {
    /// Folder for decoded songs and separations.
    pub cache_dir: PathBuf,
    /// Folder for the list of recent songs.
    pub data_dir: PathBuf,
    /// Most bytes the cache may hold.
    pub cache_cap_bytes: u64,
    /// Threads to separate with; `None` leaves one processor to window and sound.
    pub threads: Option<usize>,
    /// List of models to use instead of the one inside the program, in the same form.
    pub model_list: Option<PathBuf>,
    /// Name under which this computer shows itself to others; `None` takes the system's.
    pub computer_name: Option<String>,
    /// UDP port at which other computers reach this one; 0 takes any.
    pub worker_port: u16,
    /// Whether other computers find this one by looking through the network.
    pub announce: bool,
}

impl Default for EngineConfig {
    /// The system's places for caches and data, 20 GiB.
    fn default() -> Self {
        let dirs = directories::ProjectDirs::from("", "", "stemhive");
        let (cache_dir, data_dir) = dirs.map_or_else(
            // A user without a home folder: a container, a service.
            || {
                let dir = std::env::temp_dir().join("stemhive");
                (dir.join("cache"), dir.join("data"))
            },
            |dirs| (dirs.cache_dir().to_owned(), dirs.data_dir().to_owned()),
        );
        Self {
            cache_dir,
            data_dir,
            cache_cap_bytes: 20 << 30,
            threads: None,
            model_list: None,
            computer_name: None,
            worker_port: crate::protocol::DEFAULT_PORT,
            announce: true,
        }
    }
}

impl EngineConfig {
    /// The catalogue of models in the data folder, beside those that are part of the program.
    ///
    /// # Errors
    /// When [`Self::model_list`] cannot be read or makes no sense.
    pub fn catalogue(&self, built_in: &[Arc<dyn Separator>]) -> Result<Catalogue> {
        let manifest = match &self.model_list {
            Some(path) => Manifest::read(path)?,
            None => Manifest::built_in(),
        };
        let reserved = built_in.iter().map(|model| model.info().name.clone()).collect();
        Ok(Catalogue::new(&self.data_dir, manifest, Network::default(), reserved))
    }
}

/// How to separate a song.
#[derive(Clone)]
pub struct SeparateOptions {
    /// Name of the model.
    pub model: String,
    /// How hard it works.
    pub quality: Quality,
    /// The stems wanted, any of the model's; all of them when empty.
    pub stems: Vec<Stem>,
    /// Where the listener is, in frames at the work rate: separated first.
    pub playhead_frame: u64,
    /// Which of the paired computers take part.
    pub workers: Chosen,
    /// Called when there is something new to see.
    pub wake: Wake,
}

/// A song that was opened before, and what the cache has of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecentSong {
    /// What the library knows.
    pub known: KnownSong,
    /// How far its stems are.
    pub standing: Standing,
}

/// How far a song of an earlier day is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing {
    /// No stems yet, or no more.
    NotSeparated,
    /// Some of it is done, and separating goes on from there.
    Paused {
        /// Share done, 0.0..1.0.
        fraction: f32,
    },
    /// All stems are there.
    Ready {
        /// How many.
        stems: usize,
    },
}

/// Everything a front end needs. Dropping it stops songs that are still being opened and waits
/// until those that are open are stored.
pub struct Engine {
    store: Arc<Store>,
    pool: Arc<Pool>,
    roster: Arc<Roster>,
    data_dir: PathBuf,
    hub_config: Mutex<HubConfig>,
    /// Opened when first asked for.
    hub: Mutex<Option<Arc<Hub>>>,
    notices: Vec<Error>,
    visits: Arc<Visits>,
    /// Keeps the stems that are open in the cache.
    pins: Mutex<Vec<(Weak<Stems>, Pin)>>,
}

impl Engine {
    /// An engine with the built-in models.
    ///
    /// # Errors
    /// When the cache folder cannot be used or no threads be started.
    pub fn new(config: &EngineConfig) -> Result<Self> {
        Self::with_models(config, model::built_in())
    }

    /// An engine with these models, the first one being the default.
    ///
    /// # Errors
    /// As [`Self::new`]; [`ErrorKind::Invalid`] without any model.
    pub fn with_models(config: &EngineConfig, models: Vec<Arc<dyn Separator>>) -> Result<Self> {
        if models.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "There is no model to separate with"));
        }
        let cache = Cache::open(&config.cache_dir, config.cache_cap_bytes)?;
        let (library, notice) = Library::open(&config.data_dir)?;
        let catalogue = config.catalogue(&models)?;
        Ok(Self {
            store: Arc::new(Store { cache, library }),
            pool: Arc::new(Pool::new(config.threads, DEFAULT_MEMORY_BYTES)?),
            roster: Arc::new(Roster::new(models, catalogue)),
            data_dir: config.data_dir.clone(),
            hub_config: Mutex::new(HubConfig {
                data_dir: config.data_dir.clone(),
                name: config.computer_name.clone().unwrap_or_else(remote::computer_name),
                port: config.worker_port,
                address: Ipv6Addr::UNSPECIFIED.into(),
                announce: config.announce,
                ask_again_after: remote::ASK_AGAIN_AFTER,
            }),
            hub: Mutex::default(),
            notices: notice.into_iter().collect(),
            visits: Arc::default(),
            pins: Mutex::default(),
        })
    }

    /// What went wrong at the start without keeping the engine from working.
    pub fn notices(&self) -> &[Error] {
        &self.notices
    }

    /// Opens the song in `path` and returns at once; whether it can be opened shows in its state.
    /// A file seen before is not decoded again.
    pub fn open_song(&self, path: &Path, wake: Wake) -> Arc<Song> {
        let visitor = Visitor {
            shelf: Shelf::new(Arc::clone(&self.store)),
            _visit: Visits::begin(&self.visits),
        };
        let song = song::open_with(path, visitor, wake);
        self.visits.remember(&song);
        song
    }

    /// Separates a song that is ready. What an earlier run computed of it is used. Looks through
    /// the cache's folders and makes files, so not for the window's thread.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an unknown model or a song that is not ready;
    /// [`ErrorKind::Busy`] when it is being separated already, here or by another Stemhive;
    /// [`ErrorKind::DiskFull`] when cache or disk have no room for the stems.
    pub fn separate(&self, song: &Song, options: SeparateOptions) -> Result<JobHandle> {
        let separator = self.roster.find_with(&options.model, options.quality)?;
        let model = separator.info();
        let (SongState::Ready { id, stats }, Some(mixture)) = (song.state(), song.mixture()) else {
            return Err(Error::new(ErrorKind::Invalid, "The song is not open yet")
                .advice("Wait until it is, then separate it"));
        };
        let stems = self.stems_to_separate(id, model, &options.stems);
        let key = job::job_key(id, &model.hash, &stems);
        let pin = self.store.cache.pin(Kind::Job, &key)?;
        let bytes = stats.frames * mixture.channel_count() as u64 * 4 * stems.len() as u64;
        self.make_room_for_job(&key, bytes)?;

        let handle = job::start(JobRequest {
            song: JobSong { id, mixture, stats },
            separator: Arc::clone(&separator),
            stems,
            dir: self.store.cache.path(Kind::Job, &key),
            quality: options.quality,
            pool: Arc::clone(&self.pool),
            crew: self.crew(options.workers),
            playhead_frame: options.playhead_frame,
            wake: options.wake,
        })?;
        self.open_pins().push((Arc::downgrade(handle.stems()), pin));
        if let Err(error) = self.store.library.remember_job(&key, id, &model.name) {
            tracing::warn!(%error, "the separation is not remembered");
        }
        Ok(handle)
    }

    /// Makes room for a job whose stems take `bytes` altogether.
    fn make_room_for_job(&self, key: &str, bytes: u64) -> Result<()> {
        // Chunks wait for their neighbours before they are joined and go.
        let needed = bytes + bytes / 8;
        let cache = &self.store.cache;
        let there = cache.entry(Kind::Job, key).map_or(0, |entry| entry.bytes);
        let missing = needed.saturating_sub(there);
        // Pins of stems nobody holds any more must not keep them.
        drop(self.open_pins());
        if there < bytes {
            cache.make_room(missing)?;
        }
        // Tracks of a job begun earlier are as long as they will be, but hold no data yet: their
        // size says nothing about the disk, so the disk is asked for all of them.
        match fs4::available_space(cache.dir()) {
            Ok(free) if there == 0 && free < missing => Err(Error::new(
                ErrorKind::DiskFull,
                format!(
                    "The stems need {} and the disk has {} left",
                    size_text(needed),
                    size_text(free)
                ),
            )
            .kept("The song and everything separated before are untouched")
            .advice("Free some space, or choose a cache folder on another disk")),
            _ => Ok(()),
        }
    }

    /// The pins, less those of stems that nobody holds any more.
    fn open_pins(&self) -> MutexGuard<'_, Vec<(Weak<Stems>, Pin)>> {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|(stems, _)| stems.strong_count() > 0);
        pins
    }

    /// The stems to separate when `wanted` are wanted: all of them, where all are there already.
    fn stems_to_separate(&self, song: SongId, model: &ModelInfo, wanted: &[Stem]) -> Vec<Stem> {
        let all = job::job_key(song, &model.hash, &model.stems);
        let cache = &self.store.cache;
        let is_done = || {
            let extent = job::extent(&cache.path(Kind::Job, &all));
            cache.contains(Kind::Job, &all) && extent.is_ok_and(|extent| extent.is_complete())
        };
        if wanted.is_empty() || is_done() { model.stems.clone() } else { wanted.to_vec() }
    }

    /// The models there are, the default one first.
    pub fn models(&self) -> Vec<ModelInfo> {
        self.roster.infos()
    }

    /// The model to take when the user chose none.
    pub fn default_model(&self) -> ModelInfo {
        self.roster.default()
    }

    /// Every model there is or could be: those of [`Self::models`] and those of the catalogue, each
    /// with its entry there if it has one. Reads the folder of models.
    pub fn all_models(&self) -> Vec<(ModelInfo, Option<Entry>)> {
        self.roster.all()
    }

    /// All models that exist, on this computer or not. Call [`Self::refresh_models`] after
    /// something came or went.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        self.roster.catalogue()
    }

    /// Looks again which models are installed. Reads the folder of models.
    pub fn refresh_models(&self) {
        self.roster.refresh();
    }

    /// Makes the model in a file a model of this engine, for as long as it lives; its name. Reads
    /// the whole file.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] or [`ErrorKind::Damaged`] when it holds no model that runs here;
    /// what the disk says.
    pub fn open_model(&self, path: &Path) -> Result<String> {
        self.roster.open_file(path)
    }

    /// Threads that separate.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Chunks that run at the same time of a model whose chunks take `memory_bytes_per_chunk`.
    pub fn chunks_at_once(&self, memory_bytes_per_chunk: u64) -> usize {
        self.pool.slots_of(memory_bytes_per_chunk)
    }

    /// See [`Pool::measure_cores`].
    pub fn measure_cores(&self) -> f64 {
        self.pool.measure_cores()
    }

    /// The other computers; opened when first asked for. Reads the disk.
    ///
    /// # Errors
    /// When key or list of computers cannot be read.
    pub fn hub(&self) -> Result<Arc<Hub>> {
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = &*hub {
            return Ok(Arc::clone(hub));
        }
        let config = self.hub_config().clone();
        let opened = Hub::open(config, Arc::clone(&self.pool), Arc::clone(&self.roster))?;
        Ok(Arc::clone(hub.insert(Arc::new(opened))))
    }

    /// Shows this name to workers (that of the system if there is none), has them come to this UDP
    /// port, and announces this computer or not; at once where other computers are open.
    ///
    /// # Errors
    /// As [`Hub::set_reach`].
    pub fn set_reach(&self, name: Option<String>, port: u16, announce: bool) -> Result<()> {
        let name = name.unwrap_or_else(remote::computer_name);
        let hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = self.hub_config();
        *config = HubConfig { name: name.clone(), port, announce, ..config.clone() };
        drop(config);
        hub.as_ref().map_or(Ok(()), |hub| hub.set_reach(name, port, announce))
    }

    fn hub_config(&self) -> MutexGuard<'_, HubConfig> {
        self.hub_config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who may help with a job. Without paired computers nothing is opened; what keeps them from
    /// being used does not keep this one from working.
    fn crew(&self, chosen: Chosen) -> Option<Arc<dyn Crew>> {
        if chosen == Chosen::None {
            return None;
        }
        let has_computers = self.computers().map(|peers| !peers.list().is_empty());
        let hub = has_computers.and_then(|has| if has { self.hub().map(Some) } else { Ok(None) });
        hub.unwrap_or_else(|error| {
            tracing::warn!(%error, "no other computer helps");
            None
        })
        .map(|hub| hub.crew(chosen))
    }

    /// The paired computers, whether anything was opened for them or not. Reads the disk.
    ///
    /// # Errors
    /// As [`Peers::open`].
    pub fn computers(&self) -> Result<Peers> {
        Peers::open(&self.data_dir)
    }

    /// The songs opened last, at most `limit`, the last one first. Reads the disk.
    ///
    /// # Errors
    /// When the library cannot be read.
    pub fn recent(&self, limit: u32) -> Result<Vec<RecentSong>> {
        let songs = self.store.library.recent(limit)?;
        Ok(songs
            .into_iter()
            .map(|known| RecentSong { standing: self.standing(&known), known })
            .collect())
    }

    /// The best of a song's jobs.
    fn standing(&self, song: &KnownSong) -> Standing {
        let cache = &self.store.cache;
        let jobs = song.jobs.iter().filter(|job| cache.contains(Kind::Job, &job.key));
        let mut best = Standing::NotSeparated;
        for job in jobs {
            let Ok(extent) = job::extent(&cache.path(Kind::Job, &job.key)) else { continue };
            if extent.is_complete() {
                return Standing::Ready { stems: extent.stems.len() };
            }
            let fraction = extent.chunks_done as f32 / extent.chunks.max(1) as f32;
            if !matches!(best, Standing::Paused { fraction: f } if f >= fraction) {
                best = Standing::Paused { fraction };
            }
        }
        best
    }

    /// Takes a song off the recent ones; what the cache holds of it stays.
    ///
    /// # Errors
    /// When the library cannot be written.
    pub fn forget(&self, id: SongId) -> Result<()> {
        self.store.library.forget_song(id)
    }

    /// Where the cache is.
    pub fn cache_dir(&self) -> &Path {
        self.store.cache.dir()
    }

    /// How full the cache is. Reads the disk.
    pub fn cache_usage(&self) -> Usage {
        self.store.cache.usage()
    }

    /// Changes how full the cache may get.
    pub fn set_cache_cap_bytes(&self, cap_bytes: u64) {
        self.store.cache.set_cap_bytes(cap_bytes);
    }

    /// Removes every song and job that nobody uses; returns the bytes freed and how many had to
    /// stay.
    pub fn clear_cache(&self) -> (u64, usize) {
        drop(self.open_pins());
        self.store.cache.clear()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.visits.end();
    }
}

/// The songs whose threads still run.
#[derive(Debug, Default)]
struct Visits {
    open: Mutex<Open>,
    on_end: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    threads: usize,
    songs: Vec<Weak<Song>>,
}

/// One song's thread; ended by dropping it.
#[derive(Debug)]
struct Visit(Arc<Visits>);

impl Visits {
    fn begin(visits: &Arc<Self>) -> Visit {
        visits.open().threads += 1;
        Visit(Arc::clone(visits))
    }

    fn remember(&self, song: &Arc<Song>) {
        let mut open = self.open();
        open.songs.retain(|song| song.strong_count() > 0);
        open.songs.push(Arc::downgrade(song));
    }

    /// Stops songs that are being decoded and waits for those that are being stored.
    fn end(&self) {
        let mut open = self.open();
        open.songs.iter().filter_map(Weak::upgrade).for_each(|song| song.cancel());
        while open.threads > 0 {
            open = self.on_end.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.open().threads -= 1;
        self.0.on_end.notify_all();
    }
}

/// A shelf that is waited for.
struct Visitor {
    shelf: Shelf,
    _visit: Visit,
}

impl Keeper for Visitor {
    fn find(&mut self, path: &Path) -> Result<Found> {
        self.shelf.find(path)
    }

    fn keep(&mut self, song: &Song) -> Option<Pin> {
        self.shelf.keep(song)
    }
}
