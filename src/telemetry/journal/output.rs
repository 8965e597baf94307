//! Where lines are written to: standard output, a file, or nowhere.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::Access;

use super::Identity;

/// Where lines shall go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// To the end of this file.
    File(PathBuf),
    /// Nowhere.
    #[default]
    Off,
    /// To standard output.
    StandardOutput,
}

/// The rights of files that are made: for the gateway to write, for its group to read. The process's umask may take some
/// of them away.
const MODE: u32 = 0o640;

impl Destination {
    /// By which name the file that lines go to can be looked at.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Off => None,
            Self::StandardOutput => Some("/dev/stdout".into()),
        }
    }

    /// Opens it. A file that is not there is made, one that is there is appended to.
    ///
    /// # Errors
    /// What the system says, or that it is neither a regular file nor a character device: whoever opens a pipe waits for
    /// its reader.
    pub fn open(&self) -> io::Result<Output> {
        Ok(Output(match self {
            Self::File(path) => {
                refuse_pipes(path)?;
                let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
                Kind::File { torn: ends_torn(path), file, path: path.clone() }
            }
            Self::Off => Kind::Off,
            // Not through the library's own buffer: what it has taken can neither be counted nor taken back when writing
            // fails.
            Self::StandardOutput => Kind::Standard(io::stdout().as_fd().try_clone_to_owned()?.into()),
        }))
    }

    /// Whether it could be opened, without making anything: a file that is made by somebody else than the gateway might
    /// belong to them.
    ///
    /// # Errors
    /// As [`Destination::open`].
    pub fn check(&self) -> io::Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        refuse_pipes(path)?;
        match OpenOptions::new().append(true).open(path) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let folder = folder.unwrap_or(Path::new("."));
                Ok(rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
            }
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Off => formatter.write_str("nowhere"),
            Self::StandardOutput => formatter.write_str("standard output"),
        }
    }
}

fn refuse_pipes(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() || metadata.file_type().is_char_device() => Ok(()),
        Ok(_) => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn refuse_taken(identity: Option<Identity>, taken: &[PathBuf]) -> io::Result<()> {
    let Some(identity) = identity else { return Ok(()) };
    if taken.iter().any(|path| Identity::of(path).as_ref() == Some(&identity)) {
        let why = "it is a file of the policy, or that of the other log";
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    }
    Ok(())
}

/// Whether the last line of a file has no end, because a process was killed or a disk was full. A file that cannot be read
/// is taken for whole.
fn ends_torn(path: &Path) -> bool {
    let last = |path| -> io::Result<u8> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        Ok(byte[0])
    };
    path.is_file() && last(path).is_ok_and(|byte| byte != b'\n')
}

/// An open destination.
pub struct Output(Kind);

enum Kind {
    /// `torn` says whether the last line that was begun has no end.
    File {
        file: File,
        path: PathBuf,
        torn: bool,
    },
    Off,
    Standard(File),
}

/// Whether the last line on standard output has no end. There is one standard output, whoever writes to it, and its lock is
/// held for as long as lines are written, so that those of one writer do not stand within those of another.
static STANDARD_OUTPUT_IS_TORN: Mutex<bool> = Mutex::new(false);

impl Output {
    /// Nowhere.
    pub(super) fn off() -> Self {
        Self(Kind::Off)
    }

    pub(super) fn is_off(&self) -> bool {
        matches!(self.0, Kind::Off)
    }

    /// Writes whole lines, and says how many did not get out whole.
    pub(super) fn write(&mut self, lines: &[u8]) -> u64 {
        if lines.is_empty() {
            return 0;
        }
        match &mut self.0 {
            Kind::File { file, path: _, torn } => write_lines(file, lines, torn),
            Kind::Off => 0,
            Kind::Standard(file) => {
                let mut torn = STANDARD_OUTPUT_IS_TORN.lock().unwrap_or_else(PoisonError::into_inner);
                pieces(lines, AT_ONCE).map(|piece| write_lines(file, piece, &mut torn)).sum()
            }
        }
    }

    /// Opens the file of that name, which may be another one by now, and says which; none of those that are `taken`.
    /// Nothing is done to standard output.
    pub(super) fn reopen(&mut self, taken: &[PathBuf]) -> io::Result<Option<&Path>> {
        let Kind::File { file: _, path, torn: _ } = &self.0 else { return Ok(None) };
        // Looked at before, because none is to be made there, and after, because it may have been put there meanwhile.
        refuse_taken(Identity::of(path), taken)?;
        let opened = Destination::File(path.clone()).open()?;
        if let Kind::File { file, path: _, torn: _ } = &opened.0 {
            refuse_taken(Identity::of_open(file), taken)?;
        }
        *self = opened;
        match &self.0 {
            Kind::File { file: _, path, torn: _ } => Ok(Some(path)),
            Kind::Off | Kind::Standard(_) => Ok(None),
        }
    }
}

