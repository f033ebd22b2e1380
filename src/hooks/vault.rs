//! Secrets at rest: encrypted with a key of the operator's, bound to the endpoint that they belong to.
//!
//! Stored form: `1` (the version of this format), 12 bytes of nonce, ciphertext with tag; all of it as base64. ChaCha20-Poly1305 with random nonces:
//! at some thousand secrets the chance that two share one is nothing.

use super::secret::Secret;
use crate::config::hooks::SecretKey;
use crate::env::Env;
use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// In the data directory, unless the key is configured.
pub const KEY_FILE: &str = "hooks.key";
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
/// Nobody but the owner.
const MODE: u32 = 0o600;
const OTHERS: u32 = 0o077;

/// Encrypts and decrypts; shows nothing.
pub struct Vault {
    cipher: ChaCha20Poly1305,
    env: Env,
}

impl Vault {
    #[must_use]
    pub fn new(key: &SecretKey, env: Env) -> Vault {
        Vault { cipher: ChaCha20Poly1305::new(&Key::from(key.0)), env }
    }

    /// The stored form of a secret of the endpoint `id`.
    ///
    /// # Panics
    /// Never: a secret is far below what the cipher takes.
    #[must_use]
    pub fn seal(&self, id: &str, secret: &Secret) -> String {
        let nonce = self.env.secret_bytes::<NONCE_BYTES>();
        let payload = Payload { msg: secret.bytes(), aad: id.as_bytes() };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).expect("a secret is far below 256 GiB");
        let mut stored = vec![VERSION];
        stored.extend_from_slice(&nonce);
        stored.extend_from_slice(&sealed);
        BASE64_STANDARD.encode(stored)
    }

    /// The secret of a stored form; `None`: it was sealed with another key, for another endpoint, or is damaged.
    #[must_use]
    pub fn open(&self, id: &str, stored: &str) -> Option<Secret> {
        let stored = BASE64_STANDARD.decode(stored).ok()?;
        let rest = stored.strip_prefix(&[VERSION])?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let payload = Payload { msg: sealed, aad: id.as_bytes() };
        self.cipher.decrypt(&Nonce::from(nonce), payload).ok().map(Secret::of_bytes)
    }
}

/// The key in `directory`, made at its first use. Blocks: a file is read or written.
///
/// # Errors
/// When it cannot be read or made, is readable by others, or is no key.
pub fn key_file(directory: &Path, env: &Env) -> anyhow::Result<SecretKey> {
    let path = directory.join(KEY_FILE);
    let shown = path.display();
    // A link that leads nowhere is something that somebody made: it is not replaced.
    if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        let key = env.secret_bytes::<32>();
        // In one step, so that a crash leaves no half of a key.
        let new = directory.join(format!("{KEY_FILE}.new"));
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new);
        file = file.and_then(|mut file| {
            file.write_all(format!("{}\n", BASE64_STANDARD.encode(key)).as_bytes())?;
            file.sync_all()?;
            Ok(file)
        });
        let made = file.and_then(|_| fs::rename(&new, &path)).and_then(|()| fs::File::open(directory)?.sync_all());
        made.with_context(|| format!("{shown} (the key for webhooks' secrets) cannot be made"))?;
        return Ok(SecretKey(key));
    }
    let mode = fs::metadata(&path).with_context(|| format!("{shown} cannot be read"))?.mode();
    if mode & OTHERS != 0 {
        bail!("{shown} (the key for webhooks' secrets) has mode {:03o}, and others may read it; chmod 600 it", mode & 0o777);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("{shown} cannot be read"))?;
    SecretKey::parse(&text)
        .map_err(|expected| anyhow::anyhow!("{shown} is no key: expected {expected}; restore it from a backup"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Timestamp;
    use std::os::unix::fs::PermissionsExt;

    fn env() -> Env {
        Env::manual(Timestamp(0), 7)
    }

    #[test]
    fn secrets_come_back_with_the_same_key_for_the_same_endpoint_only() {
        let vault = Vault::new(&SecretKey([1; 32]), env());
        let secret = Secret::new(&env());
        let sealed = vault.seal("ep_1", &secret);
        assert_eq!(vault.open("ep_1", &sealed), Some(secret.clone()));
        assert_eq!(vault.open("ep_2", &sealed), None);
        assert_eq!(Vault::new(&SecretKey([2; 32]), env()).open("ep_1", &sealed), None);
        for bad in ["", "AA==", "AQ==", &sealed[..20], "?"] {
            assert_eq!(vault.open("ep_1", bad), None, "{bad}");
        }
        assert_ne!(vault.seal("ep_1", &secret), sealed, "each time another nonce");
    }

    #[test]
    fn the_key_file_is_made_once_and_refused_when_others_may_read_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let key = key_file(directory.path(), &env()).expect("made");
        let path = directory.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, MODE);
        assert_eq!(key_file(directory.path(), &Env::manual(Timestamp(0), 8)).expect("read"), key);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        let error = key_file(directory.path(), &env()).expect_err("refused").to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::write(&path, "nonsense").expect("ours");
        assert!(key_file(directory.path(), &env()).is_err());
    }
}
