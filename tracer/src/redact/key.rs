//! What makes the masks of one run differ from those of another.

use anyhow::Context as _;
use rustix::rand::{GetRandomFlags, getrandom};
use siphasher::sip::SipHasher24;

/// A secret of one run: it is made when the run begins, and gone when it ends. It cannot be shown.
pub struct Key([u8; 16]);

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// If the kernel has no random numbers to give.
    pub fn random() -> anyhow::Result<Self> {
        let mut key = [0; 16];
        let given = getrandom(&mut key, GetRandomFlags::empty()).context("cannot get random numbers for --redact")?;
        // So few bytes come at once (getrandom(2)).
        anyhow::ensure!(given == key.len(), "the kernel gave only {given} random bytes for --redact");
        Ok(Self(key))
    }

    /// This one, which is no secret: for tests.
    pub const fn of(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// A number that nobody can tell from a random one without the key (SipHash-2-4).
    pub(super) fn mix(&self, bytes: &[u8]) -> u64 {
        SipHasher24::new_with_key(&self.0).hash(bytes)
    }
}
