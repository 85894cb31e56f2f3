//! The whole song in one strip, with the stretch on screen framed; drag the frame to move it.

use egui::{CursorIcon, Key, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use engine::waveform::Column;

use super::{
    layout::Measures,
    waveform::{Grid, Ink, add_run, display_gain, frame_at, paint_cached, x_of},
};
use crate::{
    command::Command,
    keymap,
    state::{Opening, SongView, frame_secs},
    theme::{Theme, Type},
    time,
    widgets::focus_ring,
};

/// How near to an edge of the frame a drag takes the edge instead of the whole frame.
const EDGE_POINTS: f32 = 6.0;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Grip {
    Frame { offset: f64 },
    Left,
    Right,
}

/// Draws the overview over the width of `ui`.
pub fn overview_ui(ui: &mut Ui, song: &SongView, measures: &Measures, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    let (header, wave) = measures.split(ui.max_rect());
    ui.painter().rect_filled(header, 0.0, theme.surf);
    ui.painter().rect_filled(wave, 0.0, theme.bg);
    ui.painter().text(
        pos2(header.left() + measures.inset, header.center().y),
        egui::Align2::LEFT_CENTER,
        match song.opening {
            Opening::Decoding => {
                format!("Reading {}", time::clock(frame_secs(song.decoded_frames)))
            }
            _ => "Whole song".to_owned(),
        },
        Type::Small.font(),
        theme.text3,
    );
    let whole = 0.0..(song.frames as f64).max(1.0);
    paint_wave(ui, song, wave, theme);

    let window = Rect::from_x_y_ranges(
        x_of(wave, &whole, song.view.start)..=x_of(wave, &whole, song.view.end),
        wave.y_range(),
    );
    let zoomed = !shows_all(song);
    if zoomed {
        let mut frame = window.shrink(1.0).expand2(vec2(0.0, 0.5));
        if frame.width() < 4.0 {
            // Zoomed in so far that the frame would be lost.
            frame = Rect::from_center_size(frame.center(), vec2(4.0, frame.height()));
        }
        ui.painter().rect_stroke(frame, 3.0, Stroke::new(1.0, theme.text2), StrokeKind::Inside);
    }
    let playhead = x_of(wave, &whole, song.playhead as f64);
    ui.painter().vline(playhead, wave.y_range(), Stroke::new(2.0, theme.head));
    ui.painter().hline(ui.max_rect().x_range(), wave.bottom() - 0.5, Stroke::new(1.0, theme.line));

    let id = ui.scope_id().with("overview");
    let response = ui.interact(wave, id, Sense::click_and_drag());
    drag(ui, song, wave, window, &response, commands);
    keys(ui, song, &response, commands);
    let label = format!(
        "Shown: {} to {} of {}",
        time::clock(frame_secs(song.view.start as u64)),
        time::clock(frame_secs(song.view.end as u64)),
        time::clock(frame_secs(song.frames)),
    );
    response.widget_info(|| {
        let mut info = WidgetInfo::slider(true, song.view.start / whole.end, "Stretch shown");
        info.role = Role::Slider;
        info.current_text_value = Some(label.clone());
        info
    });
    focus_ring(ui, &response, wave.shrink(4.0), 2);
}

fn shows_all(song: &SongView) -> bool {
    song.view.start <= 0.0 && song.view.end >= song.frames as f64
}

fn paint_wave(ui: &Ui, song: &SongView, rect: Rect, theme: &'static Theme) {
    let Some(wave) = &song.wave else { return };
    let rect = rect.shrink2(vec2(0.0, 4.0));
    let grid =
        Grid::new(ui, rect, 0.0..(song.frames as f64).max(1.0)).with_gain(display_gain(Some(wave)));
    let view = song.view.start as u64..song.view.end as u64;
    let shown = grid.columns_of(&view);
    let (total, arrived) = (song.frames, song.decoded_frames);
    let key = (song.key, wave.version(), grid.clone(), shown.clone(), theme.dark);
    paint_cached(ui, ui.scope_id().with("overview wave"), key, || {
        let mut columns: Vec<Column> = Vec::new();
        wave.columns(grid.frames.clone(), grid.columns, &mut columns);
        let mut mesh = egui::Mesh::default();
        let bright = Ink::faint(theme.original, 0.42, 0.8);
        let dim = Ink::faint(theme.original, 0.16, 0.3);
        let arrived =
            if arrived < total { grid.columns_of(&(0..arrived)).end } else { grid.columns };
        add_run(&mut mesh, &grid, &columns, 0..shown.start.min(arrived), dim);
        add_run(&mut mesh, &grid, &columns, shown.start..shown.end.min(arrived), bright);
        add_run(&mut mesh, &grid, &columns, shown.end..arrived, dim);
        mesh
    });
}

fn drag(
    ui: &Ui,
    song: &SongView,
    wave: Rect,
    window: Rect,
    response: &egui::Response,
    commands: &mut Vec<Command>,
) {
    let whole = 0.0..(song.frames as f64).max(1.0);
    let at = |x: f32| frame_at(wave, &whole, x);
    let grip_id = response.id.with("grip");
    if response.drag_started()
        && let Some(from) = ui.input(|input| input.pointer.press_origin())
    {
        let grip = if shows_all(song) {
            Grip::Frame { offset: f64::INFINITY }
        } else if (from.x - window.left()).abs() < EDGE_POINTS {
            Grip::Left
        } else if (from.x - window.right()).abs() < EDGE_POINTS {
            Grip::Right
        } else if window.contains(from) {
            Grip::Frame { offset: at(from.x) - song.view.start }
        } else {
            Grip::Frame { offset: (song.view.end - song.view.start) / 2.0 }
        };
        ui.data_mut(|data| data.insert_temp(grip_id, grip));
    }
    if let Some(pointer) = response.interact_pointer_pos() {
        let frame = at(pointer.x);
        let grip: Option<Grip> = ui.data(|data| data.get_temp(grip_id));
        let length = song.view.end - song.view.start;
        match grip.filter(|_| response.dragged()) {
            Some(Grip::Frame { offset }) if offset.is_finite() => {
                let start = frame - offset;
                commands.push(Command::SetView(start..start + length));
            }
            // With all of the song on screen there is nothing to move: drag the playhead.
            Some(Grip::Frame { .. }) => commands.push(Command::Seek(frame.max(0.0) as u64)),
            Some(Grip::Left) => {
                commands.push(Command::SetView(frame.min(song.view.end)..song.view.end))
            }
            Some(Grip::Right) => {
                commands.push(Command::SetView(song.view.start..frame.max(song.view.start)));
            }
            None => {}
        }
        if response.clicked() {
            commands.push(Command::Seek(frame.max(0.0) as u64));
            if !shows_all(song) && !song.view.contains(&frame) {
                let start = frame - length / 2.0;
                commands.push(Command::SetView(start..start + length));
            }
        }
    }
    if response.double_clicked() {
        commands.push(Command::ZoomFit);
    }
    if let Some(hover) = response.hover_pos() {
        let edge = !shows_all(song)
            && ((hover.x - window.left()).abs() < EDGE_POINTS
                || (hover.x - window.right()).abs() < EDGE_POINTS);
        let cursor = match (edge, window.contains(hover) && !shows_all(song)) {
            (true, _) => CursorIcon::ResizeHorizontal,
            (false, true) => CursorIcon::Grab,
            (false, false) => CursorIcon::Default,
        };
        ui.set_cursor_icon(cursor);
    }
}

fn keys(ui: &Ui, song: &SongView, response: &egui::Response, commands: &mut Vec<Command>) {
    if !response.has_focus() {
        return;
    }
    keymap::claim_arrows(ui, response.id);
    let length = song.view.end - song.view.start;
    let mut moved = |share: f64| {
        let start = song.view.start + share * length;
        commands.push(Command::SetView(start..start + length));
    };
    ui.input(|input| {
        for (key, share) in [
            (Key::ArrowLeft, -0.1),
            (Key::ArrowRight, 0.1),
            (Key::PageUp, -0.9),
            (Key::PageDown, 0.9),
            (Key::Home, f64::NEG_INFINITY),
            (Key::End, f64::INFINITY),
        ] {
            if input.key_pressed(key) {
                match share {
                    f64::INFINITY => moved((song.frames as f64 - song.view.end) / length),
                    f64::NEG_INFINITY => moved(-song.view.start / length),
                    share => moved(share),
                }
            }
        }
    });
}
