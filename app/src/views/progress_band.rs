//! Progress: how far, how long, how fast; pause, continue, cancel. There only while there is
//! something to say.

use std::sync::Arc;

use egui::{Align2, Rect, Ui, pos2};
use engine::{
    Error,
    job::{JobPhase, JobStatus},
};

use super::{at, at_right, layout::Measures};
use crate::{
    command::Command,
    icons::Icon,
    state::{Opening, SongView, State},
    theme::{Theme, Type},
    time,
    widgets::{Button, galley, progress_bar, tabular, text_width},
};

/// What the band is about.
enum Matter<'a> {
    Reading,
    Waiting,
    Running(&'a JobStatus),
    Paused(&'a JobStatus),
    Stopped(&'a JobStatus),
    Failed(&'a Arc<Error>),
    NotSeparated,
}

fn matter(song: &SongView) -> Option<Matter<'_>> {
    match (&song.opening, &song.job) {
        (Opening::Failed(_), _) => None,
        (Opening::Decoding, None) => Some(Matter::Reading),
        _ if song.queued => Some(Matter::Waiting),
        (_, None) => Some(Matter::NotSeparated),
        (_, Some(job)) if song.half_done => Some(Matter::Stopped(job)),
        (_, Some(job)) => match &job.phase {
            JobPhase::Queued => Some(Matter::Waiting),
            JobPhase::Running => Some(Matter::Running(job)),
            JobPhase::Paused => Some(Matter::Paused(job)),
            JobPhase::Cancelled => Some(Matter::Stopped(job)),
            // Pieces that failed have a card of their own.
            JobPhase::Failed(_) if song.failed_pieces().next().is_some() => None,
            JobPhase::Failed(error) => Some(Matter::Failed(error)),
            JobPhase::Done => None,
        },
    }
}

/// Whether the band has something to say.
pub fn is_shown(song: &SongView) -> bool {
    matter(song).is_some()
}

/// Share done in percent; never 100 before everything is.
pub fn percent(job: &JobStatus) -> u32 {
    let percent = (job.fraction() * 100.0).floor() as u32;
    if matches!(job.phase, JobPhase::Done) { 100 } else { percent.min(99) }
}

/// Draws the band over all of `ui`.
pub fn progress_band_ui(
    ui: &mut Ui,
    state: &State,
    song: &SongView,
    measures: &Measures,
    commands: &mut Vec<Command>,
) {
    let theme = Theme::get(ui);
    let place = ui.max_rect();
    ui.painter().rect_filled(place, 0.0, theme.surf);
    let Some(matter) = matter(song) else { return };
    let row = place.shrink2(egui::vec2(measures.inset, 0.0));
    let buttons_left = at_right(ui, "buttons", row, |ui| {
        buttons(ui, song, &matter, commands);
        ui.min_rect().left()
    });
    let row = row.with_max_x(buttons_left - 16.0);

    let texts = Rect::from_min_max(row.min, pos2(row.right(), place.top() + 32.0))
        .translate(egui::vec2(0.0, 6.0));
    let (title, facts, fraction) = words(state, song, &matter);
    let pieces = match &matter {
        Matter::Running(job) | Matter::Paused(job) | Matter::Stopped(job) => {
            format!("{} of {} pieces", job.committed(), job.grid.len())
        }
        _ => String::new(),
    };
    let pieces_width = text_width(ui.painter(), &pieces, Type::Small);
    at(ui, "words", texts.with_max_x(row.right() - pieces_width - 16.0), |ui| {
        ui.spacing_mut().item_spacing.x = 14.0;
        let title = galley(ui.painter(), title, Type::Title, theme.text, ui.available_width());
        let (rect, response) = ui.allocate_exact_size(title.size(), egui::Sense::hover());
        let said = title.text().to_owned();
        ui.painter().galley(rect.min, title, theme.text);
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, said.clone()));
        for (index, fact) in facts.iter().enumerate() {
            let strong = index == 0 && fact.ends_with('%');
            let (size, color) =
                if strong { (Type::Title, theme.text) } else { (Type::Body, theme.text2) };
            // What does not fit is left out rather than cut.
            if text_width(ui.painter(), fact, size) < ui.available_width() {
                tabular(ui, size, color, fact);
            }
        }
    });
    ui.painter().text(
        pos2(row.right(), texts.center().y),
        Align2::RIGHT_CENTER,
        pieces,
        Type::Small.font(),
        theme.text3,
    );
    let bar = Rect::from_min_max(
        pos2(row.left(), place.bottom() - 18.0),
        pos2(row.right(), place.bottom() - 14.0),
    );
    if let Some(fraction) = fraction {
        at(ui, "bar", bar, |ui| progress_bar(ui, fraction, theme.honey, "Progress"));
    }
}

