//! The stem lanes: header and waveform of each, and what lies over all of them.

use egui::{
    CursorIcon, FocusDirection, Id, Key, Modifiers, Rect, Role, ScrollArea, Sense, Shape, Stroke,
    Ui, UiBuilder, WidgetInfo, pos2, scroll_area::ScrollBarVisibility, vec2,
};
use engine::mix::Audibility;

use super::{
    lane_header::{Part, header_ui},
    lane_wave,
    layout::{MIN_LANE, Measures},
    waveform::{frame_at, x_of},
};
use crate::{
    command::Command,
    state::{Lane, SongView, State, frame_secs, stem_title},
    theme::Theme,
    time,
    widgets::focus_ring,
};

/// Height of the line between lanes.
const GAP: f32 = 1.0;

/// Draws all lanes into `ui`.
pub fn lanes_ui(ui: &mut Ui, state: &State, measures: &Measures, commands: &mut Vec<Command>) {
    let Some(song) = state.song() else { return };
    let theme = Theme::get(ui);
    let place = ui.max_rect();
    ui.painter().rect_filled(place, 0.0, theme.bg);
    if song.lanes.is_empty() {
        return;
    }
    let count = song.lanes.len() as f32;
    let height = ((place.height() + GAP) / count - GAP).max(MIN_LANE);
    let audibility = song.audibility();
    let mut ids = LaneIds::default();

    let scrolls = (height + GAP) * count - GAP > place.height() + 0.5;
    let area = ScrollArea::vertical()
        .scroll_bar_visibility(if scrolls {
            ScrollBarVisibility::VisibleWhenNeeded
        } else {
            ScrollBarVisibility::AlwaysHidden
        })
        .auto_shrink(false);
    area.show(ui, |ui| {
        ui.spacing_mut().item_spacing = vec2(0.0, GAP);
        for (index, lane) in song.lanes.iter().enumerate() {
            let size = vec2(place.width(), height);
            let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
            let builder = UiBuilder::new()
                .id_salt(("lane", index))
                .max_rect(rect)
                .accessibility_role(Role::Group)
                .accessibility_label(lane_label(song, lane, audibility[index]));
            let ui = &mut ui.new_child(builder);
            let (header, wave) = measures.split(rect);
            let parts = header_ui(ui, song, index, audibility[index], header, measures, commands);
            ids.add(index, parts);
            let response = wave_ui(ui, song, index, audibility[index], wave, commands);
            ids.add(index, [(Part::Wave, response.id)]);
            if rect.bottom() < place.bottom() - 1.0 {
                let y = rect.bottom() + GAP / 2.0;
                ui.painter().hline(rect.x_range(), y, Stroke::new(GAP, theme.bg));
            }
        }
    });
    let (_, wave) = measures.split(place);
    overlays(ui, song, wave, theme);
    scroll_and_zoom(ui, song, wave, scrolls, commands);
    ids.change_lane_by_arrows(ui);
}

/// "Vocals, ready 46 percent".
pub fn lane_label(song: &SongView, lane: &Lane, audibility: Audibility) -> String {
    let name = stem_title(lane.stem);
    let ready = match () {
        () if song.is_separated() => "ready".to_owned(),
        () => format!("ready {:.0} percent", (song.ready_fraction() * 100.0).floor()),
    };
    match audibility {
        Audibility::Audible => format!("{name}, {ready}"),
        Audibility::Muted => format!("{name}, {ready}, muted"),
        Audibility::SilencedBySolo => format!("{name}, {ready}, silenced by solo"),
    }
}

/// The waveform of one lane: click to go there, drag to select.
fn wave_ui(
    ui: &Ui,
    song: &SongView,
    index: usize,
    audibility: Audibility,
    rect: Rect,
    commands: &mut Vec<Command>,
) -> egui::Response {
    let lane = &song.lanes[index];
    lane_wave::paint(ui, song, index, audibility, rect);

    let response = ui.interact(rect, ui.scope_id().with("wave"), Sense::click_and_drag());
    let frame = |x: f32| frame_at(rect, &song.view, x).clamp(0.0, song.frames as f64) as u64;
    let anchor_id = response.id.with("anchor");
    if response.drag_started()
        && let Some(from) = ui.input(|input| input.pointer.press_origin())
    {
        ui.data_mut(|data| data.insert_temp(anchor_id, frame(from.x)));
    }
    if let Some(pointer) = response.interact_pointer_pos() {
        if response.dragged()
            && let Some(anchor) = ui.data(|data| data.get_temp::<u64>(anchor_id))
        {
            let here = frame(pointer.x);
            commands.push(Command::Select(Some(anchor.min(here)..anchor.max(here))));
        } else if response.clicked() {
            commands.push(Command::Seek(frame(pointer.x)));
            if song.selection.is_some() {
                commands.push(Command::Select(None));
            }
        }
    }
    if response.hovered() {
        ui.set_cursor_icon(CursorIcon::Text);
    }
    let label = format!(
        "{} waveform, {} to {}",
        stem_title(lane.stem),
        time::clock(frame_secs(song.view.start as u64)),
        time::clock(frame_secs(song.view.end as u64)),
    );
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
    focus_ring(ui, &response, rect.shrink(4.0), 2);
    response
}

