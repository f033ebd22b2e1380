//! The secret that an endpoint's requests are signed with, as Standard Webhooks writes it: `whsec_` and base64.

use crate::env::Env;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;

const PREFIX: &str = "whsec_";
/// Bytes of a secret that we make; of one that is given, the specification's bounds.
const BYTES: usize = 32;
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;

/// A key that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    #[must_use]
    pub fn new(env: &Env) -> Secret {
        Secret(env.secret_bytes::<BYTES>().to_vec())
    }

    /// # Errors
    /// What would be valid. The text is not shown.
    pub fn parse(text: &str) -> Result<Secret, String> {
        let bytes = text.strip_prefix(PREFIX).and_then(|rest| BASE64_STANDARD.decode(rest).ok());
        let bytes = bytes.filter(|bytes| (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()));
        bytes.map(Secret).ok_or_else(|| {
            format!("secret is not valid: expected {PREFIX} and {BYTES_MIN} to {BYTES_MAX} bytes as base64; leave it out for a random one")
        })
    }

    #[must_use]
    pub fn of_bytes(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// For whoever may verify signatures.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", BASE64_STANDARD.encode(&self.0))
    }

    /// `v1,` and the signature of a message. Source: Standard Webhooks, "Signature scheme".
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Timestamp;

    #[test]
    fn signatures_are_those_of_the_specifications_libraries() {
        // The example of the specification's reference libraries (standard-webhooks, test_webhooks.py, "sign").
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_come_back_and_others_are_refused() {
        let secret = Secret::new(&Env::manual(Timestamp(0), 1));
        assert_eq!(Secret::parse(&secret.reveal()), Ok(secret.clone()));
        assert_eq!(secret.bytes().len(), BYTES);
        let short = format!("whsec_{}", BASE64_STANDARD.encode([1; 23]));
        for bad in ["", "whsec_", "whsec_???", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", short.as_str()] {
            let error = Secret::parse(bad).expect_err("refused");
            assert!(bad.len() < 10 || !error.contains(&bad[6..]), "{error}");
        }
    }

    #[test]
    fn no_message_shows_a_secret() {
        let secret = Secret::new(&Env::manual(Timestamp(0), 1));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
