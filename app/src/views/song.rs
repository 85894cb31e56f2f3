//! The song screen: every region at its place on the grid.

use egui::{Rect, ScrollArea, Stroke, Ui, UiBuilder, pos2, vec2};

use super::{
    column, lanes, layout,
    layout::{Measures, take_bottom, take_top},
    overview, piece_strip, progress_band,
    region::region,
    ruler, side_panel, top_bar, transport,
};
use crate::{
    command::Command,
    state::{Device, Region, SongView, State},
    theme::Theme,
};

/// Draws the song screen over all of `ui`.
pub fn song_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(song) = state.song() else { return };
    let theme = Theme::get(ui);
    let window = ui.max_rect();
    let measures = Measures::of(window.size());
    ui.painter().rect_filled(window, 0.0, theme.surf);

    let mut rest = window;
    let top_bar = take_top(&mut rest, layout::TOP_BAR);
    let transport = take_bottom(&mut rest, measures.transport);
    let no_device = matches!(state.transport.device, Device::Missing { .. })
        .then(|| take_bottom(&mut rest, layout::NO_DEVICE));

    region(ui, state, Region::TopBar, top_bar, |ui| {
        top_bar::top_bar_ui(ui, state, song, &measures, commands);
    });
    line_below(ui, top_bar, theme);

    let side = side_width(ui, state, &measures);
    let panel = Rect::from_min_max(pos2(rest.right() - side, rest.top()), rest.max);
    if !measures.side_over {
        rest.set_right(rest.right() - side);
    }
    main_ui(ui, state, song, &measures, rest, commands);
    if side > 0.5 {
        panel_region(ui, state, song, &measures, panel, commands);
    }

    if let Some(place) = no_device {
        ui.scope_builder(UiBuilder::new().id_salt("no device").max_rect(place), |ui| {
            transport::no_device_ui(ui, state, commands);
        });
    }
    region(ui, state, Region::Transport, transport, |ui| {
        transport::transport_ui(ui, state, song, &measures, commands);
    });
}

/// Width of the side panel, on its way in or out.
fn side_width(ui: &Ui, state: &State, measures: &Measures) -> f32 {
    let shown = ui.animate_bool_responsive(
        ui.scope_id().with(("side panel", measures.side_over)),
        state.side_panel_shown(),
    );
    (layout::SIDE_PANEL * shown).round()
}

fn panel_region(
    ui: &mut Ui,
    state: &State,
    song: &SongView,
    measures: &Measures,
    place: Rect,
    commands: &mut Vec<Command>,
) {
    let theme = Theme::get(ui);
    // While it slides, its content keeps its width.
    let full = Rect::from_min_size(place.min, egui::vec2(layout::SIDE_PANEL, place.height()));
    region(ui, state, Region::SidePanel, place, |ui| {
        let painter = ui.painter();
        painter.rect_filled(place, 0.0, theme.surf);
        painter.vline(place.left() + 0.5, place.y_range(), Stroke::new(1.0, theme.line));
        if measures.side_over {
            // Lanes below must not take the pointer.
            ui.interact(place, ui.scope_id().with("over"), egui::Sense::click_and_drag());
        }
        ui.scope_builder(UiBuilder::new().max_rect(full), |ui| {
            side_panel::side_panel_ui(ui, state, song, commands);
        });
    });
}

fn main_ui(
    ui: &mut Ui,
    state: &State,
    song: &SongView,
    measures: &Measures,
    place: Rect,
    commands: &mut Vec<Command>,
) {
    let theme = Theme::get(ui);
    let mut rest = place;
    let working = progress_band::is_shown(song);
    let unfolded = ui.animate_bool_responsive(ui.scope_id().with(("progress", song.key)), working);
    if unfolded > 0.0 {
        let band = take_top(&mut rest, (layout::PROGRESS * unfolded).round());
        region(ui, state, Region::Progress, band, |ui| {
            progress_band::progress_band_ui(ui, state, song, measures, commands);
        });
        line_below(ui, band, theme);
    }
    if song.failed_pieces().next().is_some() {
        let card = take_top(&mut rest, layout::FAILED_CARD);
        column(ui, "failed pieces", card.shrink2(vec2(measures.inset, 8.0)), |ui| {
            ui.set_clip_rect(card);
            ScrollArea::vertical().show(ui, |ui| {
                super::errors::failed_pieces_ui(ui, state, commands);
            });
        });
        line_below(ui, card, theme);
    }
    let overview = take_top(&mut rest, measures.overview);
    region(ui, state, Region::Overview, overview, |ui| {
        overview::overview_ui(ui, song, measures, commands);
    });
    let ruler = take_top(&mut rest, layout::RULER);
    region(ui, state, Region::Ruler, ruler, |ui| {
        ruler::ruler_ui(ui, song, measures, commands);
    });
    let strip =
        ui.animate_bool_responsive(ui.scope_id().with(("strip", song.key)), strip_shown(song));
    if strip > 0.0
        && let Some(job) = &song.job
    {
        let row = take_top(&mut rest, (layout::STRIP * strip).round());
        ui.scope_builder(UiBuilder::new().id_salt("strip").max_rect(row), |ui| {
            ui.set_clip_rect(row);
            piece_strip::piece_strip_ui(ui, song, job, state.marked_computer, measures, commands);
        });
    }
    region(ui, state, Region::Lanes, rest, |ui| {
        lanes::lanes_ui(ui, state, measures, commands);
    });
}

/// The strip is there while pieces are missing; afterwards the side panel says who did what.
fn strip_shown(song: &SongView) -> bool {
    song.job.is_some() && !song.is_separated()
}

fn line_below(ui: &Ui, place: Rect, theme: &Theme) {
    ui.painter().hline(place.x_range(), place.bottom() - 0.5, Stroke::new(1.0, theme.line));
}
