//! What the window draws: functions that read the state and push commands, and never act.

mod computer_dialogs;
mod computers;
pub mod dialogs;
pub mod errors;
pub mod export;
pub mod lane_header;
pub mod lane_wave;
pub mod lanes;
pub mod layout;
mod models;
pub mod overview;
mod pairing;
pub mod palette;
pub mod piece_strip;
pub mod progress_band;
mod recent;
pub mod region;
pub mod ruler;
pub mod settings;
pub mod shortcuts;
pub mod side_panel;
pub mod song;
pub mod start;
mod start_picture;
#[doc(hidden)]
pub mod testing;
pub mod toasts;
pub mod top_bar;
pub mod transport;
pub mod waveform;
mod work_card;

use egui::{AsIdSalt, Layout, Rect, Ui, UiBuilder, emath::Align};

/// Draws `add` at `rect`, left to right, under an id that does not depend on what else is drawn.
pub fn at<R>(ui: &mut Ui, salt: impl AsIdSalt, rect: Rect, add: impl FnOnce(&mut Ui) -> R) -> R {
    let layout = Layout::left_to_right(Align::Center);
    add(&mut ui.new_child(UiBuilder::new().id_salt(salt).max_rect(rect).layout(layout)))
}

/// Like [`at`], filled from the right edge.
pub fn at_right<R>(
    ui: &mut Ui,
    salt: impl AsIdSalt,
    rect: Rect,
    add: impl FnOnce(&mut Ui) -> R,
) -> R {
    let layout = Layout::right_to_left(Align::Center);
    add(&mut ui.new_child(UiBuilder::new().id_salt(salt).max_rect(rect).layout(layout)))
}

/// Like [`at`], filled from the top.
pub fn column<R>(
    ui: &mut Ui,
    salt: impl AsIdSalt,
    rect: Rect,
    add: impl FnOnce(&mut Ui) -> R,
) -> R {
    let layout = Layout::top_down(Align::Min);
    add(&mut ui.new_child(UiBuilder::new().id_salt(salt).max_rect(rect).layout(layout)))
}
