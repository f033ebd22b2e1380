//! ListOffsets 11 (KIP-1023) and DescribeLogDirs 5 (KIP-1066), one version behind the message library's last. What they share with that one is as it
//! lays it out.

use crate::samples::Ask;
use crate::written_only;
use anyhow::ensure;
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, ListOffsetsRequest, ListOffsetsResponse};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, Encodable};

/// ListOffsets 11: in it a timestamp may be −6.
#[derive(Debug, Clone, Default)]
pub struct ListOffsets11(pub ListOffsetsRequest);

/// The answer to [`ListOffsets11`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListOffsetsAnswer(pub ListOffsetsResponse);

/// DescribeLogDirs 5.
#[derive(Debug, Clone, Default)]
pub struct DescribeLogDirs5(pub DescribeLogDirsRequest);

/// The answer to [`DescribeLogDirs5`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogDirsAnswer {
    pub response: DescribeLogDirsResponse,
    /// Of the one directory; `None`: the answer has none.
    pub is_cordoned: Option<bool>,
}

impl ListOffsets11 {
    fn body(&self) -> Vec<u8> {
        body(&self.0, 10)
    }
}

impl ListOffsetsAnswer {
    fn read<B: ByteBuf>(buf: &mut B) -> anyhow::Result<Self> {
        ListOffsetsResponse::decode(buf, 10).map(ListOffsetsAnswer)
    }
}

impl DescribeLogDirs5 {
    fn body(&self) -> Vec<u8> {
        body(&self.0, 4)
    }
}

impl LogDirsAnswer {
    /// Behind the flag come the ends of the directory and of the answer, both without tagged fields.
    fn read<B: ByteBuf>(buf: &mut B) -> anyhow::Result<Self> {
        let length = buf.remaining();
        let mut bytes = buf.try_get_bytes(length)?.to_vec();
        // Throttle time, error code, no directories, no tagged fields.
        let flag = if bytes.get(6..) == Some(&[1, 0]) { None } else { Some(bytes.remove(length.saturating_sub(3))) };
        let mut rest = bytes::Bytes::from(bytes);
        let response = DescribeLogDirsResponse::decode(&mut rest, 4)?;
        ensure!(rest.is_empty(), "{} bytes are left", rest.len());
        ensure!(response.results.len() <= 1, "more than one directory");
        ensure!(matches!(flag, None | Some(0 | 1)), "no flag: {flag:?}");
        Ok(LogDirsAnswer { response, is_cordoned: flag.map(|flag| flag == 1) })
    }
}

fn body(request: &impl Encodable, version: i16) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    request.encode(&mut out, version).expect("the request has no field that the version lacks");
    out.to_vec()
}

written_only!(ListOffsets11, ListOffsets, 11, read ListOffsetsAnswer);
written_only!(DescribeLogDirs5, DescribeLogDirs, 5, read LogDirsAnswer);

impl Ask for ListOffsets11 {
    fn empty(version: i16) -> Self {
        ListOffsets11(ListOffsetsRequest::empty(version))
    }

    fn filled(version: i16) -> Self {
        ListOffsets11(ListOffsetsRequest::filled(version))
    }
}

impl Ask for DescribeLogDirs5 {
    fn filled(version: i16) -> Self {
        DescribeLogDirs5(DescribeLogDirsRequest::filled(version))
    }
}
