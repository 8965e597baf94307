//! Unit tests of replacing a file. Owners are tested where the tests run as root, modes and links everywhere.

use std::os::unix::fs::{chown, symlink};

use super::*;

/// A user and group without rights. Any number but that of root does.
const UNPRIVILEGED: u32 = 65_534;

fn access(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn replace(path: &Path, configuration: Option<&Path>, text: &str) {
    let replacement = Replacement::begin(path, configuration).unwrap();
    replacement.stage(text).unwrap().commit().unwrap();
}

#[test]
fn keeps_owner_group_and_mode_of_existing_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    for mode in [0o600, 0o640, 0o660, 0o400] {
        fs::write(&path, "old").unwrap();
        if is_root() {
            chown(&path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        }
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let before = access(&path);
        replace(&path, None, "new");
        assert_eq!((access(&path), fs::read_to_string(&path).unwrap().as_str()), (before, "new"));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn gives_new_file_the_group_of_its_folder_and_the_owner_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (path, configuration) = (folder.path().join("keys.yaml"), folder.path().join("gateway.yaml"));
    fs::write(&configuration, "").unwrap();
    let expected = if is_root() {
        chown(folder.path(), None, Some(UNPRIVILEGED - 1)).unwrap();
        chown(&configuration, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        (UNPRIVILEGED, UNPRIVILEGED - 1)
    } else {
        let own = fs::metadata(folder.path()).unwrap();
        (own.uid(), own.gid())
    };
    replace(&path, Some(&configuration), "new");
    assert_eq!(access(&path), (expected.0, expected.1, MODE));
}

#[test]
fn gives_new_file_the_group_of_the_configuration_when_the_folder_belongs_to_root() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, configuration) = (folder.path().join("keys.yaml"), folder.path().join("gateway.yaml"));
    fs::write(&configuration, "").unwrap();
    chown(&configuration, Some(0), Some(UNPRIVILEGED)).unwrap();
    chown(folder.path(), Some(0), Some(0)).unwrap();
    replace(&path, Some(&configuration), "new");
    assert_eq!(access(&path), (0, UNPRIVILEGED, MODE));
}

#[test]
fn follows_symbolic_links_and_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    let link = folder.path().join("keys.yaml");
    symlink("real/hop.yaml", &link).unwrap();
    symlink("keys.yaml", real.join("hop.yaml")).unwrap();
    for text in ["first", "second"] {
        replace(&link, None, text);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(real.join("keys.yaml")).unwrap(), text);
    }
    let circle = folder.path().join("circle");
    symlink("circle", &circle).unwrap();
    assert!(Replacement::begin(&circle, None).is_err());
}

#[test]
fn leaves_nothing_behind_when_it_is_abandoned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    fs::write(&path, "old").unwrap();
    let replacement = Replacement::begin(&path, None).unwrap();
    drop(replacement.stage("new").unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
