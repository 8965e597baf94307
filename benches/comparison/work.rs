//! The kinds of requests, and whether a gateway decides rightly on them.

use std::net::SocketAddr;

use super::contestant::Contestant;
use super::loader::{Loader, in_turn};
use super::setting::{Setting, good_key};
use super::upstream::Upstream;

/// What a gateway has to do for a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Nothing,
    ApiKey,
    Token,
    Tokens,
}

impl Work {
    pub(crate) const ALL: [Self; 4] = [Self::Nothing, Self::ApiKey, Self::Token, Self::Tokens];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no authentication",
            Self::ApiKey => "API key, 10,000 loaded",
            Self::Token => "JWT RS256, one token",
            Self::Tokens => "JWT RS256, 5,000 tokens in turn",
        }
    }

    /// The path that asks for it.
    fn path(self) -> &'static str {
        match self {
            Self::Nothing => "/open/a",
            Self::ApiKey => "/key/a",
            Self::Token | Self::Tokens => "/jwt/a",
        }
    }

    /// Sends good requests to a gateway.
    pub(crate) fn loader(self, gateway: SocketAddr, setting: &Setting) -> Loader {
        self.sender(gateway, setting, &self.good(setting), 200)
    }

    fn sender(self, gateway: SocketAddr, setting: &Setting, credentials: &[String], status: u16) -> Loader {
        Loader::new(gateway, setting.material.client(b"http/1.1"), in_turn(self.path(), credentials), status)
    }

    /// Header lines with good credentials.
    fn good(self, setting: &Setting) -> Vec<String> {
        match self {
            Self::Nothing => vec![String::new()],
            Self::ApiKey => vec![key(&good_key())],
            Self::Token => vec![bearer(&setting.tokens[0])],
            Self::Tokens => setting.tokens.iter().map(|token| bearer(token)).collect(),
        }
    }

    /// Header lines with bad credentials.
    fn bad(self, setting: &Setting) -> Vec<String> {
        match self {
            Self::Nothing => Vec::new(),
            Self::ApiKey => vec![String::new(), key(&good_key().replace("live", "dead"))],
            Self::Token | Self::Tokens => {
                let (signed, signature) = setting.tokens[1].rsplit_once('.').expect("a signature");
                let other = if signature.starts_with('A') { "B" } else { "A" };
                let forged = format!("{signed}.{other}{}", &signature[1..]);
                vec![String::new(), bearer(&forged), bearer("a.b.c")]
            }
        }
    }
}

/// Stops the run if a gateway lets something bad pass, or refuses something good: its figures would say nothing.
pub(crate) async fn check(contestant: &Contestant, work: Work, setting: &Setting, upstream: &Upstream) {
    let Ok(running) = contestant.does(work) else { return };
    let before = upstream.requests();
    work.loader(running.address, setting).open(1).await;
    assert_eq!(upstream.requests(), before + 1, "{}: {} goes upstream", contestant.name, work.name());
    for credential in work.bad(setting) {
        work.sender(running.address, setting, &[credential], 401).open(1).await;
        assert_eq!(
            upstream.requests(),
            before + 1,
            "{}: {}: nothing goes upstream",
            contestant.name,
            work.name()
        );
    }
}

fn key(key: &str) -> String {
    format!("X-API-Key: {key}\r\n")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}
