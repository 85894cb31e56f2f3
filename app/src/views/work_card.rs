//! Who does the work, on the start screen: this computer and those that help, how fast each is,
//! and what a song takes with and without it.

use egui::{Align2, Sense, Ui, WidgetInfo, accesskit::Role, pos2, vec2};
use engine::{crew::Standing, remote::Computer};

use super::{
    computers::{short_link_text, standing_words, trouble_ui},
    models::threads,
};
use crate::{
    command::Command,
    icons::Icon,
    state::{
        Dialog, ModelCard, State,
        computers::{cores_of, is_usable},
    },
    theme::{Theme, Type},
    time, units,
    widgets::{self, Button},
};

/// Length of the song that minutes are told for.
const SONG_SECS: f64 = 240.0;

const BADGE: f32 = 22.0;

/// From where on a row has its words.
const INDENT: f32 = BADGE + 12.0;

/// Room for the check mark at a row's end.
const MARK: f32 = 34.0;

/// Draws the card.
pub(super) fn work_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let theme = Theme::get(ui);
    let card = state.model();
    widgets::card(theme).show(ui, |ui| {
        ui.set_width(ui.available_width());
        title_ui(ui, card.map(|card| SONG_SECS / state.secs_for(card, SONG_SECS).max(0.1)));
        ui.add_space(8.0);
        trouble_ui(ui, state);
        this_ui(ui, state, card);
        for computer in &state.computers.computers {
            computer_ui(ui, state, card, computer, commands);
        }
        ui.add_space(12.0);
        let text = if state.computers.computers.is_empty() {
            "A spare PC in your network makes it faster. The result is the same with or without it."
        } else {
            "Ticked computers work on the next song. The result is the same with or without them."
        };
        widgets::label_color(ui, Type::Small, theme.text3, text);
        ui.add_space(14.0);
        let width = ui.available_width();
        let add = Button::secondary("Add a computer").icon(Icon::Plus).width(width);
        if ui.add(add.name("Add a computer…")).clicked() {
            commands.push(Command::OpenDialog(Dialog::AddComputer));
        }
    });
}

fn title_ui(ui: &mut Ui, speed: Option<f64>) {
    let theme = Theme::get(ui);
    let (rect, title) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::hover());
    let speed = speed.map(|speed| format!("about {}", units::times(speed as f32)));
    let said = speed.as_ref().map(|speed| format!(", {speed} real time")).unwrap_or_default();
    title.widget_info(|| {
        WidgetInfo::labeled(Role::Heading, true, format!("Who does the work{said}"))
    });
    put(ui, "Who does the work", Type::Title, theme.text, Align2::LEFT_CENTER, rect.left_center());
    let Some(speed) = speed else { return };
    let end = Align2::RIGHT_CENTER;
    let unit = put(ui, "real time", Type::Small, theme.text3, end, rect.right_center());
    let at = pos2(unit.left() - 4.0, rect.center().y);
    put(ui, &speed, Type::BodyStrong, theme.text, end, at);
}

fn put(
    ui: &Ui,
    text: &str,
    size: Type,
    color: egui::Color32,
    anchor: Align2,
    at: egui::Pos2,
) -> egui::Rect {
    let galley = widgets::galley(ui.painter(), text, size, color, 260.0);
    let rect = anchor.anchor_size(at, galley.size());
    ui.painter().galley(rect.min, galley, color);
    rect
}

/// Audio seconds per second of `cores`, with a model.
fn speed(card: &ModelCard, cores: f64) -> String {
    units::times((cores / card.info.cost_core_secs_per_sec.max(1e-6)) as f32)
}

