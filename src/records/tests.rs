//! Goal: what a batch says is read exactly, and no bytes, however wrong, panic or make us allocate more than the limit.
//! Method: a batch computed outside this code, round trips, and every truncation and bit flip of small valid batches.

use super::control::{EndTransaction, Marker};
use super::header::{self, BatchHeader, CRC_FROM, HEADER_BYTES, LOG_OVERHEAD, TimestampType, increment_sequence};
use super::iterate::{Demands, Summary, first_at_time, max_at, records, validate_records};
use super::{BatchBuilder, Compression, Record, RecordError, codec, kept};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use bytes::Bytes;

const LIMIT: usize = 1 << 20;
const CODECS: [Compression; 5] = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Two records of producer 4711, epoch 3, from sequence 17: ("k", "v1") at 1000 and (null, null, header "h" = null) at 1005.
/// Laid out by hand from Kafka's specification, the CRC-32C from a bitwise implementation.
#[rustfmt::skip]
const KNOWN: &[u8] = &[
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x45, 0x00, 0x00, 0x00, 0x00,
    0x02, 0x30, 0x71, 0x3c, 0xc1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x03, 0xe8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xed, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x12, 0x67, 0x00, 0x03, 0x00, 0x00, 0x00, 0x11, 0x00, 0x00, 0x00, 0x02, 0x12, 0x00, 0x00,
    0x00, 0x02, 0x6b, 0x04, 0x76, 0x31, 0x00, 0x12, 0x00, 0x0a, 0x02, 0x01, 0x01, 0x02, 0x02, 0x68,
    0x01,
];

fn known_builder() -> BatchBuilder {
    BatchBuilder::new(Timestamp(1000)).producer(ProducerId(4711), ProducerEpoch(3), 17).record(Some(b"k"), Some(b"v1")).record_at(
        Timestamp(1005),
        None,
        None,
        &[("h", None)],
    )
}

/// Three records, at 50, 90 and 90; the second has no key.
fn sample(codec: Compression) -> Bytes {
    BatchBuilder::new(Timestamp(50))
        .compression(codec)
        .record(Some(b"a"), Some(b"first"))
        .record_at(Timestamp(90), None, Some(b"second"), &[("one", Some(b"1")), ("two", None)])
        .record_at(Timestamp(90), Some(b""), None, &[])
        .build()
}

fn edited(batch: &[u8], at: usize, with: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    Bytes::from(bytes)
}

