//! The cluster's id: chosen once, then kept with the data.

use super::OpenError;
use super::commits::Commits;
use crate::env::Env;
use crate::store::json;
use bytes::Bytes;
use uuid::Uuid;

pub(super) const KEY: &str = "cluster/id";

/// The stored id, or, on a new store, `configured` or a random one, stored now.
pub(super) async fn establish(
    commits: &mut Commits,
    stored: Option<&Bytes>,
    configured: Option<String>,
    env: &Env,
) -> Result<String, OpenError> {
    if let Some(value) = stored {
        let stored: String = json::read(KEY, value)?;
        return match configured {
            Some(configured) if configured != stored => Err(OpenError::OtherCluster { configured, stored }),
            _ => Ok(stored),
        };
    }
    let id = configured.unwrap_or_else(|| base64(new_uuid(env)));
    commits.put_cluster_id(&id).await?;
    Ok(id)
}

/// A random UUID whose text does not start with '-', which command lines would take for an option (Uuid.randomUuid). Never nil:
/// version 4 sets bits.
#[must_use]
pub fn new_uuid(env: &Env) -> Uuid {
    loop {
        let uuid = env.uuid();
        if !base64(uuid).starts_with('-') {
            return uuid;
        }
    }
}

/// A UUID as Kafka writes it: 22 characters of URL-safe base64 without padding (org.apache.kafka.common.Uuid.toString).
#[must_use]
pub fn base64(uuid: Uuid) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = uuid.as_u128();
    // 21 characters carry six bits each; the last one carries the two that are left, and four zeros.
    let whole = (0..21).map(|index| (bits >> (122 - 6 * index)) & 63);
    let sextets = whole.chain([(bits & 3) << 4]);
    sextets.filter_map(|sextet| usize::try_from(sextet).ok()).filter_map(|at| ALPHABET.get(at)).copied().map(char::from).collect()
}