/// How much a pipe takes without mixing it with what another process writes (`PIPE_BUF` on Linux). There is another one
/// while this process is being replaced, and both write to the same standard output.
const AT_ONCE: usize = 4096;

/// Takes `lines` apart into whole lines, as many at a time as `most` bytes hold, and at least one.
fn pieces(lines: &[u8], most: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let end = |bytes: &[u8]| memchr::memrchr(b'\n', bytes).map(|at| at + 1);
        let whole = rest.get(..most).map_or(Some(rest.len()), end);
        let length = whole.or_else(|| memchr::memchr(b'\n', rest).map(|at| at + 1)).unwrap_or(rest.len());
        let (piece, others) = rest.split_at(length);
        rest = others;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Writes whole lines, and says how many did not get out whole. One that was `torn` before is ended first, so that those
/// behind it can be read.
fn write_lines(output: &mut impl Write, lines: &[u8], torn: &mut bool) -> u64 {
    let count = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    if *torn && output.write_all(b"\n").is_err() {
        return count(lines);
    }
    let mut rest = lines;
    while !rest.is_empty() {
        match output.write(rest) {
            Ok(length) if length > 0 => rest = rest.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    let (out, _) = lines.split_at(lines.len() - rest.len());
    *torn = out.last().is_some_and(|byte| *byte != b'\n');
    count(rest)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A disk with so much room, of which a write takes a few bytes at a time.
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = bytes.len().min(self.room).min(7);
            if length == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= length;
            self.bytes.extend(&bytes[..length]);
            Ok(length)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_spoil_no_other() {
        let lines = b"{first}\n{second}\n{third}\n";
        for (room, written, lost, torn) in [
            (0, "", 3, false),
            (3, "{fi", 3, true),
            (7, "{first}", 3, true),
            (8, "{first}\n", 2, false),
            (12, "{first}\n{sec", 2, true),
            (100, "{first}\n{second}\n{third}\n", 0, false),
        ] {
            let mut disk = Disk { bytes: Vec::new(), room };
            let mut is_torn = false;
            assert_eq!(write_lines(&mut disk, lines, &mut is_torn), lost, "{room}");
            assert_eq!(is_torn, torn, "{room}");
            assert_eq!(disk.bytes, written.as_bytes(), "{room}");
            // Still full: what is torn stays so.
            if room < 100 {
                assert_eq!(write_lines(&mut disk, b"{lost}\n", &mut is_torn), 1, "{room}");
                assert_eq!(is_torn, torn, "{room}");
                disk.room = 100;
            }
            assert_eq!(write_lines(&mut disk, b"{next}\n", &mut is_torn), 0, "{room}");
            assert!(!is_torn, "{room}");
            let text = String::from_utf8(disk.bytes).unwrap();
            assert!(text.ends_with("\n{next}\n") || text == "{next}\n", "{room}: {text}");
        }
    }

    #[test]
    fn a_pipe_gets_whole_lines_at_a_time() {
        for (lines, expect) in [
            ("", vec![]),
            ("a\n", vec!["a\n"]),
            ("a\nb\nc\n", vec!["a\nb\nc\n"]),
            ("aaa\nbbb\nccc\n", vec!["aaa\nbbb\n", "ccc\n"]),
            ("aaa\nbbbb\ncccc\n", vec!["aaa\n", "bbbb\n", "cccc\n"]),
            ("a\nbbbbbbbbbbbbb\nc\nd\n", vec!["a\n", "bbbbbbbbbbbbb\n", "c\nd\n"]),
        ] {
            let found: Vec<&[u8]> = pieces(lines.as_bytes(), 8).collect();
            assert_eq!(found, expect.iter().map(|piece| piece.as_bytes()).collect::<Vec<_>>(), "{lines:?}");
        }
    }

    #[test]
    fn a_line_that_somebody_left_without_its_end_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (before, after) in
            [("", "{next}\n"), ("{whole}\n", "{whole}\n{next}\n"), ("{to", "{to\n{next}\n")]
        {
            fs::write(&path, before).unwrap();
            let mut output = Destination::File(path.clone()).open().unwrap();
            assert_eq!(output.write(b"{next}\n"), 0);
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn what_can_be_opened_is_known_before_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::create_dir(path("folder")).unwrap();
        for (name, good) in
            [("file", true), ("new", true), ("folder", false), ("none/new", false), ("file/new", false)]
        {
            let destination = Destination::File(path(name));
            assert_eq!(destination.check().is_ok(), good, "{name}");
            assert_eq!(path(name).exists(), matches!(name, "file" | "folder"), "{name}");
            assert_eq!(destination.open().is_ok(), good, "{name}");
        }
        let mode = path("new").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !MODE, 0, "{mode:o}");
    }
}
