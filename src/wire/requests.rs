//! Messages that are read or written here instead of by the protocol library: what its traits ask of them besides that, which a server never
//! does. And messages of API keys that it does not know at all.

/// `request!(Ours, like Theirs, up to 9, versions RANGE, key ApiKey::…, answered by Response)`: `Theirs` is the library's type of the same key; it knows the
/// header of versions up to the named one, which later versions share.
macro_rules! request {
    ($ours:ty, like $theirs:ty, up to $like:expr, versions $versions:expr, key $key:expr, answered by $response:ty) => {
        $crate::wire::requests::read_only!($ours, versions $versions, key $key as i16, answered by $response, header |version: i16| {
            <$theirs as kafka_protocol::protocol::HeaderVersion>::header_version(version.min($like))
        });
    };
}
pub(super) use request;

/// `unknown!(Request, key 1, versions RANGE, answered by Response)`: an API key that the library does not know, flexible in all versions. `Request` is
/// [`Decodable`](kafka_protocol::protocol::Decodable), `Response` has `fn body(&self) -> Vec<u8>`.
macro_rules! unknown {
    ($request:ty, key $key:expr, versions $versions:expr, answered by $response:ty) => {
        $crate::wire::requests::read_only!($request, versions $versions, key $key, answered by $response, header |_: i16| 2);

        impl kafka_protocol::protocol::Encodable for $response {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(&self, buf: &mut B, _version: i16) -> anyhow::Result<()> {
                buf.put_slice(&self.body());
                Ok(())
            }

            fn compute_size(&self, _version: i16) -> anyhow::Result<usize> {
                Ok(self.body().len())
            }
        }

        $crate::wire::requests::write_only!($response, versions $versions, flexible from 0);
    };
}
pub(super) use unknown;

/// `framed!(Response, versions RANGE, flexible from 12)`: a response that leaves as a [`Frame`](crate::wire::frame::Frame), which a function of its own makes.
macro_rules! framed {
    ($response:ty, versions $versions:expr, flexible from $flexible:expr) => {
        /// [`Request`](kafka_protocol::protocol::Request) asks for it; a frame is what is written.
        impl kafka_protocol::protocol::Encodable for $response {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(&self, _buf: &mut B, _version: i16) -> anyhow::Result<()> {
                anyhow::bail!("this response is written as a frame")
            }

            fn compute_size(&self, _version: i16) -> anyhow::Result<usize> {
                anyhow::bail!("this response is written as a frame")
            }
        }

        $crate::wire::requests::write_only!($response, versions $versions, flexible from $flexible);
    };
}
pub(super) use framed;

/// All that is asked of a request besides reading it. `header`: the version of its header, by its own.
macro_rules! read_only {
    ($request:ty, versions $versions:expr, key $key:expr, answered by $response:ty, header $header:expr) => {
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
            fn header_version(version: i16) -> i16 {
                ($header)(version)
            }
        }

        impl kafka_protocol::protocol::Request for $request {
            const KEY: i16 = $key;
            type Response = $response;
        }
    };
}
pub(super) use read_only;

/// All that is asked of a response besides writing it.
macro_rules! write_only {
    ($response:ty, versions $versions:expr, flexible from $flexible:expr) => {
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
            fn header_version(version: i16) -> i16 {
                i16::from(version >= $flexible)
            }
        }
    };
}
pub(super) use write_only;
