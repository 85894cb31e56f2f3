//! Colours, type and measures: the tokens of the design under their own names, for both themes.
//! Widgets and views take every colour from here.

use egui::{
    Color32, Context, CornerRadius, Margin, Shadow, Stroke, Style, TextStyle, Ui, Vec2, Visuals,
    epaint::{FontColorTransferFunction, text::TextOptions},
    style::{ScrollStyle, WidgetVisuals, Widgets},
    vec2,
};
use engine::model::Stem;

use crate::{fonts, state::ThemeChoice};

/// The colours of one theme; both share every measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Whether this is the dark one.
    pub dark: bool,
    /// The window, meter wells.
    pub bg: Color32,
    /// Behind waveforms.
    pub lane: Color32,
    /// Bars, headers, side panel.
    pub surf: Color32,
    /// Cards, dialogs, toasts.
    pub raised: Color32,
    /// Buttons, segments, rails.
    pub ctl: Color32,
    /// Buttons under the pointer.
    pub ctl_hover: Color32,
    /// Pressed buttons, the chosen segment.
    pub ctl_pressed: Color32,
    /// Separators; decoration only.
    pub line: Color32,
    /// Borders of fields and buttons; 3:1 or more.
    pub edge: Color32,
    /// Most important text.
    pub text: Color32,
    /// Usual text.
    pub text2: Color32,
    /// Least important text, still 4.5:1.
    pub text3: Color32,
    /// The one primary button, play, solo on, progress.
    pub honey: Color32,
    /// Text on honey.
    pub on_honey: Color32,
    /// Warnings.
    pub honey_text: Color32,
    /// Loop edges.
    pub loop_edge: Color32,
    /// Good news; always with an icon and a word.
    pub ok: Color32,
    /// Failures; always with an icon and a word.
    pub error: Color32,
    /// Behind failed stretches.
    pub error_bg: Color32,
    /// Playhead, knobs, mute on.
    pub head: Color32,
    /// Focus ring.
    pub focus: Color32,
    /// The mixture, and lanes that are muted.
    pub mix: Color32,
    /// The song as it was.
    pub original: Color32,
    stems: [Color32; 6],
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// The dark theme.
pub static DARK: Theme = Theme {
    dark: true,
    bg: rgb(0x0E0F11),
    lane: rgb(0x121316),
    surf: rgb(0x16181B),
    raised: rgb(0x1D2023),
    ctl: rgb(0x282B30),
    ctl_hover: rgb(0x33373D),
    ctl_pressed: rgb(0x454A52),
    line: rgb(0x26292E),
    edge: rgb(0x6D737C),
    text: rgb(0xECEDEF),
    text2: rgb(0xB0B4BB),
    text3: rgb(0x8F949D),
    honey: rgb(0xF4B942),
    on_honey: rgb(0x1A1405),
    honey_text: rgb(0xF4B942),
    loop_edge: rgb(0xF4B942),
    ok: rgb(0x6FD39A),
    error: rgb(0xFF8078),
    error_bg: rgb(0x2C1B1B),
    head: rgb(0xF4F5F6),
    focus: rgb(0xFFFFFF),
    mix: rgb(0x8E939B),
    original: rgb(0xC9CCD1),
    stems: [
        rgb(0xF28F6B),
        rgb(0x5394F4),
        rgb(0x93EBCB),
        rgb(0xD070B8),
        rgb(0x97982B),
        rgb(0xC2BDFB),
    ],
};

/// The light theme.
pub static LIGHT: Theme = Theme {
    dark: false,
    bg: rgb(0xEBEAE7),
    lane: rgb(0xF3F2EF),
    surf: rgb(0xF7F6F4),
    raised: rgb(0xFFFFFF),
    ctl: rgb(0xE6E4E0),
    ctl_hover: rgb(0xDBD9D4),
    ctl_pressed: rgb(0xB3B0A9),
    line: rgb(0xDDDBD6),
    edge: rgb(0x85827A),
    text: rgb(0x1B1C1E),
    text2: rgb(0x4A4D53),
    text3: rgb(0x5F6269),
    honey: rgb(0xF2B134),
    on_honey: rgb(0x1F1700),
    honey_text: rgb(0x7F5300),
    loop_edge: rgb(0x9A6700),
    ok: rgb(0x1C7341),
    error: rgb(0xB3261E),
    error_bg: rgb(0xFBEAE8),
    head: rgb(0x111214),
    focus: rgb(0x111214),
    mix: rgb(0x7A7D83),
    original: rgb(0x55585E),
    stems: [
        rgb(0xC94F1A),
        rgb(0x2A7DE1),
        rgb(0x2F7D60),
        rgb(0xA65BA3),
        rgb(0x54500F),
        rgb(0x6A44A0),
    ],
};

