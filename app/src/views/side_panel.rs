//! The side panel: the songs in the queue, the selection, the null test, who computed what.

use std::time::{Duration, SystemTime};

use egui::{Frame, Margin, Rect, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2};
use engine::{
    crew::Standing,
    job::{JobPhase, JobStatus, NullTest, WorkerActivity},
    remote::Computer,
};

use super::{
    at, at_right, column, computers,
    computers::{
        Row, activity_words, forgotten_words, gone_words, left_out_words, link_text, row_ui,
    },
    layout::take_bottom,
    progress_band::{percent, times},
};
use crate::{
    command::Command,
    icons::Icon,
    state::{Dialog, Opening, SongView, State, computers::is_usable, frame_secs},
    theme::{Theme, Type},
    time, units,
    widgets::{
        Button, IconButton, computer_badge, focus_ring, galley, label_color, paint_tabular,
        progress_bar, separator, tabular,
    },
};

/// Residual from which on the stems count as adding up exactly.
const EXACT_DB: f32 = -120.0;

/// Draws the panel over all of `ui`.
pub fn side_panel_ui(ui: &mut Ui, state: &State, song: &SongView, commands: &mut Vec<Command>) {
    summary_stop(ui, song);
    let mut place = ui.max_rect();
    let footer = song.is_separating().then(|| take_bottom(&mut place, FOOTER));
    column(ui, "computers and facts", place, |ui| sections_ui(ui, state, song, commands));
    if let Some(place) = footer {
        column(ui, "footer", place, |ui| footer_ui(ui, commands));
    }
}

fn sections_ui(ui: &mut Ui, state: &State, song: &SongView, commands: &mut Vec<Command>) {
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().item_spacing = vec2(8.0, 0.0);
        let mut first = true;
        let mut section = |ui: &mut Ui, add: &mut dyn FnMut(&mut Ui)| {
            if !first {
                separator(ui);
            }
            first = false;
            Frame::new().inner_margin(Margin::symmetric(16, 14)).show(ui, |ui| {
                ui.set_width(ui.available_width());
                add(ui);
            });
        };
        if state.songs.len() > 1 {
            section(ui, &mut |ui| queue_ui(ui, state, commands));
        }
        if song.selection.is_some() {
            section(ui, &mut |ui| selection_ui(ui, song, commands));
        }
        let Some(job) = &song.job else {
            section(ui, &mut |ui| {
                title_row(ui, "Stems", "");
                let text = "Nothing is separated yet. The song plays as the original.";
                label_color(ui, Type::Small, Theme::get(ui).text2, text);
            });
            return;
        };
        if song.is_separating() {
            section(ui, &mut |ui| work_ui(ui, state, job, commands));
        }
        if let Some(null) = job.null_test {
            section(ui, &mut |ui| null_test_ui(ui, song, null));
        }
        if !song.is_separating() {
            section(ui, &mut |ui| computed_by_ui(ui, song, job));
        }
    });
}

/// Height of what stays below the computers.
const FOOTER: f32 = 86.0;

/// What holds whoever computes, and how to get more who do.
fn footer_ui(ui: &mut Ui, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    ui.spacing_mut().item_spacing = vec2(8.0, 0.0);
    separator(ui);
    Frame::new().inner_margin(Margin::symmetric(16, 12)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(14.0, 16.0), Sense::hover());
            Icon::Check.paint(ui.painter(), rect.center(), 14.0, theme.ok);
            label_color(ui, Type::Small, theme.text2, "Same result on any mix of these computers");
        });
        ui.add_space(10.0);
        let width = ui.available_width();
        let add = Button::secondary("Add a computer").icon(Icon::Plus).width(width);
        if ui.add(add.name("Add a computer…")).clicked() {
            commands.push(Command::OpenDialog(Dialog::AddComputer));
        }
    });
}

