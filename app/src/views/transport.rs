//! The player: start, play, loop, time, stems or original, master volume and level; above it the
//! line that says there is no sound device.

use egui::{
    Align2, CornerRadius, Rect, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::{at, at_right, lane_header::not_ready_here, layout::Measures};
use crate::{
    command::Command,
    icons::Icon,
    state::{Device, Dialog, Listen, Opening, SongView, State, frame_secs},
    theme::{RADIUS, Theme, Type},
    time,
    widgets::{
        Button, IconButton, LevelMeter, focus_ring, galley, key_chip, paint_tabular, segmented,
        text_width, volume_slider,
    },
};

/// Draws the transport over all of `ui`.
pub fn transport_ui(
    ui: &mut Ui,
    state: &State,
    song: &SongView,
    measures: &Measures,
    commands: &mut Vec<Command>,
) {
    let theme = Theme::get(ui);
    let place = ui.max_rect();
    ui.painter().rect_filled(place, 0.0, theme.surf);
    ui.painter().hline(place.x_range(), place.top() + 0.5, Stroke::new(1.0, theme.line));
    let y = place.center().y;
    let (start_x, play_x, loop_x, radius) =
        if measures.small { (28.0, 72.0, 116.0, 20.0) } else { (32.0, 80.0, 128.0, 24.0) };
    let square =
        |x: f32, size: f32| Rect::from_center_size(pos2(place.left() + x, y), Vec2::splat(size));

    let start = IconButton::new(Icon::SkipStart, "Go to the start");
    if at(ui, "start", square(start_x, 32.0), |ui| ui.add(start)).clicked() {
        commands.push(Command::SeekStart);
    }
    if at(ui, "play", square(play_x, 2.0 * radius), |ui| {
        play_button(ui, state.transport.playing, radius)
    }) {
        commands.push(Command::PlayOrStop);
    }
    if at(ui, "loop", square(loop_x, 32.0), |ui| loop_button(ui, song.loop_on)) {
        commands.push(Command::ToggleLoop);
    }

    let right = right_side(ui, state, measures, commands);
    let time_left = place.left() + if measures.small { 142.0 } else { measures.header + 8.0 };
    let time_right = time_ui(ui, song, measures, pos2(time_left, y));
    let hint = Rect::from_x_y_ranges(time_right + 24.0..=right - 16.0, place.y_range());
    if hint.width() > 90.0 {
        hint_ui(ui, state, song, hint, theme);
    }
}

fn play_button(ui: &mut Ui, playing: bool, radius: f32) -> bool {
    let theme = Theme::get(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(2.0 * radius), Sense::click());
    let name = if playing { "Stop" } else { "Play" };
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Button, ui.is_enabled(), name));
    let fill = if response.is_pointer_button_down_on() {
        theme.honey.lerp_to_gamma(egui::Color32::BLACK, 0.15)
    } else if response.hovered() {
        theme.honey.lerp_to_gamma(egui::Color32::WHITE, 0.12)
    } else {
        theme.honey
    };
    ui.painter().circle_filled(rect.center(), radius, fill);
    let icon = if playing { Icon::Pause } else { Icon::Play };
    icon.paint(ui.painter(), rect.center(), 20.0, theme.on_honey);
    if response.has_focus() {
        let ring = Stroke::new(2.0, theme.focus);
        ui.painter().circle_stroke(rect.center(), radius + 3.0, ring);
    }
    response.on_hover_text(format!("{name} (Space)")).clicked()
}

fn loop_button(ui: &mut Ui, on: bool) -> bool {
    let theme = Theme::get(ui);
    let color = if on { theme.honey_text } else { theme.text2 };
    let button = IconButton::new(Icon::Loop, "Loop").color(color);
    let response = ui.add(button);
    response.widget_info(|| WidgetInfo::selected(egui::Role::Button, true, on, "Loop"));
    if on {
        let edge = Stroke::new(1.0, theme.honey_text);
        let radius = CornerRadius::same(RADIUS);
        ui.painter().rect_stroke(response.rect, radius, edge, StrokeKind::Inside);
    }
    response.clicked()
}

