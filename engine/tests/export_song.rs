//! What is in the files of an export: stems, mix, remainder and parts, at any rate, levelled by the
//! clipping policy, named and tagged.

mod export_support;

use engine::{
    audio::StreamSpec,
    export::{
        Bits, ClipPolicy, Existing, ExportRequest, Format, Item, Mp3Quality, Rate, VorbisQuality,
        measure, plan,
    },
    mix::{LaneControl, stereo_gains},
    model::{NoProgress, Stem},
};
use export_support::*;
use lofty::{file::TaggedFileExt, tag::Accessor};

const FLOAT: Format = Format::Wav(Bits::Float32);

/// A song of two stems and something that neither holds.
fn drums_and_vocals(frames: usize, peak: f32) -> (Audio, Vec<(Stem, Audio)>) {
    let drums = music(2, frames, 1, peak);
    let vocals = music(2, frames, 2, peak);
    let rest = music(2, frames, 3, peak / 20.0);
    let mixture = (0..2)
        .map(|c| (0..frames).map(|i| drums[c][i] + vocals[c][i] + rest[c][i]).collect())
        .collect();
    (mixture, vec![(Stem::Drums, drums), (Stem::Vocals, vocals)])
}

fn written(request: ExportRequest) -> Vec<Audio> {
    export(request).unwrap().files.iter().map(|path| decode(path).1).collect()
}

#[test]
fn stems_original_remainder_and_mix_hold_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let (mixture, stems) = drums_and_vocals(70_001, 0.4);
    let mut request = request_with_stems(dir.path(), &mixture, &stems, FLOAT);
    request.items = vec![
        Item::Stem(Stem::Vocals),
        Item::Original,
        Item::Remainder,
        Item::Mix,
        Item::Stem(Stem::Drums),
    ];
    request.lanes = vec![
        LaneControl { gain_db: -6.0, pan: 0.5, ..LaneControl::default() },
        LaneControl { gain_db: 2.0, solo: true, mute: true, ..LaneControl::default() },
    ];
    // Soloing overrides muting, and silences the drums.
    let gains = stereo_gains(&request.lanes);
    let files = written(request);
    assert_eq!(files[0], stems[1].1, "a stem is untouched by its lane");
    assert_eq!(files[1], mixture);
    for c in 0..2 {
        for i in 0..mixture[0].len() {
            let (drums, vocals) = (stems[0].1[c][i], stems[1].1[c][i]);
            assert_eq!(files[2][c][i], mixture[c][i] - (drums + vocals));
            assert_eq!(files[3][c][i], gains[1][c] * vocals);
        }
    }
    assert_eq!(files[4], stems[0].1);
}

#[test]
fn the_mix_sums_lanes_in_order_with_fader_and_pan() {
    let dir = tempfile::tempdir().unwrap();
    let (mixture, stems) = drums_and_vocals(5_000, 0.4);
    let mut request = request_with_stems(dir.path(), &mixture, &stems, FLOAT);
    request.items = vec![Item::Mix];
    request.lanes[0] = LaneControl { gain_db: -3.0, pan: -0.25, ..LaneControl::default() };
    let gains = stereo_gains(&request.lanes);
    let mix = &written(request)[0];
    for (c, mix) in mix.iter().enumerate() {
        for (i, sample) in mix.iter().enumerate() {
            let expected = gains[0][c] * stems[0].1[c][i] + gains[1][c] * stems[1].1[c][i];
            assert_eq!(*sample, expected);
        }
    }
}

#[test]
fn mono_songs_stay_mono_unless_the_mix_is_panned() {
    let dir = tempfile::tempdir().unwrap();
    let mono = music(1, 3_000, 6, 0.5);
    // The model saw the song doubled, so its stems have two equal channels.
    let doubled = vec![mono[0].clone(), mono[0].clone()];
    let stems = [(Stem::Bass, doubled.clone())];
    let mut request = request_with_stems(dir.path(), &mono, &stems, FLOAT);
    assert_eq!(written(request.clone()), [mono.clone(), mono.clone()]);
    request.lanes[0].pan = 1.0;
    let panned = written(request);
    assert_eq!(panned[0], mono);
    assert_eq!(panned[1], [vec![0.0; 3_000], mono[0].clone()]);
}

