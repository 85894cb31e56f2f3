//! A line of text that pairs one worker without anybody typing a code.
//!
//! `stemhive1-` and the base32 (RFC 4648, small letters, no padding) of the ticket in postcard and
//! the CRC-32C of that: a typo is told apart from a ticket that is no longer good.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    crew::DeviceId,
    error::{Error, ErrorKind},
};

/// Most addresses in a ticket.
pub const MAX_TICKET_ADDRESSES: usize = 8;

/// What every version's tickets begin with; the version and `-` follow.
const NAME: &str = "stemhive";

/// The version that this program writes and reads.
const VERSION: &str = "1";

/// Longest text that is looked at; eight addresses of IPv6 come to 352 characters.
const MAX_TEXT_BYTES: usize = 512;

const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

const CHECKSUM_BYTES: usize = 4;

/// What a worker needs to pair itself: where the main PC is, who it is, and a secret that works
/// once. Reads and writes itself as one line, with at most [`MAX_TICKET_ADDRESSES`] addresses.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Where the main PC listens, the best one first.
    pub addresses: Vec<SocketAddr>,
    /// Who it is.
    pub device: DeviceId,
    /// What proves that the ticket came from it.
    pub secret: [u8; 16],
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?})", self.device)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ticket = self.clone();
        ticket.addresses.truncate(MAX_TICKET_ADDRESSES);
        let mut bytes = postcard::to_stdvec(&ticket).map_err(|_| fmt::Error)?;
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        write!(f, "{NAME}{VERSION}-{}", to_base32(&bytes))
    }
}

impl FromStr for Ticket {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Invalid`] for what is no ticket, [`ErrorKind::Unsupported`] for one of another
    /// version, [`ErrorKind::Damaged`] for one with a typo in it.
    fn from_str(text: &str) -> Result<Self, Error> {
        let no_ticket = || {
            Error::new(ErrorKind::Invalid, "This is no ticket of Stemhive")
                .advice(format!("A ticket is one line that begins with “{NAME}{VERSION}-”"))
        };
        let damaged = || {
            Error::new(ErrorKind::Damaged, "The ticket has a typo or was not copied whole")
                .advice("Copy the whole line again")
        };
        let text = text.trim();
        if text.len() > MAX_TEXT_BYTES {
            return Err(no_ticket());
        }
        let text = text.to_ascii_lowercase();
        let (version, digits) = text
            .strip_prefix(NAME)
            .and_then(|rest| rest.split_once('-'))
            .filter(|(version, _)| version.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(no_ticket)?;
        if version != VERSION {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "The ticket was made by another version of Stemhive",
            )
            .advice("Install the same version on both computers"));
        }
        let bytes = from_base32(digits).ok_or_else(damaged)?;
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(damaged)?;
        if crc32c::crc32c(body).to_le_bytes() != *checksum {
            return Err(damaged());
        }
        match postcard::take_from_bytes::<Self>(body) {
            Ok((ticket, [])) if (1..=MAX_TICKET_ADDRESSES).contains(&ticket.addresses.len()) => {
                Ok(ticket)
            }
            _ => Err(damaged()),
        }
    }
}

fn to_base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(char::from(DIGITS[(bits >> held) as usize & 31]));
        }
    }
    if held > 0 {
        text.push(char::from(DIGITS[(bits << (5 - held)) as usize & 31]));
    }
    text
}

/// None for what [`to_base32`] never writes, so that every ticket has exactly one text.
fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text.bytes() {
        let value = match digit {
            b'a'..=b'z' => digit - b'a',
            b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5) | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    let left_over = bits & ((1 << held) - 1);
    (held < 5 && left_over == 0).then_some(bytes)
}
