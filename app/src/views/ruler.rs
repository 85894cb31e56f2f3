//! Time over the lanes: marks, the playhead's handle, the loop; click to go there, drag to loop.

use std::ops::Range;

use egui::{
    Align2, CursorIcon, Rect, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};

use super::{
    at,
    layout::Measures,
    waveform::{frame_at, x_of},
};
use crate::{
    command::Command,
    icons::Icon,
    state::{Opening, SongView, frame_secs},
    theme::{Theme, Type},
    time,
    widgets::{IconButton, focus_ring},
};

/// How near to a loop edge a drag takes that edge.
const EDGE_POINTS: f32 = 5.0;

/// Least distance of two labels.
const LABEL_POINTS: f64 = 64.0;

/// Draws the ruler over the width of `ui`.
pub fn ruler_ui(ui: &mut Ui, song: &SongView, measures: &Measures, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    let row = ui.max_rect();
    let (header, scale) = measures.split(row);
    ui.painter().rect_filled(row, 0.0, theme.surf);
    header_ui(ui, song, measures, header, theme, commands);
    scale_ui(ui, song, scale, theme, commands);
    ui.painter().hline(row.x_range(), row.bottom() - 0.5, Stroke::new(1.0, theme.line));
}

fn header_ui(
    ui: &mut Ui,
    song: &SongView,
    measures: &Measures,
    rect: Rect,
    theme: &Theme,
    commands: &mut Vec<Command>,
) {
    let label = if song.is_separating() || matches!(song.opening, Opening::Decoding) {
        ready_label(song)
    } else {
        let secs = frame_secs((song.view.end - song.view.start) as u64);
        match secs {
            secs if secs >= 10.0 => format!("{} shown", time::clock(secs)),
            secs if secs >= 1.0 => format!("{secs:.1} s shown"),
            secs => format!("{:.0} ms shown", secs * 1000.0),
        }
    };
    if !measures.small {
        ui.painter().text(
            pos2(rect.left() + measures.inset, rect.center().y),
            Align2::LEFT_CENTER,
            label,
            Type::Small.font(),
            theme.text3,
        );
    }
    let mut right = rect.right() - 8.0;
    for (icon, name, command) in [
        (Icon::Fit, "Show the whole song", Command::ZoomFit),
        (Icon::Plus, "Zoom in", Command::ZoomIn),
        (Icon::Minus, "Zoom out", Command::ZoomOut),
    ] {
        let place = Rect::from_center_size(pos2(right - 13.0, rect.center().y), vec2(22.0, 22.0));
        right -= 26.0;
        let button = IconButton::new(icon, name).size(22.0, 14.0).color(theme.text2);
        if at(ui, name, place, |ui| ui.add(button)).clicked() {
            commands.push(command);
        }
    }
}

/// "Ready 0:00–1:51": the ready stretch around the playhead, else the first one.
fn ready_label(song: &SongView) -> String {
    let ready = song.job.as_ref().and_then(|job| {
        let around = job.ready.iter().find(|range| range.contains(&song.playhead));
        around.or_else(|| job.ready.iter().next()).cloned()
    });
    match ready {
        Some(range) => format!("Ready {}", time::frames_range(&range)),
        None => "Nothing ready yet".to_owned(),
    }
}

fn scale_ui(ui: &Ui, song: &SongView, rect: Rect, theme: &Theme, commands: &mut Vec<Command>) {
    let painter = ui.painter().with_clip_rect(rect);
    marks(&painter, song, rect, theme);

    if let Some(range) = &song.loop_range {
        let bar = Rect::from_x_y_ranges(
            x_of(rect, &song.view, range.start as f64)..=x_of(rect, &song.view, range.end as f64),
            rect.top()..=rect.top() + 4.0,
        );
        let color = if song.loop_on { theme.loop_edge } else { theme.edge };
        painter.rect_filled(bar, 2.0, color);
    }
    failed_labels(&painter, song, rect, theme);

    let x = x_of(rect, &song.view, song.playhead as f64);
    // A house upside down: the handle of the playhead.
    let (top, bottom) = (rect.bottom() - 12.0, rect.bottom());
    painter.add(Shape::convex_polygon(
        vec![
            pos2(x - 7.0, top + 2.0),
            pos2(x - 5.0, top),
            pos2(x + 5.0, top),
            pos2(x + 7.0, top + 2.0),
            pos2(x + 7.0, bottom - 6.0),
            pos2(x, bottom),
            pos2(x - 7.0, bottom - 6.0),
        ],
        theme.head,
        Stroke::NONE,
    ));

    let response = ui.interact(rect, ui.scope_id().with("ruler"), Sense::click_and_drag());
    interact(ui, song, rect, &response, commands);
    let position = format!(
        "{} of {}",
        time::clock(frame_secs(song.playhead)),
        time::clock(frame_secs(song.frames))
    );
    response.widget_info(|| {
        let mut info =
            WidgetInfo::slider(true, frame_secs(song.playhead), format!("Position {position}"));
        info.current_text_value = Some(position.clone());
        info
    });
    focus_ring(ui, &response, rect.shrink(4.0), 2);
}

