//! A job's folder: what it is (`job.json`, immutable), what happened (`journal`), results not yet
//! joined (`chunks/N`), stems, and a lock that only the one who writes holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    assemble::{Assembler, CellFacts, ChunkHash, Stems, hash_cell, hash_chunk},
    crew::DeviceId,
    error::{Error, ErrorKind, Result},
    model::{ChunkSpec, ModelInfo, Stem},
    plan::{GRID_VERSION, Plan},
    song::SongId,
    store::{Journal, Track, read_bounded, write_atomically},
    waveform::Waveform,
};

const FORMAT: u32 = 2;
const MAX_FACTS_BYTES: u64 = 1 << 16;

/// Everything that shapes a job's result. Two jobs with the same facts have the same samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    format: u32,
    grid: u32,
    song: String,
    pub(super) frames: u64,
    pub(super) channels: usize,
    model: String,
    model_hash: String,
    pub(super) chunks: ChunkSpec,
    pub(super) stems: Vec<Stem>,
}

/// What stands in `job.json`: a flipped bit in it would otherwise read as another job's facts.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    facts: Facts,
    /// BLAKE3 of the facts as compact JSON, in hex.
    hash: String,
}

impl Facts {
    pub(super) fn new(
        song: SongId,
        frames: u64,
        channels: usize,
        model: &ModelInfo,
        stems: &[Stem],
    ) -> Self {
        Self {
            format: FORMAT,
            grid: GRID_VERSION,
            song: song.to_string(),
            frames,
            channels,
            model: model.name.clone(),
            model_hash: blake3::Hash::from_bytes(model.hash).to_hex().to_string(),
            chunks: model.chunks,
            stems: stems.to_vec(),
        }
    }

    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("job.json");
        let bytes = read_bounded(&path, MAX_FACTS_BYTES)?;
        let Sealed { facts, hash } = serde_json::from_slice(&bytes).map_err(|e| {
            let what = format!("“{}” cannot be understood", path.display());
            Error::new(ErrorKind::Damaged, what).caused_by(e)
        })?;
        if hash != facts.hash()? {
            let what = format!("“{}” is damaged", path.display());
            return Err(Error::new(ErrorKind::Damaged, what));
        }
        if facts.format != FORMAT || !matches!(facts.channels, 1 | 2) {
            let what = format!("“{}” is of another version", path.display());
            return Err(Error::new(ErrorKind::Damaged, what));
        }
        Ok(facts)
    }

    fn write(&self, dir: &Path) -> Result<()> {
        let sealed = Sealed { facts: self.clone(), hash: self.hash()? };
        let json = serde_json::to_vec_pretty(&sealed).map_err(undescribable)?;
        write_atomically(&dir.join("job.json"), |mut file| file.write_all(&json))
    }

    fn hash(&self) -> Result<String> {
        let json = serde_json::to_vec(self).map_err(undescribable)?;
        Ok(blake3::hash(&json).to_hex().to_string())
    }
}

fn undescribable(cause: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "The job cannot be described").caused_by(cause)
}

/// What the journal holds. Only append variants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Record {
    /// The result of a chunk, computed here, is in its file. Names this computer.
    Committed { chunk: u32, worker: String, compute_secs: f32, hash: ChunkHash },
    /// Cells are in the stems and synced; chunks all of whose cells are need their files no more.
    Joined(Vec<(u32, CellFacts)>),
    /// Another computer that takes part, or its new name.
    Computer { device: DeviceId, letter: u32, name: String },
    /// The result of a chunk, computed by another computer, is in its file.
    CommittedBy { chunk: u32, device: DeviceId, compute_secs: f32, hash: ChunkHash },
    /// Results of these chunks, and the stems where they went into them, are not to be relied on.
    Withdrawn(Vec<u32>),
}

/// Most chunks in one [`Record::Withdrawn`].
const WITHDRAWN_AT_ONCE: usize = 1 << 16;

/// Name of this computer in the journal and in a status.
pub(super) const LOCAL_NAME: &str = "This PC";

/// Who computed a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Local,
    Computer(DeviceId),
}

/// Another computer as it was last called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) letter: usize,
    pub(super) name: String,
}

/// A chunk whose result is safe.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Committed {
    pub(super) by: By,
    pub(super) compute_secs: f32,
    pub(super) hash: ChunkHash,
}