/// Colours of computers A to F, the same in both themes; from G on they repeat.
pub const COMPUTERS: [Color32; 6] =
    [rgb(0xF1E7C6), rgb(0x74ACE0), rgb(0xB17E52), rgb(0x6E7CC0), rgb(0x8FD3C4), rgb(0x9A9AA0)];

/// The letter on a computer's colour.
pub const ON_COMPUTER: Color32 = rgb(0x101114);

/// Corner radius of meters and rails.
pub const RADIUS_METER: u8 = 2;
/// Corner radius of solo and mute.
pub const RADIUS_TOGGLE: u8 = 5;
/// Corner radius of buttons and fields.
pub const RADIUS: u8 = 6;
/// Corner radius of the start screen's button.
pub const RADIUS_BIG: u8 = 8;
/// Corner radius of cards.
pub const RADIUS_CARD: u8 = 10;
/// Corner radius of dialogs.
pub const RADIUS_DIALOG: u8 = 14;

/// Seconds of every transition.
const MOTION_SECS: f32 = 0.12;

impl Theme {
    /// The theme `ui` is drawn in.
    pub fn get(ui: &Ui) -> &'static Self {
        Self::of(ui.visuals().dark_mode)
    }

    /// The dark or the light one.
    pub fn of(dark: bool) -> &'static Self {
        if dark { &DARK } else { &LIGHT }
    }

    /// Colour of a stem.
    pub fn stem(&self, stem: Stem) -> Color32 {
        self.stems[Stem::ALL.iter().position(|s| *s == stem).unwrap_or(2)]
    }

    /// Inside of text fields and lists.
    pub fn field(&self) -> Color32 {
        if self.dark { self.bg } else { self.raised }
    }

    /// Colour of a computer by its letter, 0 = A.
    pub fn computer(letter: usize) -> Color32 {
        COMPUTERS[letter % COMPUTERS.len()]
    }

    /// Makes both themes and the fonts those of `ctx`. Call once.
    pub fn install(ctx: &Context) {
        fonts::install(ctx);
        ctx.set_style_of(egui::Theme::Dark, DARK.style());
        ctx.set_style_of(egui::Theme::Light, LIGHT.style());
    }

    /// Applies what the user chose; cheap enough for every frame.
    pub fn choose(ctx: &Context, choice: ThemeChoice, reduce_motion: bool) {
        ctx.set_theme(match choice {
            ThemeChoice::System => egui::ThemePreference::System,
            ThemeChoice::Dark => egui::ThemePreference::Dark,
            ThemeChoice::Light => egui::ThemePreference::Light,
        });
        let secs = if reduce_motion { 0.0 } else { MOTION_SECS };
        if ctx.global_style().animation_time != secs {
            ctx.all_styles_mut(|style| style.animation_time = secs);
        }
    }

    /// Shadow of dialogs, menus and toasts.
    pub fn shadow(&self) -> Shadow {
        let alpha = if self.dark { 140 } else { 70 };
        Shadow { offset: [0, 18], blur: 60, spread: 0, color: Color32::from_black_alpha(alpha) }
    }

    /// What lies over the window below a dialog.
    pub fn dim(&self) -> Color32 {
        Color32::from_black_alpha(if self.dark { 158 } else { 110 })
    }

    /// The theme as egui's own style, for its scroll bars, menus, text fields and tooltips.
    fn style(&self) -> Style {
        let base = if self.dark { Visuals::dark() } else { Visuals::light() };
        let state = |fill: Color32, edge: Color32, text: Color32| WidgetVisuals {
            bg_fill: fill,
            weak_bg_fill: fill,
            bg_stroke: Stroke::new(1.0, edge),
            corner_radius: CornerRadius::same(RADIUS),
            fg_stroke: Stroke::new(1.0, text),
            expansion: 0.0,
        };
        let mut style = Style {
            visuals: Visuals {
                widgets: Widgets {
                    noninteractive: state(self.surf, self.line, self.text2),
                    inactive: state(self.ctl, Color32::TRANSPARENT, self.text),
                    hovered: state(self.ctl_hover, Color32::TRANSPARENT, self.text),
                    active: state(self.ctl_pressed, Color32::TRANSPARENT, self.text),
                    open: state(self.ctl_hover, Color32::TRANSPARENT, self.text),
                },
                selection: egui::style::Selection {
                    bg_fill: self.honey.gamma_multiply(0.35),
                    stroke: Stroke::new(1.0, self.text),
                },
                weak_text_color: Some(self.text3),
                hyperlink_color: self.honey_text,
                faint_bg_color: self.lane,
                extreme_bg_color: self.bg,
                code_bg_color: self.bg,
                warn_fg_color: self.honey_text,
                error_fg_color: self.error,
                window_corner_radius: CornerRadius::same(RADIUS_DIALOG),
                window_shadow: self.shadow(),
                window_fill: self.raised,
                window_stroke: Stroke::new(1.0, self.ctl_pressed),
                menu_corner_radius: CornerRadius::same(RADIUS_CARD),
                panel_fill: self.surf,
                popup_shadow: self.shadow(),
                text_options: TextOptions {
                    // egui makes light text on dark bolder than Inter's weights are meant to be.
                    color_transfer_function: FontColorTransferFunction::Gamma(if self.dark {
                        0.8
                    } else {
                        1.0
                    }),
                    ..base.text_options
                },
                text_cursor: egui::style::TextCursorStyle {
                    stroke: Stroke::new(2.0, self.text),
                    ..base.text_cursor.clone()
                },
                ..base
            },
            animation_time: MOTION_SECS,
            ..Style::default()
        };
        style.text_styles = [
            (TextStyle::Small, Type::Small.font()),
            (TextStyle::Body, Type::Body.font()),
            (TextStyle::Button, Type::BodyMedium.font()),
            (TextStyle::Heading, Type::Title.font()),
            (TextStyle::Monospace, Type::Mono.font()),
        ]
        .into();
        style.spacing.item_spacing = Vec2::splat(8.0);
        style.spacing.button_padding = vec2(12.0, 6.0);
        style.spacing.interact_size = vec2(32.0, 26.0);
        style.spacing.menu_margin = Margin::same(6);
        style.spacing.tooltip_width = 320.0;
        style.spacing.scroll = ScrollStyle { bar_width: 8.0, ..ScrollStyle::thin() };
        style.interaction.selectable_labels = false;
        style.interaction.tooltip_delay = 0.4;
        style
    }
}

