//! Claims the data directory: makes it, locks it, checks its format; and what an operator is told when it cannot be opened.

use crate::store::StoreError;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The format of the directory as a whole; raised when an older binary could not read it any more. 2: the journal may replace batches.
const FORMAT: u32 = 2;
const FORMAT_PREFIX: &str = "fbf data format ";

/// Why a data directory cannot be opened; each is one line for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    #[error("storage.path {} cannot be created or written (uid {uid}): {why}; fix its owner or set storage.path", .dir.display())]
    NotWritable { dir: PathBuf, uid: u32, why: String },
    #[error("storage.path {} is in use by another process; stop that one or set storage.path to another directory", .dir.display())]
    Locked { dir: PathBuf },
    #[error(
        "storage.path {} has data format {found}, this version reads up to {known}; start the newer version of fbf that wrote it",
        .dir.display()
    )]
    NewerFormat { dir: PathBuf, found: u32, known: u32 },
    #[error(
        "storage.path {} is the data directory of an Apache Kafka: fbf does not read its files, and Kafka would not start beside ours; \
         choose another directory with --data or storage.path", .dir.display()
    )]
    OfKafka { dir: PathBuf },
    /// A place in the journal from which on it can be given up: `commits` of `bytes` together are still to be seen behind it.
    #[error("{} is damaged at position {position}: {why}; restore it from a backup, or cut the journal there with `fbf repair`, which says first what that gives up", .file.display())]
    Damaged { file: PathBuf, position: u64, why: String, commits: usize, bytes: u64 },
    /// What no cut mends.
    #[error("{}: {why}; bring the file back, or the whole directory from a backup: `fbf repair` cannot mend this", .file.display())]
    Lost { file: PathBuf, why: String },
    #[error("{0}")]
    Io(String),
}

impl OpenError {
    pub(super) fn file(path: &Path, error: &io::Error) -> OpenError {
        OpenError::Io(format!("{}: {error}", path.display()))
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> OpenError {
        OpenError::Io(error.to_string())
    }
}

/// Makes `dir` and `dir/journal`, locks `dir` for as long as the answer lives, and checks or writes its format. What it makes is on disk then.
pub(super) fn claim(dir: &Path) -> Result<File, OpenError> {
    let refused = |error: io::Error| OpenError::NotWritable {
        dir: dir.to_owned(),
        uid: rustix::process::getuid().as_raw(),
        why: error.to_string(),
    };
    let parents = parents_of_missing(dir);
    std::fs::create_dir_all(dir).map_err(refused)?;
    // A power failure takes a directory whose name is not on disk, with all that is synced in it (ext4 and XFS keep it, but promise nothing).
    for parent in parents {
        match super::segment::sync_dir(&parent) {
            // Who may write there but not read cannot sync it: then it is left to the file system.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(OpenError::file(&parent, &error)),
            _ => {}
        }
    }
    if !dir.join("VERSION").exists() && is_of_kafka(dir).map_err(refused)? {
        return Err(OpenError::OfKafka { dir: dir.to_owned() });
    }
    let held = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join("LOCK")).map_err(refused)?;
    match rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(error) => return Err(OpenError::file(&dir.join("LOCK"), &error.into())),
    }
    check_format(dir)?;
    std::fs::create_dir_all(dir.join("journal")).map_err(refused)?;
    super::segment::sync_dir(dir).map_err(|error| OpenError::file(dir, &error))?;
    Ok(held)
}

/// Which directories get another name in them when `dir` is made, with those of its ancestors that are missing: their parents, innermost first.
fn parents_of_missing(dir: &Path) -> Vec<PathBuf> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let parents = dir.ancestors().take_while(is_missing).filter_map(Path::parent);
    // The parent of a relative path's first name is written as nothing.
    parents.map(|parent| if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() }).collect()
}

/// Whether a Kafka has kept partitions here, each in a folder NAME-N (LogManager.loadLogs, which ends at any other folder).
fn is_of_kafka(dir: &Path) -> io::Result<bool> {
    if !dir.join("meta.properties").exists() {
        return Ok(false);
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.rsplit_once('-')).map(|(_, number)| number);
        if number.is_some_and(|number| number.parse::<u32>().is_ok()) && entry.file_type()?.is_dir() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn check_format(dir: &Path) -> Result<(), OpenError> {
    let path = dir.join("VERSION");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return write_format(dir, &path).map_err(|error| OpenError::file(&path, &error));
        }
        Err(error) => return Err(OpenError::file(&path, &error)),
    };
    match text.trim().strip_prefix(FORMAT_PREFIX).and_then(|number| number.parse::<u32>().ok()) {
        Some(FORMAT) => Ok(()),
        // Everything that an older version wrote is read as it is.
        Some(found) if found < FORMAT => write_format(dir, &path).map_err(|error| OpenError::file(&path, &error)),
        Some(found) => Err(OpenError::NewerFormat { dir: dir.to_owned(), found, known: FORMAT }),
        None => {
            let why = format!("it should read {FORMAT_PREFIX:?} and a number");
            Err(OpenError::Lost { file: path, why })
        }
    }
}

/// Whole or not at all: a directory with an empty VERSION could not be opened again.
fn write_format(dir: &Path, path: &Path) -> io::Result<()> {
    let unfinished = dir.join("VERSION.new");
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{FORMAT_PREFIX}{FORMAT}")?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    //! Goal: the names of all directories that a first start makes are synced. Method: what is to be synced is held against what is there; that
    //! a power failure takes the others cannot be shown here.

    use super::*;

    #[test]
    fn parents_of_all_that_is_made_are_to_be_synced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = dir.path().join("a/b/c");
        assert_eq!(parents_of_missing(&data), [dir.path().join("a/b"), dir.path().join("a"), dir.path().to_owned()]);
        claim(&data).expect("made, and all of them can be synced");
        assert!(parents_of_missing(&data).is_empty(), "all are there");
        assert_eq!(parents_of_missing(&data.join("d")), [data], "only one is missing");
    }

    #[test]
    fn relative_path_begins_in_the_working_directory() {
        let nowhere = Path::new("no-such-directory-of-fbf");
        assert_eq!(parents_of_missing(nowhere), [Path::new(".")]);
        assert_eq!(parents_of_missing(&nowhere.join("data")), [nowhere, Path::new(".")]);
        assert_eq!(parents_of_missing(&Path::new(".").join(nowhere)), [Path::new(".")]);
        assert!(parents_of_missing(Path::new("")).is_empty());
    }
}
