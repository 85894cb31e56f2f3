//! Tags, cover, codec names and bit rates in the user's words.

use std::{borrow::Cow, path::Path, sync::Arc};

use lofty::{
    config::ParseOptions,
    file::TaggedFileExt,
    picture::{Picture, PictureType},
    probe::Probe,
    tag::Accessor,
};

use symphonia::core::{
    codecs::audio::{AudioCodecId, AudioCodecParameters, well_known::*},
    formats::{
        FormatInfo, FormatReader,
        well_known::{FORMAT_ID_AIFF, FORMAT_ID_CAF, FORMAT_ID_WAVE},
    },
    meta::{MetadataRevision, StandardTag, StandardVisualKey, Visual},
};

use super::MAX_COVER_BYTES;
use crate::{audio::StreamSpec, song::SongInfo};

/// What the tags of a file say, as far as we use it.
#[derive(Debug, Default)]
pub(super) struct Tags {
    title: Option<String>,
    artist: Option<String>,
    album_artist: Option<String>,
    album: Option<String>,
    cover: Option<Arc<[u8]>>,
    /// Apple's `iTunSMPB`.
    pub(super) itunes_gapless: Option<ItunesGapless>,
}

/// Encoder delay and true length as iTunes writes them, in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ItunesGapless {
    pub(super) delay_frames: u64,
    pub(super) frames: u64,
}

/// Reads all tags found so far. Symphonia lists trailing tags (ID3v1, cut at 30 letters) before
/// leading ones and the container's own, so where several speak the later wins.
pub(super) fn read_tags(path: &Path, reader: &mut dyn FormatReader) -> Tags {
    let mut tags = Tags::default();
    let mut cover: Option<Visual> = None;
    let mut metadata = reader.metadata();
    loop {
        let done = metadata.is_latest();
        if let Some(revision) = metadata.current() {
            let newer = read_revision(&mut cover, revision);
            tags = Tags {
                title: newer.title.or(tags.title),
                artist: newer.artist.or(tags.artist),
                album_artist: newer.album_artist.or(tags.album_artist),
                album: newer.album.or(tags.album),
                cover: None,
                itunes_gapless: newer.itunes_gapless.or(tags.itunes_gapless),
            };
        }
        if done {
            break;
        }
        metadata.pop();
    }
    tags.cover = cover.map(|visual| Arc::from(visual.data));
    if tags.title.is_none() && tags.artist.is_none() && tags.album.is_none() {
        read_late_tags(path, &mut tags);
    }
    tags
}

/// Tags that lofty finds and Symphonia does not, such as those after the sound of a WAV file.
fn read_late_tags(path: &Path, tags: &mut Tags) {
    let options = ParseOptions::new().read_properties(false);
    let read = || Probe::open(path).ok()?.options(options).guess_file_type().ok()?.read().ok();
    // lofty, too, meets hostile files; without tags a song still plays.
    let Ok(Some(file)) = std::panic::catch_unwind(read) else { return };
    let Some(tag) = file.primary_tag().or(file.first_tag()) else { return };
    let text = |value: Option<Cow<'_, str>>| {
        value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    tags.title = text(tag.title());
    tags.artist = text(tag.artist());
    tags.album = text(tag.album());
    let front = |picture: &&Picture| picture.pic_type() == PictureType::CoverFront;
    let picture = tag.pictures().iter().find(front).or(tag.pictures().first());
    let fits = |picture: &&Picture| (1..=MAX_COVER_BYTES).contains(&picture.data().len());
    tags.cover = tags.cover.take().or(picture.filter(fits).map(|p| Arc::from(p.data())));
}

/// One block of tags; a front cover replaces any other picture in `cover`.
fn read_revision(cover: &mut Option<Visual>, revision: &MetadataRevision) -> Tags {
    let mut tags = Tags::default();
    let per_track = revision.per_track.iter().map(|track| &track.metadata);
    for container in std::iter::once(&revision.media).chain(per_track) {
        for tag in &container.tags {
            if tag.raw.key.ends_with("iTunSMPB") {
                let parsed = parse_itunes_gapless(&tag.raw.value.to_string());
                tags.itunes_gapless = tags.itunes_gapless.or(parsed);
            }
            let (slot, value) = match &tag.std {
                Some(StandardTag::TrackTitle(value)) => (&mut tags.title, value),
                Some(StandardTag::Artist(value)) => (&mut tags.artist, value),
                Some(StandardTag::AlbumArtist(value)) => (&mut tags.album_artist, value),
                Some(StandardTag::Album(value)) => (&mut tags.album, value),
                _ => continue,
            };
            // ID3v2.4 separates several values by NUL; others repeat the tag.
            for value in value.split('\0').map(str::trim).filter(|value| !value.is_empty()) {
                *slot = Some(match slot.take() {
                    Some(before) if before != value => format!("{before}; {value}"),
                    _ => value.to_owned(),
                });
            }
        }
        for visual in &container.visuals {
            let is_front = |v: &Visual| v.usage == Some(StandardVisualKey::FrontCover);
            let fits = (1..=MAX_COVER_BYTES).contains(&visual.data.len());
            let better = cover.as_ref().is_none_or(|old| !is_front(old) && is_front(visual));
            if fits && better {
                *cover = Some(visual.clone());
            }
        }
    }
    tags
}