/// A batch whose header claims `count` records and whose records are `payload`; its CRC is not right.
fn with_payload(count: i32, payload: &[u8]) -> Bytes {
    let mut bytes = sample(Compression::None)[..HEADER_BYTES].to_vec();
    bytes.extend_from_slice(payload);
    let length = i32::try_from(bytes.len() - LOG_OVERHEAD).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[23..27].copy_from_slice(&(count.max(1) - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    Bytes::from(bytes)
}

fn read_all(batch: &Bytes) -> Result<Vec<Record>, RecordError> {
    records(batch, LIMIT)?.collect()
}

fn is_bad_record(batch: &Bytes) -> bool {
    matches!(read_all(batch), Err(RecordError::BadRecord(_)))
}

#[test]
fn truncated_batches_are_errors_at_every_length() {
    for codec in CODECS {
        let batch = sample(codec);
        for length in 0..batch.len() {
            let cut = batch.slice(..length);
            assert!(matches!(BatchHeader::parse(&cut), Err(RecordError::Truncated { .. })), "{codec} {length}");
            assert_eq!(header::split(&cut).is_ok(), length == 0, "{codec} {length}");
        }
    }
}

#[test]
fn truncated_records_under_an_honest_header_are_errors_at_every_length() {
    let whole = sample(Compression::None);
    for length in HEADER_BYTES..whole.len() {
        let batch = with_payload(3, &whole[HEADER_BYTES..length]);
        assert!(read_all(&batch).is_err(), "{length}");
    }
}

#[test]
fn no_bit_flip_panics_and_the_crc_finds_those_that_it_covers() {
    for codec in CODECS {
        let batch = sample(codec);
        for at in 0..batch.len() {
            for bit in 0..8 {
                let flipped = edited(&batch, at, &[batch[at] ^ (1 << bit)]);
                let Ok(parsed) = BatchHeader::parse(&flipped) else { continue };
                if at >= 17 {
                    let checked = header::verify_crc(&flipped, &parsed);
                    assert!(matches!(checked, Err(RecordError::BadCrc { .. })), "{codec} byte {at} bit {bit}");
                }
                let _ = parsed.last_offset();
                let _ = parsed.last_sequence();
                let _ = read_all(&flipped);
                let _ = validate_records(&parsed, &flipped, LIMIT, &Demands { key: true, ..Demands::NONE });
                let _ = first_at_time(&flipped, LIMIT, Timestamp(60), Offset(0));
                let _ = max_at(&flipped, LIMIT);
                let _ = EndTransaction::read(&flipped);
            }
        }
    }
}

#[test]
fn other_formats_lengths_and_codecs_are_refused() {
    let batch = sample(Compression::None);
    assert_eq!(BatchHeader::parse(&edited(&batch, 16, &[1])), Err(RecordError::UnsupportedMagic(1)));
    for length in [i32::MIN, -1, 0, 48] {
        assert_eq!(BatchHeader::parse(&edited(&batch, 8, &length.to_be_bytes())), Err(RecordError::BadLength(length)));
    }
    let endless = edited(&batch, 8, &i32::MAX.to_be_bytes());
    assert!(matches!(BatchHeader::parse(&endless), Err(RecordError::Truncated { .. })));
    let codec_5 = edited(&batch, 21, &[0, 5]);
    assert_eq!(read_all(&codec_5), Err(RecordError::UnsupportedCompression(5)));
}

#[test]
fn claimed_counts_beyond_the_bytes_are_refused() {
    let batch = sample(Compression::None);
    for count in [i32::MIN, -1, 2, 4, i32::MAX] {
        let claimed = edited(&batch, 57, &count.to_be_bytes());
        assert!(read_all(&claimed).is_err(), "{count}");
    }
    assert_eq!(read_all(&edited(&batch, 57, &i32::MAX.to_be_bytes())), Err(RecordError::BadCount(i32::MAX)));
    // A record of 11 bytes that claims 2^31 − 1 headers, then one whose key does, then one with a negative number of headers.
    assert!(is_bad_record(&with_payload(1, &[22, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0])));
    assert!(is_bad_record(&with_payload(1, &[22, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0, 0])));
    assert!(is_bad_record(&with_payload(1, &[12, 0, 0, 0, 1, 1, 1])));
}

#[test]
fn records_whose_fields_do_not_fill_them_are_refused() {
    let good = [12, 0, 0, 0, 1, 1, 0];
    assert_eq!(read_all(&with_payload(1, &good)).unwrap().len(), 1);
    // One byte too many inside the record, a key of length −2, an offset outside the batch, a number of six bytes.
    assert!(is_bad_record(&with_payload(1, &[14, 0, 0, 0, 1, 1, 0, 0])));
    assert!(is_bad_record(&with_payload(1, &[12, 0, 0, 0, 3, 1, 0])));
    assert!(is_bad_record(&with_payload(1, &[12, 0, 0, 2, 1, 1, 0])));
    assert!(is_bad_record(&with_payload(1, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0])));
    // Bytes after the last record.
    assert_eq!(read_all(&with_payload(1, &[12, 0, 0, 0, 1, 1, 0, 9])), Err(RecordError::BadCount(1)));
}

#[test]
fn the_iterator_ends_after_its_first_error() {
    let mut iter = records(&with_payload(2, &[12, 0, 0, 0, 3, 1, 0, 12, 0, 0, 2, 1, 1, 0]), LIMIT).unwrap();
    assert!(iter.next().unwrap().is_err());
    assert!(iter.next().is_none());
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0_u8; 16 * LIMIT];
    for codec in CODECS {
        let bomb = codec::compress(codec, &zeros, None).unwrap();
        if codec != Compression::None {
            assert!(bomb.len() < LIMIT, "{codec}: {}", bomb.len());
            assert_eq!(codec::decompress(codec, &bomb, LIMIT), Err(RecordError::TooLarge { limit: LIMIT }), "{codec}");
            assert_eq!(codec::decompress(codec, &bomb, zeros.len() - 1), Err(RecordError::TooLarge { limit: zeros.len() - 1 }));
        }
        assert_eq!(codec::decompress(codec, &bomb, zeros.len()).unwrap(), zeros, "{codec}");
    }
}

