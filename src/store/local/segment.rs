//! One segment file of the journal: its header, its name, how it is made, and the directory of all of them.
//!
//! ```text
//! DIR/journal/0000000000000007.segment   header (4 KiB) | commit | commit | … | never written, zeros, or a former life's bytes
//! DIR/journal/0000000000000003.spare     a former segment, or one being prepared; its header means nothing
//! ```
//! The number in the name is the segment's *sequence number* and its generation: every commit in it repeats that number and the
//! header's random salt. The salt is drawn anew whenever a file becomes a segment, so neither bytes of the file's former life
//! nor bytes that a client put into its records can be taken for a commit.
//!
//! A file is called `.segment` only after its header is on disk, so a segment with a broken header is damage; but for a dead one, of which nothing is read any
//! more, that was on its way to be a spare.
//!
//! [`Segments`] owns the handles for reading: at most [`OPEN_FILES_MAX`] are cached, the oldest opened is dropped first. It also knows
//! (through a `Weak`) whether any reader still holds a file, because such a file must not be recycled under it.

use super::fields::Fields;
use super::{OpenError, lock};
use crate::store::StoreError;
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

/// The first commit of a segment starts here: one page, so that zero-filling behind it can be aligned.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 4096;
const MAGIC: u32 = u32::from_le_bytes(*b"FBFs");
const FORMAT: u32 = 1;
/// Handles for reading that are kept; a process often has 1,024 in all.
const OPEN_FILES_MAX: usize = 256;
/// `FALLOC_FL_WRITE_ZEROES` (Linux 6.17): written extents full of zeros, made by the device. Not named in rustix yet.
const WRITE_ZEROES: u32 = 0x80;
const ZERO_BLOCK_BYTES: usize = 1024 * 1024;

/// A place in the journal: the end of a commit, the start of a commit, or the start of a batch. Ordered as the journal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Position {
    pub seq: u64,
    pub at: u64,
}

/// A segment that is open.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub seq: u64,
    pub salt: u64,
    /// The file's size: no commit reaches beyond it.
    pub bytes: u64,
    pub file: Arc<File>,
}

/// How a segment is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Segment {
    /// Opens an existing segment and checks its header.
    pub fn open(dir: &Path, seq: u64, access: Access) -> Result<Segment, OpenError> {
        let path = segment_path(dir, seq);
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .open(&path)
            .map_err(|error| OpenError::file(&path, &error))?;
        let bytes = file.metadata().map_err(|error| OpenError::file(&path, &error))?.len();
        let salt = match read_header(&file) {
            Ok(Some((found, salt))) if found == seq => salt,
            Ok(_) => {
                return Err(OpenError::Lost { file: path, why: "its header is not that of this segment".into() });
            }
            Err(error) => return Err(OpenError::file(&path, &error)),
        };
        Ok(Segment { seq, salt, bytes, file: Arc::new(file) })
    }

    /// Makes segment `seq` of `bytes` bytes, durably, from `spare` when there is one (else a new file). `should_stop` is asked
    /// between blocks while filling with zeros, and told up to which byte they reach; after `true` the file is used as it is. `None` for it
    /// means: do not fill.
    pub fn create(
        dir: &Path,
        seq: u64,
        bytes: u64,
        salt: u64,
        spare: Option<PathBuf>,
        should_stop: Option<&mut dyn FnMut(u64) -> bool>,
    ) -> io::Result<Segment> {
        let is_spare = spare.is_some();
        let unready = spare.unwrap_or_else(|| spare_path(dir, seq));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&unready)?;
        let made = Segment::make(dir, (seq, bytes, salt), file, &unready, is_spare, should_stop);
        if made.is_err() {
            // It would take room of a disk that may be full, and nobody would know of it before the next open.
            let _ = std::fs::remove_file(&unready);
        }
        made
    }

    fn make(
        dir: &Path,
        (seq, bytes, salt): (u64, u64, u64),
        file: File,
        unready: &Path,
        is_spare: bool,
        should_stop: Option<&mut dyn FnMut(u64) -> bool>,
    ) -> io::Result<Segment> {
        let is_recycled = is_spare && file.metadata()?.len() == bytes;
        if !is_recycled {
            // A leftover of another size under this name must not make the segment longer than it says.
            file.set_len(bytes)?;
        }
        // Also of a spare: a kill between these two calls leaves one of the right length and without its blocks.
        fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
        if let (false, Some(should_stop)) = (is_recycled, should_stop) {
            zero_fill(unready, &file, bytes, should_stop)?;
        }
        file.write_all_at(&encode_header(seq, salt), 0)?;
        file.sync_all()?;
        std::fs::rename(unready, segment_path(dir, seq))?;
        sync_dir(dir)?;
        Ok(Segment { seq, salt, bytes, file: Arc::new(file) })
    }
}

