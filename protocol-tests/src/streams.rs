//! StreamsGroupHeartbeat and StreamsGroupDescribe, version 0 (KIP-1071), which the message library does not know.

use crate::samples::Ask;
use crate::topic_ids::{count, string};
use crate::written_only;
use anyhow::{Context, Result, ensure};
use bytes::BufMut;
use kafka_protocol::protocol::buf::ByteBuf;

/// Tasks: subtopology and partitions.
pub type Tasks = Vec<(String, Vec<i32>)>;

/// A heartbeat of a member; joining ones bring a topology.
#[derive(Debug, Clone, Default)]
pub struct StreamsBeat {
    pub group: String,
    pub member_id: String,
    pub epoch: i32,
    pub instance_id: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub topology: Option<Topology>,
    pub active: Option<Tasks>,
    pub standby: Option<Tasks>,
    pub warmup: Option<Tasks>,
    pub process: Option<String>,
    /// Only to fill every array once.
    pub is_full: bool,
}

/// One subtopology "0".
#[derive(Debug, Clone, Default)]
pub struct Topology {
    pub epoch: i32,
    pub source: String,
    pub source_regex: Option<String>,
    pub changelog: Option<(String, i32)>,
    /// Written and read by the same part.
    pub repartition: Option<(String, i32)>,
    /// The source and the repartition topic have to fit together.
    pub is_copartitioned: bool,
    /// `cleanup.policy` of the topics that the broker makes; "compact" unless it says else.
    pub policy: Option<String>,
}

/// What a member is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamsAnswer {
    pub error_code: i16,
    pub error_message: Option<String>,
    pub member_id: String,
    pub epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// Code and text.
    pub statuses: Vec<(i8, String)>,
    pub active: Option<Tasks>,
    pub standby: Option<Tasks>,
    pub warmup: Option<Tasks>,
    pub endpoint_epoch: i32,
}

#[derive(Debug, Clone, Default)]
pub struct DescribeStreams {
    pub groups: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct DescribedStreams {
    pub groups: Vec<DescribedGroup>,
}

/// A group, as far as tests look at it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DescribedGroup {
    pub error_code: i16,
    pub error_message: Option<String>,
    pub group: String,
    pub state: String,
    pub epoch: i32,
    pub assignment_epoch: i32,
    /// Of its topology's changelogs: name and partitions.
    pub changelogs: Vec<(String, i32)>,
    /// Id, epoch, active tasks now, and those that there should be.
    pub members: Vec<(String, i32, Tasks, Tasks)>,
    pub operations: i32,
}

fn nullable(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => out.put_u8(0),
    }
}

fn put_tasks(out: &mut Vec<u8>, tasks: Option<&Tasks>) {
    let Some(tasks) = tasks else {
        out.put_u8(0);
        return;
    };
    count(out, tasks.len());
    for (subtopology, partitions) in tasks {
        string(out, subtopology);
        count(out, partitions.len());
        partitions.iter().for_each(|partition| out.put_i32(*partition));
        out.put_u8(0);
    }
}

fn put_info(out: &mut Vec<u8>, info: Option<&(String, i32)>, policy: Option<&str>) {
    count(out, usize::from(info.is_some()));
    if let Some((name, partitions)) = info {
        string(out, name);
        out.put_i32(*partitions);
        out.put_i16(0);
        count(out, 1);
        string(out, "cleanup.policy");
        string(out, policy.unwrap_or("compact"));
        out.put_slice(&[0, 0]);
    }
}

impl Topology {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_i8(1);
        out.put_i32(self.epoch);
        count(out, 1);
        string(out, "0");
        count(out, 1);
        string(out, &self.source);
        count(out, usize::from(self.source_regex.is_some()));
        self.source_regex.iter().for_each(|regex| string(out, regex));
        put_info(out, self.changelog.as_ref(), self.policy.as_deref());
        count(out, usize::from(self.repartition.is_some()));
        self.repartition.iter().for_each(|(name, _)| string(out, name));
        put_info(out, self.repartition.as_ref(), self.policy.as_deref());
        count(out, usize::from(self.is_copartitioned));
        if self.is_copartitioned {
            count(out, 1);
            out.put_i16(0);
            count(out, 0);
            count(out, 1);
            out.put_i16(0);
            out.put_u8(0);
        }
        out.put_slice(&[0, 0]);
    }
}