#[test]
fn a_raw_snappy_bomb_stops_at_the_limit_and_a_claimed_size_is_not_believed() {
    let zeros = vec![0_u8; 4 * LIMIT];
    let raw = Bytes::from(snap::raw::Encoder::new().compress_vec(&zeros).unwrap());
    assert_eq!(codec::decompress(Compression::Snappy, &raw, LIMIT), Err(RecordError::TooLarge { limit: LIMIT }));
    assert_eq!(codec::decompress(Compression::Snappy, &raw, zeros.len()).unwrap(), zeros);
    // Six bytes that claim 4 GiB − 1.
    let liar = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]);
    assert!(matches!(codec::decompress(Compression::Snappy, &liar, usize::MAX), Err(RecordError::Decompression(_))));
}

#[test]
fn truncated_and_damaged_streams_never_panic() {
    let text = b"the quick brown fox jumps over the lazy dog, the quick brown fox jumps over the lazy dog".repeat(20);
    for codec in CODECS.into_iter().filter(|codec| *codec != Compression::None) {
        let whole = codec::compress(codec, &text, None).unwrap();
        for length in 0..whole.len() {
            let cut = codec::decompress(codec, &whole.slice(..length), LIMIT);
            assert!(cut.map_or(true, |output| output.len() < text.len() || length + 8 >= whole.len()), "{codec} {length}");
        }
        for at in 0..whole.len() {
            let _ = codec::decompress(codec, &edited(&whole, at, &[!whole[at]]), LIMIT);
        }
        let garbage = Bytes::from(vec![0xa5; 64]);
        assert!(matches!(codec::decompress(codec, &garbage, LIMIT), Err(RecordError::Decompression(_))), "{codec}");
    }
}

#[test]
fn framings_of_other_clients_are_read() {
    // snappy-java's stream around "abc" (a literal of three bytes), twice.
    let xerial = Bytes::from_static(b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x05\x03\x08abc\0\0\0\x05\x03\x08def");
    assert_eq!(codec::decompress(Compression::Snappy, &xerial, LIMIT).unwrap(), &b"abcdef"[..]);
    // The same block raw, as librdkafka may write it.
    let raw = Bytes::from_static(b"\x03\x08abc");
    assert_eq!(codec::decompress(Compression::Snappy, &raw, LIMIT).unwrap(), &b"abc"[..]);
    // gzip and zstd with two members.
    for codec in [Compression::Gzip, Compression::Zstd] {
        let mut twice = codec::compress(codec, b"abc", None).unwrap().to_vec();
        twice.extend_from_slice(&codec::compress(codec, b"def", Some(9)).unwrap());
        assert_eq!(codec::decompress(codec, &Bytes::from(twice), LIMIT).unwrap(), &b"abcdef"[..], "{codec}");
    }
    // lz4 with linked blocks and every checksum.
    let text = b"linked blocks look back into the one before; ".repeat(8000);
    let frame = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Linked)
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_checksums(true)
        .content_checksum(true);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
    std::io::Write::write_all(&mut encoder, &text).unwrap();
    let linked = Bytes::from(encoder.finish().unwrap());
    assert_eq!(codec::decompress(Compression::Lz4, &linked, LIMIT).unwrap(), text);
}