#[test]
fn a_part_is_the_same_samples_as_in_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let audio = music(2, 150_000, 8, 0.8);
    for rate in [Rate::Source, Rate::Hz(48_000), Rate::Hz(22_050), Rate::Hz(44_056)] {
        let mut request = request(dir.path(), &audio, FLOAT);
        request.rate = rate;
        let whole = &written(request.clone())[0];
        let hz = match rate {
            Rate::Source => 44_100.0,
            Rate::Hz(hz) => f64::from(hz),
        };
        for range in [0..1_000, 70_003..100_001, 149_000..150_000] {
            request.range = Some(range.clone());
            let part = &written(request.clone())[0];
            let at = |frame: u64| (frame as f64 * hz / 44_100.0).round() as usize;
            let end = if range.end == 150_000 { whole[0].len() } else { at(range.end) };
            let expected = at(range.start)..end;
            for (part, whole) in part.iter().zip(whole) {
                let whole = &whole[expected.clone()];
                assert_eq!(part.len(), whole.len(), "{rate:?} {range:?}");
                let worst = part.iter().zip(whole).map(|(a, b)| (a - b).abs());
                let worst = worst.fold(0.0, f32::max);
                let allowed = if rate == Rate::Source { 0.0 } else { 1e-6 };
                assert!(worst <= allowed, "{rate:?} {range:?}: {worst}");
            }
        }
    }
}

#[test]
fn every_rate_and_format_gives_exactly_the_source_frames() {
    let dir = tempfile::tempdir().unwrap();
    for (source_hz, source_frames) in
        [(8_000, 4_001), (22_050, 9_999), (48_000, 20_003), (96_000, 50_001), (192_000, 70_007)]
    {
        let work_frames = (source_frames * 44_100_u64).div_ceil(source_hz);
        let audio = music(2, work_frames as usize, 4, 0.5);
        for format in FORMATS {
            let mut request = request(dir.path(), &audio, format);
            request.song.source.sample_rate_hz = source_hz as u32;
            request.song.source_frames = Some(source_frames);
            let plan = plan(&request, None).unwrap();
            let (spec, decoded) = decode(&export(request).unwrap().files[0]);
            assert_eq!(spec.sample_rate_hz, plan.rate_hz);
            assert_eq!(decoded[0].len() as u64, plan.files[0].frames, "{source_hz} {format:?}");
            if matches!(format, Format::Mp3(_)) && source_hz > 48_000 {
                assert_eq!(plan.rate_hz, 48_000);
                assert!(plan.warnings.iter().any(|w| w.contains("48 kHz")), "{:?}", plan.warnings);
            } else {
                assert_eq!(plan.rate_hz, source_hz as u32);
                assert_eq!(decoded[0].len() as u64, source_frames, "{source_hz} {format:?}");
            }
        }
    }
}

#[test]
fn resampling_back_keeps_a_tone_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let tone = |hz: f64, frames: usize| -> Vec<f32> {
        (0..frames)
            .map(|i| (0.5 * (std::f64::consts::TAU * 1_000.0 * i as f64 / hz).sin()) as f32)
            .collect()
    };
    let mut request = request(dir.path(), &vec![tone(44_100.0, 44_100)], FLOAT);
    request.rate = Rate::Hz(96_000);
    let file = &written(request)[0][0];
    let expected = tone(96_000.0, 96_000);
    assert_eq!(file.len(), 96_000);
    assert!(rms_difference(&file[2_000..94_000], &expected[2_000..94_000]) < 1e-4);
}

