//! Structures that the messages of streams groups (KIP-1071) share.

use super::compact::{self, Writer};
use anyhow::Result;
use kafka_protocol::protocol::buf::ByteBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub key: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i16,
    pub configs: Vec<KeyValue>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskIds {
    pub subtopology_id: String,
    pub partitions: Vec<i32>,
}

/// A number for a task: where its changelogs are, or where they end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOffset {
    pub subtopology_id: String,
    pub partition: i32,
    pub offset: i64,
}

pub(super) fn string<B: ByteBuf>(buf: &mut B) -> Result<String> {
    compact::string(buf).map(|text| text.to_string())
}

pub(super) fn nullable_string<B: ByteBuf>(buf: &mut B) -> Result<Option<String>> {
    Ok(compact::nullable_string(buf)?.map(|text| text.to_string()))
}

pub(super) fn strings<B: ByteBuf>(buf: &mut B) -> Result<Vec<String>> {
    compact::array(buf, string)
}

pub(super) fn write_strings(out: &mut Writer, strings: &[String]) {
    out.array(strings, |out, one| out.string(one));
}

impl KeyValue {
    pub(super) fn read<B: ByteBuf>(buf: &mut B) -> Result<KeyValue> {
        let (key, value) = (string(buf)?, string(buf)?);
        compact::skip_tagged_fields(buf)?;
        Ok(KeyValue { key, value })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.string(&self.key);
        out.string(&self.value);
        out.end();
    }
}

impl TopicInfo {
    pub(super) fn read<B: ByteBuf>(buf: &mut B) -> Result<TopicInfo> {
        let (name, partitions, replication_factor) = (string(buf)?, compact::i32(buf)?, compact::i16(buf)?);
        let configs = compact::array(buf, KeyValue::read)?;
        compact::skip_tagged_fields(buf)?;
        Ok(TopicInfo { name, partitions, replication_factor, configs })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.string(&self.name);
        out.i32(self.partitions);
        out.number(self.replication_factor.to_be_bytes());
        out.array(&self.configs, |out, one| one.write(out));
        out.end();
    }
}

impl Endpoint {
    pub(super) fn read<B: ByteBuf>(buf: &mut B) -> Result<Endpoint> {
        let (host, port) = (string(buf)?, compact::u16(buf)?);
        compact::skip_tagged_fields(buf)?;
        Ok(Endpoint { host, port })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.string(&self.host);
        out.number(self.port.to_be_bytes());
        out.end();
    }
}

impl TaskIds {
    pub(super) fn read<B: ByteBuf>(buf: &mut B) -> Result<TaskIds> {
        let (subtopology_id, partitions) = (string(buf)?, compact::array(buf, compact::i32)?);
        compact::skip_tagged_fields(buf)?;
        Ok(TaskIds { subtopology_id, partitions })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.string(&self.subtopology_id);
        out.array(&self.partitions, |out, partition| out.i32(*partition));
        out.end();
    }
}

impl TaskOffset {
    pub(super) fn read<B: ByteBuf>(buf: &mut B) -> Result<TaskOffset> {
        let (subtopology_id, partition, offset) = (string(buf)?, compact::i32(buf)?, compact::i64(buf)?);
        compact::skip_tagged_fields(buf)?;
        Ok(TaskOffset { subtopology_id, partition, offset })
    }
}
