//! What stands in `deploy/` is good by the word of the very tool that it is for, and complete by ours.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of this is a test, also where it is not in a test function"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&read(name)).unwrap()
}

/// Runs a tool in `folder` and fails unless it is content.
fn content(folder: &str, program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(path(folder)).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; scripts/install test"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{program} {arguments:?}:\n{}", text.join("\n"));
}

/// The alerts of the rule file, in its order.
fn alerts() -> Vec<Value> {
    let rules = yaml("deploy/prometheus/portcullis.rules.yml");
    let groups = rules["groups"].as_array().unwrap().clone();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
    rules.filter(|rule| rule["alert"].is_string()).collect()
}

fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

#[test]
fn prometheus_takes_the_configuration_and_its_rules() {
    content("deploy/prometheus", "promtool", &["check", "config", "prometheus.yml"]);
    content("deploy/prometheus", "promtool", &["check", "rules", "--lint-fatal", "portcullis.rules.yml"]);
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    content("deploy/prometheus", "promtool", &["test", "rules", "portcullis.tests.yml"]);
    let tests = yaml("deploy/prometheus/portcullis.tests.yml");
    let checks: Vec<&Value> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    for alert in alerts() {
        let expected = |quiet: bool| {
            checks.iter().any(|check| {
                check["alertname"] == alert["alert"]
                    && check["exp_alerts"].as_array().unwrap().is_empty() == quiet
            })
        };
        assert!(expected(false), "no test in which {} fires", name(&alert));
        // The certificate of another test is quiet beside the one that expires.
        assert!(
            expected(true) || name(&alert) == "PortcullisCertificateExpiresNow",
            "no test in which {} is quiet",
            name(&alert)
        );
    }
}

#[test]
fn every_alert_says_what_happened_and_what_to_do() {
    let runbook = read("docs/runbook.md");
    let mut sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts();
    assert!(alerts.len() > 15);
    for alert in &alerts {
        let name = name(alert);
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        for text in ["summary", "description"] {
            let text = alert["annotations"][text].as_str().unwrap_or_default();
            assert!(text.len() > 10, "{name}: {text:?}");
        }
        let link = alert["annotations"]["runbook"].as_str().unwrap();
        let anchor = link.strip_prefix("docs/runbook.md#").unwrap();
        // Two alerts of one matter, by how urgent it is, share a section.
        let title = name.strip_suffix("Now").unwrap_or(name);
        assert_eq!(anchor, title.to_lowercase(), "{name}");
        sections.remove(title);
        let section = runbook.split(&format!("\n## {title}\n")).nth(1);
        let section = section.unwrap_or_else(|| panic!("the runbook has no section {title}"));
        let section = section.split("\n## ").next().unwrap();
        for part in ["**Means**: ", "**Look at**: ", "**Do**: "] {
            assert!(section.contains(part), "{title} in the runbook has no {part}");
        }
    }
    assert_eq!(sections, BTreeSet::new(), "sections of no alert");
    for link in runbook.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(alerts.iter().any(|alert| name(alert).to_lowercase() == link), "#{link} leads nowhere");
    }
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/portcullis.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: the id is taken");
        let at = &panel["gridPos"];
        let number = |name: &str| at[name].as_u64().unwrap();
        assert!(number("x") + number("w") <= 24, "{title}: {at}");
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(places.insert((x, y)), "{title} lies over another panel at {x}, {y}");
            }
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            assert!(expression.contains(r#"job="$job""#), "{title} looks at other jobs: {expression}");
        }
    }
    assert!(panels.len() > 30);
}

/// What files of a configuration are, wherever it looks for them.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let certificate = rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).unwrap();
        folder.write("tls/tls.crt", &certificate.cert.pem());
        folder.write("tls/tls.key", &certificate.signing_key.serialize_pem());
        let keys = folder.0.path().join("keys/keys.yaml");
        fs::create_dir(keys.parent().unwrap()).unwrap();
        let made = folder.portcullis(&[
            "keys",
            "new",
            "--file",
            keys.to_str().unwrap(),
            "--owner",
            "acme",
            "--expires",
            "90d",
        ]);
        assert!(made.0, "{}", made.1);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn portcullis(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let output = command.args(arguments).current_dir(self.0.path()).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    }

    /// `portcullis check` has nothing to say against `text`, whose files stand below `root`, but what is meant so.
    fn check(&self, text: &str, root: &str) {
        self.write("gateway.yaml", &text.replace(root, &format!("{}/", self.0.path().display())));
        let (good, said) = self.portcullis(&["check"]);
        let mut warnings = said.lines().filter(|line| line.contains("warning: "));
        let meant = [
            "a self-signed certificate is made at start",
            "metrics are served on an address that others may reach",
        ];
        assert!(
            good && warnings.all(|line| meant.iter().any(|meant| line.contains(meant))),
            "{said}\n{text}"
        );
    }
}

