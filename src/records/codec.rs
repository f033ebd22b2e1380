//! Kafka's four compression codecs, in the framings that its clients write.
//!
//! Decompressing never allocates by a size that the input claims: output grows as it is produced and stops at the caller's limit
//! (a few kilobytes can stand for gigabytes: CVE-2026-111073). What a decoder holds besides its output is bounded by the format: 12 MiB
//! for lz4 (blocks of 4 MiB), a window of up to 128 MiB for zstd, which it touches only as far as it has output.

use super::RecordError;
use bytes::Bytes;
use std::fmt;
use std::io::{self, Read, Write};

/// The compression of a batch's records; the numbers are those of the attribute bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    /// The codec with these attribute bits. Answers [`RecordError::UnsupportedCompression`] above 4.
    pub fn from_bits(bits: u8) -> Result<Compression, RecordError> {
        match bits {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            other => Err(RecordError::UnsupportedCompression(other)),
        }
    }

    /// The codec of this name in `compression.type`.
    #[must_use]
    pub fn named(name: &str) -> Option<Compression> {
        match name {
            "uncompressed" | "none" => Some(Compression::None),
            "gzip" => Some(Compression::Gzip),
            "snappy" => Some(Compression::Snappy),
            "lz4" => Some(Compression::Lz4),
            "zstd" => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// The attribute bits that stand for this codec.
    #[must_use]
    pub fn bits(self) -> i16 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }
}

impl fmt::Display for Compression {
    /// Kafka's name for it, as in `compression.type`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        })
    }
}

/// How the stream of Java's SnappyOutputStream (snappy-java, "xerial") begins: a magic, then version 1, readable since version 1.
const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const XERIAL_VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Uncompressed bytes per chunk, as Kafka's producers write them.
const XERIAL_CHUNK_BYTES: usize = 32 * 1024;
/// The densest snappy element copies 64 bytes and takes 3: no block grows by more than this factor.
const SNAPPY_GROWTH_MAX: usize = 22;
const LZ4_MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Decompresses a batch's records; `limit` bounds the output in bytes, and `Compression::None` shares the payload as it is.
///
/// Snappy may be raw or in xerial's framing, gzip and zstd may have several members, lz4 is one frame.
/// Answers [`RecordError::TooLarge`] beyond `limit` and [`RecordError::Decompression`] for bytes that no encoder writes. Cost:
/// at most `limit` bytes of output; callers on the async threads keep it small or go to the blocking pool.
pub fn decompress(codec: Compression, payload: &Bytes, limit: usize) -> Result<Bytes, RecordError> {
    // An empty batch has no frame either, whatever its attributes say.
    if payload.is_empty() {
        return Ok(payload.clone());
    }
    let input: &[u8] = payload;
    match codec {
        Compression::None => Ok(payload.clone()),
        Compression::Gzip => read_capped(flate2::bufread::MultiGzDecoder::new(input), input.len(), limit),
        Compression::Snappy => decompress_snappy(input, limit),
        Compression::Lz4 => {
            // The crate also reads the older "legacy" frames, which Kafka never wrote.
            expect_magic(input, LZ4_MAGIC)?;
            read_capped(lz4_flex::frame::FrameDecoder::new(input), input.len(), limit)
        }
        Compression::Zstd => {
            expect_magic(input, ZSTD_MAGIC)?;
            let decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(damaged)?;
            read_capped(decoder, input.len(), limit)
        }
    }
}

/// Compresses records as Kafka's Java producer frames them; `level` is the codec's own, clamped to Kafka's range (KIP-390), `None` its
/// default. lz4 and snappy have one level here.
///
/// Answers [`RecordError::Compression`] when a codec gives up, which in memory means that there is no more of it.
pub fn compress(codec: Compression, payload: &[u8], level: Option<i32>) -> Result<Bytes, RecordError> {
    let compressed = match codec {
        Compression::None => payload.to_vec(),
        Compression::Gzip => {
            let level = level.and_then(|level| u32::try_from(level).ok());
            let level = level.map_or_else(flate2::Compression::default, |level| flate2::Compression::new(level.clamp(1, 9)));
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(payload).map_err(failed)?;
            encoder.finish().map_err(failed)?
        }
        Compression::Snappy => compress_xerial(payload)?,
        Compression::Lz4 => {
            let frame = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
            encoder.write_all(payload).map_err(failed)?;
            encoder.finish().map_err(failed)?
        }
        Compression::Zstd => compress_zstd(payload, level).map_err(failed)?,
    };
    Ok(Bytes::from(compressed))
}

