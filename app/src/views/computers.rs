//! What is said of other computers, everywhere alike: how one stands, what to do about it, its
//! link; and its row in the side panel.

use std::time::Duration;

use egui::{Align2, Color32, Sense, Ui, WidgetInfo, accesskit::Role, pos2, vec2};
use engine::{
    crew::{PauseReason, Standing},
    job::{ChunkState, JobStatus, WorkerActivity},
    protocol::LinkKind,
    remote::{Computer, Link},
};

use super::progress_band::times;
use crate::{
    command::Command,
    icons::Icon,
    state::{Dialog, State, computers::is_usable},
    theme::{Theme, Type},
    time, units,
    widgets::{
        self, Button, computer_badge, focus_ring, label_color, letter_of, paint_tabular,
        progress_bar,
    },
};

/// Version of this program.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// It works.
    Good,
    /// Nothing to do about it.
    Plain,
    /// It keeps the computer from working.
    Bad,
}

/// What to do next about a computer that does not work.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    TryAgain,
    ShowWhy(Vec<String>),
    HowToUpdate(Vec<String>),
    Resume,
    Compare,
}

/// A state in plain words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) detail: Option<String>,
    pub(super) mood: Mood,
    /// Share done, where it waits for something that has one.
    pub(super) share: Option<f32>,
    pub(super) steps: Vec<Step>,
}

