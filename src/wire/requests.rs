//! Requests that are read here instead of by the protocol library: what its traits ask of them besides reading, which a server never does.
//! And messages of API keys that it does not know at all.

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

/// `unknown!(Request, key 1, versions RANGE, answered by Response)`: an API key that the library does not know, flexible in all versions. `Request` is
/// [`Decodable`](kafka_protocol::protocol::Decodable), `Response` has `fn body(&self) -> Vec<u8>`.
macro_rules! unknown {
    ($request:ty, key $key:expr, versions $versions:expr, answered by $response:ty) => {
        /// [`Request`](kafka_protocol::protocol::Request) asks for it; a server writes no requests.
        impl kafka_protocol::protocol::Encodable for $request {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(&self, _buf: &mut B, _version: i16) -> anyhow::Result<()> {
                anyhow::bail!("requests are only read here")
            }

            fn compute_size(&self, _version: i16) -> anyhow::Result<usize> {
                anyhow::bail!("requests are only read here")
            }
        }

        impl kafka_protocol::protocol::Message for $request {
            const VERSIONS: kafka_protocol::protocol::VersionRange = $versions;
            const DEPRECATED_VERSIONS: Option<kafka_protocol::protocol::VersionRange> = None;
        }

        impl kafka_protocol::protocol::HeaderVersion for $request {
            fn header_version(_version: i16) -> i16 {
                2
            }
        }

        impl kafka_protocol::protocol::Request for $request {
            const KEY: i16 = $key;
            type Response = $response;
        }

        impl kafka_protocol::protocol::Encodable for $response {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(&self, buf: &mut B, _version: i16) -> anyhow::Result<()> {
                buf.put_slice(&self.body());
                Ok(())
            }

            fn compute_size(&self, _version: i16) -> anyhow::Result<usize> {
                Ok(self.body().len())
            }
        }

        /// [`Request`](kafka_protocol::protocol::Request) asks for it; a server reads no responses.
        impl kafka_protocol::protocol::Decodable for $response {
            fn decode<B: kafka_protocol::protocol::buf::ByteBuf>(_buf: &mut B, _version: i16) -> anyhow::Result<Self> {
                anyhow::bail!("responses are only written here")
            }
        }

        impl kafka_protocol::protocol::Message for $response {
            const VERSIONS: kafka_protocol::protocol::VersionRange = $versions;
            const DEPRECATED_VERSIONS: Option<kafka_protocol::protocol::VersionRange> = None;
        }

        impl kafka_protocol::protocol::HeaderVersion for $response {
            fn header_version(_version: i16) -> i16 {
                1
            }
        }
    };
}
pub(super) use unknown;
