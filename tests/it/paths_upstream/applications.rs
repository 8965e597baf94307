//! Applications of others behind a prefix or a base path: Python's `http.server`, whose redirect from a folder without a slash
//! to the one with it is the classic case.

use std::path::Path;
use std::process::Command;

use crate::harness::gateway::Gateway;
use crate::harness::process::Process;
use crate::harness::programs::curl;

/// A running `python3 -m http.server`. Dropping it kills it.
struct FileServer {
    process: Process,
    port: u16,
}

impl FileServer {
    /// Serves `folder` on a port that the system chooses.
    async fn start(folder: &Path) -> Self {
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]).arg(folder);
        let process = Process::start(&mut command);
        let port = |line: &str| line.split(" port ").nth(1)?.split(' ').next()?.parse().ok();
        let port = process.stdout.wait_for("the port of http.server", 0, port).await;
        Self { process, port }
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.process.kill();
    }
}

const YAML: &str = r#"
    upstreams:
      files: http://127.0.0.1:{port}
      site: { targets: ["http://127.0.0.1:{port}/site"], host: upstream }
    routes:
      - { name: files, match: { path: /files/** }, auth: public, upstream: files, rewrite: { strip_prefix: /files } }
      - { name: site, match: { path: /docs/** }, auth: public, upstream: site }
      - { name: both, match: { path: /mounted/** }, auth: public, upstream: site, rewrite: { strip_prefix: /mounted } }
"#;

#[tokio::test]
async fn serves_folders_of_python_http_server_behind_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [("dir/index.html", "a folder"), ("site/docs/index.html", "documents")] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let server = FileServer::start(folder.path()).await;
    let gateway = Gateway::builder(YAML).with("port", server.port.to_string()).start().await;
    for (path, location, text) in [
        ("/files/dir", "/files/dir/", "a folder"),
        ("/files/dir?a=/b", "/files/dir/?a=/b", "a folder"),
        ("/docs", "/docs/", "documents"),
        ("/mounted/docs", "/mounted/docs/", "documents"),
        ("/files/site/docs", "/files/site/docs/", "documents"),
    ] {
        let response = gateway.https().get(path).await;
        assert_eq!((response.status, response.header("Location")), (301, Some(location)), "{path}");
        for http2 in ["--http1.1", "--http2"] {
            let url = format!("https://localhost:{}{path}", gateway.https_port(0));
            let finished =
                curl([http2, "--location", "--write-out", " %{http_code} %{num_redirects}", &url]).await;
            assert_eq!(finished.assert_success().stdout, format!("{text} 200 1\n"), "{path}, {http2}");
        }
    }
}