impl Words {
    fn new(mood: Mood, text: impl Into<String>) -> Self {
        Self { text: text.into(), detail: None, mood, share: None, steps: Vec::new() }
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    fn steps(mut self, steps: impl Into<Vec<Step>>) -> Self {
        self.steps = steps.into();
        self
    }

    pub(super) fn color(&self, theme: &Theme) -> Color32 {
        match self.mood {
            Mood::Good => theme.ok,
            Mood::Plain => theme.text2,
            Mood::Bad => theme.honey_text,
        }
    }

    /// The mark before a bad state; waiting has another one than trouble.
    fn icon(&self) -> Option<Icon> {
        (self.mood == Mood::Bad).then_some(match self.steps.first() {
            None => Icon::Clock,
            Some(_) => Icon::Warning,
        })
    }
}

/// How a computer stands.
pub(super) fn standing_words(standing: &Standing) -> Words {
    use Mood::{Bad, Good, Plain};
    match standing {
        Standing::Ready => Words::new(Good, "Ready"),
        Standing::Away => {
            Words::new(Bad, "Not connected").detail("Joins once its worker is started")
        }
        Standing::Unconfirmed => Words::new(Bad, "Waiting for you")
            .detail("Compare its fingerprint before it works")
            .steps([Step::Compare]),
        Standing::PausedHere => Words::new(Plain, "Paused by you").steps([Step::Resume]),
        Standing::PausedThere(PauseReason::Trouble) => {
            let why = "Its engine broke down again and again";
            Words::new(Bad, "Paused itself").detail(why).steps([Step::ShowWhy(vec![
                format!("{why}, so it takes no more pieces for now."),
                "What it did before is checked and kept.".into(),
                "Look at the worker's messages there, then start it again.".into(),
            ])])
        }
        Standing::PausedThere(reason) => Words::new(Plain, "Paused there").detail(match reason {
            PauseReason::Owner => "Its owner paused it",
            PauseReason::UserActive => "Somebody is using it",
            PauseReason::Battery => "It runs on its battery",
            PauseReason::Schedule | PauseReason::Trouble => "Outside its working hours",
        }),
        Standing::Leaving => Words::new(Plain, "Leaving").detail("It finishes what it has first"),
        Standing::GettingModel(share) => {
            let percent = (share.clamp(0.0, 1.0) * 100.0).floor();
            let mut words = Words::new(Good, format!("Getting its model, {percent:.0} %"));
            words.share = Some(*share);
            words
        }
        Standing::Testing => Words::new(Good, "Computing a test piece")
            .detail("Its result is compared with this PC's"),
        Standing::UpdateNeeded { theirs } => {
            let detail = if theirs.is_empty() {
                format!("It does not say what it has; this PC has {VERSION}")
            } else {
                format!("Has {theirs}, this PC has {VERSION}")
            };
            Words::new(Bad, "Update needed").detail(detail.clone()).steps([Step::HowToUpdate(
                vec![
                    format!("{detail}."),
                    format!(
                        "Install Stemhive Worker {VERSION} there, or the newest Stemhive here."
                    ),
                    "Both must be of the same version. It stays paired and joins by itself.".into(),
                ],
            )])
        }
        Standing::Differs => Words::new(Bad, "Computes differently")
            .detail("Its test piece did not match; not used")
            .steps([
                Step::TryAgain,
                Step::ShowWhy(vec![
                    "Its test piece came out otherwise than on this PC.".into(),
                    "Another kind of processor or system rounds in another way. A song is the \
                     same to the last bit whoever computes it, so it is not used."
                        .into(),
                ]),
            ]),
        Standing::SetAside { left, why } => {
            let text =
                left.map_or("Set aside".into(), |left| format!("Set aside for {}", rough(left)));
            let wait = match left {
                Some(left) => format!("It is used again in {}.", rough(*left)),
                None => "It is not used until you say so.".into(),
            };
            let kept = "What it did for this song is done again by the others.".into();
            Words::new(Bad, text)
                .detail(why.clone())
                .steps([Step::TryAgain, Step::ShowWhy(vec![format!("{why}."), wait, kept])])
        }
        Standing::Refused { why } => {
            Words::new(Bad, "Does not take this work").detail(why.clone()).steps([Step::ShowWhy(
                vec![format!("It says: {why}."), "Its owner decides which models it takes.".into()],
            )])
        }
    }
}

/// What the worker at this place of a job's list does.
pub(super) fn activity_words(job: &JobStatus, worker: usize) -> Words {
    match &job.workers[worker].activity {
        WorkerActivity::Working(pieces) => working_words(job, worker, *pieces),
        WorkerActivity::Idle => Words::new(Mood::Plain, "Idle").detail("Nothing left to do for it"),
        WorkerActivity::Paused => Words::new(Mood::Plain, "Paused"),
        WorkerActivity::Absent(standing) => standing_words(standing),
    }
}

/// What a worker does that has so many pieces: what it sends back is named, and what is not its
/// first try.
fn working_words(job: &JobStatus, worker: usize, pieces: usize) -> Words {
    let range = |piece: usize| job.grid.get(piece).map(time::frames_range).unwrap_or_default();
    let has = |chunk: &ChunkState| match chunk {
        ChunkState::Running { worker: by, sent_back, tries, .. } if *by == worker => {
            Some((*sent_back, *tries))
        }
        _ => None,
    };
    let its = || job.chunks.iter().enumerate().filter_map(|(n, chunk)| Some((n, has(chunk)?)));
    let mut words = match its().find_map(|(piece, (sent_back, _))| Some((piece, sent_back?))) {
        Some((piece, share)) => Words {
            share: Some(share),
            ..Words::new(Mood::Good, format!("Sending back {}", range(piece)))
        },
        None => Words::new(Mood::Good, format!("Working on {}", units::count(pieces, "piece"))),
    };
    if let Some((piece, (_, tries))) = its().find(|(_, (_, tries))| *tries > 1) {
        words.detail = Some(format!("{}, try {tries}", range(piece)));
    }
    words
}

/// A computer that was there while the song is being separated.
pub(super) fn gone_words(away: Duration) -> Words {
    Words::new(Mood::Bad, format!("Gone for {}", time::clock(away.as_secs_f64())))
        .detail("Joins again when it is back")
}

/// A computer that took part in the job on screen and was forgotten.
pub(super) fn forgotten_words() -> Words {
    Words::new(Mood::Plain, "Not paired any more")
}

/// How a paired computer stands that has no part in the job on screen.
pub(super) fn left_out_words(standing: &Standing) -> Words {
    match standing {
        Standing::Ready | Standing::GettingModel(_) | Standing::Testing => {
            Words::new(Mood::Plain, "Not used for this song")
        }
        standing => standing_words(standing),
    }
}

/// "10 min", "1 min", "2 h".
fn rough(time: Duration) -> String {
    match time.as_secs().div_ceil(60) {
        minutes if minutes >= 90 => format!("{} h", (minutes + 30) / 60),
        minutes => format!("{} min", minutes.max(1)),
    }
}

/// "Cable", "Wi-Fi"; nothing where it is not known.
fn kind_text(link: &Link) -> Option<&'static str> {
    link.kind.map(|kind| match kind {
        LinkKind::Cable => "Cable",
        LinkKind::WiFi => "Wi-Fi",
    })
}

