//! A lane's header: colour, name, solo, mute, volume, pan, level.

use egui::{Align2, Id, Rect, Ui, pos2, vec2};
use engine::mix::Audibility;

use super::{at, layout, layout::Measures};
use crate::{
    command::{Command, entry_of},
    icons::Icon,
    state::{SongView, frame_secs, stem_title},
    theme::{Theme, Type},
    time,
    widgets::{LevelMeter, galley, key_chip, mute_button, pan_slider, solo_button, volume_slider},
};

/// Controls of a lane that the focus can be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Solo.
    Solo,
    /// Mute.
    Mute,
    /// Volume.
    Volume,
    /// Pan.
    Pan,
    /// The waveform.
    Wave,
}

/// The middles of a header's rows.
struct Rows {
    name: f32,
    switches: f32,
    volume: f32,
    pan: Option<f32>,
}

impl Rows {
    fn of(rect: Rect) -> Self {
        let has_pan = rect.height() >= layout::PAN_FROM;
        let (to_switches, to_volume, to_pan) = (33.0, 31.0, if has_pan { 26.0 } else { 0.0 });
        let span = to_switches + to_volume + to_pan;
        let squeeze = ((rect.height() - 28.0) / span).min(1.0);
        let name = rect.center().y - span * squeeze / 2.0;
        let switches = name + to_switches * squeeze;
        let volume = switches + to_volume * squeeze;
        Self { name, switches, volume, pan: has_pan.then_some(volume + to_pan * squeeze) }
    }
}

/// Draws the header of lane `index` into `rect` and names its controls.
pub fn header_ui(
    ui: &mut Ui,
    song: &SongView,
    index: usize,
    audibility: Audibility,
    rect: Rect,
    measures: &Measures,
    commands: &mut Vec<Command>,
) -> Vec<(Part, Id)> {
    let theme = Theme::get(ui);
    let lane = &song.lanes[index];
    let name = stem_title(lane.stem);
    let rows = Rows::of(rect);
    let left = rect.left() + measures.inset;
    let right = rect.right() - 36.0;
    let row = |middle: f32, from: f32, to: f32| {
        Rect::from_min_max(pos2(from, middle - 13.0), pos2(to, middle + 13.0))
    };

    ui.painter().rect_filled(rect, 0.0, theme.surf);
    let full = theme.stem(lane.stem);
    let color = match audibility {
        Audibility::Audible => full,
        Audibility::Muted | Audibility::SilencedBySolo => full.gamma_multiply(0.45),
    };
    ui.painter().rect_filled(rect.with_max_x(rect.left() + 3.0), 0.0, color);
    Icon::stem(lane.stem).paint(ui.painter(), pos2(left + 8.0, rows.name), 16.0, color);
    let title = galley(ui.painter(), name, Type::Title, theme.text, right - left - 50.0);
    let title_top = rows.name - title.size().y / 2.0;
    ui.painter().galley(pos2(left + 25.0, title_top), title, theme.text);
    if !measures.small
        && let Some(entry) = entry_of(&Command::ToggleMute(index))
    {
        let chip = row(rows.name, right - 18.0, right);
        at(ui, "key", chip, |ui| key_chip(ui, &entry.keys_label()));
    }

    let mut parts = Vec::with_capacity(4);
    let solo = at(ui, "solo", row(rows.switches, left, left + 30.0), |ui| {
        solo_button(ui, lane.control.solo, name)
    });
    if solo.clicked() {
        let only = ui.input(|input| input.modifiers.command);
        commands.push(if only { Command::SoloOnly(index) } else { Command::ToggleSolo(index) });
    }
    parts.push((Part::Solo, solo.id));
    let mute = at(ui, "mute", row(rows.switches, left + 36.0, left + 66.0), |ui| {
        mute_button(ui, lane.control.mute, name)
    });
    if mute.clicked() {
        commands.push(Command::ToggleMute(index));
    }
    parts.push((Part::Mute, mute.id));
    status(ui, song, audibility, row(rows.switches, left + 76.0, right + 4.0), theme);

    let rail = if measures.small {
        left
    } else {
        let speaker = pos2(left + 6.0, rows.volume);
        Icon::Speaker.paint(ui.painter(), speaker, 14.0, theme.text2);
        left + 21.0
    };
    let mut gain_db = lane.control.gain_db;
    let volume =
        at(ui, "volume", row(rows.volume, rail, right), |ui| volume_slider(ui, &mut gain_db, name));
    if gain_db != lane.control.gain_db {
        commands.push(Command::SetGainDb { lane: index, gain_db });
    }
    parts.push((Part::Volume, volume.id));

    if let Some(middle) = rows.pan {
        ui.painter().text(
            pos2(left, middle),
            Align2::LEFT_CENTER,
            "Pan",
            Type::Small.font(),
            theme.text3,
        );
        let mut pan = lane.control.pan;
        let response =
            at(ui, "pan", row(middle, left + 27.0, right), |ui| pan_slider(ui, &mut pan, name));
        if pan != lane.control.pan {
            commands.push(Command::SetPan { lane: index, pan });
        }
        parts.push((Part::Pan, response.id));
    }

    let meter = Rect::from_min_size(
        pos2(rect.right() - 10.0 - LevelMeter::THICKNESS, rect.top() + 8.0),
        vec2(LevelMeter::THICKNESS, rect.height() - 16.0),
    );
    let cap = at(ui, "meter", meter, |ui| {
        ui.add(LevelMeter::new(&lane.meter, theme.stem(lane.stem), name))
    });
    if cap.clicked() {
        commands.push(Command::ClearClip(Some(index)));
    }
    parts
}

/// The word beside solo and mute: why the lane is silent, or that it is not ready here.
fn status(ui: &mut Ui, song: &SongView, audibility: Audibility, place: Rect, theme: &Theme) {
    let (word, color) = match audibility {
        Audibility::Muted => ("Muted", theme.text2),
        Audibility::SilencedBySolo => ("Silenced by solo", theme.honey_text),
        Audibility::Audible if not_ready_here(song) => ("Not ready here", theme.text3),
        Audibility::Audible => return,
    };
    let text = galley(ui.painter(), word, Type::Small, color, place.width());
    let top = place.center().y - text.size().y / 2.0;
    let shown = Rect::from_min_size(pos2(place.left(), top), text.size());
    ui.painter().galley(shown.min, text, color);
    let response = ui.interact(shown, ui.scope_id().with("status"), egui::Sense::hover());
    if audibility == Audibility::Audible {
        let at = time::clock(frame_secs(song.playhead));
        response.on_hover_text(format!("Not ready at {at}. You hear the original here."));
    }
}

/// Whether the playhead is over a part whose stems are still to come.
pub fn not_ready_here(song: &SongView) -> bool {
    song.job.is_some() && !song.is_ready_at(song.playhead.min(song.frames.saturating_sub(1)))
}