/// The sizes and weights of the design, each with its line height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// 11/14, ticks of rulers and meters only.
    Tick,
    /// 12/16.
    Small,
    /// 12/16 medium, the labels of fields.
    SmallMedium,
    /// 13/18.
    Body,
    /// 13/18 medium, the labels of controls.
    BodyMedium,
    /// 13/18 semibold, keys and letters on controls.
    BodyStrong,
    /// 14/20 semibold titles.
    Title,
    /// 18/24 semibold, dialog titles and figures.
    Figure,
    /// 24/30 semibold.
    Headline,
    /// 26/30 semibold, the time.
    Time,
    /// 20/24 semibold, the time in a small window.
    TimeSmall,
    /// 30/36 semibold, code digits.
    Code,
    /// 12/16 monospace, templates and details.
    Mono,
}

impl Type {
    /// The font.
    pub fn font(self) -> egui::FontId {
        use fonts::Weight::{Medium, Regular, SemiBold};
        let (size, weight) = match self {
            Self::Tick => (11.0, Regular),
            Self::Small => (12.0, Regular),
            Self::SmallMedium => (12.0, Medium),
            Self::Body => (13.0, Regular),
            Self::BodyMedium => (13.0, Medium),
            Self::BodyStrong => (13.0, SemiBold),
            Self::Title => (14.0, SemiBold),
            Self::Figure => (18.0, SemiBold),
            Self::Headline => (24.0, SemiBold),
            Self::Time => (26.0, SemiBold),
            Self::TimeSmall => (20.0, SemiBold),
            Self::Code => (30.0, SemiBold),
            Self::Mono => return egui::FontId::monospace(12.0),
        };
        fonts::font(weight, size)
    }

    /// Height of a line in points.
    pub fn line_height(self) -> f32 {
        match self {
            Self::Tick => 14.0,
            Self::Small | Self::SmallMedium | Self::Mono => 16.0,
            Self::Body | Self::BodyMedium | Self::BodyStrong => 18.0,
            Self::Title => 20.0,
            Self::Figure | Self::TimeSmall => 24.0,
            Self::Headline | Self::Time => 30.0,
            Self::Code => 36.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(color: Color32) -> f64 {
        let linear = |channel: u8| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(color.r()) + 0.7152 * linear(color.g()) + 0.0722 * linear(color.b())
    }

    /// Contrast ratio of WCAG 2.
    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_on_every_surface() {
        for theme in [DARK, LIGHT] {
            for surface in [theme.bg, theme.lane, theme.surf, theme.raised, theme.ctl] {
                for text in [theme.text, theme.text2, theme.text3, theme.honey_text] {
                    let ratio = contrast(text, surface);
                    assert!(ratio >= 4.5, "{text:?} on {surface:?}: {ratio:.2}");
                }
                assert!(contrast(theme.focus, surface) >= 3.0);
            }
            for surface in [theme.bg, theme.surf, theme.raised] {
                assert!(contrast(theme.edge, surface) >= 3.0);
            }
            assert!(contrast(theme.on_honey, theme.honey) >= 4.5);
        }
        for computer in COMPUTERS {
            assert!(contrast(ON_COMPUTER, computer) >= 4.5, "{computer:?}");
        }
    }
}
