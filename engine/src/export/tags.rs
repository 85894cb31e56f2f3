//! Tags and cover of the source file, carried into what is written.
//!
//! lofty reads them and knows how each format spells them. They are handed to the encoders before
//! the first sample, so no finished file is ever rewritten (which would read it into memory whole).

use lofty::{
    config::{ParseOptions, WriteOptions},
    file::TaggedFileExt,
    id3::v2::Id3v2Tag,
    iff::wav::RiffInfoList,
    ogg::{OggPictureStorage, tag::VorbisComments},
    picture::{Picture, PictureType},
    probe::Probe,
    tag::{ItemKey, Tag, TagExt, TagType},
};

use crate::song::SongInfo;

/// True of the source file but not of what is written from it.
const FACTS_OF_THE_OLD_FILE: [ItemKey; 7] = [
    ItemKey::EncoderSoftware,
    ItemKey::EncoderSettings,
    ItemKey::ReplayGainAlbumGain,
    ItemKey::ReplayGainAlbumPeak,
    ItemKey::ReplayGainTrackGain,
    ItemKey::ReplayGainTrackPeak,
    ItemKey::OriginalFileName,
];

/// Named as the writer in Vorbis comments.
const VENDOR: &str = concat!("Stemhive ", env!("CARGO_PKG_VERSION"));

/// The tags of a song, in no particular format's spelling.
#[derive(Clone)]
pub(super) struct SongTags(Tag);

impl SongTags {
    /// No tags at all.
    pub(super) fn none() -> Self {
        Self(Tag::new(TagType::Id3v2))
    }

    /// The tags of the file that `song` was opened from; if it cannot be read any more, what is
    /// remembered of it, and a warning that says so.
    pub(super) fn of(song: &SongInfo) -> (Self, Option<String>) {
        match read(&song.path) {
            Ok(tag) => (Self(tag), None),
            Err(cause) => (
                Self(remembered(song)),
                Some(format!(
                    "Only title, artist, album and cover were copied: the tags of “{}” cannot be \
                     read ({cause})",
                    song.path.display()
                )),
            ),
        }
    }

    /// The tags for one file, its title extended by `part` ("Lithium (Drums)").
    pub(super) fn encoded(&self, title: &str, part: Option<&str>) -> EncodedTags {
        let mut tag = self.0.clone();
        if tag.is_empty() {
            return EncodedTags::default();
        }
        if let Some(part) = part {
            let title = tag.get_string(ItemKey::TrackTitle).unwrap_or(title);
            let title = format!("{title} ({part})");
            tag.insert_text(ItemKey::TrackTitle, title);
        }
        EncodedTags::new(tag)
    }
}

fn read(path: &std::path::Path) -> Result<Tag, Box<dyn std::error::Error>> {
    let file = Probe::open(path)?
        .options(ParseOptions::new().read_properties(false))
        .guess_file_type()?
        .read()?;
    let mut tag = match file.primary_tag().or_else(|| file.first_tag()) {
        Some(tag) => tag.clone(),
        None => Tag::new(file.primary_tag_type()),
    };
    for key in FACTS_OF_THE_OLD_FILE {
        tag.remove_key(key);
    }
    Ok(tag)
}

fn remembered(song: &SongInfo) -> Tag {
    let mut tag = Tag::new(TagType::Id3v2);
    tag.insert_text(ItemKey::TrackTitle, song.title.clone());
    if let Some(artist) = &song.artist {
        tag.insert_text(ItemKey::TrackArtist, artist.clone());
    }
    if let Some(album) = &song.album {
        tag.insert_text(ItemKey::AlbumTitle, album.clone());
    }
    if let Some(cover) = &song.cover
        && let Ok(mut picture) = Picture::from_reader(&mut &cover[..])
    {
        picture.set_pic_type(PictureType::CoverFront);
        tag.push_picture(picture);
    }
    tag
}

/// `tag` with its frames in a fixed order; lofty's own is another in every process.
fn in_order(tag: Id3v2Tag) -> Id3v2Tag {
    let mut frames: Vec<_> = tag.into_iter().collect();
    frames.sort_by(|a, b| {
        let by_id = a.id_str().cmp(b.id_str());
        by_id.then_with(|| format!("{a:?}").cmp(&format!("{b:?}")))
    });
    let mut ordered = Id3v2Tag::new();
    for frame in frames {
        // Replaces nothing: no two frames of a tag are the same.
        let _ = ordered.insert(frame);
    }
    ordered
}

/// One file's tags as every format spells them.
#[derive(Debug, Clone, Default)]
pub(super) struct EncodedTags {
    /// A whole ID3v2 tag; empty without tags.
    pub(super) id3v2: Vec<u8>,
    /// A whole `LIST INFO` chunk; empty without tags.
    riff_info: Vec<u8>,
    vorbis: VorbisComments,
}

impl EncodedTags {
    fn new(tag: Tag) -> Self {
        // Writing to memory fails only on values that a format cannot hold at all (a tag beyond
        // its size limit); that format then goes without.
        let mut id3v2 = Vec::new();
        if in_order(tag.clone().into()).dump_to(&mut id3v2, WriteOptions::new()).is_err() {
            id3v2.clear();
        }
        let mut riff_info = Vec::new();
        if RiffInfoList::from(tag.clone()).dump_to(&mut riff_info, WriteOptions::new()).is_err() {
            riff_info.clear();
        }
        Self { id3v2, riff_info, vorbis: VorbisComments::from(tag) }
    }

    /// RIFF chunks to put behind the samples: `LIST INFO` for file managers, `id3 ` for players
    /// and for the cover.
    pub(super) fn riff_chunks(&self) -> Vec<u8> {
        let mut chunks = self.riff_info.clone();
        if !self.id3v2.is_empty() {
            chunks.extend_from_slice(b"id3 ");
            chunks.extend_from_slice(&(self.id3v2.len() as u32).to_le_bytes());
            chunks.extend_from_slice(&self.id3v2);
            chunks.resize(chunks.len().next_multiple_of(2), 0);
        }
        chunks
    }

    /// Body of FLAC's VORBIS_COMMENT block.
    pub(super) fn vorbis_comment_block(&self) -> Vec<u8> {
        fn push(block: &mut Vec<u8>, text: &str) {
            block.extend_from_slice(&(text.len() as u32).to_le_bytes());
            block.extend_from_slice(text.as_bytes());
        }
        let mut block = Vec::new();
        push(&mut block, VENDOR);
        let comments = self.vorbis.items();
        block.extend_from_slice(&(comments.len() as u32).to_le_bytes());
        for (key, value) in comments {
            push(&mut block, &format!("{key}={value}"));
        }
        block
    }

    /// Bodies of FLAC's PICTURE blocks.
    pub(super) fn flac_pictures(&self) -> impl Iterator<Item = Vec<u8>> {
        self.vorbis.pictures().iter().map(|(picture, info)| picture.as_flac_bytes(*info, false))
    }

    /// Vorbis comments with pictures among them, as Ogg files hold both.
    pub(super) fn comments_with_pictures(&self) -> impl Iterator<Item = (String, String)> {
        let texts = self.vorbis.items().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let pictures = self.vorbis.pictures().iter().filter_map(|(picture, info)| {
            let base64 = String::from_utf8(picture.as_flac_bytes(*info, true)).ok()?;
            Some(("METADATA_BLOCK_PICTURE".to_owned(), base64))
        });
        texts.chain(pictures)
    }
}
