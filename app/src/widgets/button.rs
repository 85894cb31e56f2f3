//! Buttons: one primary per surface, secondary, outlined and plain text, with icon and key hint.

use egui::{
    Align2, Color32, CornerRadius, Rect, Response, Sense, Stroke, StrokeKind, Ui, Vec2, Widget,
    WidgetInfo, accesskit::Role, pos2, vec2,
};

use super::{badge, claim_enter, control_fill, focus_ring, galley};
use crate::{
    icons::Icon,
    theme::{RADIUS, RADIUS_BIG, Theme, Type},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Primary,
    Secondary,
    Outlined,
    Text,
}

/// A button with a word on it.
#[derive(Debug, Clone)]
#[must_use = "add it to a Ui"]
pub struct Button {
    kind: Kind,
    text: String,
    icon: Option<Icon>,
    trailing: Option<Icon>,
    keys: String,
    name: Option<String>,
    color: Option<Color32>,
    height: f32,
    width: Option<f32>,
    selected: Option<bool>,
}

impl Button {
    fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            icon: None,
            trailing: None,
            keys: String::new(),
            name: None,
            color: None,
            height: 32.0,
            width: None,
            selected: None,
        }
    }

    /// The one honey button of a surface.
    pub fn primary(text: impl Into<String>) -> Self {
        Self::new(Kind::Primary, text)
    }

    /// A filled button.
    pub fn secondary(text: impl Into<String>) -> Self {
        Self::new(Kind::Secondary, text)
    }

    /// A button with a border only.
    pub fn outlined(text: impl Into<String>) -> Self {
        Self::new(Kind::Outlined, text)
    }

    /// A word that shows it is a button when pointed at.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Kind::Text, text)
    }

    /// An icon before the word.
    pub fn icon(mut self, icon: Icon) -> Self {
        self.icon = Some(icon);
        self
    }

    /// An icon after the word.
    pub fn trailing(mut self, icon: Icon) -> Self {
        self.trailing = Some(icon);
        self
    }

    /// Keys that do the same ("Ctrl+O"), shown as a chip; none when empty.
    pub fn keys(mut self, keys: impl Into<String>) -> Self {
        self.keys = keys.into();
        self
    }

    /// What a screen reader says when the word alone is not enough.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Another colour for word and icon.
    pub fn color(mut self, color: Color32) -> Self {
        self.color = Some(color);
        self
    }

    /// 28 high, for rows, cards and toasts.
    pub fn small(mut self) -> Self {
        self.height = 28.0;
        self
    }

    /// 42 high, for the start screen.
    pub fn big(mut self) -> Self {
        self.height = 42.0;
        self
    }

    /// At least this wide.
    pub fn width(mut self, width: f32) -> Self {
        self.width = Some(width);
        self
    }

    /// A button that stays pressed: whether it is.
    pub fn selected(mut self, selected: bool) -> Self {
        self.selected = Some(selected);
        self
    }
}