#[test]
fn configurations_in_deploy_are_good() {
    let folder = Folder::new();
    let compose =
        read("deploy/compose/gateway.yaml").replace("/var/lib/portcullis/", "/var/lib/portcullis/keys/");
    folder.check(&compose, "/var/lib/portcullis/");
    folder.check(&read("deploy/debian/gateway.yaml"), "/etc/portcullis/");

    let manifests = read("deploy/kubernetes/portcullis.yaml");
    let document = manifests.split("\n---\n").find(|document| document.contains("kind: ConfigMap")).unwrap();
    let map: Value = serde_yaml::from_str(document).unwrap();
    folder.check(map["data"]["gateway.yaml"].as_str().unwrap(), "/etc/portcullis/");
}

/// A health check that asks for what the binary does not have would take every container for sick.
#[test]
fn images_and_units_call_the_binary_as_it_is() {
    let folder = Folder::new();
    for (file, call, arguments) in [
        ("deploy/docker/Dockerfile", r#"CMD ["/usr/bin/portcullis", "health"]"#, vec!["health", "--help"]),
        ("deploy/docker/Dockerfile", r#"CMD ["run"]"#, vec!["run", "--help"]),
        (
            "deploy/systemd/portcullis.service",
            "portcullis run --config /etc/portcullis/gateway.yaml --drain 30s",
            vec!["run", "--drain", "30s", "--help"],
        ),
        (
            "deploy/systemd/portcullis.service",
            "portcullis check --config /etc/portcullis/gateway.yaml",
            vec!["check", "--help"],
        ),
        (
            "deploy/kubernetes/portcullis.yaml",
            r#"args: [run, --config, /etc/portcullis/config/gateway.yaml, --drain-delay, "5s", --drain, "30s", --log-level, info]"#,
            vec!["run", "--drain-delay", "5s", "--drain", "30s", "--log-level", "info", "--help"],
        ),
        (
            "deploy/compose/compose.yaml",
            r#"[keys, new, --file, /var/lib/portcullis/keys.yaml, --owner, acme, --scopes, "orders:read", --expires, 90d]"#,
            vec![
                "keys",
                "new",
                "--file",
                "k.yaml",
                "--owner",
                "acme",
                "--scopes",
                "orders:read",
                "--expires",
                "90d",
            ],
        ),
    ] {
        assert!(read(file).contains(call), "{file} has no {call}");
        let (good, said) = folder.portcullis(&arguments);
        assert!(good, "{file}: {call}: {said}");
    }
}

/// Whatever a mount or a copy names has to be there.
#[test]
fn files_that_are_mounted_exist() {
    let compose = yaml("deploy/compose/compose.yaml");
    let mut mounted = 0;
    for service in compose["services"].as_object().unwrap().values() {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            if from.starts_with('.') {
                mounted += 1;
                assert!(path("deploy/compose").join(from).exists(), "{from}");
            }
        }
    }
    assert_eq!(mounted, 3);
}

/// What the image is built from is all that cargo asks for.
#[test]
fn the_image_has_everything_that_is_built() {
    let context = tempfile::tempdir().unwrap();
    for line in read(".dockerignore").lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(path(line).exists(), "{line} in .dockerignore");
        let to = context.path().join(line);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = Command::new("cp").arg("-R").arg(path(line)).arg(&to).status().unwrap();
        assert!(copied.success(), "{line}");
    }
    let folder = context.path().to_str().unwrap();
    content(folder, env!("CARGO"), &["metadata", "--no-deps", "--locked", "--offline"]);
    // What it is built with, and what that calls.
    let mut scripts = vec!["scripts/release".to_owned()];
    assert!(read("deploy/docker/Dockerfile").contains(&scripts[0]));
    while let Some(script) = scripts.pop() {
        content(folder, "sh", &["-n", &script]);
        let text = fs::read_to_string(context.path().join(&script)).unwrap();
        let code = text.lines().filter(|line| !line.starts_with('#'));
        let calls = code.flat_map(|line| line.split("scripts/").skip(1));
        let name = |rest: &str| {
            rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '-').collect::<String>()
        };
        scripts.extend(calls.map(|rest| format!("scripts/{}", name(rest))));
    }
}