/// `" 00000000 00000840 000001C0 0000000000046E00 …"`: a zero, delay, padding and length in hex.
fn parse_itunes_gapless(value: &str) -> Option<ItunesGapless> {
    let mut words = value.split_whitespace().skip(1).map(|w| u64::from_str_radix(w, 16));
    let (delay_frames, _padding, frames) =
        (words.next()?.ok()?, words.next()?.ok()?, words.next()?.ok()?);
    // As FFmpeg, distrust delays no AAC encoder has.
    (delay_frames < 16_384 && frames > 0).then_some(ItunesGapless { delay_frames, frames })
}

/// The facts of a song before anything is decoded; rate and channels are filled in then.
pub(super) fn song_info(
    path: &Path,
    tags: Tags,
    params: &AudioCodecParameters,
    format: &FormatInfo,
) -> SongInfo {
    let stem = || path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    SongInfo {
        path: path.to_owned(),
        title: tags.title.unwrap_or_else(stem),
        artist: tags.artist.or(tags.album_artist),
        album: tags.album,
        codec: codec_name(params, Some(format)),
        bitrate_bps: None,
        bits_per_sample: params
            .bits_per_sample
            .filter(|bits| is_lossless(params.codec) && *bits > 0),
        source: StreamSpec { sample_rate_hz: 0, channels: 0 },
        source_frames: None,
        cover: tags.cover,
    }
}

/// Fills in the mean bit rate of a compressed file, from its size without the cover.
pub(super) fn estimate_bitrate(info: &mut SongInfo, file_bytes: u64) {
    let Some(frames) = info.source_frames.filter(|frames| *frames > 0) else { return };
    let cover_bytes = info.cover.as_ref().map_or(0, |cover| cover.len() as u64);
    let bits = file_bytes.saturating_sub(cover_bytes) as f64 * 8.0;
    let bps = bits / info.source.secs(frames);
    info.bitrate_bps = (bps.is_finite() && bps < f64::from(u32::MAX)).then_some(bps as u32);
}

fn is_lossless(codec: AudioCodecId) -> bool {
    is_pcm(codec) || [CODEC_ID_FLAC, CODEC_ID_ALAC].contains(&codec)
}

fn is_pcm(codec: AudioCodecId) -> bool {
    (CODEC_ID_PCM_S32LE..CODEC_ID_PCM_ALAW).contains(&codec)
}

/// A codec in the user's words; plain PCM is called by its container.
pub(super) fn codec_name(params: &AudioCodecParameters, format: Option<&FormatInfo>) -> String {
    let known = [
        (CODEC_ID_MP1, "MP1"),
        (CODEC_ID_MP2, "MP2"),
        (CODEC_ID_MP3, "MP3"),
        (CODEC_ID_AAC, "AAC"),
        (CODEC_ID_ALAC, "ALAC"),
        (CODEC_ID_FLAC, "FLAC"),
        (CODEC_ID_VORBIS, "Ogg Vorbis"),
        (CODEC_ID_OPUS, "Opus"),
        (CODEC_ID_PCM_ALAW, "A-law"),
        (CODEC_ID_PCM_MULAW, "µ-law"),
        (CODEC_ID_ADPCM_MS, "ADPCM"),
        (CODEC_ID_ADPCM_IMA_WAV, "ADPCM"),
        (CODEC_ID_ADPCM_IMA_QT, "ADPCM"),
        (CODEC_ID_AC3, "Dolby Digital (AC-3)"),
        (CODEC_ID_EAC3, "Dolby Digital Plus (E-AC-3)"),
        (CODEC_ID_AC4, "Dolby AC-4"),
        (CODEC_ID_DCA, "DTS"),
        (CODEC_ID_TRUEHD, "Dolby TrueHD"),
        (CODEC_ID_SPEEX, "Speex"),
        (CODEC_ID_WMA, "Windows Media Audio"),
        (CODEC_ID_WAVPACK, "WavPack"),
        (CODEC_ID_TTA, "True Audio"),
        (CODEC_ID_MONKEYS_AUDIO, "Monkey's Audio"),
    ];
    if let Some((_, name)) = known.iter().find(|(codec, _)| *codec == params.codec) {
        return (*name).into();
    }
    let container = match format.map(|format| format.format) {
        Some(FORMAT_ID_WAVE) => "WAV",
        Some(FORMAT_ID_AIFF) => "AIFF",
        Some(FORMAT_ID_CAF) => "CAF",
        _ if is_pcm(params.codec) => "PCM",
        _ => "an unknown codec",
    };
    container.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_itunes_gapless() {
        let value = " 00000000 00000840 000001C0 0000000000046E00 00000000 00000000";
        let expected = ItunesGapless { delay_frames: 0x840, frames: 0x46e00 };
        assert_eq!(parse_itunes_gapless(value), Some(expected));
        assert_eq!(parse_itunes_gapless("00000000 00000840"), None);
        assert_eq!(parse_itunes_gapless(" 00000000 FFFFFFFF 0 1"), None);
    }
}