impl StreamsBeat {
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, &self.group);
        string(&mut out, &self.member_id);
        out.put_i32(self.epoch);
        out.put_i32(0);
        nullable(&mut out, self.instance_id.as_deref());
        nullable(&mut out, None);
        out.put_i32(self.rebalance_timeout_ms);
        match &self.topology {
            Some(topology) => topology.put(&mut out),
            None => out.put_i8(-1),
        }
        for tasks in [&self.active, &self.standby, &self.warmup] {
            put_tasks(&mut out, tasks.as_ref());
        }
        nullable(&mut out, self.process.as_deref());
        if self.is_full {
            out.put_i8(1);
            string(&mut out, "host");
            out.put_slice(&[0x1f, 0x90, 0]);
            count(&mut out, 1);
            string(&mut out, "zone");
            string(&mut out, "a");
            out.put_u8(0);
            for _ in 0..2 {
                count(&mut out, 1);
                string(&mut out, "0");
                out.put_i32(0);
                out.put_i64(7);
                out.put_u8(0);
            }
        } else {
            out.put_i8(-1);
            out.put_slice(&[0, 0, 0]);
        }
        out.put_slice(&[0, 0]);
        out
    }
}

impl DescribeStreams {
    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        count(&mut out, self.groups.len());
        self.groups.iter().for_each(|group| string(&mut out, group));
        out.put_slice(&[1, 0]);
        out
    }
}

written_only!(StreamsBeat, unknown 88, 0, StreamsAnswer);
written_only!(DescribeStreams, unknown 89, 0, DescribedStreams);

impl Ask for StreamsBeat {
    fn filled(_version: i16) -> Self {
        // Refused, because of the offsets among other things: it must leave nothing behind.
        let tasks = vec![("0".to_owned(), vec![0])];
        StreamsBeat {
            group: "no-such-group".to_owned(),
            member_id: "m".to_owned(),
            instance_id: Some("i".to_owned()),
            rebalance_timeout_ms: 1000,
            topology: Some(Topology {
                epoch: 0,
                source: "no-such-topic".to_owned(),
                source_regex: Some("x".to_owned()),
                changelog: Some(("no-such-changelog".to_owned(), 0)),
                repartition: Some(("no-such-repartition".to_owned(), 1)),
                is_copartitioned: true,
                policy: None,
            }),
            active: Some(tasks.clone()),
            standby: Some(tasks.clone()),
            warmup: Some(tasks),
            process: Some("p".to_owned()),
            is_full: true,
            epoch: 0,
        }
    }
}

impl Ask for DescribeStreams {
    fn filled(_version: i16) -> Self {
        DescribeStreams { groups: vec!["no-such-group".to_owned()] }
    }
}

/// Reads what the server wrote.
struct Reader<'a, B>(&'a mut B);

impl<B: ByteBuf> Reader<'_, B> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.try_copy_to_slice(&mut bytes).context("the answer ends inside of a field")?;
        Ok(bytes)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.bytes()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.bytes()?))
    }

    /// A length; `None` is null.
    fn length(&mut self) -> Result<Option<usize>> {
        let (mut value, mut shift) = (0usize, 0);
        loop {
            let [byte] = self.bytes()?;
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            ensure!(shift <= 35, "a varint is too long");
            if byte & 0x80 == 0 {
                return Ok(value.checked_sub(1));
            }
        }
    }

    fn nullable(&mut self) -> Result<Option<String>> {
        let Some(length) = self.length()? else { return Ok(None) };
        Ok(Some(String::from_utf8(self.0.try_get_bytes(length)?.to_vec())?))
    }

    fn string(&mut self) -> Result<String> {
        self.nullable()?.context("a string is null")
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Option<Vec<T>>> {
        let Some(length) = self.length()? else { return Ok(None) };
        (0..length).map(|_| one(self)).collect::<Result<_>>().map(Some)
    }

    fn end(&mut self) -> Result<()> {
        ensure!(self.bytes()? == [0], "tagged fields that nobody knows");
        Ok(())
    }

    fn tasks(&mut self) -> Result<Option<Tasks>> {
        self.list(|fields| {
            let task = (fields.string()?, fields.list(Reader::i32)?.context("null partitions")?);
            fields.end()?;
            Ok(task)
        })
    }

    fn pairs(&mut self) -> Result<()> {
        self.list(|fields| {
            let _ = (fields.string()?, fields.string()?);
            fields.end()
        })?;
        Ok(())
    }

    fn infos(&mut self) -> Result<Vec<(String, i32)>> {
        let infos = self.list(|fields| {
            let info = (fields.string()?, fields.i32()?);
            fields.i16()?;
            fields.pairs()?;
            fields.end()?;
            Ok(info)
        })?;
        infos.context("null topics")
    }

    fn strings(&mut self) -> Result<()> {
        self.list(Reader::string).map(|_| ())
    }
}