#[test]
fn known_bytes_are_read_and_written() {
    assert_eq!(known_builder().build(), KNOWN);
    let batch = Bytes::from_static(KNOWN);
    let parsed = BatchHeader::parse(&batch).unwrap();
    header::verify_crc(&batch, &parsed).unwrap();
    assert_eq!((parsed.base_offset, parsed.last_offset()), (Offset(0), Offset(1)));
    assert_eq!((parsed.base_timestamp, parsed.max_timestamp), (Timestamp(1000), Timestamp(1005)));
    assert_eq!((parsed.producer(), parsed.producer_epoch), (Some(ProducerId(4711)), 3));
    assert_eq!((parsed.base_sequence, parsed.last_sequence()), (17, 18));
    assert_eq!((parsed.batch_bytes, parsed.record_count), (KNOWN.len(), 2));
    let read = read_all(&batch).unwrap();
    assert_eq!((read[0].key.as_deref(), read[0].value.as_deref()), (Some(&b"k"[..]), Some(&b"v1"[..])));
    assert_eq!((read[1].offset, read[1].timestamp), (Offset(1), Timestamp(1005)));
    assert_eq!((&read[1].key, &read[1].value), (&None, &None));
    assert_eq!(read[1].headers.iter().collect::<Vec<_>>(), [(Bytes::from_static(b"h"), None)]);
}

#[test]
fn every_codec_round_trips() {
    let expected = read_all(&sample(Compression::None)).unwrap();
    assert_eq!(expected.len(), 3);
    assert_eq!(expected[2].key, Some(Bytes::new()));
    assert_eq!(expected[1].headers.len(), 2);
    assert!(expected[0].headers.is_empty());
    for codec in CODECS {
        let batch = sample(codec);
        let parsed = BatchHeader::parse(&batch).unwrap();
        header::verify_crc(&batch, &parsed).unwrap();
        assert_eq!(parsed.attributes.compression(), Ok(codec));
        assert_eq!(read_all(&batch).unwrap(), expected, "{codec}");
    }
}

#[test]
fn split_shares_the_bytes_of_each_batch() {
    let mut joined = sample(Compression::None).to_vec();
    joined.extend_from_slice(KNOWN);
    let joined = Bytes::from(joined);
    let batches = header::split(&joined).unwrap();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0].1, sample(Compression::None));
    assert_eq!(batches[1].1, KNOWN);
    assert_eq!(batches[0].1.as_ptr(), joined.as_ptr());
    assert!(matches!(header::split(&joined.slice(..joined.len() - 1)), Err(RecordError::Truncated { .. })));
}

#[test]
fn stamping_offset_and_epoch_leaves_the_crc_valid() {
    let mut batch = KNOWN.to_vec();
    header::stamp(&mut batch, Offset(812), LeaderEpoch(7));
    let parsed = BatchHeader::parse(&batch).unwrap();
    header::verify_crc(&batch, &parsed).unwrap();
    assert_eq!((parsed.base_offset, parsed.last_offset(), parsed.leader_epoch), (Offset(812), Offset(813), LeaderEpoch(7)));
    let from = usize::try_from(CRC_FROM).unwrap();
    assert_eq!(batch[from..], KNOWN[from..]);
    assert_eq!(read_all(&Bytes::from(batch)).unwrap()[1].offset, Offset(813));
}