/// The panel itself takes the focus and says in one sentence what it shows, since most of it is
/// text that Tab passes over.
fn summary_stop(ui: &Ui, song: &SongView) {
    let place = ui.max_rect();
    let id = ui.scope_id().with("summary");
    let response = ui.interact(place, id, Sense::focusable_noninteractive());
    let mut said = format!("Details: {}", standing(song));
    if let Some(job) = &song.job {
        for worker in &job.workers {
            said += &format!(", {} by {}", pieces(worker.chunks_done), worker.name);
        }
        if let Some(null) = job.null_test {
            said += &format!(", null test {}", null_text(null));
        }
    }
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, &said));
    focus_ring(ui, &response, place.shrink(5.0), 4);
}

/// A title with something small at the right edge.
fn title_row(ui: &mut Ui, title: &str, right: &str) {
    let theme = Theme::get(ui);
    let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), 24.0), Sense::hover());
    let title = galley(ui.painter(), title, Type::Title, theme.text, row.width());
    let said = format!("{} {right}", title.text());
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Heading, true, said.trim_end()));
    ui.painter().galley(pos2(row.left(), row.center().y - 10.0), title, theme.text);
    paint_tabular(
        ui.painter(),
        row.right_center(),
        egui::Align2::RIGHT_CENTER,
        right,
        Type::Small,
        theme.text2,
    );
    ui.add_space(6.0);
}

fn queue_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    title_row(ui, "Songs", &format!("{} open", state.songs.len()));
    for (index, song) in state.songs.iter().enumerate() {
        let current = state.current == Some(index);
        let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), 32.0), Sense::hover());
        let open = row.with_max_x(row.right() - 28.0);
        let response = ui.interact(open, ui.scope_id().with(("song", song.key)), Sense::click());
        let standing = standing(song);
        let name = format!("{}, {standing}", song.title());
        response.widget_info(|| WidgetInfo::selected(egui::Role::Button, true, current, &name));
        if current || response.hovered() {
            let fill = if current { theme.ctl } else { theme.ctl.gamma_multiply(0.5) };
            ui.painter().rect_filled(row.expand2(vec2(8.0, 0.0)), 6.0, fill);
        }
        focus_ring(ui, &response, open, 6);
        let right = paint_tabular(
            ui.painter(),
            pos2(open.right() - 4.0, row.center().y),
            egui::Align2::RIGHT_CENTER,
            &standing,
            Type::Small,
            theme.text3,
        );
        let color = if current { theme.text } else { theme.text2 };
        let width = right.left() - row.left() - 8.0;
        let title = galley(ui.painter(), song.title(), Type::BodyMedium, color, width);
        let top = row.center().y - title.size().y / 2.0;
        ui.painter().galley(pos2(row.left(), top), title, color);
        if response.clicked() {
            commands.push(Command::ShowSong(song.key));
        }
        let close =
            Rect::from_min_size(pos2(row.right() - 24.0, row.top() + 3.0), vec2(26.0, 26.0));
        let button =
            IconButton::new(Icon::Close, format!("Close {}", song.title())).size(26.0, 14.0);
        if at(ui, ("close", song.key), close, |ui| ui.add(button)).clicked() {
            commands.push(Command::CloseSong(song.key));
        }
    }
}

/// How far a song of the queue is, in a word.
pub fn standing(song: &SongView) -> String {
    match (&song.opening, &song.job) {
        (Opening::Failed(_), _) => "cannot be read".into(),
        (Opening::Decoding, None) => "reading".into(),
        _ if song.queued => "waiting".into(),
        (_, None) => "not separated".into(),
        (_, Some(job)) if song.half_done => format!("stopped at {} %", percent(job)),
        (_, Some(job)) => match job.phase {
            JobPhase::Queued => "waiting".into(),
            JobPhase::Running => format!("{} %", percent(job)),
            JobPhase::Paused => format!("paused at {} %", percent(job)),
            JobPhase::Cancelled => format!("stopped at {} %", percent(job)),
            JobPhase::Done => "ready".into(),
            JobPhase::Failed(_) => "failed".into(),
        },
    }
}

