//! The proofs: keys from a secret and a TLS session, and the HMACs made with them.

use quinn::Connection;
use ring::hmac;
use spake2::{Ed25519Group, Password, Spake2};

use crate::{
    crew::DeviceId,
    error::{Error, ErrorKind, Result},
    remote::{identity::spki_of, tls::peer_of},
};

/// Label under which both ends take their bytes from the TLS session (RFC 8446, 7.5).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-stemhive-pairing";

/// Which side one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Worker,
    Main,
}

/// Who talks to whom, in which TLS session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) worker: DeviceId,
    pub(super) main: DeviceId,
    /// The same 32 bytes at both ends of one session, and nowhere else.
    pub(super) session: [u8; 32],
}

impl Channel {
    /// The channel that `connection` is, seen by `me` in `role`.
    ///
    /// # Errors
    /// When the handshake is not over; a bug.
    pub(super) fn of(connection: &Connection, me: DeviceId, role: Role) -> Result<Self> {
        let unfinished = || Error::new(ErrorKind::Internal, "The connection is not set up yet");
        let other = peer_of(connection).ok_or_else(unfinished)?;
        let (worker, main) = match role {
            Role::Worker => (me, other),
            Role::Main => (other, me),
        };
        let mut session = [0; 32];
        connection
            .export_keying_material(&mut session, EXPORTER_LABEL, b"")
            .map_err(|_| unfinished())?;
        Ok(Self { worker, main, session })
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.session[..], &spki_of(self.worker), &spki_of(self.main)].concat()
    }
}

/// What both sides have who know the secret: a key per role. With one key for both, whoever sends
/// back what it was sent would prove itself.
pub(super) struct Keys {
    worker: hmac::Key,
    main: hmac::Key,
    channel: Vec<u8>,
}

impl Keys {
    /// Keys from a secret of full strength.
    pub(super) fn new(secret: &[u8; 32], channel: &Channel) -> Self {
        let channel = channel.bytes();
        let key = |context| {
            let material = [secret.as_slice(), &channel].concat();
            hmac::Key::new(hmac::HMAC_SHA256, &blake3::derive_key(context, &material))
        };
        Self {
            worker: key("stemhive pairing 1, the worker proves itself"),
            main: key("stemhive pairing 1, the main PC proves itself"),
            channel,
        }
    }

    /// What the computer in `role` proves itself with.
    pub(super) fn tag(&self, role: Role) -> [u8; 32] {
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(self.of(role), &self.channel).as_ref());
        tag
    }

    /// Whether `tag` proves the computer in `role`; in constant time.
    pub(super) fn check(&self, role: Role, tag: &[u8; 32]) -> bool {
        hmac::verify(self.of(role), &self.channel, tag).is_ok()
    }

    fn of(&self, role: Role) -> &hmac::Key {
        match role {
            Role::Worker => &self.worker,
            Role::Main => &self.main,
        }
    }
}

/// One side of SPAKE2, which makes a key of full strength from a short code such that whoever does not
/// know the code can test one guess only, and only with the other side's help.
pub(super) struct Pake {
    role: Role,
    state: Spake2<Ed25519Group>,
    channel: Channel,
}

impl Pake {
    /// Begins; what to send to the other side.
    pub(super) fn start(role: Role, code: &str, channel: &Channel) -> (Self, [u8; 32]) {
        let password = Password::new(code);
        let name = |role: &str, device| [role.as_bytes(), &spki_of(device)].concat();
        let worker = spake2::Identity::new(&name("stemhive worker ", channel.worker));
        let main = spake2::Identity::new(&name("stemhive main PC ", channel.main));
        let (state, message) = match role {
            Role::Worker => Spake2::start_a(&password, &worker, &main),
            Role::Main => Spake2::start_b(&password, &worker, &main),
        };
        let mut share = [0; 32];
        // The first byte says which side it is; both know that.
        share.copy_from_slice(&message[1..]);
        (Self { role, state, channel: channel.clone() }, share)
    }

    /// The keys, which the other side has as well if it knows the code; none if its share is no
    /// point of the curve.
    pub(super) fn finish(self, share: [u8; 32]) -> Option<Keys> {
        let side = match self.role {
            Role::Worker => b'B',
            Role::Main => b'A',
        };
        let message = [[side].as_slice(), &share].concat();
        let secret = self.state.finish(&message).ok()?;
        Some(Keys::new(secret.as_slice().try_into().ok()?, &self.channel))
    }
}
