//! Which model separates, with what it costs said before.

use std::sync::OnceLock;

use egui::{
    Align2, CornerRadius, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, accesskit::Role, pos2,
    vec2,
};

use super::start::heading;
use crate::{
    command::Command,
    icons::Icon,
    state::{ModelCard, Settings, State, Supply},
    theme::{RADIUS_CARD, Theme, Type},
    time::clock,
    units,
    widgets::{self, Button},
};

/// Compute threads that `settings` come to on this computer.
pub(super) fn threads(settings: &Settings) -> usize {
    match settings.threads {
        0 => engine::local::Pool::default_threads(),
        threads => threads,
    }
}

/// Processor threads of this computer; asked once, since it reads files.
pub(super) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// A card per model.
pub(super) fn models_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    heading(ui, "How to separate");
    let chosen = state.model().map(|card| card.info.name.clone());
    for (index, card) in state.models.iter().enumerate() {
        if index > 0 {
            ui.add_space(12.0);
        }
        let is_chosen = chosen.as_ref() == Some(&card.info.name);
        let cost = cost(state, card);
        let clicked = model_card(ui, card, is_chosen, &cost, commands);
        if clicked && !is_chosen && card.is_here() {
            commands.push(Command::ChooseModel(card.info.name.clone()));
        }
    }
}

/// What a model needs, as the card and screen readers say it.
struct Cost {
    minutes: String,
    memory: String,
    beside: String,
    short: bool,
}

fn cost(state: &State, card: &ModelCard) -> Cost {
    let free = state.free_memory_bytes;
    let short = free.is_some_and(|free| free < card.memory_bytes);
    let beside = match free {
        Some(free) if short => format!("not enough, {} free", units::bytes(free)),
        Some(free) => format!("memory, {} free", units::bytes(free)),
        None => "memory".into(),
    };
    Cost {
        minutes: clock(state.secs_for(card, 240.0).max(1.0)),
        memory: units::bytes(card.memory_bytes),
        beside,
        short,
    }
}

/// Height of the row with what can be done about a model's files.
const SUPPLY_HEIGHT: f32 = 40.0;

fn model_card(
    ui: &mut Ui,
    card: &ModelCard,
    chosen: bool,
    cost: &Cost,
    commands: &mut Vec<Command>,
) -> bool {
    let theme = Theme::get(ui);
    let indent = 48.0;
    let room = ui.available_width() - indent - 18.0;
    let description: egui::WidgetText =
        widgets::rich(described(card), Type::Small, theme.text2).into();
    let description =
        description.into_galley(ui, Some(egui::TextWrapMode::Wrap), room, Type::Small.font());
    let supply_height = if card.supply == Supply::BuiltIn { 0.0 } else { SUPPLY_HEIGHT };
    let height = 38.0 + description.size().y + 77.0 + supply_height;
    let (rect, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    let can_be_chosen = ui.is_enabled() && card.is_here();
    response.widget_info(|| {
        WidgetInfo::selected(Role::RadioButton, can_be_chosen, chosen, &card.info.title)
    });
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_description(format!(
            "{} {} for a 4-minute song. {} {}. {}.",
            described(card),
            cost.minutes,
            cost.memory,
            cost.beside,
            standing(&card.supply).0,
        ));
    });

    let radius = CornerRadius::same(RADIUS_CARD);
    let lit = response.hovered() && card.is_here();
    let fill = if chosen || lit { theme.raised } else { theme.surf };
    let edge = match (chosen, lit) {
        (true, _) => theme.honey_text,
        (false, true) => theme.edge,
        (false, false) => theme.line,
    };
    let painter = ui.painter();
    painter.rect(rect, radius, fill, Stroke::new(1.0, edge), StrokeKind::Inside);
    widgets::focus_ring(ui, &response, rect, RADIUS_CARD);
    let mark = egui::Rect::from_center_size(
        pos2(rect.left() + 28.0, rect.top() + 30.0),
        Vec2::splat(18.0),
    );
    widgets::paint_radio(ui, mark, chosen, lit);

    let left = rect.left() + indent;
    let line = |text: String, size, color, x: f32, top: f32, max: f32| {
        let galley = widgets::galley(ui.painter(), text, size, color, max);
        let width = galley.size().x;
        ui.painter().galley(pos2(x, top), galley, color);
        width
    };
    line(card.info.title.clone(), Type::Title, theme.text, left, rect.top() + 20.0, room - 150.0);
    paint_standing(ui, &card.supply, pos2(rect.right() - 18.0, rect.top() + 30.0));
    let top = rect.top() + 42.0;
    let described = description.size().y;
    ui.painter().galley(pos2(left, top), description, theme.text2);

    let figures = top + described + 11.0;
    let second = left + 136.0;
    line(cost.minutes.clone(), Type::Figure, theme.text, left, figures, 120.0);
    line("for a 4-minute song".into(), Type::Small, theme.text3, left, figures + 23.0, 130.0);
    let (figure, beside) =
        if cost.short { (theme.error, theme.error) } else { (theme.text, theme.text3) };
    let width = line(cost.memory.clone(), Type::Figure, figure, second, figures, 120.0);
    if cost.short {
        let at = pos2(second + width + 14.0, figures + 12.0);
        Icon::Error.paint(ui.painter(), at, 16.0, theme.error);
    }
    let room = rect.right() - 12.0 - second;
    line(cost.beside.clone(), Type::Small, beside, second, figures + 23.0, room);
    if supply_height > 0.0 {
        let row = egui::Rect::from_min_max(
            pos2(left, figures + 48.0),
            pos2(rect.right() - 18.0, rect.bottom() - 12.0),
        );
        let layout = egui::Layout::left_to_right(egui::Align::Center);
        let mut row = ui.new_child(egui::UiBuilder::new().max_rect(row).layout(layout));
        supply_ui(&mut row, card, commands);
    }
    response.clicked()
}