/// "Cable 940 Mb/s, 3 ms"; only what is known.
pub(super) fn link_text(link: &Link) -> String {
    match (kind_text(link), link.bytes_per_sec) {
        (Some(kind), Some(_)) => format!("{kind} {}", figures_text(link)),
        (Some(kind), None) => format!("{kind}, {}", figures_text(link)),
        (None, _) => figures_text(link),
    }
}

/// As little as there is room for beside a name: "Cable", or how quick it is.
pub(super) fn short_link_text(link: &Link) -> String {
    kind_text(link).map_or_else(|| figures_text(link), str::to_owned)
}

fn figures_text(link: &Link) -> String {
    let millis = link.rtt.as_secs_f64() * 1e3;
    let rtt = if millis < 1.0 { "under 1 ms".into() } else { format!("{millis:.0} ms") };
    match link.bytes_per_sec.map(|bytes| bytes * 8.0 / 1e6) {
        // What came before anybody looked took no time: more is not known.
        Some(mb) if mb >= 10_000.0 => format!("over 10 Gb/s, {rtt}"),
        Some(mb) if mb >= 1_000.0 => format!("{:.1} Gb/s, {rtt}", mb / 1e3),
        Some(mb) if mb >= 10.0 => format!("{mb:.0} Mb/s, {rtt}"),
        Some(mb) => format!("{mb:.1} Mb/s, {rtt}"),
        None => rtt,
    }
}

/// The buttons of `steps`, each naming the computer to screen readers.
pub(super) fn steps_ui(
    ui: &mut Ui,
    computer: &Computer,
    steps: &[Step],
    commands: &mut Vec<Command>,
) {
    for step in steps {
        let (device, name) = (computer.device, &computer.name);
        let details = |title: &str, lines: &[String]| {
            let title = format!("{name}: {title}");
            Command::OpenDialog(Dialog::Details { title, lines: lines.to_vec() })
        };
        let (text, command) = match step {
            Step::TryAgain => ("Try again", Command::TryComputerAgain(device)),
            Step::ShowWhy(lines) => ("Show why", details("why it is not used", lines)),
            Step::HowToUpdate(lines) => ("How to update", details("how to update", lines)),
            Step::Resume => ("Resume", Command::PauseComputer { device, paused: false }),
            Step::Compare => ("Compare…", Command::OpenDialog(Dialog::Paired(device))),
        };
        let button = Button::secondary(text).small().name(format!("{text}: {name}"));
        if ui.add(button).clicked() {
            commands.push(command);
        }
    }
}

/// The state of a computer: icon, words, detail, how far.
pub(super) fn words_ui(ui: &mut Ui, words: &Words) {
    let theme = Theme::get(ui);
    let color = words.color(theme);
    // No higher than its text.
    ui.spacing_mut().interact_size.y = Type::Small.line_height();
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        if let Some(icon) = words.icon() {
            let (rect, _) = ui.allocate_exact_size(vec2(14.0, 16.0), Sense::hover());
            icon.paint(ui.painter(), rect.center(), 14.0, color);
        }
        label_color(ui, Type::Small, color, &words.text);
    });
    if let Some(detail) = &words.detail {
        label_color(ui, Type::Small, theme.text3, detail);
    }
}

/// A computer in the side panel.
pub(super) struct Row<'a> {
    pub(super) letter: usize,
    pub(super) name: &'a str,
    pub(super) usable: bool,
    pub(super) speed: Option<f32>,
    pub(super) words: Words,
    /// Threads or link, pieces done.
    pub(super) facts: String,
    /// `None` for this one.
    pub(super) computer: Option<&'a Computer>,
    /// Whether its pieces stand out; `None` where there is nothing to tell apart.
    pub(super) marked: Option<bool>,
}

