//! The program behind the window: looks after the desk before every frame, draws the state, hands
//! the commands over.

use std::{path::PathBuf, time::Instant};

use egui::{Align2, Color32, Context, Id, Rect, Role, Sense, Ui, UiBuilder, ViewportCommand};

use crate::{
    command::Command,
    keymap,
    state::{Device, State},
    theme::{Theme, Type},
    update::Desk,
    views::{self, layout::Measures},
};

/// State, desk, and what the last frame asked for.
pub struct App {
    state: State,
    desk: Desk,
    commands: Vec<Command>,
    started: Instant,
    looked: Instant,
    title: String,
}

impl App {
    /// A window on `state`; opens `songs`.
    pub fn new(mut state: State, mut desk: Desk, songs: Vec<PathBuf>) -> Self {
        if !songs.is_empty() {
            desk.apply(&mut state, Command::OpenPaths(songs));
        }
        let now = Instant::now();
        Self { state, desk, commands: Vec::new(), started: now, looked: now, title: String::new() }
    }

    /// What the window shows.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn apply_commands(&mut self, ctx: &Context) {
        if self.commands.is_empty() {
            return;
        }
        for command in std::mem::take(&mut self.commands) {
            self.desk.apply(&mut self.state, command);
        }
        // What was changed is shown by the next frame.
        ctx.request_repaint();
    }

    fn show_title(&mut self, ctx: &Context) {
        let title = match self.state.song() {
            Some(song) => format!("{} – Stemhive", song.title()),
            None => "Stemhive".to_owned(),
        };
        if title != self.title {
            ctx.send_viewport_cmd(ViewportCommand::Title(title.clone()));
            self.title = title;
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        let now = Instant::now();
        let dt_secs = now.duration_since(self.looked).as_secs_f32().min(1.0);
        self.looked = now;
        let now_secs = now.duration_since(self.started).as_secs_f64();
        self.desk.poll(&mut self.state, now_secs, dt_secs);
        if ctx.input(|input| input.viewport().close_requested())
            && !self.desk.may_close(&mut self.state)
        {
            ctx.send_viewport_cmd(ViewportCommand::CancelClose);
        }
        self.show_title(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        let settings = &self.state.settings;
        Theme::choose(ui, settings.theme, settings.reduce_motion);
        ui.set_zoom_factor(settings.ui_scale);
        window_ui(ui, &mut self.state, &mut self.commands);
        let ctx = ui.ctx().clone();
        self.apply_commands(&ctx);
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.desk.shut_down(&self.state);
    }

    fn clear_color(&self, _visuals: &egui::Visuals) -> [f32; 4] {
        Color32::BLACK.to_normalized_gamma_f32()
    }
}

/// One frame of the whole window: keys, the screen, dialogs, messages, what is spoken. Changes of
/// `state` only what it notes for itself: where the focus is, how wide the window is.
pub fn window_ui(ui: &mut Ui, state: &mut State, commands: &mut Vec<Command>) {
    let window = ui.content_rect();
    let measures = Measures::of(window.size());
    state.narrow = measures.side_over;
    keymap::take_keys(ui, state, commands);
    take_dropped(ui, commands);

    let builder = UiBuilder::new().id_salt("window").max_rect(window);
    let screen = &mut ui.new_child(builder);
    screen.set_clip_rect(window);
    if state.song().is_some() {
        views::song::song_ui(screen, state, commands);
        drop_hint(screen, window);
    } else {
        views::start::start_ui(screen, state, commands);
    }
    let mut above = 0.0;
    if state.song().is_some() {
        above = measures.transport;
        if matches!(state.transport.device, Device::Missing { .. }) {
            above += views::layout::NO_DEVICE;
        }
    }
    views::toasts::toasts_ui(ui, state, above, commands);
    views::dialogs::dialogs_ui(ui, state, commands);
    announce(ui, state);
    state.focus_request = None;
    state.focused_region = views::region::focused(ui);
}

/// Opens what was dropped into the window.
fn take_dropped(ctx: &Context, commands: &mut Vec<Command>) {
    let dropped = ctx.input(|input| {
        let files = input.raw.dropped_files.iter();
        files.map(|file| file.path().to_owned()).collect::<Vec<_>>()
    });
    if !dropped.is_empty() {
        commands.push(Command::OpenPaths(dropped));
    }
}

/// Says that files held over the song screen can be dropped; the start screen has its own target.
fn drop_hint(ui: &Ui, window: Rect) {
    if ui.input(|input| input.raw.hovered_files.is_empty()) {
        return;
    }
    let theme = Theme::get(ui);
    let painter = ui
        .ctx()
        .layer_painter(egui::LayerId::new(egui::Order::Foreground, Id::unique("drop hint")));
    painter.rect_filled(window, 0.0, theme.dim());
    let edge = egui::Stroke::new(2.0, theme.honey_text);
    painter.rect_stroke(window.shrink(12.0), 10.0, edge, egui::StrokeKind::Inside);
    painter.text(
        window.center(),
        Align2::CENTER_CENTER,
        "Drop to open",
        Type::Headline.font(),
        Color32::WHITE,
    );
}

/// Puts the newest announcement where screen readers hear of it without asking.
fn announce(ui: &Ui, state: &State) {
    let (_, text) = &state.announcement;
    let place = Rect::from_min_size(ui.content_rect().min, egui::Vec2::splat(1.0));
    let response = ui.interact(place, Id::unique("announcement"), Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(Role::Status, true, text));
    ui.accesskit_node_builder(response.id, |node| {
        node.set_live(egui::accesskit::Live::Polite);
        node.set_value(text.clone());
    });
}