/// `DIR/journal/{seq}.segment`.
pub(super) fn segment_path(dir: &Path, seq: u64) -> PathBuf {
    dir.join(format!("{seq:016x}.segment"))
}

/// `DIR/journal/{seq}.spare`: a file that is nobody's, named after the segment it was or is to be.
pub(super) fn spare_path(dir: &Path, seq: u64) -> PathBuf {
    dir.join(format!("{seq:016x}.spare"))
}

/// As [`spare_path`], under a name that no file has: spares are used in any order, so that one of this number may still be there, or be in the
/// making into another segment.
fn free_spare_path(dir: &Path, seq: u64) -> PathBuf {
    // Segments are numbered from 1 on, and no journal comes to 2^32 of them.
    let mut number = seq;
    loop {
        let path = spare_path(dir, number);
        if !path.exists() {
            return path;
        }
        number = number.wrapping_add(1 << 32);
    }
}

/// Makes renames and removals in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// What lies in the journal's directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Sequence number → size in bytes.
    pub segments: BTreeMap<u64, u64>,
    pub spares: Vec<PathBuf>,
}

/// Reads the journal's directory; other names are left alone.
pub(super) fn list(dir: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for item in std::fs::read_dir(dir)? {
        let item = item?;
        let name = item.file_name();
        let Some((stem, kind)) = name.to_str().and_then(|name| name.rsplit_once('.')) else { continue };
        let Ok(seq) = u64::from_str_radix(stem, 16) else { continue };
        match kind {
            "segment" => {
                listing.segments.insert(seq, item.metadata()?.len());
            }
            "spare" => listing.spares.push(item.path()),
            _ => {}
        }
    }
    Ok(listing)
}