/// What is known of a job's past.
#[derive(Debug, Clone)]
pub(super) struct Past {
    /// Per chunk.
    pub(super) committed: Vec<Option<Committed>>,
    /// Per cell: joined and synced.
    pub(super) cells: Vec<Option<CellFacts>>,
    /// The other computers that took part.
    pub(super) computers: BTreeMap<DeviceId, Named>,
}

impl Past {
    fn of(records: Vec<Record>, plan: &Plan) -> Self {
        let mut past = Self {
            committed: vec![None; plan.segments().len()],
            cells: vec![None; plan.cells().len()],
            computers: BTreeMap::new(),
        };
        let commit = |past: &mut Self, chunk: u32, committed| {
            if let Some(slot) = past.committed.get_mut(chunk as usize) {
                *slot = Some(committed);
            }
        };
        for record in records {
            match record {
                Record::Committed { chunk, worker: _, compute_secs, hash } => {
                    commit(&mut past, chunk, Committed { by: By::Local, compute_secs, hash });
                }
                Record::CommittedBy { chunk, device, compute_secs, hash } => {
                    let by = By::Computer(device);
                    commit(&mut past, chunk, Committed { by, compute_secs, hash });
                }
                Record::Computer { device, letter, name } => {
                    past.computers.insert(device, Named { letter: letter as usize, name });
                }
                Record::Withdrawn(chunks) => {
                    let known = |chunk: &usize| *chunk < plan.segments().len();
                    for chunk in chunks.into_iter().map(|n| n as usize).filter(known) {
                        past.committed[chunk] = None;
                        past.cells[plan.cells_of_chunk(chunk)].fill(None);
                    }
                }
                Record::Joined(cells) => {
                    for (cell, facts) in cells {
                        if let Some(slot) = past.cells.get_mut(cell as usize) {
                            *slot = Some(facts);
                        }
                    }
                }
            }
        }
        past
    }

    /// Joined cells whose samples in `stems` are not what they were, or cannot be read. Reads all of
    /// the stems; `stop` ends it early.
    pub(super) fn damaged_cells(
        &self,
        plan: &Plan,
        stems: &Stems,
        stop: &dyn Fn() -> bool,
    ) -> Vec<usize> {
        let is_damaged = |&cell: &usize| {
            self.cells[cell].is_some_and(|facts| {
                let found = hash_cell(stems, &plan.cells()[cell].frames);
                !found.is_ok_and(|hash| hash == facts.hash)
            })
        };
        (0..self.cells.len()).take_while(|_| !stop()).filter(is_damaged).collect()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.cells.iter().all(Option::is_some) && self.committed.iter().all(Option::is_some)
    }

    /// Whether all cells of `chunk` are joined, so that its own file is not needed.
    pub(super) fn is_joined(&self, plan: &Plan, chunk: usize) -> bool {
        self.cells[plan.cells_of_chunk(chunk)].iter().all(Option::is_some)
    }
}

/// A job's folder, open for writing and locked.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    journal: Journal<Record>,
    /// What the journal calls the other computers.
    computers: BTreeMap<DeviceId, Named>,
    /// Unlocked when closed.
    _lock: File,
}

/// A folder as it was found.
pub(super) struct Opened {
    pub(super) folder: Folder,
    pub(super) past: Past,
    pub(super) stems: Stems,
}

impl Folder {
    /// Opens or makes the folder.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when someone else writes to it, [`ErrorKind::Invalid`] when it holds
    /// another job, otherwise whatever the file system says.
    pub(super) fn open(dir: &Path, facts: &Facts, plan: &Plan) -> Result<Opened> {
        let chunk_dir = dir.join("chunks");
        fs::create_dir_all(&chunk_dir).map_err(|e| Error::io("create", &chunk_dir, e))?;
        let lock = lock(dir)?;
        let journal_path = dir.join("journal");
        let known = check_facts(dir, facts)?;
        let found = match known {
            true => Stems::reopen(dir, &facts.stems, facts.channels, facts.frames),
            false => Err(Error::new(ErrorKind::NotFound, "The job is new")),
        };
        let stems = match found {
            Ok(stems) => stems,
            Err(error) => {
                if known {
                    tracing::warn!("starting over in {}: {error}", dir.display());
                }
                // Without the stems the journal is worth nothing, and must not outlive them.
                remove(&journal_path)?;
                let stems = Stems::create(dir, &facts.stems, facts.channels, facts.frames)?;
                facts.write(dir)?;
                stems
            }
        };
        let (journal, records) = Journal::open(&journal_path)?;
        let past = Past::of(records, plan);
        let computers = past.computers.clone();
        let folder = Self { dir: dir.into(), journal, computers, _lock: lock };
        Ok(Opened { folder, past, stems })
    }

