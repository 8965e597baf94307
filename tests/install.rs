//! `scripts/install` asks each package manager for the packages that it has. The managers here are stand-ins that write down
//! what they are asked for; nothing is installed.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "all of this is a test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A machine on which there is hardly anything.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        for tool in ["sh", "grep", "sort", "env", "cat", "dirname"] {
            let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            symlink(found.iter().find(|path| path.exists()).unwrap(), machine.0.path().join(tool)).unwrap();
        }
        machine.program("id", "echo 0");
        // What is done to the machine's own files.
        for tool in ["tee", "rm", "chmod", "systemctl"] {
            machine.program(tool, "cat >/dev/null </dev/null");
        }
        machine
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.0.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A package manager that writes down what it is asked for, and brings these commands.
    fn manager(&self, name: &str, brings: &[&str]) {
        let folder = self.0.path().display();
        let mut bring = String::new();
        for command in brings {
            bring +=
                &format!("printf '#!/bin/sh\\n' >{folder}/{command}\n/bin/chmod 755 {folder}/{command}\n");
        }
        self.program(name, &format!("echo \"$@\" >>{folder}/asked\n{bring}"));
    }

    fn install(&self, what: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
        let mut command = Command::new("/bin/sh");
        command.arg(script).args(what).env_clear().env("PATH", self.0.path());
        command.output().unwrap()
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.0.path().join("asked")).unwrap_or_default()
    }
}

const BUILD: [&str; 4] = ["cmake", "cc", "make", "curl"];

const TEST: [&str; 5] = ["redis-server", "prometheus", "promtool", "chromedriver", "logrotate"];

#[test]
fn each_package_manager_is_asked_for_what_it_has() {
    for (manager, build, test) in [
        ("dnf", "cmake curl gcc make", "chromium chromedriver logrotate prometheus redis"),
        ("apk", "build-base cmake curl make", "chromium chromium-chromedriver logrotate prometheus redis"),
        ("pacman", "base-devel cmake curl make", "chromium logrotate prometheus redis"),
        ("brew", "cmake curl gcc make", "chromium chromedriver logrotate prometheus redis"),
    ] {
        for (what, brings, packages) in [("build", &BUILD[..], build), ("test", &TEST[..], test)] {
            let machine = Machine::new();
            machine.manager(manager, brings);
            let done = machine.install(&[what]);
            assert!(done.status.success(), "{manager} {what}: {done:?}");
            let asked = machine.asked();
            assert!(asked.trim_end().ends_with(packages), "{manager} {what}: {asked}");
            // Everything is there now, so nobody is asked again.
            assert!(machine.install(&[what]).status.success());
            assert_eq!(machine.asked(), asked, "{manager} {what}");
        }
    }
}

#[test]
fn debian_has_a_browser_and_ubuntu_has_it_as_a_snap() {
    let others = "logrotate\nprometheus\nredis-server";
    for (system, candidate, snap, browser) in [
        ("Debian", "chromium-driver", false, Some("chromium chromium-driver")),
        ("Ubuntu", "chromium-chromedriver", true, Some("chromium-browser chromium-chromedriver")),
        ("Ubuntu in a container", "chromium-chromedriver", false, None),
        ("something else", "", false, None),
    ] {
        let machine = Machine::new();
        let brings = if browser.is_some() {
            &TEST[..]
        } else {
            &["redis-server", "prometheus", "promtool", "logrotate"]
        };
        machine.manager("apt-get", brings);
        machine.program(
            "apt-cache",
            &format!("[ \"$2\" = '{candidate}' ] && echo '  Candidate: 1' || echo '  Candidate: (none)'"),
        );
        if snap {
            machine.program("snap", "exit 1");
        }
        let done = machine.install(&["test"]);
        let (asked, said) = (machine.asked(), String::from_utf8_lossy(&done.stderr).into_owned());
        for package in others.lines() {
            assert!(asked.contains(package), "{system}: {asked}");
        }
        assert_eq!(done.status.success(), browser.is_some(), "{system}: {done:?}");
        if let Some(packages) = browser {
            assert!(asked.contains(packages), "{system}: {asked}");
        } else {
            assert!(!asked.contains("chromium"), "{system}: {asked}");
            assert!(said.contains("`chromedriver` is still missing") && said.contains("snap"), "{said}");
        }
    }
}