#[test]
fn one_common_gain_lets_files_add_up_to_the_mixture() {
    let dir = tempfile::tempdir().unwrap();
    let (mixture, stems) = drums_and_vocals(60_000, 1.1);
    for format in [Format::Wav(Bits::Int16), Format::Wav(Bits::Int24), Format::Flac(Bits::Int24)] {
        let mut request = request_with_stems(dir.path(), &mixture, &stems, format);
        request.items = vec![Item::Stem(Stem::Drums), Item::Stem(Stem::Vocals), Item::Remainder];
        request.items.push(Item::Original);
        let levels = measure(&request, &NoProgress).unwrap();
        let planned = plan(&request, Some(&levels)).unwrap();
        let peak = mixture.iter().flatten().fold(0.0_f32, |p, s| p.max(s.abs()));
        assert_eq!(planned.files[3].level.unwrap().peak, peak);
        assert!(planned.gain_db < 0.0 && (planned.gain_db + 20.0 * peak.log10()).abs() < 0.01);

        let exported = export(request).unwrap();
        assert_eq!(exported.gain_db, planned.gain_db);
        let files: Vec<_> = exported.files.iter().map(|path| decode(path).1).collect();
        let gain = 10_f32.powf(exported.gain_db / 20.0);
        let step =
            if format == Format::Wav(Bits::Int16) { 1.0 / 32_768.0 } else { 1.0 / 8_388_608.0 };
        for c in 0..2 {
            for i in 0..60_000 {
                let sum: f32 = (0..3).map(|file| files[file][c][i]).sum();
                assert!((sum / gain - mixture[c][i]).abs() < 5.0 * step / gain + 1e-6);
                assert!((sum - files[3][c][i]).abs() < 6.5 * step, "the original is a file too");
            }
        }
        let highest = files.iter().flatten().flatten().fold(0.0_f32, |p, s| p.max(s.abs()));
        assert!(highest < 1.0 - 1e-7 && highest > 0.999, "nothing was cut: {highest}");
    }
}

#[test]
fn formats_that_clip_are_never_cut_silently() {
    let dir = tempfile::tempdir().unwrap();
    let (mixture, stems) = drums_and_vocals(40_000, 0.9);
    let peak = mixture.iter().flatten().fold(0.0_f32, |p, s| p.max(s.abs()));
    assert!(peak > 1.2);
    for format in FORMATS.into_iter().filter(|f| *f != FLOAT) {
        let mut request = request_with_stems(dir.path(), &mixture, &stems, format);
        request.items = vec![Item::Stem(Stem::Drums), Item::Original];

        request.clipping = ClipPolicy::KeepFloat;
        let kept = export(request.clone()).unwrap();
        assert_eq!(kept.format, FLOAT);
        assert!(kept.warnings.iter().any(|w| w.contains("32-bit float")));
        assert_eq!(decode(&kept.files[1]).1, mixture);

        request.clipping = ClipPolicy::Limit;
        let limited = export(request).unwrap();
        assert_eq!((limited.format, limited.gain_db), (format, 0.0));
        let original = decode(&limited.files[1]).1;
        let highest = original.iter().flatten().fold(0.0_f32, |p, s| p.max(s.abs()));
        // Lossy decoders overshoot what they were given a little.
        assert!(highest <= if is_lossy(format) { 1.1 } else { 1.0 }, "{format:?}: {highest}");
        assert!(highest > 0.9);
        let drums = decode(&limited.files[0]).1;
        let error = rms_difference(&drums[0], &stems[0].1[0]) / rms(&stems[0].1[0]);
        assert!(error < if is_lossy(format) { 0.1 } else { 1e-3 }, "what fits is left alone");
    }
}