/// Description and quality in one paragraph.
pub(super) fn described(card: &ModelCard) -> String {
    match card.quality.as_str() {
        "" => card.info.description.clone(),
        quality => format!("{} {quality}.", card.info.description),
    }
}

/// What to say of where a model is, and its mark.
fn standing(supply: &Supply) -> (String, Option<Icon>) {
    match supply {
        Supply::BuiltIn | Supply::Installed { .. } => ("Ready".into(), Some(Icon::Check)),
        Supply::Missing { bytes } => {
            (format!("{} to download", units::bytes(*bytes)), Some(Icon::Download))
        }
        Supply::Coming { done, total } => {
            (format!("{} of {}", units::bytes(*done), units::bytes(*total)), Some(Icon::Download))
        }
        Supply::Damaged => ("A file of it is damaged".into(), Some(Icon::Error)),
    }
}

/// Writes it so that it ends at `end`.
fn paint_standing(ui: &Ui, supply: &Supply, end: egui::Pos2) {
    let theme = Theme::get(ui);
    let color = match supply {
        Supply::BuiltIn | Supply::Installed { .. } => theme.ok,
        Supply::Missing { .. } | Supply::Coming { .. } => theme.text2,
        Supply::Damaged => theme.error,
    };
    let (text, icon) = standing(supply);
    let galley = widgets::galley(ui.painter(), text, Type::Small, color, 170.0);
    let at = Align2::RIGHT_CENTER.anchor_size(end, galley.size());
    if let Some(icon) = icon {
        icon.paint(ui.painter(), at.left_center() - vec2(11.0, 0.0), 14.0, color);
    }
    ui.painter().galley(at.min, galley, color);
}

/// What can be done about a model's files.
pub(super) fn supply_ui(ui: &mut Ui, card: &ModelCard, commands: &mut Vec<Command>) {
    let (name, title) = (&card.info.name, &card.info.title);
    let mut button = |ui: &mut Ui, text: &str, verb: &str, icon, command: fn(String) -> Command| {
        let button = Button::secondary(text).icon(icon).small().name(format!("{verb} {title}"));
        if ui.add(button).clicked() {
            commands.push(command(name.clone()));
        }
    };
    match &card.supply {
        Supply::BuiltIn => {}
        Supply::Installed { .. } => {
            button(ui, "Remove", "Remove", Icon::Trash, Command::RemoveModel);
        }
        Supply::Missing { .. } => {
            button(ui, "Download", "Download", Icon::Download, Command::FetchModel);
        }
        Supply::Damaged => {
            button(ui, "Download again", "Download again", Icon::Download, Command::FetchModel);
        }
        Supply::Coming { done, total } => {
            button(ui, "Cancel", "Cancel downloading", Icon::Close, Command::CancelFetch);
            ui.add_space(8.0);
            let fraction = *done as f32 / (*total).max(1) as f32;
            let honey = Theme::get(ui).honey;
            widgets::progress_bar(ui, fraction, honey, &format!("Downloading {title}"));
        }
    }
}
