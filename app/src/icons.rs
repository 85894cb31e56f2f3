//! Icons: white SVG files tinted when painted, each rasterised once per size and scale.

use std::{collections::HashMap, sync::Arc};

use egui::{
    Color32, Context, Id, Painter, Pos2, Rect, SizeHint, TextureHandle, TextureOptions, Vec2,
    mutex::Mutex, pos2,
};
use engine::model::Stem;

macro_rules! icons {
    ($($(#[$doc:meta])* $name:ident = $file:literal,)*) => {
        /// An icon by what it means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Icon {
            $($(#[$doc])* $name,)*
        }

        impl Icon {
            /// All icons.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            fn svg(self) -> &'static [u8] {
                match self {
                    $(Self::$name => {
                        include_bytes!(concat!("../../assets/icons/", $file, ".svg"))
                    })*
                }
            }
        }
    };
}

icons! {
    /// Stem: drums.
    Drums = "drums",
    /// Stem: bass.
    Bass = "bass",
    /// Stem: other.
    Other = "other",
    /// Stem: vocals.
    Vocals = "vocals",
    /// Stem: guitar.
    Guitar = "guitar",
    /// Stem: piano.
    Piano = "piano",
    /// Volume.
    Speaker = "speaker",
    /// No sound.
    SpeakerOff = "speaker_off",
    /// Play.
    Play = "play",
    /// Pause or stop.
    Pause = "pause",
    /// To the start.
    SkipStart = "skip_start",
    /// Loop.
    Loop = "loop",
    /// Export.
    Export = "export",
    /// Folder, open.
    Folder = "folder",
    /// Settings.
    Gear = "gear",
    /// This computer, other computers.
    Monitor = "monitor",
    /// Keys and help.
    Help = "help",
    /// Done, ready, kept.
    Check = "check",
    /// Something to know.
    Warning = "warning",
    /// Failed.
    Error = "error",
    /// Close.
    Close = "close",
    /// Opens a list.
    ChevronDown = "chevron_down",
    /// Zoom in, add.
    Plus = "plus",
    /// Zoom out.
    Minus = "minus",
    /// Whole song.
    Fit = "fit",
    /// The model.
    Wand = "wand",
    /// A file.
    File = "file",
    /// To download.
    Download = "download",
    /// Side panel.
    Panel = "panel",
    /// Search.
    Search = "search",
    /// Waiting.
    Clock = "clock",
    /// Copy.
    Copy = "copy",
    /// Look again.
    Refresh = "refresh",
    /// Remove.
    Trash = "trash",
    /// Stemhive; keeps its own colours.
    Logo = "logo",
}

impl Icon {
    /// The icon of a stem.
    pub fn stem(stem: Stem) -> Self {
        match stem {
            Stem::Drums => Self::Drums,
            Stem::Bass => Self::Bass,
            Stem::Other => Self::Other,
            Stem::Vocals => Self::Vocals,
            Stem::Guitar => Self::Guitar,
            Stem::Piano => Self::Piano,
        }
    }

    /// Paints the icon `size` points wide around `center`.
    pub fn paint(self, painter: &Painter, center: Pos2, size: f32, tint: Color32) {
        let pixels_per_point = painter.pixels_per_point();
        let pixels = (size * pixels_per_point).round().clamp(1.0, 1024.0);
        let Some(texture) = self.texture(painter.ctx(), pixels as u32) else { return };
        // On whole pixels, or strokes of two pixels smear over three.
        let side = pixels / pixels_per_point;
        let snap = |v: f32| ((v - side / 2.0) * pixels_per_point).round() / pixels_per_point;
        let rect = Rect::from_min_size(pos2(snap(center.x), snap(center.y)), Vec2::splat(side));
        let tint = if self == Self::Logo { Color32::WHITE } else { tint };
        painter.image(texture.id(), rect, Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0)), tint);
    }

    fn texture(self, ctx: &Context, pixels: u32) -> Option<TextureHandle> {
        type Cache = Arc<Mutex<HashMap<(Icon, u32), Option<TextureHandle>>>>;
        let cache: Cache = ctx.data_mut(|data| {
            data.get_temp_mut_or_default::<Cache>(Id::unique("icon textures")).clone()
        });
        if let Some(known) = cache.lock().get(&(self, pixels)) {
            return known.clone();
        }
        let hint = SizeHint::Size { width: pixels, height: pixels, maintain_aspect_ratio: true };
        let texture =
            egui_extras::image::load_svg_bytes_with_size(self.svg(), hint, &Default::default())
                .map(|image| {
                    let name = format!("icon {self:?} {pixels}");
                    ctx.load_texture(name, image, TextureOptions::LINEAR)
                })
                .inspect_err(|error| tracing::error!("icon {self:?}: {error}"))
                .ok();
        cache.lock().insert((self, pixels), texture.clone());
        texture
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_can_be_drawn() {
        let ctx = Context::default();
        for icon in Icon::ALL {
            assert!(icon.texture(&ctx, 20).is_some(), "{icon:?}");
        }
    }
}