/// At the highest levels zstd takes tables of many times the payload: with a window no larger than this, some 70 MiB at most. Only these have a larger one.
const ZSTD_WINDOW_LOG: u32 = 22;
const ZSTD_LARGE_FROM: i32 = 17;

fn compress_zstd(payload: &[u8], level: Option<i32>) -> io::Result<Vec<u8>> {
    // 0 is zstd's own way to say "default".
    let level = level.unwrap_or(0).clamp(-131_072, 22);
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    if level >= ZSTD_LARGE_FROM && payload.len() > 1 << ZSTD_WINDOW_LOG {
        compressor.set_parameter(zstd::zstd_safe::CParameter::WindowLog(ZSTD_WINDOW_LOG))?;
    }
    compressor.compress(payload)
}

fn read_capped(reader: impl Read, input_bytes: usize, limit: usize) -> Result<Bytes, RecordError> {
    let mut output = Vec::with_capacity(input_bytes.min(limit));
    // One byte more than allowed tells "exactly the limit" from "beyond it".
    let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(cap).read_to_end(&mut output).map_err(damaged::<io::Error>)?;
    if output.len() > limit { Err(RecordError::TooLarge { limit }) } else { Ok(Bytes::from(output)) }
}

fn expect_magic(input: &[u8], magic: [u8; 4]) -> Result<(), RecordError> {
    if input.starts_with(&magic) { Ok(()) } else { Err(damaged("they do not begin with the codec's magic number")) }
}

fn decompress_snappy(input: &[u8], limit: usize) -> Result<Bytes, RecordError> {
    let mut output = Vec::new();
    let Some(chunks) = input.strip_prefix(&XERIAL_MAGIC) else {
        append_snappy_block(input, &mut output, limit)?;
        return Ok(Bytes::from(output));
    };
    // The two version numbers have never changed, and readers of snappy-java take any that it can read.
    let mut chunks = chunks.get(XERIAL_VERSIONS.len()..).ok_or_else(|| damaged("the snappy stream ends in its header"))?;
    while !chunks.is_empty() {
        let (length, rest) =
            chunks.split_first_chunk::<4>().ok_or_else(|| damaged("the snappy stream ends in a chunk's length"))?;
        let length = i32::from_be_bytes(*length);
        let (block, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(|| damaged(format!("a snappy chunk of {length} bytes, {} are left", rest.len())))?;
        append_snappy_block(block, &mut output, limit)?;
        chunks = rest;
    }
    Ok(Bytes::from(output))
}

fn append_snappy_block(block: &[u8], output: &mut Vec<u8>, limit: usize) -> Result<(), RecordError> {
    let claimed = snap::raw::decompress_len(block).map_err(damaged)?;
    if claimed > block.len().saturating_mul(SNAPPY_GROWTH_MAX) {
        return Err(damaged(format!("a snappy block of {} bytes claims to hold {claimed}", block.len())));
    }
    let start = output.len();
    let end = start.saturating_add(claimed);
    if end > limit {
        return Err(RecordError::TooLarge { limit });
    }
    output.resize(end, 0);
    let room = output.get_mut(start..).expect("the output was just made this long");
    snap::raw::Decoder::new().decompress(block, room).map_err(damaged)?;
    Ok(())
}

fn compress_xerial(payload: &[u8]) -> Result<Vec<u8>, RecordError> {
    let mut output = Vec::with_capacity(XERIAL_MAGIC.len() + XERIAL_VERSIONS.len() + payload.len() / 2);
    output.extend_from_slice(&XERIAL_MAGIC);
    output.extend_from_slice(&XERIAL_VERSIONS);
    let mut encoder = snap::raw::Encoder::new();
    for chunk in payload.chunks(XERIAL_CHUNK_BYTES) {
        let block = encoder.compress_vec(chunk).map_err(failed)?;
        let length = i32::try_from(block.len()).expect("a chunk of 32 KiB stays far below 2 GiB");
        output.extend_from_slice(&length.to_be_bytes());
        output.extend_from_slice(&block);
    }
    Ok(output)
}

fn damaged<E: ToString>(error: E) -> RecordError {
    RecordError::Decompression(error.to_string())
}

fn failed<E: ToString>(error: E) -> RecordError {
    RecordError::Compression(error.to_string())
}