impl StreamsAnswer {
    fn read<B: ByteBuf>(buf: &mut B) -> Result<StreamsAnswer> {
        let mut fields = Reader(buf);
        fields.i32()?;
        let mut answer = StreamsAnswer {
            error_code: fields.i16()?,
            error_message: fields.nullable()?,
            member_id: fields.string()?,
            epoch: fields.i32()?,
            heartbeat_interval_ms: fields.i32()?,
            ..StreamsAnswer::default()
        };
        fields.i32()?;
        fields.i32()?;
        let statuses = fields.list(|fields| {
            let status = (i8::from_be_bytes(fields.bytes()?), fields.string()?);
            fields.end()?;
            Ok(status)
        })?;
        answer.statuses = statuses.context("null statuses")?;
        (answer.active, answer.standby, answer.warmup) = (fields.tasks()?, fields.tasks()?, fields.tasks()?);
        answer.endpoint_epoch = fields.i32()?;
        ensure!(fields.length()?.is_none(), "endpoints without anyone who has one");
        fields.end()?;
        Ok(answer)
    }
}

impl DescribedStreams {
    fn read<B: ByteBuf>(buf: &mut B) -> Result<DescribedStreams> {
        let mut fields = Reader(buf);
        fields.i32()?;
        let groups = fields.list(DescribedGroup::read)?.context("null groups")?;
        fields.end()?;
        Ok(DescribedStreams { groups })
    }
}

impl DescribedGroup {
    fn read<B: ByteBuf>(fields: &mut Reader<B>) -> Result<DescribedGroup> {
        let mut group = DescribedGroup {
            error_code: fields.i16()?,
            error_message: fields.nullable()?,
            group: fields.string()?,
            state: fields.string()?,
            epoch: fields.i32()?,
            assignment_epoch: fields.i32()?,
            ..DescribedGroup::default()
        };
        if fields.bytes()? == [1] {
            fields.i32()?;
            fields.list(|fields| {
                fields.string()?;
                fields.strings()?;
                fields.strings()?;
                group.changelogs.extend(fields.infos()?);
                fields.infos()?;
                fields.end()
            })?;
            fields.end()?;
        }
        group.members = fields.list(member)?.context("null members")?;
        group.operations = fields.i32()?;
        fields.end()?;
        Ok(group)
    }
}

fn member<B: ByteBuf>(fields: &mut Reader<B>) -> Result<(String, i32, Tasks, Tasks)> {
    let (id, epoch) = (fields.string()?, fields.i32()?);
    fields.nullable()?;
    fields.nullable()?;
    fields.string()?;
    fields.string()?;
    fields.i32()?;
    fields.string()?;
    ensure!(fields.bytes()? == [0xff], "an endpoint that nobody gave");
    fields.pairs()?;
    ensure!(fields.length()? == Some(0) && fields.length()? == Some(0), "offsets that nobody sent");
    let mut assignments = Vec::new();
    for _ in 0..2 {
        assignments.push(fields.tasks()?.context("null tasks")?);
        fields.tasks()?;
        fields.tasks()?;
        fields.end()?;
    }
    ensure!(fields.bytes()? == [0], "a classic member");
    fields.end()?;
    let target = assignments.pop().unwrap_or_default();
    Ok((id, epoch, assignments.pop().unwrap_or_default(), target))
}
