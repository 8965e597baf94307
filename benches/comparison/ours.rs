//! This gateway, as it is by default but for the number of threads. It alone writes an access log.

use super::contestant::Contestant;
use super::process::binary;
use super::setting::{AUDIENCE, ISSUER, Setting, free_address};

pub(crate) fn start(setting: &Setting) -> Contestant {
    let address = free_address();
    let policy = format!(
        "version: 1\n\
         listen: [{{ address: \"{address}\", tls: true }}]\n\
         admin: {{ address: \"127.0.0.1:0\" }}\n\
         tls: {{ certificates: [{{ cert: server.crt, key: server.key }}] }}\n\
         auth:\n  \
           partners: {{ api_key: {{ keys: keys.yaml }} }}\n  \
           users: {{ jwt: {{ issuer: \"{ISSUER}\", audience: {AUDIENCE}, algorithms: [RS256], jwks_file: issuer.json }} }}\n\
         identity: {{ headers: {{ X-Auth-Subject: subject }} }}\n\
         upstreams: {{ api: \"http://{}\" }}\n\
         routes:\n  \
           - {{ name: open, match: {{ path: /open/** }}, auth: public, upstream: api }}\n  \
           - {{ name: key, match: {{ path: /key/** }}, auth: partners, upstream: api }}\n  \
           - {{ name: jwt, match: {{ path: /jwt/** }}, auth: users, upstream: api }}\n",
        setting.upstream
    );
    std::fs::write(setting.material.configuration(), policy).expect("a file");
    Contestant::start(
        "Portcullis",
        binary(),
        "--version",
        &["run", "--threads", "1", "--config", &setting.path("gateway.yaml")],
        address,
    )
}