/// The position; returns the right edge of what it took.
fn time_ui(ui: &mut Ui, song: &SongView, measures: &Measures, left: egui::Pos2) -> f32 {
    let theme = Theme::get(ui);
    let size = if measures.small { Type::TimeSmall } else { Type::Time };
    let position = time::clock_tenths(frame_secs(song.playhead));
    let length = time::clock_tenths(frame_secs(song.frames));
    let painter = ui.painter().clone();
    let now = paint_tabular(&painter, left, Align2::LEFT_CENTER, &position, size, theme.text);
    let after = pos2(now.right() + 6.0, left.y + if measures.small { 2.0 } else { 3.0 });
    let total = paint_tabular(
        &painter,
        after,
        Align2::LEFT_CENTER,
        &format!("/ {length}"),
        Type::Body,
        theme.text3,
    );
    let response = ui.interact(now.union(total), ui.scope_id().with("time"), Sense::hover());
    let spoken = format!(
        "Position {} of {}",
        time::clock(frame_secs(song.playhead)),
        time::clock(frame_secs(song.frames))
    );
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, &spoken));
    total.right()
}

fn hint_ui(ui: &mut Ui, state: &State, song: &SongView, place: Rect, theme: &Theme) {
    let middle = place.center().y;
    if song.loop_on
        && let Some(range) = &song.loop_range
    {
        let secs = frame_secs(range.end - range.start);
        let mut x = place.left();
        for (text, size, color) in [
            ("Loop".to_owned(), Type::BodyStrong, theme.honey_text),
            (time::frames_range_tenths(range), Type::Small, theme.text2),
            (format!("{secs:.1} s"), Type::Small, theme.text3),
        ] {
            let text = galley(ui.painter(), text, size, color, place.right() - x);
            let width = text.size().x;
            ui.painter().galley(pos2(x, middle - text.size().y / 2.0), text, color);
            x += width + 8.0;
        }
        return;
    }
    let original = state.transport.listen == Listen::Original;
    let (icon, color, text) = if matches!(song.opening, Opening::Decoding) {
        (Icon::Clock, theme.text3, "You can play what has arrived")
    } else if original {
        (Icon::Speaker, theme.text3, "This is the original. Press A for the stems")
    } else if not_ready_here(song) {
        (Icon::Clock, theme.text3, "Not ready here: you hear the original")
    } else if song.is_separating() {
        (Icon::Check, theme.ok, "Click anywhere to hear that part next")
    } else {
        return;
    };
    if text_width(ui.painter(), text, Type::Small) > place.width() - 24.0 {
        return;
    }
    let text = galley(ui.painter(), text, Type::Small, theme.text2, place.width() - 24.0);
    icon.paint(ui.painter(), pos2(place.left() + 8.0, middle), 14.0, color);
    ui.painter().galley(pos2(place.left() + 24.0, middle - text.size().y / 2.0), text, theme.text2);
}

