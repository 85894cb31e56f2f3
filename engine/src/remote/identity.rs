//! The Ed25519 key by which this computer is known to others: one per data folder, made when first
//! needed, never sent anywhere.

use std::{fs, io::Write, path::Path, sync::Arc};

use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use rustls::{
    crypto::ring::sign::any_eddsa_type,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

use crate::{
    crew::DeviceId,
    error::{Error, ErrorKind, Result},
    store::read_bounded,
};

/// File of the key in a data folder, as PKCS #8.
const FILE: &str = "device.key";

/// A PKCS #8 of Ed25519 takes 83 bytes.
const MAX_FILE_BYTES: u64 = 1 << 10;

/// SubjectPublicKeyInfo of an Ed25519 key but for the key itself, which is 32 bytes long (RFC 8410).
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What the system calls this computer.
pub fn computer_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().trim().to_owned();
    if name.is_empty() { "Computer".to_owned() } else { name }
}

/// This computer's key.
#[derive(Clone)]
pub struct Identity {
    device: DeviceId,
    key: Arc<CertifiedKey>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.device.fingerprint())
    }
}

impl Identity {
    /// The key in `data_dir`, made if there is none yet.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when what is there is no key: it is never replaced unasked, since every
    /// paired computer would have to be paired again. What the disk says.
    pub fn load_or_create(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(FILE);
        match read_bounded(&path, MAX_FILE_BYTES) {
            Ok(bytes) => Self::from_pkcs8(&bytes).map_err(|e| {
                let what = format!("“{}” does not hold this computer's key", path.display());
                Error::new(ErrorKind::Damaged, what)
                    .caused_by(e)
                    .advice("Delete it and pair your computers again")
            }),
            Err(e) if e.kind == ErrorKind::NotFound => {
                let (identity, pkcs8) = Self::create()?;
                fs::create_dir_all(data_dir).map_err(|e| Error::io("make", data_dir, e))?;
                match write_secret(&path, &pkcs8) {
                    // Another Stemhive was faster.
                    Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                        Self::from_pkcs8(&read_bounded(&path, MAX_FILE_BYTES)?)
                    }
                    Err(e) => Err(Error::io("write", &path, e)),
                    Ok(()) => Ok(identity),
                }
            }
            Err(e) => Err(e),
        }
    }

    /// A key that is kept nowhere.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn ephemeral() -> Result<Self> {
        Ok(Self::create()?.0)
    }

    fn create() -> Result<(Self, Vec<u8>)> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| {
            Error::new(ErrorKind::Internal, "The system gives no random numbers for a key")
        })?;
        Ok((Self::from_pkcs8(pkcs8.as_ref())?, pkcs8.as_ref().to_vec()))
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::Damaged, "This is no Ed25519 key");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| wrong())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| wrong())?;
        let device = DeviceId(public);
        let signer = any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.to_vec()))
            .map_err(|e| wrong().caused_by(e))?;
        let key = CertifiedKey::new(vec![CertificateDer::from(spki_of(device))], signer);
        Ok(Self { device, key: Arc::new(key) })
    }

    /// Who this computer is.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The key for handshakes, with its SubjectPublicKeyInfo for a certificate (RFC 7250).
    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// The SubjectPublicKeyInfo of a device's key.
pub(super) fn spki_of(device: DeviceId) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), &device.0].concat()
}

/// The device whose SubjectPublicKeyInfo this is; none if it is not one of an Ed25519 key.
pub(super) fn device_of(spki: &[u8]) -> Option<DeviceId> {
    spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok().map(DeviceId)
}

/// Writes a new file that only its owner can read.
pub(super) fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
