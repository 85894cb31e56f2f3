//! A picture of separation scores: a group of bars a stem, a bar a system, a dot a song.

use std::{collections::BTreeSet, io::Write, path::Path};

use engine::{
    Error, ErrorKind,
    eval::{CLASSES, Score, SongScores, means},
};
use plotters::prelude::*;

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 480);

/// Share of a group's width that its bars take.
const FILLED: f64 = 0.82;

/// Bars' colours, in the order of the systems; told apart by colour-blind readers too (Okabe and Ito,
/// "Color Universal Design", 2008).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(240, 228, 66),
    RGBColor(120, 120, 120),
];

/// Refuses a file that is there already, before hours are spent on scores to draw in it.
///
/// # Errors
/// [`ErrorKind::Io`] when it is there.
pub(super) fn check_free(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Ok(_) => Err(Error::io("write", path, std::io::ErrorKind::AlreadyExists.into())),
        Err(_) => Ok(()),
    }
}

/// Writes the global signal-to-distortion ratios of `systems` in decibels as a new SVG file.
///
/// # Errors
/// When the file exists or cannot be written.
pub(super) fn write(rows: &[SongScores], systems: &[&str], path: &Path) -> Result<(), Error> {
    let svg = draw(rows, systems)?;
    std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(svg.as_bytes()))
        .map_err(|error| Error::io("write", path, error))
}

/// The dots above one bar, and its height.
struct Bar {
    songs_db: Vec<f64>,
    mean_db: f64,
}

fn draw(rows: &[SongScores], systems: &[&str]) -> Result<String, Error> {
    let bars: Vec<[Option<Bar>; 5]> = systems.iter().map(|system| bars(rows, system)).collect();
    let heights = bars.iter().flatten().flatten();
    let all = heights.flat_map(|bar| bar.songs_db.iter().chain([&bar.mean_db]));
    let (low, high) = all.fold((0.0f64, 1.0f64), |(l, h), &db| (l.min(db), h.max(db)));
    let mut svg = String::new();
    chart(&mut svg, systems, &bars, low.floor() - 1.0..high.ceil() + 1.0, rows).map_err(
        |error| Error::new(ErrorKind::Internal, format!("The scores cannot be drawn: {error}")),
    )?;
    Ok(svg)
}

/// Of one system: the bars of the four classes and of their mean, where there are scores.
fn bars(rows: &[SongScores], system: &str) -> [Option<Bar>; 5] {
    let songs_db = |class: usize| {
        let own = rows.iter().filter(|row| row.system == system);
        own.filter_map(|row| match row.scores[class] {
            Score::Distortion { global_db, .. } if global_db.is_finite() => Some(global_db),
            _ => None,
        })
        .collect::<Vec<_>>()
    };
    let means = means(rows, system).map(|mean| mean.map(|[global_db, _]| global_db));
    let known: Vec<f64> = means.iter().flatten().copied().collect();
    std::array::from_fn(|group| match means.get(group) {
        Some(mean) => mean
            .filter(|db| db.is_finite())
            .map(|mean_db| Bar { songs_db: songs_db(group), mean_db }),
        None if known.is_empty() => None,
        None => {
            let mean_db = known.iter().sum::<f64>() / known.len() as f64;
            mean_db.is_finite().then(|| Bar { songs_db: Vec::new(), mean_db })
        }
    })
}

fn chart(
    svg: &mut String,
    systems: &[&str],
    bars: &[[Option<Bar>; 5]],
    heights_db: std::ops::Range<f64>,
    rows: &[SongScores],
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let songs = rows.iter().map(|row| &row.song).collect::<BTreeSet<_>>().len();
    let caption =
        format!("Signal-to-distortion ratio over {songs} songs (dots) and their mean (bars)");
    let mut chart = ChartBuilder::on(&root)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(48)
        // With room for the names of the systems.
        .build_cartesian_2d(-0.5..5.7, heights_db)?;
    let names = [&CLASSES.map(|class| class.name())[..], &["mean"]].concat();
    let name = |x: &f64| names.get(x.round() as usize).copied().unwrap_or_default().to_owned();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(names.len() + 1)
        .x_label_formatter(&name)
        .y_label_formatter(&|db| format!("{db:.0}"))
        .y_desc("dB")
        .label_style(("sans-serif", 14))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let width = FILLED / systems.len().max(1) as f64;
    for (n, (system, groups)) in systems.iter().zip(bars).enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let left = |group: usize| group as f64 + n as f64 * width - FILLED / 2.0;
        let groups = || groups.iter().enumerate().filter_map(|(at, bar)| Some((at, bar.as_ref()?)));
        chart
            .draw_series(groups().map(|(at, bar)| {
                let (from, until) = (left(at), left(at) + 0.92 * width);
                Rectangle::new([(from, 0.0), (until, bar.mean_db)], colour.filled())
            }))?
            .label(*system)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled()));
        chart.draw_series(groups().flat_map(|(at, bar)| {
            let middle = left(at) + 0.46 * width;
            bar.songs_db
                .iter()
                .map(move |db| Circle::new((middle, *db), 2, BLACK.mix(0.6).filled()))
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 14))
        .draw()?;
    root.present()?;
    Ok(())
}