#[test]
fn plans_say_names_sizes_and_what_is_odd() {
    let dir = tempfile::tempdir().unwrap();
    let (mixture, stems) = drums_and_vocals(44_100, 0.3);
    let mut request = request_with_stems(dir.path(), &mixture, &stems, Format::Wav(Bits::Int24));
    std::fs::create_dir(&request.folder).unwrap();
    let taken = "Software-Entwicklungskit - Lithium (Vocals).wav";
    std::fs::write(request.folder.join(taken), "mine").unwrap();

    let planned = plan(&request, None).unwrap();
    let names: Vec<_> = planned.files.iter().map(|f| (f.name.as_str(), f.number_added)).collect();
    assert_eq!(
        names,
        [
            ("Software-Entwicklungskit - Lithium (Drums).wav", None),
            ("Software-Entwicklungskit - Lithium (Vocals) 2.wav", Some(2)),
            ("Software-Entwicklungskit - Lithium (Mix).wav", None),
        ]
    );
    assert!(planned.free_bytes.unwrap() > 0);
    assert!(planned.warnings.is_empty(), "{:?}", planned.warnings);
    assert_eq!(names_in(&request.folder), [taken], "a plan writes nothing");

    let exported = export(request.clone()).unwrap();
    for (file, path) in planned.files.iter().zip(&exported.files) {
        assert_eq!(&file.path, path);
        assert_eq!((file.bytes, file.bytes_exact), (path.metadata().unwrap().len(), true));
    }
    assert_eq!(std::fs::read(request.folder.join(taken)).unwrap(), b"mine");

    request.template = "{title}".into();
    let planned = plan(&request, None).unwrap();
    let names: Vec<_> = planned.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["Lithium.wav", "Lithium 2.wav", "Lithium 3.wav"]);

    request.lanes.iter_mut().for_each(|lane| lane.mute = true);
    assert!(plan(&request, None).unwrap().warnings[0].contains("silence"));
}

#[test]
fn sizes_are_estimated_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let audio = music(2, 44_100 * 10, 4, 0.5);
    for format in FORMATS {
        let request = request(dir.path(), &audio, format);
        let estimate = plan(&request, None).unwrap().total_bytes as f64;
        let bytes = export(request).unwrap().bytes as f64;
        assert!((0.4..2.5).contains(&(bytes / estimate)), "{format:?}: {bytes} not {estimate}");
    }
}

#[test]
fn four_gigabytes_and_more_are_planned_as_rf64() {
    let dir = tempfile::tempdir().unwrap();
    let request = request(dir.path(), &music(2, 10, 1, 0.1), FLOAT);
    // Sparse: takes no space.
    request.mixture.set_frames(600_000_000).unwrap();
    let mut request = ExportRequest { rate: Rate::Hz(44_100), ..request };
    request.song.source_frames = Some(600_000_000);
    let planned = plan(&request, None).unwrap();
    assert_eq!(planned.total_bytes, 600_000_000 * 8 + 104);
    assert!(planned.warnings.iter().any(|w| w.contains("RF64")), "{:?}", planned.warnings);
    request.range = Some(0..500_000_000);
    let planned = plan(&request, None).unwrap();
    assert_eq!(planned.total_bytes, 500_000_000 * 8 + 68);
    assert!(!planned.warnings.iter().any(|w| w.contains("RF64")));
}

/// An mp3 with tags and a cover, made by ourselves.
fn tagged_source(dir: &std::path::Path) -> std::path::PathBuf {
    use lofty::{
        config::WriteOptions,
        picture::{MimeType, Picture, PictureType},
        tag::{ItemKey, Tag, TagExt, TagType},
    };
    let mut bare = request(dir, &music(2, 9_000, 1, 0.5), Format::Mp3(Mp3Quality::V0));
    bare.folder = dir.join("source");
    let path = export(bare).unwrap().files[0].clone();
    let mut tag = Tag::new(TagType::Id3v2);
    tag.set_title("Smells like “Ünïcode”".into());
    tag.set_artist("Die Söhne".into());
    tag.set_album("Album".into());
    tag.set_track(7);
    tag.insert_text(ItemKey::Composer, "K. Müller".into());
    tag.insert_text(ItemKey::ReplayGainTrackGain, "-8.1 dB".into());
    tag.push_picture(
        Picture::unchecked(cover())
            .pic_type(PictureType::CoverFront)
            .mime_type(MimeType::Png)
            .build(),
    );
    tag.save_to_path(&path, WriteOptions::default()).unwrap();
    path
}

/// A PNG's beginning and 40 kB more.
fn cover() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0".to_vec();
    png.extend((0..40_000_u32).map(|i| (i * 7 % 251) as u8));
    png
}