/// Loop, selection and playhead over all lanes.
fn overlays(ui: &Ui, song: &SongView, wave: Rect, theme: &Theme) {
    let painter = ui.painter().with_clip_rect(wave.intersect(ui.clip_rect()));
    let x = |frame: u64| x_of(wave, &song.view, frame as f64);
    if let Some(range) = &song.loop_range {
        let area = Rect::from_x_y_ranges(x(range.start)..=x(range.end), wave.y_range());
        if song.loop_on {
            painter.rect_filled(area, 0.0, theme.loop_edge.gamma_multiply(0.09));
            for edge in [area.left(), area.right()] {
                painter.vline(edge, wave.y_range(), Stroke::new(1.0, theme.loop_edge));
            }
        } else {
            for edge in [area.left(), area.right()] {
                painter.vline(edge, wave.y_range(), Stroke::new(1.0, theme.edge));
            }
        }
    }
    if let Some(range) = &song.selection {
        let area = Rect::from_x_y_ranges(x(range.start)..=x(range.end), wave.y_range());
        painter.rect_filled(area, 0.0, theme.text.gamma_multiply(0.12));
        let stroke = Stroke::new(1.0, theme.text2);
        let corners = [
            area.left_top(),
            area.right_top(),
            area.right_bottom(),
            area.left_bottom(),
            area.left_top(),
        ];
        painter.add(Shape::dashed_line(&corners, stroke, 3.0, 3.0));
    }
    painter.vline(x(song.playhead), wave.y_range(), Stroke::new(2.0, theme.head));
}

/// Ctrl+wheel zooms around the pointer; the wheel moves along the song, or scrolls lanes that do
/// not fit.
fn scroll_and_zoom(
    ui: &Ui,
    song: &SongView,
    wave: Rect,
    lanes_scroll: bool,
    commands: &mut Vec<Command>,
) {
    let Some(pointer) = ui.input(|input| input.pointer.hover_pos()) else { return };
    if !wave.contains(pointer) || !ui.rect_contains_pointer(wave) {
        return;
    }
    let (zoom, scroll, shift) =
        ui.input(|input| (input.zoom_delta(), input.smooth_scroll_delta(), input.modifiers.shift));
    if zoom != 1.0 {
        let at_frame = frame_at(wave, &song.view, pointer.x);
        commands.push(Command::ZoomAround { factor: f64::from(zoom), at_frame });
        return;
    }
    let along = if lanes_scroll && !shift { scroll.x } else { scroll.x + scroll.y };
    if along != 0.0 {
        let by = f64::from(-along / wave.width()) * (song.view.end - song.view.start);
        commands.push(Command::SetView(song.view.start + by..song.view.end + by));
    }
}

/// The controls of every lane, for moving between lanes with Up and Down.
#[derive(Default)]
struct LaneIds {
    ids: Vec<(usize, Part, Id)>,
}

impl LaneIds {
    fn add(&mut self, lane: usize, parts: impl IntoIterator<Item = (Part, Id)>) {
        self.ids.extend(parts.into_iter().map(|(part, id)| (lane, part, id)));
    }

    fn change_lane_by_arrows(&self, ui: &Ui) {
        let Some(focused) = ui.memory(|memory| memory.focused()) else { return };
        let Some((lane, part, _)) = self.ids.iter().find(|(_, _, id)| *id == focused) else {
            return;
        };
        let step = ui.input_mut(|input| {
            let down = input.count_and_consume_key(Modifiers::NONE, Key::ArrowDown);
            let up = input.count_and_consume_key(Modifiers::NONE, Key::ArrowUp);
            down as isize - up as isize
        });
        if step == 0 {
            return;
        }
        // egui would look for the nearest control; the same control one lane on is meant.
        ui.memory_mut(|memory| memory.move_focus(FocusDirection::None));
        let wanted = lane.saturating_add_signed(step);
        if let Some((.., id)) = self.ids.iter().find(|(l, p, _)| *l == wanted && p == part) {
            ui.memory_mut(|memory| memory.request_focus(*id));
            if let Some(response) = ui.read_response(*id) {
                ui.scroll_to_rect(response.rect, None);
            }
        }
    }
}

/// Line between header column and waveforms, drawn by the song screen below all rows.
pub fn column_line(ui: &Ui, place: Rect, measures: &Measures) {
    let theme = Theme::get(ui);
    let x = place.left() + measures.header - 0.5;
    ui.painter().line_segment(
        [pos2(x, place.top()), pos2(x, place.bottom())],
        Stroke::new(1.0, theme.line),
    );
}
