//! Which file lines go to, however it is called: by another path, a symbolic link or a hard link.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Destination;

/// A regular file. Devices have none: whoever writes to them takes nothing from anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// One that is not there yet: a folder that is, and a name in it.
    Future { device: u64, inode: u64, name: OsString },
    /// One that is there.
    Present { device: u64, inode: u64 },
}

/// More links than that are a circle (Linux allows as many).
const MOST_LINKS: usize = 40;

impl Identity {
    /// Of the file at `path`, or the one that would be made there. None of what is no regular file, and of what cannot be
    /// looked at.
    pub fn of(path: &Path) -> Option<Self> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                Some(Self(Kind::Present { device: metadata.dev(), inode: metadata.ino() }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self::of_future(path.to_path_buf()),
            Ok(_) | Err(_) => None,
        }
    }

    /// Of a file that is open.
    pub(super) fn of_open(file: &File) -> Option<Self> {
        let metadata = file.metadata().ok().filter(Metadata::is_file)?;
        Some(Self(Kind::Present { device: metadata.dev(), inode: metadata.ino() }))
    }

    /// Of the file that lines go to; also of the one that somebody else has opened as standard output.
    pub fn of_destination(destination: &Destination) -> Option<Self> {
        Self::of(&destination.path()?)
    }

    /// Follows links that lead nowhere: a file is made where they point to.
    fn of_future(mut path: PathBuf) -> Option<Self> {
        for _ in 0..MOST_LINKS {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).to_path_buf();
            let Ok(target) = fs::read_link(&path) else {
                let metadata = fs::metadata(folder).ok()?;
                let name = path.file_name()?.to_owned();
                return Some(Self(Kind::Future { device: metadata.dev(), inode: metadata.ino(), name }));
            };
            path = folder.join(target);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_the_same_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("folder")).unwrap();
        fs::write(path("one"), "").unwrap();
        fs::write(path("other"), "").unwrap();
        fs::hard_link(path("one"), path("hard")).unwrap();
        symlink("one", path("soft")).unwrap();
        symlink("new", path("dangling")).unwrap();
        symlink("folder/../dangling", path("twice")).unwrap();
        symlink("round", path("round")).unwrap();
        symlink(".", path("here")).unwrap();
        for (left, right, same) in [
            ("one", "one", true),
            ("one", "soft", true),
            ("one", "hard", true),
            ("one", "folder/../one", true),
            ("one", "here/soft", true),
            ("one", "other", false),
            ("one", "new", false),
            ("new", "new", true),
            ("new", "dangling", true),
            ("new", "twice", true),
            ("new", "here/new", true),
            ("new", "newer", false),
            ("new", "folder/new", false),
        ] {
            let [left, right] = [left, right].map(|name| Identity::of(&path(name)).unwrap());
            assert_eq!(left == right, same, "{left:?} {right:?}");
        }
        for none in ["folder", "round", "none/new", "one/new"] {
            assert_eq!(Identity::of(&path(none)), None, "{none}");
        }
        assert_eq!(Identity::of(Path::new("/dev/null")), None);
        assert_eq!(Identity::of_destination(&Destination::Off), None);
    }
}