fn selection_ui(ui: &mut Ui, song: &SongView, commands: &mut Vec<Command>) {
    let Some(range) = &song.selection else { return };
    let theme = Theme::get(ui);
    title_row(ui, "Selection", &time::frames_range_tenths(range));
    let secs = frame_secs(range.end - range.start);
    let mut facts = format!("{secs:.1} seconds");
    if let Some(job) = &song.job {
        let whole = job.ready.covers(range);
        facts += if whole { ", stems ready" } else { ", stems not all ready" };
    }
    label_color(ui, Type::Small, theme.text2, facts);
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        for (text, name, command) in [
            ("Loop it", "Loop the selection", Command::LoopSelection),
            ("Zoom to it", "Zoom to the selection", Command::ZoomSelection),
        ] {
            if ui.add(Button::secondary(text).small().name(name)).clicked() {
                commands.push(command);
            }
        }
        if ui.add(Button::text("Clear").small().name("Clear the selection")).clicked() {
            commands.push(Command::Select(None));
        }
    });
}

fn work_ui(ui: &mut Ui, state: &State, job: &JobStatus, commands: &mut Vec<Command>) {
    let rows = rows(state, job);
    let together = if rows.len() > 1 { " together" } else { "" };
    let speed = job.speed_x_real_time.map(|x| format!("{} real time{together}", times(x)));
    title_row(ui, "Computers", &speed.unwrap_or_default());
    ui.add_space(4.0);
    if state.computers.trouble.is_some() {
        computers::trouble_ui(ui, state);
        ui.add_space(12.0);
    }
    let (usable, not): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.usable);
    for (index, row) in usable.iter().enumerate() {
        ui.add_space(if index > 0 { 16.0 } else { 0.0 });
        row_ui(ui, row, commands);
    }
    if !not.is_empty() {
        ui.add_space(16.0);
        separator(ui);
    }
    for row in &not {
        ui.add_space(16.0);
        row_ui(ui, row, commands);
    }
    if let Some(first) = job.first_audio {
        ui.add_space(12.0);
        let text = format!("First sound after {:.1} s", first.as_secs_f32());
        label_color(ui, Type::Small, Theme::get(ui).text3, text);
    }
}

/// The computers of a job, and those that are paired and have no part in it.
fn rows<'a>(state: &'a State, job: &'a JobStatus) -> Vec<Row<'a>> {
    let paired = &state.computers.computers;
    let known = |letter: usize| paired.iter().find(|computer| computer.letter == letter);
    // Before the hub is open nobody is known.
    let knows_all = state.computers.device.is_some();
    let is_forgotten = |letter: usize| knows_all && letter != 0 && known(letter).is_none();
    // Otherwise nothing would have the time drawn anew.
    let is_running = matches!(job.phase, JobPhase::Running);
    let alone = job.workers.len() + paired.len() < 2;
    let marked = |letter| (!alone).then_some(state.marked_computer == Some(letter));
    let of_job = job.workers.iter().enumerate().map(|(place, worker)| {
        let computer = if worker.letter == 0 { None } else { known(worker.letter) };
        let link = computer.and_then(|computer| computer.link.as_ref()).map(link_text);
        let done = format!("{} done", pieces(worker.chunks_done));
        let usable = match &worker.activity {
            WorkerActivity::Absent(standing) => is_usable(standing),
            _ => true,
        };
        Row {
            letter: worker.letter,
            name: computer.map_or(&worker.name, |computer| &computer.name),
            usable,
            speed: worker.speed_x_real_time.filter(|_| usable),
            words: match (&worker.activity, computer.and_then(away_for)) {
                (WorkerActivity::Absent(Standing::Away), Some(away)) if is_running => {
                    gone_words(away)
                }
                (WorkerActivity::Absent(_), _) if is_forgotten(worker.letter) => forgotten_words(),
                _ => activity_words(job, place),
            },
            facts: match link {
                _ if worker.letter == 0 => {
                    format!("{} · {done}", units::count(worker.threads, "thread"))
                }
                Some(link) if usable => format!("{link} · {done}"),
                // Of one that was wrong nothing is kept.
                _ if worker.chunks_done > 0 && is_trusted(&worker.activity) => {
                    format!("{done}, kept")
                }
                _ => String::new(),
            },
            computer,
            marked: marked(worker.letter),
        }
    });
    let in_job = |letter| job.workers.iter().any(|worker| worker.letter == letter);
    let others = paired.iter().filter(|computer| !in_job(computer.letter)).map(|computer| Row {
        letter: computer.letter,
        name: &computer.name,
        usable: false,
        speed: None,
        words: left_out_words(&computer.standing),
        facts: String::new(),
        computer: Some(computer),
        marked: marked(computer.letter),
    });
    let mut rows: Vec<_> = of_job.chain(others).collect();
    rows.sort_by_key(|row| row.letter);
    rows
}

