//! Who computes which piece: one bar per piece under the ruler, told apart by colour and letter.

use std::ops::Range;

use egui::{
    Align2, Color32, Key, Mesh, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};
use engine::job::{ChunkState, JobStatus};

use super::{
    layout::Measures,
    waveform::{hatch, paint_cached, x_of},
};
use crate::{
    command::Command,
    keymap,
    state::SongView,
    theme::{ON_COMPUTER, Theme, Type},
    time,
    widgets::{focus_ring, letter_of},
};

/// Height of a bar.
const BAR: f32 = 10.0;

/// A piece from this width on shows its computer's letter.
const LETTER_FROM: f32 = 28.0;

/// From this many pieces on, neighbours of one computer are one bar.
const MERGE_FROM: usize = 400;

/// Draws the strip over the width of `ui`.
pub fn piece_strip_ui(
    ui: &mut Ui,
    song: &SongView,
    job: &JobStatus,
    marked: Option<usize>,
    measures: &Measures,
    commands: &mut Vec<Command>,
) {
    let theme = Theme::get(ui);
    let row = ui.max_rect();
    let (header, rect) = measures.split(row);
    ui.painter().rect_filled(row, 0.0, theme.surf);
    ui.painter().text(
        pos2(header.left() + measures.inset, header.center().y),
        Align2::LEFT_CENTER,
        "Computed by",
        Type::Small.font(),
        theme.text3,
    );
    let bars = bars(job);
    let bars = bars.iter().map(|bar| (bar_rect(song, rect, &bar.frames), bar.look));
    let bars: Vec<(Rect, Look)> = bars.filter(|(bar, _)| bar.intersects(rect)).collect();
    let letters = job.workers.len() > 1;
    paint(ui, &bars, rect, &Shades { theme, marked }, letters);

    let response = ui.interact(rect, ui.scope_id().with("pieces"), Sense::click());
    let chosen_id = response.id.with("chosen");
    let mut chosen: usize = ui.data(|data| data.get_temp(chosen_id).unwrap_or(0));
    if response.has_focus() {
        keymap::claim_arrows(ui, response.id);
        ui.input(|input| {
            if input.key_pressed(Key::ArrowLeft) {
                chosen = chosen.saturating_sub(1);
            }
            if input.key_pressed(Key::ArrowRight) {
                chosen += 1;
            }
        });
        chosen = chosen.min(job.grid.len().saturating_sub(1));
        ui.data_mut(|data| data.insert_temp(chosen_id, chosen));
        if let Some(range) = job.grid.get(chosen) {
            let bar = bar_rect(song, rect, range);
            focus_ring(ui, &response, bar.intersect(rect), 0);
            response.show_tooltip_text(describe(job, chosen));
        }
    }
    let said = describe(job, chosen);
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::Slider, true, "Pieces");
        info.value = Some(chosen as f64);
        info.current_text_value = Some(said.clone());
        info
    });
    if let Some(pointer) = response.hover_pos() {
        let frame = super::waveform::frame_at(rect, &song.view, pointer.x).max(0.0) as u64;
        let piece = job.grid.partition_point(|range| range.end <= frame);
        if piece < job.grid.len() {
            response.clone().on_hover_text_at_pointer(describe(job, piece));
        }
        if response.clicked() {
            commands.push(Command::Seek(frame));
        }
    }
}

/// "1:04–1:12, This PC, 0.3 s".
pub fn describe(job: &JobStatus, piece: usize) -> String {
    let (Some(range), Some(chunk)) = (job.grid.get(piece), job.chunks.get(piece)) else {
        return String::new();
    };
    let who = |worker: &usize| job.workers.get(*worker).map_or("?", |worker| worker.name.as_str());
    let range = time::frames_range(range);
    match chunk {
        ChunkState::Pending => format!("{range}, waiting"),
        ChunkState::Running { worker, progress, sent_back, tries } => {
            let mut said = format!("{range}, {}", who(worker));
            if *tries > 1 {
                said += &format!(", try {tries}");
            }
            let (share, what) = match sent_back {
                Some(share) => (*share, "sent back"),
                None => (*progress, "done"),
            };
            said + &format!(", {:.0} % {what}", (share * 100.0).floor())
        }
        ChunkState::Committed { worker, compute_secs } if *compute_secs > 0.0 => {
            format!("{range}, {}, {compute_secs:.1} s", who(worker))
        }
        ChunkState::Committed { worker, .. } => format!("{range}, {}, done earlier", who(worker)),
        ChunkState::Failed(error) => format!("{range}, could not be separated: {error}"),
    }
}