#[test]
fn tags_and_cover_come_along_in_every_format_and_cost_no_frame() {
    use lofty::tag::ItemKey;
    let dir = tempfile::tempdir().unwrap();
    let source = tagged_source(dir.path());
    let (mixture, stems) = drums_and_vocals(9_001, 0.4);
    for format in FORMATS {
        let mut request = request_with_stems(dir.path(), &mixture, &stems, format);
        request.song.path = source.clone();
        request.copy_tags = true;
        let exported = export(request).unwrap();
        assert_eq!(exported.warnings, Vec::<String>::new());
        let path = &exported.files[0];
        let file = lofty::read_from_path(path).unwrap();
        // WAV holds a plain list and an ID3v2 tag: the latter has everything.
        let tag = file.tags().iter().max_by_key(|tag| tag.item_count()).unwrap();
        assert_eq!(tag.title().as_deref(), Some("Smells like “Ünïcode” (Drums)"), "{format:?}");
        assert_eq!(tag.artist().as_deref(), Some("Die Söhne"));
        assert_eq!(tag.album().as_deref(), Some("Album"));
        assert_eq!(tag.track(), Some(7));
        assert_eq!(tag.get_string(ItemKey::Composer), Some("K. Müller"));
        assert_eq!(tag.get_string(ItemKey::ReplayGainTrackGain), None, "true of the mix only");
        assert_eq!(tag.pictures().len(), 1, "{format:?}");
        assert_eq!(tag.pictures()[0].data(), cover());
        assert_eq!(decode(path).1[0].len(), 9_001, "{format:?}");
        if let Some(decoded) = decode_by_others(path, 2) {
            assert_eq!(decoded[0].len(), 9_001, "{format:?}");
        }
    }
}

/// Tables of tags that are hashed have another order in every thread and process.
#[test]
fn tags_are_written_in_the_same_order_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let source = tagged_source(dir.path());
    let (mixture, stems) = drums_and_vocals(100, 0.4);
    for format in FORMATS {
        let files: Vec<_> = (0..5)
            .map(|_| {
                let mut request = request_with_stems(dir.path(), &mixture, &stems, format);
                request.song.path = source.clone();
                request.copy_tags = true;
                std::fs::read(&export(request).unwrap().files[0]).unwrap()
            })
            .collect();
        assert!(files.windows(2).all(|pair| pair[0] == pair[1]), "{format:?}");
    }
}

#[test]
fn a_vanished_source_costs_a_warning_not_the_export() {
    let dir = tempfile::tempdir().unwrap();
    let mut request =
        request(dir.path(), &music(1, 5_000, 1, 0.5), Format::Vorbis(VorbisQuality(5)));
    request.copy_tags = true;
    let exported = export(request).unwrap();
    assert!(exported.warnings[0].contains("does/not/exist.mp3"), "{:?}", exported.warnings);
    let file = lofty::read_from_path(&exported.files[0]).unwrap();
    let tag = file.primary_tag().unwrap();
    assert_eq!(tag.title().as_deref(), Some("Lithium (Original)"));
    assert_eq!(tag.artist().as_deref(), Some("Software-Entwicklungskit"));
}

#[test]
fn overwriting_replaces_files_but_never_the_song_itself() {
    let dir = tempfile::tempdir().unwrap();
    let audio = music(2, 5_000, 1, 0.5);
    let mut request = request(dir.path(), &audio, FLOAT);
    request.existing = Existing::Overwrite;
    request.template = "{title}".into();
    std::fs::create_dir(&request.folder).unwrap();
    let target = request.folder.join("Lithium.wav");
    std::fs::write(&target, "old").unwrap();
    assert!(plan(&request, None).unwrap().files[0].replaces);
    let exported = export(request.clone()).unwrap();
    assert_eq!(exported.files[0], target);
    assert_eq!(decode(&target).1, audio);

    request.song.path = target.clone();
    let exported = export(request.clone()).unwrap();
    assert_eq!(exported.files, [request.folder.join("Lithium 2.wav")]);
}

#[test]
fn files_have_the_source_s_rate_and_are_readable_as_any_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = export_one(dir.path(), &music(2, 500, 1, 0.5), FLOAT);
    assert_eq!(decode(&path).0, StreamSpec { sample_rate_hz: 44_100, channels: 2 });
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }
}
