//! Inter in three weights before egui's own fonts; whatever those lack comes from the system's
//! fonts (eframe's `system_fonts`).

use std::sync::Arc;

use egui::{
    Context, FontData, FontDefinitions, FontFamily, FontId, FontTweak,
    epaint::text::VariationCoords,
};

/// The weights in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// 400.
    Regular,
    /// 500.
    Medium,
    /// 600.
    SemiBold,
}

impl Weight {
    fn family(self) -> FontFamily {
        match self {
            Self::Regular => FontFamily::Proportional,
            Self::Medium => FontFamily::Name("medium".into()),
            Self::SemiBold => FontFamily::Name("semibold".into()),
        }
    }
}

/// The interface's font at a weight and size in points.
pub fn font(weight: Weight, size: f32) -> FontId {
    FontId::new(size, weight.family())
}

/// Installs the fonts. Call once, before the first frame.
pub fn install(ctx: &Context) {
    let mut fonts = FontDefinitions::default();
    let fallbacks = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    for (weight, name, axis) in [
        (Weight::Regular, "Inter", 400.0),
        (Weight::Medium, "Inter Medium", 500.0),
        (Weight::SemiBold, "Inter SemiBold", 600.0),
    ] {
        let tweak =
            FontTweak { coords: VariationCoords::new([(b"wght", axis)]), ..FontTweak::default() };
        let data = FontData::from_static(ttf_inter::REGULAR).tweak(tweak);
        fonts.font_data.insert(name.into(), Arc::new(data));
        let family = std::iter::once(name.into()).chain(fallbacks.iter().cloned()).collect();
        fonts.families.insert(weight.family(), family);
    }
    ctx.set_fonts(fonts);
}
