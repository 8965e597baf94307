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
        for tool in ["sh", "grep", "sort", "env", "cat", "dirname", "sed"] {
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
            // A virtual environment has a pip.
            let does = match *command {
                "python3" => {
                    "[ \"$2\" != venv ] || { /bin/mkdir -p \"$3/bin\"; printf \"#!/bin/sh\\\\n\" >\"$3/bin/pip\"; /bin/chmod 755 \"$3/bin/pip\"; }"
                }
                _ => "",
            };
            bring += &format!(
                "printf '#!/bin/sh\\n%s\\n' '{does}' >{folder}/{command}\n/bin/chmod 755 {folder}/{command}\n"
            );
        }
        self.program(name, &format!("echo \"$@\" >>{folder}/asked\n{bring}"));
    }

    /// A compiler of which the system has no part.
    fn compiler(&self) {
        let folder = self.0.path().display();
        let about = "host: x\\nLLVM version: 99.1.2\\n";
        self.program(
            "rustc",
            &format!("[ \"$1\" = --print ] && echo {folder}/toolchain || printf '{about}'"),
        );
    }

    /// What writes llvm-profdata of this version to `path`.
    fn bringing_profdata(&self, path: &str, version: &str) -> String {
        let path = self.0.path().join(path).display().to_string();
        format!(
            "/bin/mkdir -p $(dirname {path})\nprintf '#!/bin/sh\\necho LLVM version {version}\\n' >{path}\n/bin/chmod 755 {path}"
        )
    }

    fn install(&self, what: &[&str]) -> Output {
        // A copy, because what it installs beside the packages goes into the folder `target` next to its own.
        let scripts = self.0.path().join("scripts");
        fs::create_dir_all(&scripts).unwrap();
        for name in ["install", "llvm-profdata"] {
            fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name), scripts.join(name))
                .unwrap();
        }
        let mut command = Command::new("/bin/sh");
        command.arg(scripts.join("install")).args(what).env_clear().env("PATH", self.0.path());
        command.output().unwrap()
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.0.path().join("asked")).unwrap_or_default()
    }
}

const BUILD: [&str; 4] = ["cmake", "cc", "make", "curl"];

const TEST: [&str; 10] = [
    "redis-server",
    "prometheus",
    "promtool",
    "chromedriver",
    "logrotate",
    "nginx",
    "haproxy",
    "python3",
    "node",
    "npm",
];

#[test]
fn each_package_manager_is_asked_for_what_it_has() {
    for (manager, build, test) in [
        (
            "dnf",
            "cmake curl gcc make",
            "chromium chromedriver haproxy logrotate nginx nodejs npm prometheus python3 python3-pip redis",
        ),
        (
            "apk",
            "build-base cmake curl make",
            "chromium chromium-chromedriver haproxy logrotate nginx nodejs npm prometheus python3 python3-pip redis",
        ),
        (
            "pacman",
            "base-devel cmake curl make",
            "chromium haproxy logrotate nginx nodejs npm prometheus python3 redis",
        ),
        (
            "brew",
            "cmake curl gcc make",
            "chromium chromedriver haproxy logrotate nginx node prometheus python3 redis",
        ),
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
    let others = "haproxy\nlogrotate\nnginx\nnodejs\nnpm\nprometheus\npython3\nredis-server";
    for (system, candidate, snap, browser) in [
        ("Debian", "chromium-driver", false, Some("chromium chromium-driver")),
        ("Ubuntu", "chromium-chromedriver", true, Some("chromium-browser chromium-chromedriver")),
        ("Ubuntu in a container", "chromium-chromedriver", false, None),
        ("something else", "", false, None),
    ] {
        let machine = Machine::new();
        let brings: Vec<&str> =
            TEST.into_iter().filter(|command| browser.is_some() || *command != "chromedriver").collect();
        machine.manager("apt-get", &brings);
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

/// rustup's belongs to the compiler, and comes before what the system may have.
#[test]
fn rustup_brings_what_a_profile_needs() {
    let machine = Machine::new();
    machine.compiler();
    machine.manager("apt-get", &[]);
    let folder = machine.0.path().display();
    let bring = machine.bringing_profdata("toolchain/lib/rustlib/x/bin/llvm-profdata", "99.1.2");
    machine.program("rustup", &format!("echo \"rustup $@\" >>{folder}/asked\n{bring}"));
    for _ in 0..2 {
        let done = machine.install(&["release"]);
        assert!(done.status.success(), "{done:?}");
        // The second time everything is there.
        assert_eq!(machine.asked(), "rustup component add llvm-tools\n");
    }
}

#[test]
fn a_system_without_rustup_brings_what_a_profile_needs() {
    for (manager, rustup, package, file) in [
        ("apt-get", None, "llvm-99", "llvm-profdata-99"),
        ("apk", None, "llvm99", "llvm-profdata-99"),
        ("brew", None, "llvm@99", "llvm-profdata-99"),
        ("dnf", None, "llvm", "llvm-profdata"),
        ("pacman", None, "llvm", "llvm-profdata"),
        ("dnf", Some("exit 1"), "llvm", "llvm-profdata"),
        // The compiler is not one of rustup's.
        ("dnf", Some("exit 0"), "llvm", "llvm-profdata"),
    ] {
        let machine = Machine::new();
        machine.compiler();
        let folder = machine.0.path().display();
        let bring = machine.bringing_profdata(file, "99.1.8");
        machine.program(
            manager,
            &format!(
                "echo \"$@\" >>{folder}/asked\nfor last; do :; done\n[ \"$last\" = -qq ] && exit\n\
                 [ \"$last\" = {package} ] || exit 1\n{bring}"
            ),
        );
        if let Some(rustup) = rustup {
            machine.program("rustup", rustup);
        }
        let done = machine.install(&["release"]);
        let asked = machine.asked();
        assert!(done.status.success(), "{manager}: {done:?}");
        assert!(asked.trim_end().ends_with(&format!(" {package}")), "{manager}: {asked}");
        assert!(machine.install(&["release"]).status.success());
        assert_eq!(machine.asked(), asked, "{manager}");
    }
}

/// A profile that is read by another LLVM than the compiler's is refused at the end of two builds.
#[test]
fn what_a_profile_needs_and_cannot_be_had_is_said_with_its_cure() {
    let cure = "llvm-profdata of LLVM 99 is needed: `rustup component add llvm-tools`";
    for manager in [Some("apt-get"), Some("dnf"), None] {
        let machine = Machine::new();
        machine.compiler();
        if let Some(manager) = manager {
            let bring = machine.bringing_profdata("llvm-profdata", "98.1.8");
            machine.program(manager, &bring);
        }
        let done = machine.install(&["release"]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success(), "{manager:?}: {done:?}");
        assert!(said.contains("`llvm-profdata` is still missing") && said.contains(cure), "{said}");
    }
}

#[test]
fn a_release_without_a_compiler_is_not_begun() {
    let machine = Machine::new();
    machine.manager("apt-get", &[]);
    let done = machine.install(&["release"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("https://rustup.rs"), "{done:?}");
    assert_eq!(machine.asked(), "");
}