#[test]
fn append_time_replaces_the_time_of_every_record() {
    let mut batch = KNOWN.to_vec();
    header::stamp_append_time(&mut batch, Timestamp(77_000));
    let parsed = BatchHeader::parse(&batch).unwrap();
    header::verify_crc(&batch, &parsed).unwrap();
    assert_eq!(parsed.attributes.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!((parsed.base_timestamp, parsed.max_timestamp), (Timestamp(1000), Timestamp(77_000)));
    let batch = Bytes::from(batch);
    assert!(read_all(&batch).unwrap().iter().all(|record| record.timestamp == Timestamp(77_000)));
    assert_eq!(max_at(&batch, LIMIT), Ok((Offset(0), Timestamp(77_000))));
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(increment_sequence(i32::MAX, 1), 0);
    assert_eq!(increment_sequence(i32::MAX - 1, 1), i32::MAX);
    assert_eq!(increment_sequence(i32::MAX - 1, 4), 2);
    assert_eq!(increment_sequence(i32::MAX, i32::MAX), i32::MAX - 1);
    let batch = BatchBuilder::new(Timestamp(0)).producer(ProducerId(1), ProducerEpoch(0), i32::MAX);
    let batch = batch.record(None, None).record(None, None).build();
    assert_eq!(BatchHeader::parse(&batch).unwrap().last_sequence(), 0);
    assert_eq!(BatchHeader::parse(&sample(Compression::None)).unwrap().last_sequence(), -1);
    assert_eq!(BatchHeader::parse(&sample(Compression::None)).unwrap().producer(), None);
}

#[test]
fn validation_lists_records_that_do_not_meet_demands_and_refuses_gaps() {
    for codec in CODECS {
        let batch = sample(codec);
        let parsed = BatchHeader::parse(&batch).unwrap();
        let summary = |demands: Demands| validate_records(&parsed, &batch, LIMIT, &demands).unwrap();
        assert_eq!(summary(Demands::NONE), Summary { keyless: Vec::new(), misdated: Vec::new(), max_timestamp: Timestamp(90) });
        let keyed = summary(Demands { key: true, ..Demands::NONE });
        assert_eq!((keyed.keyless, keyed.misdated), (vec![1], Vec::new()));
        for (timestamps, misdated) in [([50, 90], vec![]), ([51, 90], vec![0]), ([50, 89], vec![1, 2])] {
            let dated = summary(Demands { timestamps: timestamps.map(Timestamp), ..Demands::NONE });
            let indexes: Vec<i32> = dated.misdated.iter().map(|one| one.0).collect();
            assert_eq!(indexes, misdated, "{codec} {timestamps:?}");
        }
        let both = summary(Demands { key: true, timestamps: [60, 80].map(Timestamp) });
        assert_eq!((both.keyless, both.misdated), (vec![1], vec![(0, Timestamp(50)), (2, Timestamp(90))]));
    }
    let check = |batch: &Bytes| validate_records(&BatchHeader::parse(batch).unwrap(), batch, LIMIT, &Demands::NONE);
    let twice_the_same = with_payload(2, &[12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 0, 1, 1, 0]);
    assert!(matches!(check(&twice_the_same), Err(RecordError::BadRecord(_))));
    let longer_than_it_is = edited(KNOWN, 23, &9_i32.to_be_bytes());
    assert_eq!(check(&longer_than_it_is), Err(RecordError::BadCount(2)));
    assert_eq!(check(&BatchBuilder::new(Timestamp(0)).build()), Err(RecordError::BadCount(0)));
}

#[test]
fn times_are_found_within_a_batch() {
    for codec in CODECS {
        let batch = sample(codec);
        assert_eq!(first_at_time(&batch, LIMIT, Timestamp(50), Offset(0)), Ok(Some((Offset(0), Timestamp(50)))));
        assert_eq!(first_at_time(&batch, LIMIT, Timestamp(51), Offset(0)), Ok(Some((Offset(1), Timestamp(90)))));
        assert_eq!(first_at_time(&batch, LIMIT, Timestamp(50), Offset(1)), Ok(Some((Offset(1), Timestamp(90)))));
        assert_eq!(first_at_time(&batch, LIMIT, Timestamp(91), Offset(0)), Ok(None));
        assert_eq!(max_at(&batch, LIMIT), Ok((Offset(1), Timestamp(90))));
    }
    let emptied = BatchBuilder::new(Timestamp(7)).build();
    assert_eq!(max_at(&emptied, LIMIT), Ok((Offset(0), Timestamp(7))));
}

#[test]
fn the_builder_knows_its_size() {
    let builder = known_builder();
    assert_eq!((builder.len(), builder.is_empty(), builder.estimated_bytes()), (2, false, KNOWN.len()));
    assert!(BatchBuilder::new(Timestamp(0)).is_empty());
}

#[test]
fn markers_round_trip_and_data_is_no_marker() {
    for marker in [Marker::Abort, Marker::Commit] {
        let end = EndTransaction { marker, coordinator_epoch: 12 };
        let batch = end.batch(Timestamp(5), ProducerId(9), ProducerEpoch(4));
        let parsed = BatchHeader::parse(&batch).unwrap();
        header::verify_crc(&batch, &parsed).unwrap();
        assert!(parsed.attributes.is_control() && parsed.attributes.is_transactional());
        assert_eq!((parsed.producer(), parsed.producer_epoch, parsed.base_sequence), (Some(ProducerId(9)), 4, -1));
        assert_eq!(EndTransaction::read(&batch), Ok(Some(end)));
    }
    assert_eq!(EndTransaction::read(&sample(Compression::None)), Ok(None));
    // A leader-change record is another control type; a key of two bytes is damage.
    let other = BatchBuilder::new(Timestamp(5)).control().record(Some(&[0, 0, 0, 2]), Some(&[])).build();
    assert_eq!(EndTransaction::read(&other), Ok(None));
    let cut = BatchBuilder::new(Timestamp(5)).control().record(Some(&[0, 0]), None).build();
    assert!(matches!(EndTransaction::read(&cut), Err(RecordError::BadRecord(_))));
}

#[test]
fn what_is_left_of_a_batch_keeps_its_offsets_and_sequences() {
    for codec in CODECS {
        let whole = BatchBuilder::new(Timestamp(50)).compression(codec).producer(ProducerId(7), ProducerEpoch(1), 40);
        let whole = (0..5_u8).fold(whole, |batch, at| batch.record(Some(&[at]), Some(b"value"))).build();
        let before = BatchHeader::parse(&whole).expect("a batch");
        for dropped in [vec![], vec![0], vec![1, 3], vec![4], vec![0, 1, 2, 3, 4]] {
            let kept = kept::without(&whole, LIMIT, &dropped.iter().copied().collect()).expect("filtered");
            let header = BatchHeader::parse(&kept).expect("a batch");
            header::verify_crc(&kept, &header).expect("its own crc");
            let same =
                |header: &BatchHeader| (header.base_sequence, header.last_offset_delta, header.max_timestamp, header.attributes);
            assert_eq!(same(&header), same(&before));
            assert_eq!(header.record_count as usize, 5 - dropped.len());
            let offsets: Vec<i64> = records(&kept, LIMIT).expect("reads").map(|record| record.expect("reads").offset.0).collect();
            let expected: Vec<i64> = (0..5).filter(|at| !dropped.contains(&(*at as i32))).collect();
            assert_eq!(offsets, expected, "{codec:?} without {dropped:?}");
        }
    }
}

/// Consumers read it: a look-up by time that leads to it is answered, early rather than never.
#[test]
fn a_batch_that_unpacks_to_too_much_is_found_by_its_header() {
    let value = vec![0_u8; 2 * LIMIT];
    let batch = BatchBuilder::new(Timestamp(10)).compression(Compression::Zstd);
    let batch = batch.record_at(Timestamp(10), None, Some(&value), &[]).record_at(Timestamp(90), None, Some(b"x"), &[]).build();
    assert_eq!(first_at_time(&batch, LIMIT, Timestamp(50), Offset(0)), Ok(Some((Offset(0), Timestamp(90)))));
    assert_eq!(first_at_time(&batch, LIMIT, Timestamp(50), Offset(1)), Ok(Some((Offset(1), Timestamp(90)))));
    assert_eq!(first_at_time(&batch, LIMIT, Timestamp(91), Offset(0)), Ok(None));
    assert_eq!(max_at(&batch, LIMIT), Ok((Offset(0), Timestamp(90))));
}
