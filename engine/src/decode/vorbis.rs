//! Vorbis of more than two channels for Symphonia, by libvorbis: Symphonia's own decoder undoes the
//! coupling of channels in the order of the header instead of backwards (Vorbis I § 4.3.5), which
//! only surround notices.
//!
//! libvorbis comes as `vorbis_rs`, which reads Ogg streams and not packets; so every packet, from
//! whatever container, goes in as Ogg pages of its own.

use std::{
    collections::VecDeque,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

use symphonia::core::{
    audio::{
        AsGenericAudioBufferRef, AudioBuffer, AudioMut, AudioSpec, Channels, GenericAudioBufferRef,
    },
    codecs::{
        CodecInfo,
        audio::{AudioCodecParameters, AudioDecoder, FinalizeResult, well_known::CODEC_ID_VORBIS},
    },
    errors::{Error, Result},
    packet::PacketRef,
};
use vorbis_rs::VorbisDecoder;

use super::opus::channel_order;

/// Most frames one packet can add: half a block of the largest size, Vorbis I § 4.2.2 and § 4.3.8.
const MAX_PACKET_FRAMES: usize = 8192 / 2;

/// What the identification header says, and the headers a decoder starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Headers {
    channels: u8,
    rate_hz: u32,
    identification: Vec<u8>,
    setup: Vec<u8>,
}

impl Headers {
    /// Bytes of an identification header.
    const IDENTIFICATION_BYTES: usize = 30;

    /// From codec data as Matroska keeps it (all three headers, Xiph laced) or as Symphonia's Ogg
    /// reader does (identification and setup).
    fn parse(data: &[u8]) -> Option<Self> {
        let (identification, setup) = match data.first()? {
            2 => {
                let mut rest = &data[1..];
                let (first, second) = (laced_bytes(&mut rest)?, laced_bytes(&mut rest)?);
                let (identification, rest) = rest.split_at_checked(first)?;
                (identification, rest.get(second..)?)
            }
            _ => data.split_at_checked(Self::IDENTIFICATION_BYTES)?,
        };
        let fits = identification.len() == Self::IDENTIFICATION_BYTES
            && identification.starts_with(b"\x01vorbis")
            && setup.starts_with(b"\x05vorbis");
        let rate = identification.get(12..16)?.try_into().ok()?;
        fits.then(|| Self {
            channels: identification[11],
            rate_hz: u32::from_le_bytes(rate),
            identification: identification.to_vec(),
            setup: setup.to_vec(),
        })
    }
}

/// A length in Xiph lacing: bytes of 255 and one that is less.
fn laced_bytes(data: &mut &[u8]) -> Option<usize> {
    let mut bytes = 0;
    loop {
        let (&byte, rest) = data.split_first()?;
        *data = rest;
        bytes += usize::from(byte);
        if byte < 255 {
            return Some(bytes);
        }
    }
}

/// Whether a track is Vorbis that Symphonia decodes wrongly.
pub(super) fn is_surround(params: &AudioCodecParameters) -> bool {
    let headers = || Headers::parse(params.extra_data.as_deref()?);
    params.codec == CODEC_ID_VORBIS && headers().is_some_and(|headers| headers.channels > 2)
}

/// More than two channels of Vorbis, in the order of Symphonia's speaker positions.
pub(super) struct SurroundDecoder {
    params: AudioCodecParameters,
    headers: Headers,
    stream: Stream,
    /// A packet went in: every later one gives sound, or is damaged.
    primed: bool,
    planes: Vec<Vec<f32>>,
    buffer: AudioBuffer<f32>,
}

impl SurroundDecoder {
    /// A decoder of the track that `params` describe.
    ///
    /// # Errors
    /// When its headers are damaged.
    pub(super) fn new(params: &AudioCodecParameters) -> Result<Self> {
        const BAD_HEADERS: Error = Error::DecodeError("vorbis: unreadable headers");
        let headers = params.extra_data.as_deref().and_then(Headers::parse).ok_or(BAD_HEADERS)?;
        let channels = usize::from(headers.channels);
        let layout = match &params.channels {
            Some(layout) if layout.count() == channels => layout.clone(),
            _ => Channels::Discrete(u16::from(headers.channels)),
        };
        let spec = AudioSpec::new(headers.rate_hz, layout);
        Ok(Self {
            params: params.clone(),
            stream: Stream::open(&headers)?,
            headers,
            primed: false,
            planes: vec![Vec::new(); channels],
            buffer: AudioBuffer::new(spec, MAX_PACKET_FRAMES),
        })
    }
}

impl AudioDecoder for SurroundDecoder {
    fn reset(&mut self) {
        // The headers were good once, so they are again.
        if let Ok(stream) = Stream::open(&self.headers) {
            self.stream = stream;
            self.primed = false;
        }
    }