fn encode_header(seq: u64, salt: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(4096);
    header.extend_from_slice(&MAGIC.to_le_bytes());
    header.extend_from_slice(&FORMAT.to_le_bytes());
    header.extend_from_slice(&seq.to_le_bytes());
    header.extend_from_slice(&salt.to_le_bytes());
    let crc = crc32c::crc32c(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    header.resize(4096, 0);
    header
}

/// Sequence number and salt; `None` when the header is not one.
fn read_header(file: &File) -> io::Result<Option<(u64, u64)>> {
    let mut bytes = [0u8; 28];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(parse_header(&bytes))
}

fn parse_header(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut fields = Fields(bytes);
    let (magic, format) = (fields.u32()?, fields.u32()?);
    let (seq, salt) = (fields.u64()?, fields.u64()?);
    let crc = crc32c::crc32c(bytes.get(..24)?);
    (magic == MAGIC && format == FORMAT && fields.u32()? == crc).then_some((seq, salt))
}

fn fallocate(file: &File, mode: FallocateFlags, offset: u64, bytes: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(file, mode, offset, bytes) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            // Without preallocation the journal is slower and may meet a full disk later, but it is as safe.
            Err(Errno::OPNOTSUPP) if mode.is_empty() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Turns the segment's blocks into written ones, so that a commit into them changes no file-system metadata: syncs of such
/// blocks took a half to a quarter of the time (ARCHITECTURE, the embedded store). Best effort but for the sync.
fn zero_fill(path: &Path, file: &File, bytes: u64, should_stop: &mut dyn FnMut(u64) -> bool) -> io::Result<()> {
    let mode = FallocateFlags::from_bits_retain(WRITE_ZEROES);
    if fallocate(file, mode, 0, bytes).is_ok() {
        return Ok(());
    }
    let Some(flags) = i32::try_from(OFlags::DIRECT.bits()).ok() else { return Ok(()) };
    // Past the page cache: 128 MiB of zeros must not push out what consumers read.
    let Ok(direct) = OpenOptions::new().write(true).custom_flags(flags).open(path) else { return Ok(()) };
    let memory = vec![0u8; ZERO_BLOCK_BYTES + 4096];
    let start = memory.as_ptr().align_offset(4096);
    let Some(block) = memory.get(start..start + ZERO_BLOCK_BYTES) else { return Ok(()) };
    let mut at = SEGMENT_HEADER_BYTES;
    while at < bytes && !should_stop(at) {
        let length = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZERO_BLOCK_BYTES);
        match direct.write_all_at(&block[..length], at) {
            Ok(()) => at += length as u64,
            // A file system that takes no direct writes: use the file as it is.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    file.sync_data()
}

/// Parts the file of a dead segment from its pages in memory: sockets that still refer to them keep them as they are, and what is written to the file goes into
/// others.
///
/// Advice to drop pages spares those that somebody refers to. So the first block is cut out of the file: with that all others are elsewhere in it, and no page can
/// stay what it was (`ext4_collapse_range` and `xfs_prepare_shift` drop all from there on). Then one is put in its place, without which each round would leave the file
/// in more pieces. What is cut must be the header, which is never sent: of a page that is larger, a file system may fill the part that is cut with zeros.
///
/// # Errors
/// What a file system says that cannot do this; ext4 and XFS can, with blocks of 4 KiB or less. The file may have another length then.
pub(super) fn leave_pages(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, SEGMENT_HEADER_BYTES)?;
    fallocate(&file, FallocateFlags::INSERT_RANGE, 0, SEGMENT_HEADER_BYTES)?;
    fallocate(&file, FallocateFlags::empty(), 0, SEGMENT_HEADER_BYTES)
}

/// [`leave_pages`], where it can be done; where not, the file is of no use.
fn has_left_pages(seq: u64, path: &Path) -> bool {
    let left = leave_pages(path);
    if let Err(error) = &left {
        tracing::debug!(seq, %error, "a segment is not recycled: it cannot be parted from its pages");
    }
    left.is_ok()
}

/// The segments that hold commits, and the handles for reading them.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    handles: Mutex<Handles>,
}

#[derive(Debug, Default)]
struct Handles {
    files: BTreeMap<u64, Handle>,
    /// Sequence numbers in the order they were opened, for eviction.
    opened: VecDeque<u64>,
}

#[derive(Debug, Default)]
struct Handle {
    bytes: u64,
    cached: Option<Arc<File>>,
    /// The kernel may send, or may have sent, its pages from where they are: a peer that has not read them yet would see what is written into them.
    is_lent: bool,
    /// Alive while anyone at all holds the file.
    held: Weak<File>,
}

impl Handle {
    /// The file, when anyone has it open.
    fn file(&self) -> Option<Arc<File>> {
        self.cached.clone().or_else(|| self.held.upgrade())
    }
}

/// What became of a segment that was taken out.
#[derive(Debug)]
pub(super) enum Retired {
    /// Nobody has it open, and no socket refers to a page that will be written: here is a spare file.
    Spare(PathBuf),
    /// No spare is wanted or can be made of it, so the file was unlinked (a reader's handle keeps its bytes), or it was not there.
    Removed,
}

/// What a segment is to be afterwards that is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// A spare, if that can be.
    Spare,
    Nothing,
}

