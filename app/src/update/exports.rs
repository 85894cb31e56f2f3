//! Exports: from the form to the engine's request, the plan shown in the dialog, running exports.

use std::{ops::Range, path::PathBuf, sync::Arc, thread};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use engine::{
    Result,
    audio::RangeSet,
    export::{
        self, Bits, ClipPolicy, Existing, ExportHandle, ExportPhase, ExportRequest, Exported,
        Format, Item, Level, Mp3Quality, Rate, VorbisQuality,
    },
    mix::LaneControl,
    model::{Progress, Stem},
    song::SongInfo,
    store::Track,
};

use super::toasts::{Message, show_error};
use crate::{
    command::Command,
    state::{
        ClipChoice, ExportBits, ExportForm, ExportFormat, ExportPart, ExportPlan, ExportRun,
        PlannedFile, State,
    },
    units,
};

/// The tracks of a song, for an export of it.
pub struct Material {
    /// Facts about the song.
    pub info: Arc<SongInfo>,
    /// Name of the model.
    pub model: String,
    /// The mixture.
    pub mixture: Arc<Track>,
    /// Stems in lane order, none before separation.
    pub stems: Vec<(Stem, Arc<Track>)>,
    /// One per stem.
    pub lanes: Vec<LaneControl>,
    /// Where the stems are final.
    pub ready: Arc<RangeSet>,
    /// Frames of the song.
    pub frames: u64,
    /// Where the user listens; of several ready parts this one is meant.
    pub playhead: u64,
    /// The loop.
    pub loop_range: Option<Range<u64>>,
    /// The selection.
    pub selection: Option<Range<u64>>,
}

impl Material {
    /// The export that `form` describes.
    pub fn request(&self, form: &ExportForm) -> ExportRequest {
        let has = |stem: &Stem| self.stems.iter().any(|(there, _)| there == stem);
        let mut items: Vec<Item> = form.stems.iter().copied().filter(has).map(Item::Stem).collect();
        if self.stems.is_empty() {
            // Nothing is separated: the song itself is what is heard.
            items.push(Item::Original);
        } else {
            items.extend(form.mix.then_some(Item::Mix));
            items.extend(form.residual.then_some(Item::Remainder));
        }
        ExportRequest {
            song: SongInfo::clone(&self.info),
            model: self.model.clone(),
            mixture: self.mixture.clone(),
            stems: self.stems.clone(),
            lanes: self.lanes.clone(),
            items,
            range: self.range(form.part),
            format: format(form),
            rate: form.sample_rate_hz.map_or(Rate::Source, Rate::Hz),
            clipping: match form.clipping {
                ClipChoice::TurnDown => ClipPolicy::CommonGain,
                ClipChoice::Cut => ClipPolicy::Limit,
                ClipChoice::Float => ClipPolicy::KeepFloat,
            },
            template: form.template.clone(),
            folder: form.folder.clone().unwrap_or_default(),
            copy_tags: form.tags,
            existing: Existing::NumberUp,
        }
    }

    /// The part asked for, as far as its stems are ready; `None` is the whole song.
    fn range(&self, part: ExportPart) -> Option<Range<u64>> {
        let asked = match part {
            ExportPart::Whole => None,
            ExportPart::Loop => self.loop_range.clone(),
            ExportPart::Selection => self.selection.clone(),
        };
        let whole = 0..self.frames;
        if self.stems.is_empty() || self.ready.covers(asked.as_ref().unwrap_or(&whole)) {
            return asked;
        }
        let asked = asked.unwrap_or(whole);
        let inside = |ready: &Range<u64>| ready.start.max(asked.start)..ready.end.min(asked.end);
        let here = self.ready.iter().map(inside).find(|range| range.contains(&self.playhead));
        let longest = || {
            let parts = self.ready.iter().map(inside).filter(|range| !range.is_empty());
            parts.max_by_key(|range| range.end - range.start)
        };
        // Nothing ready is an empty part, which the engine refuses in words.
        Some(here.or_else(longest).unwrap_or(asked.start..asked.start))
    }

    /// Share of the part asked for that would be written.
    fn ready_fraction(&self, request: &ExportRequest) -> f32 {
        match &request.range {
            Some(range) if !self.stems.is_empty() => {
                (range.end - range.start) as f32 / self.frames.max(1) as f32
            }
            _ => 1.0,
        }
    }
}

