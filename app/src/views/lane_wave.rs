//! The picture in a lane: the stem where it is ready, a ghost of the mixture where it is not.

use std::{ops::Range, sync::Arc};

use egui::{Mesh, Rect, Stroke, Ui, vec2};
use engine::{audio::RangeSet, mix::Audibility, waveform::Column};

use super::{
    ruler::failed_runs,
    waveform::{Grid, Ink, add_run, display_gain, hatch, paint_cached, x_of},
};
use crate::{
    state::{Detail, SongView},
    theme::Theme,
};

/// Air above and below the wave.
const GAP: f32 = 4.0;

/// A piece that has become ready fades in for this long.
const FADE_SECS: f64 = 0.18;

/// Steps of that fade; each is one new mesh.
const FADE_STEPS: f64 = 6.0;

/// All a lane's mesh depends on.
#[derive(Clone, PartialEq)]
struct Key {
    song: u64,
    grid: Grid,
    wave: Option<u64>,
    mix: Option<u64>,
    details: [Option<u64>; 2],
    ready_frames: u64,
    fade: u8,
    audibility: Audibility,
    dark: bool,
    arrived: u64,
}

/// Paints lane `index` of `song` into `rect`.
pub fn paint(ui: &Ui, song: &SongView, index: usize, audibility: Audibility, rect: Rect) {
    let theme = Theme::get(ui);
    let lane = &song.lanes[index];
    ui.painter().rect_filled(rect, 0.0, theme.lane);
    let empty = Arc::new(RangeSet::new());
    let ready = song.job.as_ref().map_or(&empty, |job| &job.ready);
    let fade = fade(ui, song, index, ready);
    let grid = Grid::new(ui, rect.shrink2(vec2(0.0, GAP)), song.view.clone())
        .with_gain(display_gain(song.wave.as_deref()));
    let key = Key {
        song: song.key,
        grid: grid.clone(),
        wave: lane.wave.as_ref().map(|wave| wave.version()),
        mix: song.wave.as_ref().map(|wave| wave.version()),
        details: [&lane.detail, &song.detail].map(|d| d.as_ref().map(|d| d.version)),
        ready_frames: ready.frames(),
        fade: (fade.share * FADE_STEPS) as u8,
        audibility,
        dark: theme.dark,
        arrived: song.decoded_frames.min(song.frames),
    };
    let key = Key { arrived: key.arrived / grid.frames_per_column().max(1.0) as u64, ..key };
    paint_cached(ui, ui.scope_id().with("wave mesh"), key, || {
        let color = theme.stem(lane.stem);
        let ink = match audibility {
            Audibility::Audible => Ink::solid(color),
            Audibility::Muted | Audibility::SilencedBySolo => {
                Ink { tint: theme.mix.gamma_multiply(0.05), ..Ink::faint(theme.mix, 0.3, 0.5) }
            }
        };
        let ghost = Ink::faint(theme.mix, 0.17, 0.0);
        build(song, index, &grid, ready, &fade, ink, ghost)
    });
    failed(ui, song, rect, theme);
}

fn build(
    song: &SongView,
    index: usize,
    grid: &Grid,
    ready: &RangeSet,
    fade: &Fade,
    ink: Ink,
    ghost: Ink,
) -> Mesh {
    let lane = &song.lanes[index];
    let mut mesh = Mesh::default();
    let mut mix = Vec::new();
    let mut stem = Vec::new();
    columns(song.wave.as_deref(), song.detail.as_deref(), grid, &mut mix);
    columns(lane.wave.as_deref(), lane.detail.as_deref(), grid, &mut stem);

    let mut at = 0;
    let end = grid.columns_of(&(0..song.decoded_frames.max(1).min(song.frames))).end;
    for range in ready.iter() {
        let run = grid.columns_of(range);
        if run.is_empty() {
            continue;
        }
        add_run(&mut mesh, grid, &mix, at..run.start, ghost);
        // The part of this range that has just become ready is on its way from ghost to colour.
        for (part, fresh) in split(&run, fade, grid) {
            let ink = if fresh { ghost.towards(ink, fade.share as f32) } else { ink };
            add_run(&mut mesh, grid, &stem, part, ink);
        }
        at = run.end;
    }
    add_run(&mut mesh, grid, &mix, at..end.max(at), ghost);
    mesh
}