impl Segments {
    pub fn new(dir: PathBuf) -> Segments {
        Segments { dir, handles: Mutex::default() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds a segment of before this open. Whoever had it open then may have lent it.
    pub fn insert(&self, seq: u64, bytes: u64) {
        lock(&self.handles).files.insert(seq, Handle { bytes, is_lent: true, ..Handle::default() });
    }

    /// Adds the segment that is being written.
    pub fn insert_open(&self, segment: &Segment) {
        let mut handles = lock(&self.handles);
        let handle = handles.files.entry(segment.seq).or_default();
        (handle.bytes, handle.cached, handle.held) = (segment.bytes, None, Arc::downgrade(&segment.file));
    }

    /// The file of segment `seq`; `None` when it was retired, in which case no key points into it any more.
    pub fn file(&self, seq: u64) -> Result<Option<Arc<File>>, StoreError> {
        self.opened(seq, false)
    }

    /// As [`Segments::lend`], when the file is open; does not wait for the disk.
    pub fn lend_open(&self, seq: u64) -> Option<Arc<File>> {
        let mut handles = lock(&self.handles);
        let handle = handles.files.get_mut(&seq)?;
        let file = handle.file()?;
        handle.is_lent = true;
        Some(file)
    }

    /// As [`Segments::file`], for sending from it without a copy: the file will not become a spare with the pages that it has.
    pub fn lend(&self, seq: u64) -> Result<Option<Arc<File>>, StoreError> {
        self.opened(seq, true)
    }

    fn opened(&self, seq: u64, is_lent: bool) -> Result<Option<Arc<File>>, StoreError> {
        let mut handles = lock(&self.handles);
        let Some(handle) = handles.files.get_mut(&seq) else { return Ok(None) };
        handle.is_lent |= is_lent;
        if let Some(file) = handle.file() {
            return Ok(Some(file));
        }
        let path = segment_path(&self.dir, seq);
        let file = Arc::new(File::open(&path).map_err(|error| StoreError::Io(format!("{}: {error}", path.display())))?);
        handle.held = Arc::downgrade(&file);
        handle.cached = Some(Arc::clone(&file));
        handles.opened.push_back(seq);
        handles.evict();
        Ok(Some(file))
    }

    /// Sequence number and size of every segment, oldest first.
    pub fn sizes(&self) -> Vec<(u64, u64)> {
        lock(&self.handles).files.iter().map(|(seq, handle)| (*seq, handle.bytes)).collect()
    }

    /// Takes segment `seq`, in which nothing lives, out of use: its file becomes a spare where one is wanted, unless a reader still holds it, or it was lent and cannot
    /// be parted from its pages.
    pub fn retire(&self, seq: u64, afterwards: Afterwards) -> io::Result<Retired> {
        let mut handles = lock(&self.handles);
        let Some(mut handle) = handles.files.remove(&seq) else { return Ok(Retired::Removed) };
        handles.opened.retain(|opened| *opened != seq);
        drop(handles);
        handle.cached = None;
        let path = segment_path(&self.dir, seq);
        // Nobody can get hold of the file any more, so the count can only fall.
        let is_free = handle.held.strong_count() == 0;
        if afterwards == Afterwards::Nothing || !is_free || (handle.is_lent && !has_left_pages(seq, &path)) {
            std::fs::remove_file(&path)?;
            sync_dir(&self.dir)?;
            return Ok(Retired::Removed);
        }
        let spare = free_spare_path(&self.dir, seq);
        std::fs::rename(&path, &spare)?;
        sync_dir(&self.dir)?;
        Ok(Retired::Spare(spare))
    }
}

impl Handles {
    fn evict(&mut self) {
        while self.opened.len() > OPEN_FILES_MAX {
            let Some(oldest) = self.opened.pop_front() else { return };
            if let Some(handle) = self.files.get_mut(&oldest) {
                handle.cached = None;
            }
        }
    }
}
