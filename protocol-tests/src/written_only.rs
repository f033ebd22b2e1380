//! Requests of one version that the message library does not know yet: written by hand, never read.

/// Makes `$request`, which has a `body() -> Vec<u8>`, the request of an API key at one (flexible) version. Where the library does not know
/// the answer either (`read Response`, or an unknown key, which is a number), `$response` has a `read(&mut B) -> anyhow::Result<Self>`.
#[macro_export]
macro_rules! written_only {
    ($request:ident, $key:ident, $version:expr, $response:ident) => {
        $crate::written_only!($request, number kafka_protocol::messages::ApiKey::$key as i16, $version, $response);
    };
    ($request:ident, $key:ident, $version:expr, read $response:ident) => {
        $crate::written_only!($request, $key, $version, $response);
        $crate::written_only!(answer $response, $version);
    };
    ($request:ident, unknown $key:literal, $version:expr, $response:ident) => {
        $crate::written_only!($request, number $key, $version, $response);
        $crate::written_only!(answer $response, $version);
    };
    (answer $response:ident, $version:expr) => {
        impl kafka_protocol::protocol::Encodable for $response {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(&self, _buf: &mut B, _version: i16) -> anyhow::Result<()> {
                anyhow::bail!("tests write no responses")
            }

            fn compute_size(&self, _version: i16) -> anyhow::Result<usize> {
                anyhow::bail!("tests write no responses")
            }
        }

        impl kafka_protocol::protocol::Decodable for $response {
            fn decode<B: kafka_protocol::protocol::buf::ByteBuf>(buf: &mut B, _version: i16) -> anyhow::Result<Self> {
                $response::read(buf)
            }
        }

        impl kafka_protocol::protocol::Message for $response {
            const VERSIONS: kafka_protocol::protocol::VersionRange =
                kafka_protocol::protocol::VersionRange { min: $version, max: $version };
            const DEPRECATED_VERSIONS: Option<kafka_protocol::protocol::VersionRange> = None;
        }

        impl kafka_protocol::protocol::HeaderVersion for $response {
            fn header_version(_version: i16) -> i16 {
                1
            }
        }
    };
    ($request:ident, number $key:expr, $version:expr, $response:ident) => {
        impl kafka_protocol::protocol::Encodable for $request {
            fn encode<B: kafka_protocol::protocol::buf::ByteBufMut>(&self, buf: &mut B, _version: i16) -> anyhow::Result<()> {
                buf.put_slice(&self.body());
                Ok(())
            }

            fn compute_size(&self, _version: i16) -> anyhow::Result<usize> {
                Ok(self.body().len())
            }
        }

        impl kafka_protocol::protocol::Decodable for $request {
            fn decode<B: kafka_protocol::protocol::buf::ByteBuf>(_buf: &mut B, _version: i16) -> anyhow::Result<Self> {
                anyhow::bail!("tests read no requests")
            }
        }

        impl kafka_protocol::protocol::Message for $request {
            const VERSIONS: kafka_protocol::protocol::VersionRange =
                kafka_protocol::protocol::VersionRange { min: $version, max: $version };
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
    };
}
