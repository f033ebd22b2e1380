//! `fbf hash-key`: an API key in, its hash out. From standard input, because arguments are seen by everybody on the machine.

use super::{EXIT_FAILED, EXIT_USAGE, fail, tell};
use sha2::{Digest, Sha256};
use std::io::{IsTerminal, Read};
use std::process::ExitCode;

const LENGTH_ADVISED: usize = 16;
const LENGTH_MAX: u64 = 4096;

pub(super) fn run() -> ExitCode {
    if std::io::stdin().is_terminal() {
        eprintln!("type the key, and end with Ctrl-D on a line of its own");
    }
    let mut key = String::new();
    if let Err(error) = std::io::stdin().lock().take(LENGTH_MAX).read_to_string(&mut key) {
        return fail(EXIT_FAILED, &format!("the key cannot be read from standard input: {error}"));
    }
    let key = key.trim();
    if key.is_empty() {
        return fail(EXIT_USAGE, "no key on standard input: head -c 24 /dev/urandom | base64 | tee key | fbf hash-key");
    }
    if key.len() as u64 >= LENGTH_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return fail(EXIT_USAGE, &format!("a key is fewer than {LENGTH_MAX} visible ASCII characters: it is sent in a header"));
    }
    if key.len() < LENGTH_ADVISED {
        eprintln!(
            "warning: a key of fewer than {LENGTH_ADVISED} characters can be guessed from its hash; draw a long one at random"
        );
    }
    tell(&hash(key))
}

/// As it stands in the configuration.
fn hash(key: &str) -> String {
    let digits: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_sha_256() {
        assert_eq!(hash("abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