impl Widget for Button {
    fn ui(self, ui: &mut Ui) -> Response {
        let theme = Theme::get(ui);
        let big = self.height > 40.0;
        let size = match self.kind {
            Kind::Primary if big => Type::Title,
            Kind::Primary => Type::BodyStrong,
            _ => Type::BodyMedium,
        };
        let color = self.color.unwrap_or(match self.kind {
            Kind::Primary => theme.on_honey,
            Kind::Text if self.selected != Some(true) => theme.text2,
            _ => theme.text,
        });
        let text = galley(ui.painter(), self.text.as_str(), size, color, ui.available_width());
        let icon_size = if big { 18.0 } else { 16.0 };
        let keys_width = badge::key_chip_width(ui.painter(), &self.keys);
        let gap = if big { 10.0 } else { 8.0 };
        let part = |width: f32| if width > 0.0 { width + gap } else { 0.0 };
        let icon_width = |icon: Option<Icon>| icon.map_or(0.0, |_| icon_size);
        let content = part(icon_width(self.icon))
            + text.size().x
            + part(icon_width(self.trailing))
            + part(keys_width);
        let padding = if big { 20.0 } else { 12.0 };
        let width = (content + 2.0 * padding).max(self.width.unwrap_or(0.0));
        let (rect, response) = ui.allocate_exact_size(vec2(width, self.height), Sense::click());

        let name = self.name.as_deref().unwrap_or(&self.text);
        response.widget_info(|| match self.selected {
            Some(on) => WidgetInfo::selected(Role::Button, ui.is_enabled(), on, name),
            None => WidgetInfo::labeled(Role::Button, ui.is_enabled(), name),
        });
        claim_enter(&response);
        if !self.keys.is_empty() {
            ui.ctx().accesskit_node_builder(response.id, |node| {
                node.set_keyboard_shortcut(self.keys.as_str());
            });
        }
        if !ui.is_rect_visible(rect) {
            return response;
        }

        let radius = if big { RADIUS_BIG } else { RADIUS };
        let on = self.selected == Some(true);
        let (rest, hover, pressed) = match self.kind {
            Kind::Primary => {
                let toward = if theme.dark { Color32::WHITE } else { Color32::BLACK };
                (
                    theme.honey,
                    theme.honey.lerp_to_gamma(toward, 0.12),
                    theme.honey.lerp_to_gamma(Color32::BLACK, 0.15),
                )
            }
            _ if on => (theme.ctl_hover, theme.ctl_hover, theme.ctl_pressed),
            Kind::Secondary => (theme.ctl, theme.ctl_hover, theme.ctl_pressed),
            Kind::Outlined | Kind::Text => (Color32::TRANSPARENT, theme.ctl, theme.ctl_hover),
        };
        let fill = control_fill(ui, &response, rest, hover, pressed);
        let painter = ui.painter();
        painter.rect_filled(rect, CornerRadius::same(radius), fill);
        if self.kind == Kind::Outlined {
            let edge = Stroke::new(1.0, theme.edge);
            painter.rect_stroke(rect, CornerRadius::same(radius), edge, StrokeKind::Inside);
        }
        focus_ring(ui, &response, rect, radius);

        let mut x = rect.center().x - content / 2.0;
        let y = rect.center().y;
        if let Some(icon) = self.icon {
            icon.paint(painter, pos2(x + icon_size / 2.0, y), icon_size, color);
            x += icon_size + gap;
        }
        let text_size = text.size();
        painter.galley(pos2(x, y - text_size.y / 2.0), text, color);
        x += text_size.x + gap;
        if let Some(icon) = self.trailing {
            icon.paint(painter, pos2(x + icon_size / 2.0, y), icon_size, color);
            x += icon_size + gap;
        }
        if !self.keys.is_empty() {
            badge::paint_key_chip(painter, pos2(x, y), Align2::LEFT_CENTER, &self.keys, color);
        }
        response
    }
}

/// A button that is only an icon; its name is said and shown on hover.
#[derive(Debug, Clone)]
#[must_use = "add it to a Ui"]
pub struct IconButton {
    icon: Icon,
    name: String,
    size: Vec2,
    icon_size: f32,
    filled: bool,
    selected: Option<bool>,
    color: Option<Color32>,
}

impl IconButton {
    /// A button of 32 by 32.
    pub fn new(icon: Icon, name: impl Into<String>) -> Self {
        Self {
            icon,
            name: name.into(),
            size: Vec2::splat(32.0),
            icon_size: 18.0,
            filled: false,
            selected: None,
            color: None,
        }
    }

    /// Another size of the button, and of its icon.
    pub fn size(mut self, size: f32, icon_size: f32) -> Self {
        self.size = Vec2::splat(size);
        self.icon_size = icon_size;
        self
    }

    /// With a background also when nobody points at it.
    pub fn filled(mut self) -> Self {
        self.filled = true;
        self
    }

    /// A toggle: whether it is on.
    pub fn selected(mut self, selected: bool) -> Self {
        self.selected = Some(selected);
        self
    }

    /// Another colour.
    pub fn color(mut self, color: Color32) -> Self {
        self.color = Some(color);
        self
    }
}

impl Widget for IconButton {
    fn ui(self, ui: &mut Ui) -> Response {
        let theme = Theme::get(ui);
        let (rect, response) = ui.allocate_exact_size(self.size, Sense::click());
        response.widget_info(|| match self.selected {
            Some(on) => WidgetInfo::selected(Role::Button, ui.is_enabled(), on, &self.name),
            None => WidgetInfo::labeled(Role::Button, ui.is_enabled(), &self.name),
        });
        claim_enter(&response);
        if ui.is_rect_visible(rect) {
            let rest = match (self.filled, self.selected) {
                (true, _) => theme.ctl,
                (false, Some(true)) => theme.ctl_hover,
                (false, _) => Color32::TRANSPARENT,
            };
            let fill = control_fill(ui, &response, rest, theme.ctl_hover, theme.ctl_pressed);
            ui.painter().rect_filled(rect, CornerRadius::same(RADIUS), fill);
            focus_ring(ui, &response, rect, RADIUS);
            let color = self.color.unwrap_or(theme.text);
            self.icon.paint(ui.painter(), Rect::center(&rect), self.icon_size, color);
        }
        response.on_hover_text(self.name)
    }
}