    fn codec_info(&self) -> &CodecInfo {
        &CodecInfo { short_name: "vorbis", long_name: "Vorbis", profiles: &[] }
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.params
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.buffer.clear();
        self.planes.iter_mut().for_each(Vec::clear);
        self.stream.decode(packet.data, &mut self.planes)?;
        let frames = self.planes[0].len();
        // The first packet only prepares the second.
        if std::mem::replace(&mut self.primed, true) && frames == 0 || frames > MAX_PACKET_FRAMES {
            return Err(Error::DecodeError("vorbis: damaged packet"));
        }
        self.buffer.render_uninit(Some(frames));
        for (from, plane) in self.planes.iter().enumerate() {
            let to = channel_order(self.planes.len()).get(from).copied().unwrap_or(from);
            if let Some(out) = self.buffer.plane_mut(to) {
                out.copy_from_slice(plane);
            }
        }
        self.buffer.trim(packet.trim_start.get() as usize, packet.trim_end.get() as usize);
        Ok(self.buffer.as_generic_audio_buffer_ref())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.buffer.as_generic_audio_buffer_ref()
    }
}

/// An Ogg stream that is made on one side and decoded on the other.
struct Stream {
    inlet: Inlet,
    pages: u32,
    decoder: Owned,
}

impl Stream {
    fn open(headers: &Headers) -> Result<Self> {
        // No vendor, no comments, and the bit that ends them.
        const NO_COMMENTS: &[u8] = b"\x03vorbis\0\0\0\0\0\0\0\0\x01";
        let inlet = Inlet::default();
        let mut pages = 0;
        for packet in [&headers.identification, NO_COMMENTS, &headers.setup] {
            inlet.put(packet, &mut pages);
        }
        let decoder = VorbisDecoder::new(inlet.clone())
            .map_err(|_| Error::DecodeError("vorbis: unreadable headers"))?;
        Ok(Self { inlet, pages, decoder: Owned(decoder) })
    }

    /// Decodes one packet and appends what it gives to `planes`, in Vorbis's channel order.
    fn decode(&mut self, packet: &[u8], planes: &mut [Vec<f32>]) -> Result<()> {
        self.inlet.put(packet, &mut self.pages);
        let damaged = |_| Error::DecodeError("vorbis: damaged packet");
        while let Some(block) = self.decoder.0.decode_audio_block().map_err(damaged)? {
            planes.iter_mut().zip(block.samples()).for_each(|(plane, new)| plane.extend(*new));
        }
        Ok(())
    }
}

/// libvorbis's decoder, which points into itself and is not `Send` for that alone.
struct Owned(VorbisDecoder<Inlet>);

// SAFETY: all it points to belongs to it, in boxes that do not move; libvorbis decodes without any
// state that is global or a thread's; and its source, an `Inlet`, may go to any thread.
unsafe impl Send for Owned {}
// SAFETY: a shared reference to it only gives away its rate and channel count.
unsafe impl Sync for Owned {}

/// The bytes of an Ogg stream that are not read yet.
#[derive(Debug, Clone, Default)]
struct Inlet(Arc<Mutex<VecDeque<u8>>>);

impl Inlet {
    /// Appends `packet` as Ogg pages without granule positions, so that nothing is cut off by them:
    /// that is the container's business. `pages` counts the stream's pages. RFC 3533 § 6.
    fn put(&self, packet: &[u8], pages: &mut u32) {
        const SERIAL: u32 = 1;
        const CONTINUED: u8 = 1;
        const FIRST: u8 = 2;
        // The last segment is shorter than 255 bytes, if need be empty.
        let segments: Vec<u8> = packet
            .chunks(255)
            .map(|segment| segment.len() as u8)
            .chain(packet.len().is_multiple_of(255).then_some(0))
            .collect();
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = packet;
        for (n, segments) in segments.chunks(255).enumerate() {
            let bytes = segments.iter().map(|&bytes| usize::from(bytes)).sum();
            let (body, after) = rest.split_at(bytes);
            rest = after;
            let flags = if n > 0 { CONTINUED } else { 0 } | if *pages == 0 { FIRST } else { 0 };
            let mut page = b"OggS\0".to_vec();
            page.push(flags);
            page.extend(u64::MAX.to_le_bytes());
            page.extend(SERIAL.to_le_bytes());
            page.extend(pages.to_le_bytes());
            page.extend([0; 4]);
            page.push(segments.len() as u8);
            page.extend(segments);
            page.extend(body);
            let sum = checksum(&page).to_le_bytes();
            page[22..26].copy_from_slice(&sum);
            stream.extend(page);
            *pages = pages.wrapping_add(1);
        }
    }
}

impl Read for Inlet {
    /// What is there; nothing, which reads as the end, until the next packet is put in.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(buffer)
    }
}

/// Ogg's CRC-32: polynomial 0x04c11db7, highest bit first, from zero.
fn checksum(page: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = (byte as u32) << 24;
            let mut bit = 0;
            while bit < 8 {
                crc = (crc << 1) ^ (if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 });
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    page.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 24) as u8 ^ byte)])
}
