//! InitProducerId 6 (KIP-939) and WriteTxnMarkers 2 (KIP-1228), one version behind the message library's last.

use crate::samples::Ask;
use crate::topic_ids::{count, string};
use crate::written_only;
use bytes::BufMut;
use kafka_protocol::messages::{InitProducerIdResponse, WriteTxnMarkersResponse};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

/// InitProducerId 6.
#[derive(Debug, Clone, Default)]
pub struct InitTwoPhase {
    pub id: String,
    pub enable_2_pc: bool,
    pub keep_prepared_txn: bool,
}

/// WriteTxnMarkers 2 with one abort marker for partition 0 of one topic.
#[derive(Debug, Clone, Default)]
pub struct AbortMarker {
    pub producer: (i64, i16),
    pub topic: String,
    pub transaction_version: i8,
}

/// The answer to [`AbortMarker`], laid out as that of version 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AbortAnswer(pub WriteTxnMarkersResponse);

impl InitTwoPhase {
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, &self.id);
        out.put_i32(60_000);
        out.put_i64(-1);
        out.put_i16(-1);
        out.put_slice(&[u8::from(self.enable_2_pc), u8::from(self.keep_prepared_txn), 0]);
        out
    }
}

impl AbortMarker {
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        count(&mut out, 1);
        out.put_i64(self.producer.0);
        out.put_i16(self.producer.1);
        out.put_u8(0);
        count(&mut out, 1);
        string(&mut out, &self.topic);
        count(&mut out, 1);
        out.put_i32(0);
        out.put_u8(0);
        out.put_i32(0);
        out.put_i8(self.transaction_version);
        out.put_slice(&[0, 0]);
        out
    }
}

written_only!(InitTwoPhase, InitProducerId, 6, InitProducerIdResponse);
written_only!(AbortMarker, WriteTxnMarkers, 2, read AbortAnswer);

impl AbortAnswer {
    fn read<B: ByteBuf>(buf: &mut B) -> anyhow::Result<Self> {
        WriteTxnMarkersResponse::decode(buf, 1).map(AbortAnswer)
    }
}

impl Ask for InitTwoPhase {
    fn filled(_version: i16) -> Self {
        // Refused: it must leave nothing behind.
        InitTwoPhase { id: "no-such-id".to_owned(), enable_2_pc: true, keep_prepared_txn: true }
    }
}

impl Ask for AbortMarker {
    fn filled(_version: i16) -> Self {
        AbortMarker { producer: (7, 0), topic: "no-such-topic".to_owned(), transaction_version: 2 }
    }
}
