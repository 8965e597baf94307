//! Replaces a file in one step: readers see the old file or the whole new one. Owner, group and mode stay as they were,
//! because the gateway usually runs as another user than the operator who changes the file.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// A file that is about to be replaced, or made. Its folder is locked until this is dropped, so of two commands at the same
/// time the second one reads what the first one has written.
pub(super) struct Replacement {
    /// The file itself, after symbolic links were followed.
    path: PathBuf,
    folder: File,
    access: Access,
}

/// Who may use the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// The file exists: what it has is kept.
    Kept { owner: u32, group: u32, mode: u32 },
    /// The file is made. `owner` is `None` where the process cannot give files away.
    Made { owner: Option<u32>, group: u32 },
}

/// The mode of a file that is made: the gateway reads it through its group.
const MODE: u32 = 0o640;

/// The mode of a file that is made where the group could not be set.
const PRIVATE_MODE: u32 = 0o600;

/// More symbolic links than this in a row are taken for a circle, as the kernel does.
const MOST_LINKS: usize = 40;

impl Replacement {
    /// Locks the folder of `path` and looks at the file. A file that does not exist yet will belong to the owner of
    /// `configuration`, the file that names it, if the process may give files away.
    ///
    /// # Errors
    /// What is wrong, with the path.
    pub(super) fn begin(path: &Path, configuration: Option<&Path>) -> Result<Self, String> {
        let path = follow_links(path)
            .map_err(|error| format!("error: cannot follow the link `{}`: {error}", path.display()))?;
        let failed = |what: &str, error: &io::Error| {
            format!("error: cannot {what} the folder of `{}`: {error}", path.display())
        };
        let folder = File::open(folder_of(&path)).map_err(|error| failed("open", &error))?;
        folder.lock().map_err(|error| failed("lock", &error))?;
        let access = match fs::metadata(&path) {
            Ok(metadata) => Access::Kept {
                owner: metadata.uid(),
                group: metadata.gid(),
                mode: metadata.permissions().mode() & 0o7777,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = folder.metadata().map_err(|error| failed("look at", &error))?;
                let configuration = configuration.and_then(|path| fs::metadata(path).ok());
                Access::of_new_file(&folder, configuration.as_ref(), rustix::process::geteuid().is_root())
            }
            Err(error) => return Err(format!("error: cannot read `{}`: {error}", path.display())),
        };
        Ok(Self { path, folder, access })
    }

    /// The file after symbolic links were followed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is such a file already.
    pub(super) fn exists(&self) -> bool {
        matches!(self.access, Access::Kept { .. })
    }

    /// Writes `text` to a file beside the one that it will replace.
    ///
    /// # Errors
    /// What is wrong, with the path and what to do.
    pub(super) fn stage(&self, text: &str) -> Result<Staged<'_>, String> {
        let path = self.neighbour();
        let failed = |error: &io::Error| format!("error: cannot write `{}`: {error}", path.display());
        // A process that was killed may have left such a file behind.
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(PRIVATE_MODE)
            .open(&path)
            .map_err(|error| failed(&error))?;
        let staged = Staged { replacement: self, path: path.clone(), is_in_place: false };
        self.access.apply(&file).map_err(|error| match self.access {
            Access::Kept { owner, group, mode: _ } => format!(
                "error: cannot keep the owner and group ({owner}:{group}) of `{}`: {error}; run this command as root or as \
                 the owner of the file",
                self.path.display()
            ),
            Access::Made { .. } => failed(&error),
        })?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| failed(&error))?;
        Ok(staged)
    }

    /// A name in the same folder, because a file can be renamed within one file system only.
    fn neighbour(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}.{}.new", std::process::id()))
    }
}

/// The new content, in a file of its own that is removed unless it takes the place of the old one.
pub(super) struct Staged<'a> {
    replacement: &'a Replacement,
    path: PathBuf,
    is_in_place: bool,
}

impl Staged<'_> {
    /// The file with the new content.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the new content in the place of the old one.
    ///
    /// # Errors
    /// What is wrong, with the path.
    pub(super) fn commit(mut self) -> Result<(), String> {
        let Replacement { path, folder, access: _ } = self.replacement;
        fs::rename(&self.path, path)
            .map_err(|error| format!("error: cannot replace `{}`: {error}", path.display()))?;
        self.is_in_place = true;
        // The name is on the disk once the folder is.
        folder.sync_all().map_err(|error| {
            format!("error: `{}` was replaced, but may be lost in a power failure: {error}", path.display())
        })
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.is_in_place {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Access {
    /// The access of a file that does not exist yet. Its group is that of its folder, which an administrator has given to
    /// the gateway (`/etc/portcullis` is `root:portcullis`), or, where the folder is root's, that of the configuration file.
    fn of_new_file(folder: &Metadata, configuration: Option<&Metadata>, is_root: bool) -> Self {
        let group = match (folder.gid(), configuration) {
            (0, Some(configuration)) => configuration.gid(),
            (group, _) => group,
        };
        Self::Made { owner: configuration.map(Metadata::uid).filter(|_| is_root), group }
    }

    /// Gives `file`, which no process has opened yet, its owner, group and mode, in this order: a change of owner takes special
    /// bits out of the mode.
    fn apply(self, file: &File) -> io::Result<()> {
        let is = file.metadata()?;
        let mode = match self {
            Self::Kept { owner, group, mode } => {
                // Only root may set the owner, but everyone may leave it as it is.
                if (is.uid(), is.gid()) != (owner, group) {
                    let changed = |new: u32, old: u32| (new != old).then_some(new);
                    fchown(file, changed(owner, is.uid()), changed(group, is.gid()))?;
                }
                mode
            }
            Self::Made { owner, group } => {
                let done = owner.is_none_or(|owner| owner == is.uid()) && group == is.gid();
                if done || fchown(file, owner, Some(group)).is_ok() { MODE } else { PRIVATE_MODE }
            }
        };
        file.set_permissions(Permissions::from_mode(mode))
    }
}

/// Where symbolic links lead to. The file itself need not exist.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            // Not a link, or nothing yet. What else is wrong, opening the file will say.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