fn marks(painter: &egui::Painter, song: &SongView, rect: Rect, theme: &Theme) {
    let view = frame_secs(1) * song.view.start..frame_secs(1) * song.view.end;
    let points_per_sec = f64::from(rect.width()) / (view.end - view.start).max(1e-6);
    let ticks = time::ticks(points_per_sec, LABEL_POINTS);
    let step = ticks.label_secs / f64::from(ticks.minor);
    let first = (view.start / step).floor() as i64;
    let last = (view.end / step).ceil() as i64;
    for index in first.max(0)..=last {
        let secs = index as f64 * step;
        let x = rect.left() + ((secs - view.start) * points_per_sec) as f32;
        let labelled = index % i64::from(ticks.minor) == 0;
        let height = if labelled { 9.0 } else { 4.0 };
        let color = if labelled { theme.edge } else { theme.ctl_pressed };
        painter.vline(x, rect.bottom() - height..=rect.bottom(), Stroke::new(1.0, color));
        if labelled {
            let label = time::clock_decimals(secs, ticks.decimals);
            let label = painter.layout_no_wrap(label, Type::Tick.font(), theme.text2);
            // A label that would be cut off tells a wrong time.
            let inside = x >= rect.left() - 1.0 && x + 5.0 + label.size().x <= rect.right();
            if inside {
                let top = rect.top() + 13.0 - label.size().y / 2.0;
                painter.galley(pos2(x + 5.0, top), label, theme.text2);
            }
        }
    }
}

/// Runs of failed pieces, neighbours merged.
pub fn failed_runs(song: &SongView) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for (range, _) in song.failed_pieces() {
        match runs.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => runs.push(range.clone()),
        }
    }
    runs
}

fn failed_labels(painter: &egui::Painter, song: &SongView, rect: Rect, theme: &Theme) {
    for run in failed_runs(song) {
        let tag = Rect::from_x_y_ranges(
            x_of(rect, &song.view, run.start as f64)..=x_of(rect, &song.view, run.end as f64),
            rect.top() + 2.0..=rect.bottom() - 1.0,
        );
        if !tag.intersects(rect) {
            continue;
        }
        painter.rect(tag, 3.0, theme.error_bg, Stroke::new(1.0, theme.error), StrokeKind::Inside);
        let text = painter.layout_no_wrap(time::frames_range(&run), Type::Tick.font(), theme.error);
        let needed = text.size().x + 22.0;
        if needed <= tag.width() {
            let left = tag.center().x - needed / 2.0;
            Icon::Warning.paint(painter, pos2(left + 8.0, tag.center().y), 12.0, theme.error);
            let y = tag.center().y - text.size().y / 2.0;
            painter.galley(pos2(left + 18.0, y), text, theme.error);
        } else {
            Icon::Warning.paint(painter, tag.center(), 12.0, theme.error);
        }
    }
}

/// Which edge of the loop is at a place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Anchor {
    /// The frame of the edge that stays.
    Frame(u64),
}

fn interact(
    ui: &Ui,
    song: &SongView,
    rect: Rect,
    response: &egui::Response,
    commands: &mut Vec<Command>,
) {
    let frame = |x: f32| frame_at(rect, &song.view, x).clamp(0.0, song.frames as f64) as u64;
    let near = |x: f32, at: u64| (x - x_of(rect, &song.view, at as f64)).abs() < EDGE_POINTS;
    let grabbed = |x: f32| {
        let range = song.loop_range.as_ref()?;
        match (near(x, range.start), near(x, range.end)) {
            (true, _) => Some(range.end),
            (_, true) => Some(range.start),
            _ => None,
        }
    };
    let anchor_id = response.id.with("anchor");
    if response.drag_started()
        && let Some(from) = ui.input(|input| input.pointer.press_origin())
    {
        let anchor = Anchor::Frame(grabbed(from.x).unwrap_or_else(|| frame(from.x)));
        ui.data_mut(|data| data.insert_temp(anchor_id, anchor));
    }
    if let Some(pointer) = response.interact_pointer_pos() {
        if response.dragged()
            && let Some(Anchor::Frame(anchor)) = ui.data(|data| data.get_temp(anchor_id))
        {
            let here = frame(pointer.x);
            commands.push(Command::SetLoop(anchor.min(here)..anchor.max(here)));
        } else if response.clicked() {
            commands.push(Command::Seek(frame(pointer.x)));
        }
    }
    if let Some(hover) = response.hover_pos() {
        let edge = grabbed(hover.x).is_some();
        ui.set_cursor_icon(if edge { CursorIcon::ResizeHorizontal } else { CursorIcon::Default });
        let text = time::clock_tenths(frame_secs(frame(hover.x)));
        response
            .clone()
            .on_hover_text_at_pointer(format!("{text}\nClick to go there, drag to loop"));
    }
}