    /// Forgets joined cells that are damaged and committed chunks whose files are needed but missing
    /// or damaged, and removes every file in the chunk folder that nobody needs.
    pub(super) fn verify(
        &self,
        past: &mut Past,
        plan: &Plan,
        stems: &Stems,
        stop: &dyn Fn() -> bool,
    ) {
        for cell in past.damaged_cells(plan, stems, stop) {
            tracing::warn!("a stretch of the stems is damaged and will be separated again");
            past.cells[cell] = None;
        }
        let chunk_dir = self.chunk_dir();
        for chunk in 0..past.committed.len() {
            let needed = !past.is_joined(plan, chunk);
            if let Some(committed) = &past.committed[chunk]
                && needed
            {
                let path = Assembler::chunk_path(&chunk_dir, chunk);
                if !hash_chunk(&path).is_ok_and(|hash| hash == committed.hash) {
                    tracing::warn!("piece {chunk} is damaged and will be separated again");
                    past.committed[chunk] = None;
                }
            }
        }
        let kept: BTreeSet<PathBuf> = (0..past.committed.len())
            .filter(|&chunk| past.committed[chunk].is_some() && !past.is_joined(plan, chunk))
            .map(|chunk| Assembler::chunk_path(&chunk_dir, chunk))
            .collect();
        for entry in fs::read_dir(&chunk_dir).into_iter().flatten().flatten() {
            if !kept.contains(&entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    pub(super) fn chunk_dir(&self) -> PathBuf {
        self.dir.join("chunks")
    }

    /// Makes the result in `file` the committed one of `chunk`. `who` is what the computer is called
    /// that computed it, if it is another one.
    ///
    /// # Errors
    /// Whatever the file system says; the chunk is then not committed.
    pub(super) fn commit(
        &mut self,
        chunk: usize,
        file: &Path,
        committed: &Committed,
        who: Option<Named>,
    ) -> Result<()> {
        let target = Assembler::chunk_path(&self.chunk_dir(), chunk);
        fs::rename(file, &target).map_err(|e| Error::io("write", &target, e))?;
        let &Committed { by, compute_secs, hash } = committed;
        let chunk = chunk as u32;
        let By::Computer(device) = by else {
            let worker = LOCAL_NAME.to_owned();
            return self.journal.append(&Record::Committed { chunk, worker, compute_secs, hash });
        };
        if let Some(who) = who.filter(|who| self.computers.get(&device) != Some(who)) {
            let (letter, name) = (who.letter as u32, who.name.clone());
            self.journal.append(&Record::Computer { device, letter, name })?;
            self.computers.insert(device, who);
        }
        self.journal.append(&Record::CommittedBy { chunk, device, compute_secs, hash })
    }

    /// Forgets what was committed of `chunks` and joined of it, for good: after a power cut, too. Even
    /// a journal that is cut short later does not bring it back, for the files do not fit it any more.
    ///
    /// # Errors
    /// Whatever the file system says; it is to be tried again then.
    pub(super) fn withdraw(&mut self, chunks: &[usize], plan: &Plan, stems: &Stems) -> Result<()> {
        for some in chunks.chunks(WITHDRAWN_AT_ONCE) {
            let some = some.iter().map(|&chunk| chunk as u32).collect();
            self.journal.append(&Record::Withdrawn(some))?;
        }
        self.journal.sync()?;
        chunks.iter().for_each(|&chunk| self.remove_chunk(chunk));
        let cells: BTreeSet<usize> =
            chunks.iter().flat_map(|&chunk| plan.cells_of_chunk(chunk)).collect();
        cells.iter().try_for_each(|&cell| stems.spoil(plan.cells()[cell].frames.start))
    }

    /// Notes that cells are in the stems and synced.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(super) fn note_joined(&mut self, cells: Vec<(u32, CellFacts)>) -> Result<()> {
        self.journal.append(&Record::Joined(cells))
    }

    /// Removes the result of a chunk that is joined.
    pub(super) fn remove_chunk(&self, chunk: usize) {
        // What stays behind is removed at the next start.
        let _ = fs::remove_file(Assembler::chunk_path(&self.chunk_dir(), chunk));
    }

    /// Everything is joined: keeps the waveforms and makes the end survive a power cut.
    ///
    /// # Errors
    /// When the journal cannot be synced.
    pub(super) fn finish(&self, stems: &Stems) -> Result<()> {
        for (&stem, waveform) in stems.stems.iter().zip(&stems.waveforms) {
            if let Err(error) = waveform.save(&Stems::waveform_path(&self.dir, stem)) {
                // It is drawn again at the next opening.
                tracing::warn!("a waveform was not kept: {error}");
            }
        }
        let _ = fs::remove_dir(self.chunk_dir());
        self.journal.sync()
    }
}

/// The stems and the past of a job that is finished, without locking it: nobody writes to it any
/// more. `None` when it is not, or when something is missing that a run would mend.
///
/// # Errors
/// [`ErrorKind::Invalid`] when the folder holds another job.
pub(super) fn open_finished(
    dir: &Path,
    facts: &Facts,
    plan: &Plan,
) -> Result<Option<(Stems, Past)>> {
    if !check_facts(dir, facts)? {
        return Ok(None);
    }
    Ok(finished(dir, facts, plan).ok().flatten())
}

fn finished(dir: &Path, facts: &Facts, plan: &Plan) -> Result<Option<(Stems, Past)>> {
    let past = Past::of(Journal::read(&dir.join("journal"))?, plan);
    if !past.is_complete() {
        return Ok(None);
    }
    let mut stems = Stems::reopen(dir, &facts.stems, facts.channels, facts.frames)?;
    for (stem, waveform) in stems.stems.iter().zip(&mut stems.waveforms) {
        *waveform = Arc::new(Waveform::load(&Stems::waveform_path(dir, *stem))?);
    }
    let mut ready = crate::audio::RangeSet::new();
    ready.insert(0..facts.frames);
    stems.set_ready(ready);
    Ok(Some((stems, past)))
}

impl Stems {
    /// Opens the stems of a finished job.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no finished job in `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let facts = Facts::read(dir)?;
        let plan = Plan::new(facts.frames, facts.chunks)?;
        match finished(dir, &facts, &plan)? {
            Some((stems, _)) => Ok(stems),
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("The separation in “{}” is not finished", dir.display()),
            )
            .advice("Separate the song again; what is done is kept")),
        }
    }
}