/// Title, facts and share done.
fn words(
    state: &State,
    song: &SongView,
    matter: &Matter<'_>,
) -> (String, Vec<String>, Option<f32>) {
    match matter {
        Matter::Reading => {
            let share = song.decoded_frames as f32 / song.frames.max(1) as f32;
            let known = song.frames > song.decoded_frames;
            let facts = if known { vec![format!("{:.0} %", share * 100.0)] } else { Vec::new() };
            ("Reading the song".into(), facts, known.then_some(share))
        }
        Matter::Waiting => {
            let before = state
                .songs
                .iter()
                .find(|other| other.key != song.key && other.is_separating())
                .map_or("another song".to_owned(), SongView::title);
            ("Waiting".into(), vec![format!("“{before}” comes first")], Some(0.0))
        }
        Matter::Running(job) => {
            let mut facts = vec![
                format!("{} %", percent(job)),
                format!("{} elapsed", time::duration(job.elapsed)),
                match job.eta {
                    Some(eta) => format!("about {} left", time::duration(eta)),
                    None => "working out how long".into(),
                },
            ];
            facts.extend(job.speed_x_real_time.map(|x| format!("{} real time", times(x))));
            ("Separating".into(), facts, Some(job.fraction()))
        }
        Matter::Paused(job) => {
            let facts = vec![
                format!("{} %", percent(job)),
                format!("{} elapsed", time::duration(job.elapsed)),
            ];
            ("Paused".into(), facts, Some(job.fraction()))
        }
        Matter::Stopped(job) => {
            let facts = vec![format!("{} %", percent(job)), "What is done is kept".into()];
            ("Stopped".into(), facts, Some(job.fraction()))
        }
        Matter::Failed(error) => {
            let mut facts = Vec::new();
            facts.extend(error.kept.clone());
            facts.extend(error.advice.clone());
            (error.what.clone(), facts, None)
        }
        Matter::NotSeparated => {
            let cost = state.model().map(|card| {
                let secs = state.secs_for(card, crate::state::frame_secs(song.frames));
                format!("{}, about {}", card.info.title, time::clock(secs.max(1.0)))
            });
            ("Not separated yet".into(), cost.into_iter().collect(), None)
        }
    }
}

/// "2.1×", "31×".
pub fn times(x: f32) -> String {
    if x < 10.0 { format!("{x:.1}×") } else { format!("{x:.0}×") }
}

fn buttons(ui: &mut Ui, song: &SongView, matter: &Matter<'_>, commands: &mut Vec<Command>) {
    let mut button = |ui: &mut Ui, button: Button, command: Command| {
        if ui.add(button).clicked() {
            commands.push(command);
        }
    };
    match matter {
        Matter::Reading => button(ui, Button::text("Cancel"), Command::CloseSong(song.key)),
        Matter::Waiting => button(ui, Button::text("Cancel"), Command::CancelSeparation),
        Matter::Running(_) => {
            button(ui, Button::text("Cancel"), Command::CancelSeparation);
            button(ui, Button::secondary("Pause").icon(Icon::Pause), Command::PauseOrContinue);
        }
        Matter::Paused(_) => {
            button(ui, Button::text("Cancel"), Command::CancelSeparation);
            button(ui, Button::primary("Continue").icon(Icon::Play), Command::PauseOrContinue);
        }
        Matter::Stopped(_) => {
            button(ui, Button::primary("Continue").icon(Icon::Play), Command::Separate);
        }
        Matter::Failed(error) => {
            button(ui, Button::text("Show details"), show_details(error));
            button(ui, Button::primary("Try again"), Command::Separate);
        }
        Matter::NotSeparated => {
            button(ui, Button::primary("Separate").icon(Icon::Wand), Command::Separate);
        }
    }
}

/// Opens the details of an error.
pub fn show_details(error: &Error) -> Command {
    Command::OpenDialog(crate::state::Dialog::Details {
        title: error.what.clone(),
        lines: error.details(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::testing;

    #[test]
    fn percent_ends_at_100_only_when_done() {
        let mut job = testing::job(10, 10);
        assert_eq!(percent(&job), 100);
        job.phase = JobPhase::Running;
        assert_eq!(percent(&job), 99);
        assert_eq!(percent(&testing::job(10, 4)), 45);
    }

    #[test]
    fn a_finished_song_needs_no_band() {
        let song = testing::song(Some(1000));
        assert!(!is_shown(&song));
        assert!(is_shown(&testing::song(Some(3))));
        assert!(is_shown(&testing::song(None)), "offers to separate");
    }

    #[test]
    fn speeds_read_well() {
        assert_eq!(times(2.13), "2.1×");
        assert_eq!(times(31.4), "31×");
    }
}