fn this_ui(ui: &mut Ui, state: &State, card: Option<&ModelCard>) {
    let theme = Theme::get(ui);
    let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), 36.0), Sense::hover());
    super::at(ui, "this", row, |ui| {
        ui.spacing_mut().item_spacing.x = 12.0;
        widgets::computer_badge(ui, 0, true, BADGE);
        widgets::label_color(ui, Type::Body, theme.text, "This PC");
        let threads = units::count(threads(&state.settings), "thread");
        widgets::label_color(ui, Type::Small, theme.text3, threads);
    });
    if let Some(card) = card.filter(|_| !state.computers.computers.is_empty()) {
        let at = row.right_center() - vec2(MARK, 0.0);
        let text = speed(card, card.cores_here());
        put(ui, &text, Type::Body, theme.text2, Align2::RIGHT_CENTER, at);
    }
}

fn computer_ui(
    ui: &mut Ui,
    state: &State,
    card: Option<&ModelCard>,
    computer: &Computer,
    commands: &mut Vec<Command>,
) {
    let theme = Theme::get(ui);
    let usable = is_usable(&computer.standing);
    let chosen = state.is_chosen(computer.device);
    let words = standing_words(&computer.standing);
    let below = match card.filter(|_| usable) {
        Some(card) => {
            let secs = state.secs_if(card, SONG_SECS, computer.device, !chosen);
            let word = if chosen { "without it" } else { "with it" };
            format!("4 minutes in {} {word}", time::clock(secs.max(1.0)))
        }
        None => words.text.clone(),
    };
    let width = ui.available_width();
    let (row, _) = ui.allocate_exact_size(vec2(width, 44.0), Sense::hover());
    let open = row.with_max_x(row.right() - MARK);
    let id = ui.scope_id().with(("computer", computer.letter));
    let response = ui.interact(open, id, Sense::click());
    let color = if chosen && usable { theme.text } else { theme.text2 };
    let facts = computer.link.as_ref().filter(|_| usable).map(short_link_text);
    let facts = facts.unwrap_or_default();
    let fast = card.filter(|_| usable && cores_of(computer) > 0.0);
    let fast = fast.map_or("–".into(), |card| speed(card, cores_of(computer)));
    response.widget_info(|| {
        let said = format!("{}…, {}, {fast} real time, {below}", computer.name, words.text);
        WidgetInfo::labeled(Role::Button, true, said)
    });
    if response.hovered() {
        ui.painter().rect_filled(open.expand2(vec2(6.0, -2.0)), 6.0, theme.ctl);
    }
    widgets::focus_ring(ui, &response, open.expand2(vec2(4.0, -4.0)), 6);
    let badge = egui::Rect::from_min_size(
        pos2(row.left(), row.center().y - BADGE / 2.0),
        vec2(BADGE, BADGE),
    );
    super::at(ui, ("badge", computer.letter), badge, |ui| {
        widgets::computer_badge(ui, computer.letter, usable, BADGE);
    });
    let (left, top) = (row.left() + INDENT, row.top() + 13.0);
    let start = Align2::LEFT_CENTER;
    let name = put(ui, &computer.name, Type::Body, color, start, pos2(left, top));
    put(ui, &facts, Type::Small, theme.text3, start, pos2(name.right() + 12.0, top));
    let state_color = if usable { theme.text3 } else { words.color(theme) };
    put(ui, &below, Type::Small, state_color, start, pos2(left, row.top() + 31.0));
    let end = pos2(open.right(), top);
    put(ui, &fast, Type::Body, theme.text2, Align2::RIGHT_CENTER, end);
    if response.clicked() {
        commands.push(Command::OpenDialog(match computer.standing {
            Standing::Unconfirmed => Dialog::Paired(computer.device),
            _ => Dialog::Computer(computer.device),
        }));
    }
    let mark = egui::Rect::from_min_max(pos2(row.right() - 26.0, row.top()), row.max);
    super::at(ui, ("mark", computer.letter), mark, |ui| {
        let mut on = chosen;
        let name = format!("Use {} for the next song", computer.name);
        if widgets::check_mark(ui, &mut on, &name).changed() {
            commands.push(Command::ChooseComputers(state.chosen_with(computer.device, on)));
        }
    });
}