/// One bar: what it covers and how it looks.
#[derive(Debug, Clone, PartialEq)]
struct Bar {
    frames: Range<u64>,
    look: Look,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Look {
    Waiting,
    Computing { letter: usize, progress: f32 },
    Done { letter: usize },
    Failed,
}

fn bars(job: &JobStatus) -> Vec<Bar> {
    let letter = |worker: &usize| job.workers.get(*worker).map_or(0, |worker| worker.letter);
    let mut bars: Vec<Bar> = Vec::with_capacity(job.grid.len());
    let merge = job.grid.len() > MERGE_FROM;
    for (index, (range, chunk)) in job.grid.iter().zip(&job.chunks).enumerate() {
        // Segments overlap; a piece is shown up to where the next one starts.
        let end = job.grid.get(index + 1).map_or(range.end, |next| next.start.max(range.start));
        let look = match chunk {
            ChunkState::Pending => Look::Waiting,
            ChunkState::Running { worker, progress, .. } => {
                Look::Computing { letter: letter(worker), progress: *progress }
            }
            ChunkState::Committed { worker, .. } => Look::Done { letter: letter(worker) },
            ChunkState::Failed(_) => Look::Failed,
        };
        match bars.last_mut() {
            Some(last) if merge && last.look == look => last.frames.end = end,
            _ => bars.push(Bar { frames: range.start..end, look }),
        }
    }
    bars
}

fn bar_rect(song: &SongView, rect: Rect, frames: &Range<u64>) -> Rect {
    let left = x_of(rect, &song.view, frames.start as f64);
    let right = x_of(rect, &song.view, frames.end as f64);
    // A point of air between bars, as long as there is something left of the bar.
    let right = if right - left > 3.0 { right - 1.0 } else { right };
    let top = rect.center().y - BAR / 2.0;
    Rect::from_min_max(pos2(left, top), pos2(right, top + BAR))
}

/// Colours of bars while one computer may stand out.
struct Shades<'a> {
    theme: &'a Theme,
    marked: Option<usize>,
}

impl Shades<'_> {
    /// How much is left of the colour of what this computer did.
    fn strength(&self, letter: usize) -> f32 {
        if self.marked.is_some_and(|marked| marked != letter) { 0.25 } else { 1.0 }
    }

    fn of(&self, letter: usize) -> Color32 {
        Theme::computer(letter).gamma_multiply(self.strength(letter))
    }
}

fn paint(ui: &Ui, bars: &[(Rect, Look)], rect: Rect, shades: &Shades<'_>, letters: bool) {
    let theme = shades.theme;
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    let waiting = theme.edge.gamma_multiply(0.5);
    let key = (bars.to_vec(), rect, theme.dark, shades.marked);
    paint_cached(ui, ui.scope_id().with("piece bars"), key, || {
        let mut mesh = Mesh::default();
        for (bar, look) in bars {
            let bar = bar.intersect(rect);
            match look {
                Look::Waiting => {
                    let line = Rect::from_center_size(bar.center(), vec2(bar.width(), 2.0));
                    mesh.add_colored_rect(line, waiting);
                }
                Look::Computing { letter, progress } => {
                    let color = shades.of(*letter);
                    let filled =
                        bar.with_max_x(bar.left() + bar.width() * progress.clamp(0.0, 1.0));
                    mesh.add_colored_rect(filled, color.gamma_multiply(0.7));
                }
                Look::Done { letter } => mesh.add_colored_rect(bar, shades.of(*letter)),
                Look::Failed => mesh.add_colored_rect(bar, theme.error_bg),
            }
        }
        mesh
    });
    let edged = |bar: Rect, color: Color32| {
        painter.rect_stroke(bar, 0.0, Stroke::new(1.0, color), StrokeKind::Inside);
    };
    for (bar, look) in bars {
        match look {
            Look::Computing { letter, .. } => edged(*bar, shades.of(*letter)),
            Look::Failed => {
                hatch(ui, *bar, theme.error);
                edged(*bar, theme.error);
            }
            // Pale computers on a light surface need an edge of their own.
            Look::Done { .. } if !theme.dark && bar.width() > 3.0 => edged(*bar, theme.edge),
            _ => {}
        }
        if let Look::Done { letter } | Look::Computing { letter, .. } = look
            && bar.width() >= LETTER_FROM
            && letters
        {
            let color = match look {
                Look::Done { .. } => ON_COMPUTER,
                _ => theme.text,
            };
            let color = color.gamma_multiply(shades.strength(*letter));
            let name = letter_of(*letter);
            painter.text(bar.center(), Align2::CENTER_CENTER, name, Type::Tick.font(), color);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{state::frame_secs, views::testing};

    #[test]
    fn a_piece_says_when_who_and_how_long() {
        let job = testing::job(10, 4);
        assert_eq!(describe(&job, 0), "0:00–0:08, This PC, 0.3 s");
        assert_eq!(describe(&job, 4), "0:32–0:40, This PC, 50 % done");
        assert_eq!(describe(&job, 9), "1:12–1:20, waiting");
        assert_eq!(describe(&job, 10), "");
        assert!(frame_secs(job.grid[9].end) > 79.0);
    }

    #[test]
    fn a_piece_names_the_computer_that_did_it() {
        let state = testing::with_computers(Some(15));
        let job = state.songs[0].job.as_ref().expect("a job");
        assert_eq!(describe(job, 1), "0:08–0:16, Studio-PC, 2.9 s");
        let of_b = |bar: &Bar| bar.look == Look::Done { letter: 1 };
        assert!(bars(job).iter().any(of_b), "by letter, not by place in the list");
    }

    #[test]
    fn many_pieces_become_few_bars_without_a_gap() {
        let job = testing::job(1000, 600);
        let bars = bars(&job);
        assert!(bars.len() < 10, "{} bars", bars.len());
        assert!(bars.windows(2).all(|pair| pair[0].frames.end == pair[1].frames.start));
    }
}
