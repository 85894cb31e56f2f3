//! How fast each format is written: `cargo run --release -p engine --example export_speed SONG`
//! decodes a song into a track and exports it four times at once, as four stems would be.

use std::{path::Path, sync::Arc, time::Instant};

use engine::{
    Result,
    audio::Planar,
    decode::Decoder,
    export::{
        Bits, ClipPolicy, Existing, ExportRequest, Format, Item, Mp3Quality, Rate, VorbisQuality,
        start,
    },
    mix::LaneControl,
    model::Stem,
    resample::StreamResampler,
    store::Track,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let song = std::env::args().nth(1).ok_or("usage: export_speed SONG")?;
    let dir = tempfile::tempdir()?;
    let mut decoder = Decoder::open(Path::new(&song))?;
    let source = decoder.info().source;
    let channels = usize::from(source.channels.min(2));
    let track = Arc::new(Track::create(dir.path(), "mix", channels)?);
    let mut resampler = StreamResampler::new(source.sample_rate_hz, 44_100, channels)?;
    let mut block = Planar::silence(channels, 0);
    while let Some(decoded) = decoder.next_block()? {
        block.resize(0);
        resampler.push(&decoded.channels()[..channels], block.channels_mut());
        track.write(track.frames(), block.channels())?;
    }
    let mut info = decoder.info().clone();
    info.source_frames = Some(decoder.frames());
    let secs = info.source.secs(decoder.frames());

    let stems = [Stem::Drums, Stem::Bass, Stem::Other, Stem::Vocals];
    for format in [
        Format::Wav(Bits::Int16),
        Format::Wav(Bits::Int24),
        Format::Wav(Bits::Float32),
        Format::Flac(Bits::Int16),
        Format::Flac(Bits::Int24),
        Format::Mp3(Mp3Quality::V0),
        Format::Mp3(Mp3Quality::Cbr320),
        Format::Vorbis(VorbisQuality::default()),
    ] {
        let request = ExportRequest {
            song: info.clone(),
            model: "none".into(),
            mixture: Arc::clone(&track),
            stems: stems.map(|stem| (stem, Arc::clone(&track))).to_vec(),
            lanes: vec![LaneControl::default(); 4],
            items: stems.map(Item::Stem).to_vec(),
            range: None,
            format,
            rate: Rate::Source,
            clipping: ClipPolicy::CommonGain,
            template: "{stem}".into(),
            folder: dir.path().join("out"),
            copy_tags: true,
            existing: Existing::Overwrite,
        };
        let began = Instant::now();
        let exported = start(request, Arc::new(|| {}))
            .wait()
            .map_err(|e| format!("{e}: {:?}", e.details()))?;
        let elapsed = began.elapsed().as_secs_f64();
        println!(
            "{:24} {:6.2} s for 4 x {secs:.0} s: {:6.0} x real time in all, {:6.1} MB, gain {:.2} dB",
            format.describe(),
            elapsed,
            secs * 4.0 / elapsed,
            exported.bytes as f64 / 1e6,
            exported.gain_db,
        );
    }
    Ok(())
}