/// Since when it is gone, where it was there not long ago.
fn away_for(computer: &Computer) -> Option<Duration> {
    const LONG: Duration = Duration::from_secs(3600);
    let seen = computer.last_seen.filter(|_| computer.link.is_none())?;
    SystemTime::now().duration_since(seen).ok().filter(|away| *away < LONG)
}

fn is_trusted(activity: &WorkerActivity) -> bool {
    !matches!(activity, WorkerActivity::Absent(Standing::SetAside { .. } | Standing::Differs))
}

fn null_test_ui(ui: &mut Ui, song: &SongView, null: NullTest) {
    let theme = Theme::get(ui);
    let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), 26.0), Sense::hover());
    let figure = null_text(null);
    let title = galley(ui.painter(), "Null test", Type::Title, theme.text, row.width());
    ui.painter().galley(pos2(row.left(), row.center().y - 10.0), title, theme.text);
    at_right(ui, "figure", row, |ui| tabular(ui, Type::Figure, theme.text, &figure));
    let said = format!("Null test, {figure}");
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Heading, true, &said));
    ui.add_space(8.0);
    let share = (null.residual_db / EXACT_DB).clamp(0.0, 1.0);
    progress_bar(ui, share, theme.ok, "Null test");
    let (scale, _) = ui.allocate_exact_size(vec2(ui.available_width(), 18.0), Sense::hover());
    for (pos, align, text) in [
        (scale.left_center(), egui::Align2::LEFT_CENTER, "0 dB"),
        (scale.center(), egui::Align2::CENTER_CENTER, "−60"),
        (scale.right_center(), egui::Align2::RIGHT_CENTER, "exact"),
    ] {
        ui.painter().text(pos, align, text, Type::Tick.font(), theme.text3);
    }
    ui.add_space(2.0);
    let text = if song.is_separated() {
        "What is missing when all stems are added up."
    } else {
        "What is missing when all stems are added up, over what is ready."
    };
    label_color(ui, Type::Small, theme.text2, text);
}

/// "−41.6 dB", "exact".
pub fn null_text(null: NullTest) -> String {
    if null.residual_db <= EXACT_DB {
        "exact".into()
    } else {
        let sign = if null.residual_db > -0.05 { "" } else { "−" };
        format!("{sign}{:.1} dB", null.residual_db.min(0.0).abs())
    }
}

fn computed_by_ui(ui: &mut Ui, song: &SongView, job: &JobStatus) {
    let theme = Theme::get(ui);
    title_row(ui, "Computed by", "");
    for worker in job.workers.iter().filter(|worker| worker.chunks_done > 0) {
        let (row, response) =
            ui.allocate_exact_size(vec2(ui.available_width(), 28.0), Sense::hover());
        at(ui, ("worker", worker.letter), row, |ui| {
            computer_badge(ui, worker.letter, true, 20.0);
            label_color(ui, Type::Body, theme.text2, &worker.name);
        });
        let count = pieces(worker.chunks_done);
        paint_tabular(
            ui.painter(),
            row.right_center(),
            egui::Align2::RIGHT_CENTER,
            &count,
            Type::Small,
            theme.text2,
        );
        let said = format!("{}, {count}", worker.name);
        response.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, &said));
    }
    ui.add_space(4.0);
    let mut text = String::new();
    if !job.elapsed.is_zero() {
        text += &format!("{} in all", time::duration(job.elapsed));
        if let Some(x) = job.speed_x_real_time {
            text += &format!(", {} real time", times(x));
        }
        text += ". ";
    }
    text += if song.is_separated() {
        "Saved: opening this song again takes no time."
    } else {
        "What is done is saved."
    };
    label_color(ui, Type::Small, theme.text3, text);
}

fn pieces(count: usize) -> String {
    if count == 1 { "1 piece".into() } else { format!("{count} pieces") }
}