/// Stems or original, volume, level; returns their left edge.
fn right_side(ui: &mut Ui, state: &State, measures: &Measures, commands: &mut Vec<Command>) -> f32 {
    let theme = Theme::get(ui);
    let place = ui.max_rect();
    let y = place.center().y;
    let transport = &state.transport;
    let edge = if measures.small { 12.0 } else { 16.0 };
    let silent = matches!(transport.device, Device::Missing { .. });

    let meter_width = if measures.small { 60.0 } else { 150.0 };
    let mut x = place.right() - edge;
    let meter = Rect::from_min_size(
        pos2(x - meter_width, y - if measures.small { 7.0 } else { 17.0 }),
        vec2(meter_width, LevelMeter::THICKNESS),
    );
    let cap = at(ui, "meter", meter, |ui| {
        ui.add(LevelMeter::new(&transport.meter, theme.text2, "Master").horizontal())
    });
    if cap.clicked() {
        commands.push(Command::ClearClip(None));
    }
    if !measures.small {
        for (db, align, text) in [
            (-60.0, Align2::LEFT_TOP, "−60"),
            (-40.0, Align2::CENTER_TOP, "−40"),
            (-20.0, Align2::CENTER_TOP, "−20"),
            (0.0, Align2::RIGHT_TOP, "0 dB"),
        ] {
            // The clip cap takes the last 7 points.
            let at = meter.left() + (meter_width - 7.0) * (1.0 + db / 60.0);
            let at = if db == 0.0 { meter.right() } else { at };
            let pos = pos2(at, meter.bottom() + 3.0);
            ui.painter().text(pos, align, text, Type::Tick.font(), theme.text3);
        }
    }
    x = meter.left() - if measures.small { 10.0 } else { 16.0 };

    let volume_width = if measures.small { 120.0 } else { 200.0 };
    let volume = Rect::from_min_max(pos2(x - volume_width, y - 13.0), pos2(x, y + 13.0));
    let mut db = transport.master_db;
    at(ui, "volume", volume, |ui| volume_slider(ui, &mut db, "Master"));
    if db != transport.master_db {
        commands.push(Command::SetMasterDb(db));
    }
    x = volume.left() - 18.0;
    let (icon, color) =
        if silent { (Icon::SpeakerOff, theme.honey_text) } else { (Icon::Speaker, theme.text2) };
    icon.paint(ui.painter(), pos2(x, y), 16.0, color);
    x -= 24.0;
    if !measures.small {
        ui.painter().vline(x, y - 16.0..=y + 16.0, Stroke::new(1.0, theme.line));
        x -= 16.0;
        let chip = Rect::from_min_max(pos2(x - 18.0, y - 9.0), pos2(x, y + 9.0));
        at(ui, "key", chip, |ui| key_chip(ui, "A"));
        x = chip.left() - 9.0;
    }

    let switch = Rect::from_min_max(pos2(x - 138.0, y - 16.0), pos2(x, y + 16.0));
    let mut listen = transport.listen;
    at(ui, "listen", switch, |ui| {
        let options = [(Listen::Stems, "Stems"), (Listen::Original, "Original")];
        segmented(ui, "Listen to", &mut listen, &options, 138.0)
    });
    if listen != transport.listen {
        commands.push(Command::SetListen(listen));
    }
    switch.left()
}

/// The line above the transport while there is no sound device.
pub fn no_device_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Device::Missing { reason } = &state.transport.device else { return };
    let theme = Theme::get(ui);
    let place = ui.max_rect();
    ui.painter().rect_filled(place, 0.0, theme.raised);
    ui.painter().hline(place.x_range(), place.top() + 0.5, Stroke::new(1.0, theme.line));
    let row = place.shrink2(vec2(16.0, 0.0));
    Icon::SpeakerOff.paint(
        ui.painter(),
        pos2(row.left() + 10.0, row.top() + 20.0),
        18.0,
        theme.honey_text,
    );
    let left = at_right(ui, "no device buttons", row, |ui| {
        if ui.add(Button::text("Look again")).on_hover_text(reason).clicked() {
            commands.push(Command::LookForDevice);
        }
        if ui.add(Button::secondary("Choose a device…")).clicked() {
            commands.push(Command::OpenDialog(Dialog::Settings));
        }
        ui.min_rect().left()
    });
    let title = "No sound device found";
    let text = "Playback is silent. Separating, meters and export still work, and sound starts \
                by itself when a device is plugged in.";
    let width = left - 16.0 - (row.left() + 36.0);
    let galley_title = galley(ui.painter(), title, Type::Title, theme.text, width);
    let x = row.left() + 36.0;
    ui.painter().galley(pos2(x, place.top() + 10.0), galley_title, theme.text);
    let galley_text = galley(ui.painter(), text, Type::Small, theme.text2, width);
    ui.painter().galley(pos2(x, place.top() + 31.0), galley_text, theme.text2);
    let response = ui.interact(
        Rect::from_min_max(pos2(x, place.top()), pos2(left - 16.0, place.bottom())),
        ui.scope_id().with("no device"),
        Sense::hover(),
    );
    response
        .widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, format!("{title}. {text}")));
    focus_ring(ui, &response, response.rect, RADIUS);
}