/// Draws a row. Choosing it lets its pieces stand out, and shows more to do with it.
pub(super) fn row_ui(ui: &mut Ui, row: &Row<'_>, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    let marked = row.marked == Some(true);
    let background = ui.painter().add(egui::Shape::Noop);
    let head = ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing = vec2(12.0, 2.0);
        computer_badge(ui, row.letter, row.usable, 24.0);
        ui.vertical(|ui| {
            ui.set_width(ui.available_width());
            let (line, _) =
                ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::hover());
            let speed = row.speed.map_or("–".into(), times);
            let right = line.right_center();
            let size = Type::BodyStrong;
            let end =
                paint_tabular(ui.painter(), right, Align2::RIGHT_CENTER, &speed, size, theme.text);
            let room = end.left() - 8.0 - line.left();
            let name = widgets::galley(ui.painter(), row.name, size, theme.text, room);
            ui.painter().galley(pos2(line.left(), line.center().y - 9.0), name, theme.text);
            words_ui(ui, &row.words);
            if !row.facts.is_empty() {
                label_color(ui, Type::Small, theme.text3, &row.facts);
            }
            if let Some(share) = row.words.share {
                ui.add_space(3.0);
                let color = Theme::computer(row.letter);
                progress_bar(ui, share, color, &format!("{}, {}", row.name, row.words.text));
            }
        });
    });
    let place = head.response.rect;
    if let Some(on) = row.marked {
        let id = ui.scope_id().with(("computer", row.letter));
        let response = ui.interact(place, id, Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, said(row)));
        if on || response.hovered() {
            let fill = if on { theme.ctl } else { theme.ctl.gamma_multiply(0.5) };
            let shape = egui::Shape::rect_filled(place.expand2(vec2(8.0, 4.0)), 6.0, fill);
            ui.painter().set(background, shape);
        }
        focus_ring(ui, &response, place.expand2(vec2(4.0, 2.0)), 6);
        if response.clicked() {
            commands.push(Command::MarkComputer((!on).then_some(row.letter)));
        }
    }
    let Some(computer) = row.computer else { return };
    if row.words.steps.is_empty() && !marked {
        return;
    }
    ui.add_space(6.0);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(8.0, 6.0);
        ui.add_space(36.0);
        steps_ui(ui, computer, &row.words.steps, commands);
        if marked {
            more_ui(ui, computer, commands);
        }
    });
}

/// What can be done with any computer.
fn more_ui(ui: &mut Ui, computer: &Computer, commands: &mut Vec<Command>) {
    let (device, name) = (computer.device, &computer.name);
    if is_usable(&computer.standing) {
        let button = Button::secondary("Pause").small().name(format!("Pause: {name}"));
        if ui.add(button).clicked() {
            commands.push(Command::PauseComputer { device, paused: true });
        }
    }
    let button = Button::secondary("Details…").small().name(format!("Details…: {name}"));
    if ui.add(button).clicked() {
        commands.push(Command::OpenDialog(Dialog::Computer(device)));
    }
}

/// The row as a screen reader says it.
fn said(row: &Row<'_>) -> String {
    let mut said = format!("{}, computer {}, {}", row.name, letter_of(row.letter), row.words.text);
    for part in [row.words.detail.as_deref(), Some(row.facts.as_str())].into_iter().flatten() {
        if !part.is_empty() {
            said += &format!(", {}", part.replace(" · ", ", "));
        }
    }
    if let Some(speed) = row.speed {
        said += &format!(", {} real time", times(speed));
    }
    said
}

/// "3 of 6 working" while a song is being separated, else "This PC + 2 computers".
pub(super) fn summary(state: &State) -> String {
    let others = state.computers.computers.len();
    let job = state.song().filter(|song| song.is_separating()).and_then(|song| song.job.as_ref());
    match job {
        Some(job) if others > 0 => {
            let at_work =
                |activity: &WorkerActivity| matches!(activity, WorkerActivity::Working(_));
            let working = job.workers.iter().filter(|worker| at_work(&worker.activity)).count();
            format!("{working} of {} working", others + 1)
        }
        _ if others > 0 => format!("This PC + {}", units::count(others, "computer")),
        _ => "This PC".into(),
    }
}

