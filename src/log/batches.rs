//! Which batches lie in what was read: their headers, without their records.
//!
//! A fetch sends stretches on as they are. Who has to know where each batch begins and ends looks into them here: from memory, or one small
//! read for each batch of a file, which is in the page cache by then.

use super::read::ReadError;
use crate::ids::{Offset, ProducerId};
use crate::records::header::HEADER_BYTES;
use crate::records::{BatchHeader, RecordError};
use crate::span::{FileSpan, Span};
use crate::store::{StoreError, Stretch};
use crate::tasks;

/// One batch, in a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lying {
    pub first: Offset,
    pub last: Offset,
    pub bytes: usize,
    /// Whose transaction it belongs to.
    pub transaction: Option<ProducerId>,
    /// A marker, without records of anybody.
    pub is_control: bool,
}

/// The batches of `stretches`, in order, those of each by themselves.
///
/// # Errors
/// [`ReadError::Damaged`] when there are no batches; what the device says.
pub async fn batches_of(stretches: &[Stretch]) -> Result<Vec<Vec<Lying>>, ReadError> {
    if stretches.iter().all(|stretch| matches!(stretch.bytes, Span::Memory(_))) {
        return look_into(stretches);
    }
    let stretches = stretches.to_vec();
    tasks::blocking("look for batches", move || look_into(&stretches)).await
}

fn look_into(stretches: &[Stretch]) -> Result<Vec<Vec<Lying>>, ReadError> {
    stretches.iter().map(|stretch| batches_in(&stretch.bytes)).collect()
}

fn batches_in(span: &Span) -> Result<Vec<Lying>, ReadError> {
    let mut batches = Vec::new();
    let mut at = 0;
    while at < span.len() {
        let header = match span {
            Span::Memory(bytes) => BatchHeader::peek(bytes.get(at..).unwrap_or_default())?,
            Span::File(file) => {
                let length = HEADER_BYTES.min(span.len() - at);
                let head = FileSpan { file: file.file.clone(), at: file.at + at as u64, length }.read();
                BatchHeader::peek(&head.map_err(|error| StoreError::Io(error.to_string()))?)?
            }
        };
        let left = span.len() - at;
        if header.batch_bytes > left {
            return Err(RecordError::Truncated { needed: header.batch_bytes, left }.into());
        }
        let transaction = header.producer().filter(|_| header.attributes.is_transactional());
        batches.push(Lying {
            first: header.base_offset,
            last: header.last_offset(),
            bytes: header.batch_bytes,
            transaction,
            is_control: header.attributes.is_control(),
        });
        at += header.batch_bytes;
    }
    Ok(batches)
}

/// The bytes of those batches of `stretches` that `is_wanted` holds for, left where they lie. `batches`: what [`batches_of`] said.
#[must_use]
pub fn cut_out(stretches: &[Stretch], batches: &[Vec<Lying>], is_wanted: impl Fn(&Lying) -> bool) -> Vec<Span> {
    let mut spans = Vec::new();
    for (stretch, batches) in stretches.iter().zip(batches) {
        let mut at = 0;
        let mut begun: Option<usize> = None;
        for batch in batches {
            if is_wanted(batch) {
                begun = begun.or(Some(at));
            } else if let Some(from) = begun.take() {
                spans.extend(part(&stretch.bytes, from, at));
            }
            at += batch.bytes;
        }
        spans.extend(begun.and_then(|from| part(&stretch.bytes, from, at)));
    }
    spans
}

fn part(span: &Span, from: usize, to: usize) -> Option<Span> {
    let (from, to) = (from.min(span.len()), to.min(span.len()));
    (from < to).then(|| match span {
        Span::Memory(bytes) => Span::Memory(bytes.slice(from..to)),
        Span::File(file) => Span::File(FileSpan { file: file.file.clone(), at: file.at + from as u64, length: to - from }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{LeaderEpoch, ProducerEpoch, Timestamp};
    use crate::records::BatchBuilder;
    use crate::records::header::stamp;
    use crate::span;
    use bytes::{Bytes, BytesMut};
    use std::io::Write;
    use std::sync::Arc;

    /// Three batches of two records from `first` on; the second is part of a transaction.
    fn three(first: i64) -> (Vec<Bytes>, Bytes) {
        let batch = |base: i64, builder: BatchBuilder| {
            let built = builder.record(None, Some(b"value")).record(None, Some(b"value")).build();
            let mut bytes = BytesMut::from(&built[..]);
            stamp(&mut bytes, Offset(base), LeaderEpoch(0));
            bytes.freeze()
        };
        let plain = || BatchBuilder::new(Timestamp(0));
        let each = vec![
            batch(first, plain()),
            batch(first + 2, plain().producer(ProducerId(7), ProducerEpoch(0), 0).transactional()),
            batch(first + 4, plain()),
        ];
        let all = Bytes::from(each.concat());
        (each, all)
    }

    fn stretch(first: i64, bytes: Span) -> Stretch {
        Stretch { first: Offset(first), last: Offset(first + 5), bytes }
    }

    #[tokio::test]
    async fn what_is_no_batch_is_said_to_be_damaged() {
        let (_, all) = three(0);
        let cut = stretch(0, Span::Memory(all.slice(..all.len() - 100)));
        assert!(matches!(batches_of(&[cut]).await, Err(ReadError::Damaged(_))));
        let nonsense = stretch(0, Span::Memory(Bytes::from_static(&[7; 100])));
        assert!(matches!(batches_of(&[nonsense]).await, Err(ReadError::Damaged(_))));
    }

    #[tokio::test]
    async fn batches_are_found_and_cut_out_wherever_they_lie() {
        let (in_memory, memory) = three(0);
        let (in_file, filed) = three(6);
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"before").and_then(|()| file.write_all(&filed)).expect("written");
        let span = FileSpan { file: Arc::new(file), at: 6, length: filed.len() };
        let stretches = [stretch(0, Span::Memory(memory)), stretch(6, Span::File(span))];
        let batches = batches_of(&stretches).await.expect("readable");
        let offsets: Vec<Vec<(i64, i64)>> =
            batches.iter().map(|some| some.iter().map(|batch| (batch.first.0, batch.last.0)).collect()).collect();
        assert_eq!(offsets, [[(0, 1), (2, 3), (4, 5)], [(6, 7), (8, 9), (10, 11)]]);
        let transactions: Vec<Option<i64>> = batches[1].iter().map(|batch| batch.transaction.map(|id| id.0)).collect();
        assert_eq!(transactions, [None, Some(7), None]);
        let wanted = cut_out(&stretches, &batches, |batch| [2, 4, 6, 10].contains(&batch.first.0));
        assert_eq!(wanted.len(), 3, "neighbours stay together");
        let expected = [&in_memory[1], &in_memory[2], &in_file[0], &in_file[2]].map(|bytes| bytes.to_vec()).concat();
        assert_eq!(span::load(&wanted).expect("readable"), expected);
        assert!(cut_out(&stretches, &batches, |_| false).is_empty());
    }
}
