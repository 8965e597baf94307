//! The real logrotate takes logs away by the rules that come with the package, while requests go on.

use std::collections::HashSet;
use std::process::Command;

use crate::harness::client::{Load, Request};
use crate::harness::gateway::Gateway;
use crate::harness::process::run;

/// The rules in `deploy/`, for a folder, a process and a user of this test.
fn rules(gateway: &Gateway) -> String {
    let mut text = include_str!("../../../deploy/logrotate/portcullis").to_owned();
    let pid = gateway.process().pid().to_string();
    for (ours, theirs) in [
        ("/var/log/portcullis", gateway.path("logs").to_str().unwrap()),
        ("    su portcullis portcullis\n", ""),
        ("$(systemctl show --property MainPID --value portcullis.service)", &pid),
    ] {
        assert!(text.contains(ours), "{ours} is not in\n{text}");
        text = text.replace(ours, theirs);
    }
    text
}

#[tokio::test]
async fn logrotate_takes_logs_away_and_no_line_with_them() {
    let gateway = Gateway::builder(
        r#"
        log: { access: "file:logs/access.log", audit: "file:logs/audit.log" }
        upstreams: { echo: builtin:echo }
        routes: [{ name: docs, match: { path: /docs }, auth: public, upstream: echo }]
        "#,
    )
    .file("logs/README", "")
    .start()
    .await;
    let load = Load::of(&gateway.https(), Request::get("/nothing")).connections(4).start();
    gateway.write("logrotate.conf", &rules(&gateway));
    // `notifempty`: a log whose first line is still on its way to the file is left alone.
    for log in ["logs/access.log", "logs/audit.log"] {
        gateway.wait_for_line(log, |_| true).await;
    }
    for _ in 0..3 {
        load.wait_for_more(50).await;
        let mut command = Command::new("logrotate");
        let (state, rules) = (gateway.path("state"), gateway.path("logrotate.conf"));
        run(command.arg("--force").arg("--state").args([state, rules])).await.assert_success();
        // A log that is not there yet is not taken away the next time, as it is in a day.
        for log in ["logs/access.log", "logs/audit.log"] {
            gateway.wait_for_line(log, |_| true).await;
        }
    }
    let report = load.stop().await;
    report.assert_all(404);
    assert!(gateway.terminate().await.success());
    for (log, more) in [("access", 0), ("audit", 4)] {
        let mut lines = HashSet::new();
        let mut count = 0;
        for number in ["", ".1", ".2.gz", ".3.gz"] {
            let path = gateway.path(&format!("logs/{log}.log{number}"));
            let read =
                run(Command::new("gzip").args(["--stdout", "--decompress", "--force"]).arg(&path)).await;
            read.assert_success();
            assert!(read.stdout.is_empty() || read.stdout.ends_with('\n'), "{}", path.display());
            count += read.stdout.lines().count() as u64;
            lines.extend(read.stdout.lines().map(str::to_owned));
        }
        assert_eq!((count, lines.len() as u64), (report.answered() + more, count), "{log}");
    }
}