fn format(form: &ExportForm) -> Format {
    let bits = match form.bits {
        ExportBits::Int16 => Bits::Int16,
        ExportBits::Int24 => Bits::Int24,
        ExportBits::Float32 => Bits::Float32,
    };
    match form.format {
        ExportFormat::Wav => Format::Wav(bits),
        // FLAC holds integers only.
        ExportFormat::Flac if bits == Bits::Float32 => Format::Flac(Bits::Int24),
        ExportFormat::Flac => Format::Flac(bits),
        ExportFormat::Mp3 => Format::Mp3(Mp3Quality::V0),
        ExportFormat::Ogg => Format::Vorbis(VorbisQuality::default()),
    }
}

/// Where exports go when nobody chose yet: "Stems/<title>" in the music folder.
pub fn default_folder(title: &str) -> PathBuf {
    let user = directories::UserDirs::new();
    let music = user.as_ref().and_then(|user| {
        let music = user.audio_dir().map(std::path::Path::to_path_buf);
        music.or_else(|| Some(user.home_dir().to_path_buf()))
    });
    music.unwrap_or_default().join("Stems").join(export::safe_name(title))
}

struct Question {
    request: ExportRequest,
    ready_fraction: f32,
}

/// Plans exports while their dialog is open, on a thread of its own; the newest question counts.
pub struct Planner {
    ask: Sender<Question>,
    stale: Receiver<Question>,
    answers: Receiver<Result<ExportPlan>>,
}

struct UnlessAsked<'a>(&'a Receiver<Question>);

impl Progress for UnlessAsked<'_> {
    fn report(&self, _done: f32) {}

    fn is_cancelled(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Planner {
    /// Starts the thread; `wake` is called after every answer.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(wake: impl Fn() + Send + 'static) -> Result<Self> {
        let (ask, questions) = bounded::<Question>(1);
        let (answer, answers) = bounded(8);
        let stale = questions.clone();
        thread::Builder::new()
            .name("export planner".into())
            .spawn(move || {
                let mut measured: Option<(MeasureKey, Vec<Level>)> = None;
                for question in &questions {
                    let say = |plan| {
                        let sent = answer.send(plan).is_ok();
                        wake();
                        sent
                    };
                    // Names and sizes at once; peaks need all samples to be read.
                    let first = plan(&question, None);
                    let go_on = first.is_ok() && !question.request.format.is_float();
                    if !say(first) {
                        return;
                    }
                    if !go_on {
                        continue;
                    }
                    let key = MeasureKey::of(&question.request);
                    if measured.as_ref().is_none_or(|(known, _)| *known != key) {
                        measured = export::measure(&question.request, &UnlessAsked(&questions))
                            .ok()
                            .map(|levels| (key, levels));
                    }
                    if let Some((_, levels)) = &measured
                        && !say(plan(&question, Some(levels)))
                    {
                        return;
                    }
                }
            })
            .map_err(|cause| {
                let what = "Cannot start a thread to plan exports";
                engine::Error::new(engine::ErrorKind::Internal, what).caused_by(cause)
            })?;
        Ok(Self { ask, stale, answers })
    }

    /// Asks for the plan of `form` over `material`.
    pub fn ask(&self, material: &Material, form: &ExportForm) {
        let request = material.request(form);
        let ready_fraction = material.ready_fraction(&request);
        let mut question = Question { request, ready_fraction };
        // An older question that still waits is nobody's business any more.
        while let Err(TrySendError::Full(again)) = self.ask.try_send(question) {
            let _ = self.stale.try_recv();
            question = again;
        }
    }

    /// The newest answer, if there is one.
    pub fn poll(&self) -> Option<Result<ExportPlan>> {
        self.answers.try_iter().last()
    }
}

/// What measured levels hold for.
#[derive(PartialEq)]
struct MeasureKey {
    song: PathBuf,
    items: Vec<Item>,
    range: Option<Range<u64>>,
    rate: Rate,
    lanes: Vec<LaneControl>,
}

impl MeasureKey {
    fn of(request: &ExportRequest) -> Self {
        Self {
            song: request.song.path.clone(),
            items: request.items.clone(),
            range: request.range.clone(),
            rate: request.rate,
            lanes: request.lanes.clone(),
        }
    }
}

fn plan(question: &Question, levels: Option<&[Level]>) -> Result<ExportPlan> {
    let plan = export::plan(&question.request, levels)?;
    let peak_db =
        levels.into_iter().flatten().map(|level| level.peak_db()).fold(f32::NEG_INFINITY, f32::max);
    Ok(ExportPlan {
        files: plan
            .files
            .iter()
            .map(|file| PlannedFile {
                name: file.name.clone(),
                bytes: file.bytes,
                renamed: file.number_added.is_some(),
            })
            .collect(),
        free_bytes: plan.free_bytes,
        over_db: (peak_db > 0.0).then_some(peak_db),
        ready_fraction: question.ready_fraction,
    })
}