fn columns(
    wave: Option<&engine::waveform::Waveform>,
    detail: Option<&Detail>,
    grid: &Grid,
    out: &mut Vec<Column>,
) {
    let detailed = detail.is_some_and(|d| d.columns(&grid.frames, grid.columns, out));
    if !detailed && let Some(wave) = wave {
        wave.columns(grid.frames.clone(), grid.columns, out);
    }
}

/// What has just become ready.
#[derive(Debug, Clone, Default)]
struct Fade {
    seen: Arc<RangeSet>,
    song: u64,
    fresh: Vec<Range<u64>>,
    since: f64,
    /// 0 = still a ghost, 1 = all there.
    share: f64,
}

fn fade(ui: &Ui, song: &SongView, index: usize, ready: &Arc<RangeSet>) -> Fade {
    let id = ui.scope_id().with(("fade", index));
    let now = ui.input(|input| input.time);
    let known: Option<Fade> = ui.data(|data| data.get_temp(id));
    let mut fade = match known {
        Some(fade) if fade.song == song.key => fade,
        // What is ready when a song comes on screen was not just made.
        _ => Fade { seen: ready.clone(), song: song.key, since: f64::MIN, ..Fade::default() },
    };
    if fade.seen.frames() != ready.frames() {
        fade.fresh = ready.iter().flat_map(|range| minus(range, &fade.seen)).collect();
        (fade.seen, fade.since) = (ready.clone(), now);
    }
    let secs = if ui.style().animation_time == 0.0 { 0.0 } else { FADE_SECS };
    fade.share = if secs == 0.0 { 1.0 } else { ((now - fade.since) / secs).clamp(0.0, 1.0) };
    if fade.share >= 1.0 {
        fade.fresh.clear();
    } else {
        ui.request_repaint_after(std::time::Duration::from_secs_f64(FADE_SECS / FADE_STEPS));
    }
    ui.data_mut(|data| data.insert_temp(id, fade.clone()));
    fade
}

/// What of `range` is not in `set`.
fn minus(range: &Range<u64>, set: &RangeSet) -> Vec<Range<u64>> {
    let mut rest = Vec::new();
    let mut at = range.start;
    for known in set.iter().filter(|known| known.end > range.start && known.start < range.end) {
        if known.start > at {
            rest.push(at..known.start);
        }
        at = at.max(known.end);
    }
    if at < range.end {
        rest.push(at..range.end);
    }
    rest
}

/// Cuts `run` where it is fresh and where it is not.
fn split(run: &Range<usize>, fade: &Fade, grid: &Grid) -> Vec<(Range<usize>, bool)> {
    let mut parts = Vec::new();
    let mut at = run.start;
    for fresh in &fade.fresh {
        let fresh = grid.columns_of(fresh);
        let fresh = fresh.start.max(at)..fresh.end.min(run.end);
        if fresh.is_empty() {
            continue;
        }
        parts.push((at..fresh.start, false));
        at = fresh.end;
        parts.push((fresh, true));
    }
    parts.push((at..run.end, false));
    parts
}

fn failed(ui: &Ui, song: &SongView, rect: Rect, theme: &Theme) {
    for run in failed_runs(song) {
        let place = Rect::from_x_y_ranges(
            x_of(rect, &song.view, run.start as f64)..=x_of(rect, &song.view, run.end as f64),
            rect.shrink(GAP).y_range(),
        );
        if !place.intersects(rect) {
            continue;
        }
        let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
        painter.rect_filled(place, 0.0, theme.error_bg);
        hatch(ui, place.intersect(rect), theme.error.gamma_multiply(0.55));
        for x in [place.left(), place.right()] {
            painter.vline(x, place.y_range(), Stroke::new(1.0, theme.error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_fades() {
        let mut seen = RangeSet::new();
        seen.insert(10..20);
        seen.insert(30..40);
        assert_eq!(minus(&(0..50), &seen), vec![0..10, 20..30, 40..50]);
        assert_eq!(minus(&(12..18), &seen), vec![]);
        assert_eq!(minus(&(15..35), &seen), vec![20..30]);
    }
}
