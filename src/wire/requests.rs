//! Requests that are read here instead of by the protocol library: what its traits ask of them besides reading, which a server never does.

/// `request!(Ours, like Theirs, up to 9, versions RANGE, key ApiKey::…, answered by Response)`: `Theirs` is the library's type of the same key; it knows the
/// header of versions up to the named one, which later versions share.
macro_rules! request {
    ($ours:ty, like $theirs:ty, up to $like:expr, versions $versions:expr, key $key:expr, answered by $response:ty) => {
        /// [`Request`](kafka_protocol::protocol::Request) asks for it; a server writes no requests.
        impl kafka_protocol::protocol::Encodable for $ours {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(&self, _buf: &mut B, _version: i16) -> anyhow::Result<()> {
                anyhow::bail!("requests are only read here")
            }

            fn compute_size(&self, _version: i16) -> anyhow::Result<usize> {
                anyhow::bail!("requests are only read here")
            }
        }

        impl kafka_protocol::protocol::Message for $ours {
            const VERSIONS: kafka_protocol::protocol::VersionRange = $versions;
            const DEPRECATED_VERSIONS: Option<kafka_protocol::protocol::VersionRange> = None;
        }

        impl kafka_protocol::protocol::HeaderVersion for $ours {
            fn header_version(version: i16) -> i16 {
                <$theirs as kafka_protocol::protocol::HeaderVersion>::header_version(version.min($like))
            }
        }

        impl kafka_protocol::protocol::Request for $ours {
            const KEY: i16 = $key as i16;
            type Response = $response;
        }
    };
}
pub(super) use request;