/// Why no other computer can be used, where that is so.
pub(super) fn trouble_ui(ui: &mut Ui, state: &State) {
    let Some(error) = &state.computers.trouble else { return };
    let theme = Theme::get(ui);
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing = vec2(8.0, 2.0);
        let (rect, _) = ui.allocate_exact_size(vec2(16.0, 16.0), Sense::hover());
        Icon::Warning.paint(ui.painter(), rect.center(), 16.0, theme.honey_text);
        ui.vertical(|ui| {
            label_color(ui, Type::Small, theme.honey_text, format!("{}.", error.what));
            if let Some(advice) = &error.advice {
                label_color(ui, Type::Small, theme.text2, format!("{advice}."));
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::testing;

    #[test]
    fn every_state_has_words_and_every_bad_one_a_next_step() {
        for standing in testing::standings() {
            let words = standing_words(&standing);
            assert!(!words.text.is_empty() && !words.text.ends_with('.'), "{standing:?}");
            let what_to_do = !words.steps.is_empty() || words.detail.is_some();
            assert!(words.mood != Mood::Bad || what_to_do, "{standing:?}");
            if is_usable(&standing) {
                assert_eq!(words.mood, Mood::Good, "{standing:?}");
            } else {
                assert_ne!(words.mood, Mood::Good, "{standing:?}");
            }
        }
    }

    #[test]
    fn figures_of_a_link_read_well() {
        let link = |kind, bytes_per_sec, millis| Link {
            address: ([192, 168, 1, 7], 5000).into(),
            rtt: Duration::from_micros(millis),
            kind,
            bytes_per_sec,
        };
        let text = |kind, bytes_per_sec, millis| link_text(&link(kind, bytes_per_sec, millis));
        let (cable, wifi) = (Some(LinkKind::Cable), Some(LinkKind::WiFi));
        assert_eq!(text(cable, Some(117.5e6), 3_000), "Cable 940 Mb/s, 3 ms");
        assert_eq!(text(wifi, Some(10.75e6), 11_000), "Wi-Fi 86 Mb/s, 11 ms");
        assert_eq!(text(wifi, None, 11_200), "Wi-Fi, 11 ms");
        assert_eq!(text(None, Some(0.6e6), 400), "4.8 Mb/s, under 1 ms");
        assert_eq!(text(None, None, 11_200), "11 ms");
        assert_eq!(text(cable, Some(312.5e6), 400), "Cable 2.5 Gb/s, under 1 ms");
        assert_eq!(text(None, Some(1.2e10), 400), "over 10 Gb/s, under 1 ms");
        assert_eq!(short_link_text(&link(cable, None, 400)), "Cable");
        assert_eq!(short_link_text(&link(None, None, 400)), "under 1 ms");
    }

    #[test]
    fn what_is_sent_back_or_tried_again_is_named() {
        let mut job = testing::job(10, 4);
        let words = |job: &JobStatus| activity_words(job, 0);
        assert_eq!(words(&job).text, "Working on 1 piece");
        assert_eq!((words(&job).detail, words(&job).share), (None, None));
        let state =
            |sent_back, tries| ChunkState::Running { worker: 0, progress: 1.0, sent_back, tries };
        job.chunks[4] = state(None, 3);
        assert_eq!(words(&job).text, "Working on 1 piece");
        assert_eq!(words(&job).detail.as_deref(), Some("0:32–0:40, try 3"));
        job.chunks[4] = state(Some(0.55), 1);
        assert_eq!(words(&job).text, "Sending back 0:32–0:40");
        assert_eq!((words(&job).detail, words(&job).share), (None, Some(0.55)));
        // Somebody else's.
        job.chunks[4] = ChunkState::Running { worker: 1, progress: 0.1, sent_back: None, tries: 2 };
        assert_eq!(words(&job).detail, None);
    }

    #[test]
    fn waits_read_well() {
        assert_eq!(rough(Duration::from_secs(599)), "10 min");
        assert_eq!(rough(Duration::from_secs(3)), "1 min");
        assert_eq!(rough(Duration::from_secs(7_200)), "2 h");
    }
}
