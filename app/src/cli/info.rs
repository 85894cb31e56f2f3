//! `stemhive info`: what a file is, how long exactly and how loud.

use std::path::PathBuf;

use engine::inspect::{Facts, inspect};
use serde_json::{Value, json};

use super::{
    Outcome,
    context::Context,
    convert::in_background,
    report::{Stage, clock},
};

/// Show what songs are: format, exact length, tags, peak and loudness.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Songs to look at.
    #[arg(required = true, value_name = "SONG")]
    songs: Vec<PathBuf>,

    /// Tell it as JSON, one object a song.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut context = Context::facts_only(args.json);
    context.each_song(&args.songs, |context, path| {
        let path = path.to_owned();
        let facts =
            in_background(context, Stage::Measure, move |progress| inspect(&path, progress))?;
        facts.notes.iter().for_each(|note| context.reporter.note(note));
        context.reporter.done(as_json(&facts), &as_lines(&facts));
        Ok(())
    })
}

/// JSON has no infinity: silence has no level.
fn as_json(facts: &Facts) -> Value {
    let info = &facts.info;
    json!({
        "title": info.title,
        "artist": info.artist,
        "album": info.album,
        "codec": info.codec,
        "bitrate_bps": info.bitrate_bps,
        "bits_per_sample": info.bits_per_sample,
        "sample_rate_hz": info.source.sample_rate_hz,
        "channels": info.source.channels,
        "frames": facts.frames,
        "seconds": info.source.secs(facts.frames),
        "peak_dbfs": Some(facts.peak_dbfs).filter(|db| db.is_finite()),
        "integrated_lufs": Some(facts.loudness_lufs).filter(|lufs| lufs.is_finite()),
        "cover": info.cover.is_some(),
    })
}

fn as_lines(facts: &Facts) -> Vec<String> {
    let info = &facts.info;
    let channels = match info.source.channels {
        1 => "mono".to_owned(),
        2 => "stereo".to_owned(),
        n => format!("{n} channels"),
    };
    let bits = info.bits_per_sample.map(|bits| format!(", {bits} bits"));
    let bitrate = info.bitrate_bps.map(|bps| format!(", {} kb/s", bps / 1000));
    let format =
        format!("{}{}{}", info.codec, bits.unwrap_or_default(), bitrate.unwrap_or_default());
    let length = format!("{} ({} frames)", clock(info.source.secs(facts.frames)), facts.frames);
    let level = |value: f64, unit: &str, none: &str| {
        if value.is_finite() { format!("{value:.1} {unit}") } else { none.to_owned() }
    };
    let rows = [
        ("Title", Some(info.title.clone())),
        ("Artist", info.artist.clone()),
        ("Album", info.album.clone()),
        ("Cover", info.cover.is_some().then(|| "yes".to_owned())),
        ("Format", Some(format)),
        ("Rate", Some(format!("{} Hz, {channels}", info.source.sample_rate_hz))),
        ("Length", Some(length)),
        ("Peak", Some(level(facts.peak_dbfs, "dBFS", "silence"))),
        ("Loudness", Some(level(facts.loudness_lufs, "LUFS", "below the gate of −70 LUFS"))),
    ];
    let rows = rows.into_iter().filter_map(|(name, value)| Some((name, value?)));
    std::iter::once(info.path.display().to_string())
        .chain(rows.map(|(name, value)| format!("  {name:<9} {value}")))
        .collect()
}