/// Exports that run.
#[derive(Debug, Default)]
pub struct Exports {
    running: Vec<(u64, ExportHandle)>,
}

impl Exports {
    /// Starts one under the number `key`.
    pub fn start(
        &mut self,
        state: &mut State,
        key: u64,
        request: ExportRequest,
        wake: export::Wake,
    ) {
        let (title, files) = (request.song.title.clone(), request.items.len());
        self.running.push((key, export::start(request, wake)));
        state.exports.push(ExportRun { key, title, fraction: 0.0, files });
    }

    /// Cancels one.
    pub fn cancel(&self, key: u64) {
        self.running.iter().filter(|(k, _)| *k == key).for_each(|(_, handle)| handle.cancel());
    }

    /// Cancels all.
    pub fn cancel_all(&self) {
        self.running.iter().for_each(|(_, handle)| handle.cancel());
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Brings `state` up to date and tells what has ended.
    pub fn poll(&mut self, state: &mut State) {
        self.running.retain(|(key, handle)| {
            let status = handle.status();
            match status.phase {
                ExportPhase::Preparing | ExportPhase::Writing => {
                    if let Some(run) = state.exports.iter_mut().find(|run| run.key == *key) {
                        run.fraction = status.fraction;
                        run.files = status.files_total.max(run.files);
                    }
                    return true;
                }
                ExportPhase::Done(exported) => tell(state, *key, &exported),
                ExportPhase::Failed(error) => {
                    super::speech::say(state, format!("Export failed. {error}"));
                    show_error(state, *key, &error);
                }
                ExportPhase::Cancelled => {}
            }
            state.exports.retain(|run| run.key != *key);
            false
        });
    }
}

fn tell(state: &mut State, key: u64, exported: &Exported) {
    let title = format!("{} exported", units::count(exported.files.len(), "file"));
    super::speech::say(state, title.clone());
    let folder = exported.files.first().and_then(|file| file.parent()).map(PathBuf::from);
    let place = folder.as_ref().map_or(String::new(), |folder| {
        let last: Vec<_> = folder.iter().rev().take(3).collect();
        let names: Vec<_> = last.iter().rev().map(|part| part.to_string_lossy()).collect();
        format!(" in {}", names.join(" / "))
    });
    let mut text = format!("{}{place}", units::bytes(exported.bytes));
    for warning in &exported.warnings {
        text += &format!("\n{warning}");
    }
    let mut message = Message::good(title).text(text);
    if let Some(folder) = folder {
        message = message.button("Show folder", Command::ShowFolder(folder));
    }
    message.show(state, key);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn material(ready: &[(u64, u64)]) -> Material {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let track = |name: &str| Arc::new(Track::create(dir.path(), name, 2).expect("writable"));
        let mut set = RangeSet::new();
        ready.iter().for_each(|(start, end)| set.insert(*start..*end));
        Material {
            info: Arc::new(crate::views::testing::info(10)),
            model: "spectral".into(),
            mixture: track("mix"),
            stems: vec![(Stem::Drums, track("drums")), (Stem::Vocals, track("vocals"))],
            lanes: vec![LaneControl::default(); 2],
            ready: Arc::new(set),
            frames: 1000,
            playhead: 650,
            loop_range: Some(100..300),
            selection: None,
        }
    }

    #[test]
    fn only_what_is_ready_is_exported() {
        let all = material(&[(0, 1000)]);
        assert_eq!(all.range(ExportPart::Whole), None);
        assert_eq!(all.range(ExportPart::Loop), Some(100..300));
        let some = material(&[(0, 200), (600, 700), (800, 1000)]);
        assert_eq!(some.range(ExportPart::Whole), Some(600..700), "where the user listens");
        assert_eq!(some.range(ExportPart::Loop), Some(100..200));
        let none = material(&[]);
        assert_eq!(none.range(ExportPart::Whole), Some(0..0));
        let form = ExportForm::default();
        assert_eq!(some.ready_fraction(&some.request(&form)), 0.1);
    }

    #[test]
    fn the_form_becomes_a_request() {
        let mut material = material(&[(0, 1000)]);
        let mut form = ExportForm { residual: true, ..ExportForm::default() };
        let items = material.request(&form).items;
        let stems = [Item::Stem(Stem::Drums), Item::Stem(Stem::Vocals)];
        assert_eq!(items, [stems[0], stems[1], Item::Mix, Item::Remainder]);
        (form.format, form.bits) = (ExportFormat::Flac, ExportBits::Float32);
        assert_eq!(material.request(&form).format, Format::Flac(Bits::Int24));
        material.stems.clear();
        assert_eq!(material.request(&form).items, [Item::Original]);
    }
}