/// How far a job is, as its folder tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Its stems.
    pub stems: Vec<Stem>,
    /// Chunks whose results are safe.
    pub chunks_done: usize,
    /// All chunks.
    pub chunks: usize,
    complete: bool,
}

impl Extent {
    /// Whether the stems are whole.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

/// How far the job in `dir` is, without disturbing whoever works on it.
///
/// # Errors
/// When there is none, or it cannot be understood.
pub fn extent(dir: &Path) -> Result<Extent> {
    let facts = Facts::read(dir)?;
    let plan = Plan::new(facts.frames, facts.chunks)?;
    let past = Past::of(Journal::read(&dir.join("journal"))?, &plan);
    Ok(Extent {
        chunks_done: past.committed.iter().flatten().count(),
        chunks: past.committed.len(),
        complete: past.is_complete(),
        stems: facts.stems,
    })
}

/// Whether `dir` holds the job of these facts; false when it holds none.
fn check_facts(dir: &Path, facts: &Facts) -> Result<bool> {
    match Facts::read(dir) {
        Ok(found) if found == *facts => Ok(true),
        Ok(_) => Err(Error::new(
            ErrorKind::Invalid,
            format!("“{}” holds the separation of something else", dir.display()),
        )),
        // Without its description a folder is worth nothing.
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Damaged) => Ok(false),
        Err(error) => Err(error),
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|e| Error::io("create", &path, e))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Busy,
            "This song is being separated by another Stemhive window",
        )
        .kept("Nothing was changed")
        .advice("Wait until it is done there, or stop it there first")),
        // File systems without locks are used without protection from other processes.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// The track must be as long as the song and mono or stereo.
pub(super) fn check_mixture(mixture: &Track, frames: u64) -> Result<()> {
    let channels = mixture.channel_count();
    if !matches!(channels, 1 | 2) || mixture.frames() < frames {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("A song of {channels} channels and {} frames is no input", mixture.frames()),
        ));
    }
    Ok(())
}
