//! Every mistake as a row: what is put in place of which part of a good file, and what must be said about it.

use super::{Folder, GOOD};

#[test]
#[expect(clippy::too_many_lines, reason = "a table of mistakes")]
fn what_is_wrong_is_said_with_its_place_and_a_cure() {
    let folder = Folder::new();
    let mut wrong = Vec::new();
    for (from, to, expect) in [
        (
            "version: 1",
            "version: 2",
            vec!["1:10: this is version 2 of the file format (this Portcullis reads version 1)"],
        ),
        ("version: 1\n", "", vec!["1:1: `version` is missing here (add `version: …`)"]),
        (
            "tls: true }",
            "}",
            vec![
                "3:5: what is spoken on this address is not said (add `tls: true`; `redirect: https` and `plaintext: true` are the other two)",
            ],
        ),
        (
            "tls: true }",
            "tls: true, plaintext: true }",
            vec!["3:5: only one of `tls`, `redirect` and `plaintext` can be spoken on an address"],
        ),
        ("tls: true }", "redirect: https }", vec!["3:3: a listener redirects to HTTPS, and none speaks it"]),
        (
            "127.0.0.1:0",
            "localhost:8443",
            vec![
                "3:16: an IP address and a port are expected here, such as `0.0.0.0:8443`, `127.0.0.1:8443` or `[::]:8443`",
            ],
        ),
        (
            "tls: { certificates: [{ cert: api.crt, key: api.key }] }\n",
            "",
            vec![
                "3:5: this listener speaks TLS, and the file has no `tls` section (add `tls: { certificates: [{ cert: …, key: … }] }`, or `self_signed: [localhost]` for development)",
            ],
        ),
        (
            "key: api.key",
            "key: other.key",
            vec![
                "4:23: the key does not fit the certificate (the key must be the one that the first certificate of `cert` was issued for)",
            ],
        ),
        (
            "key: api.key",
            "key: api.crt",
            vec![
                "4:45: this file contains no private key in PEM (expected is a block that begins with `-----BEGIN PRIVATE KEY-----`)",
            ],
        ),
        (
            "cert: api.crt",
            "cert: users",
            vec![
                "4:31: this file contains no certificate in PEM (expected are blocks that begin with `-----BEGIN CERTIFICATE-----`)",
            ],
        ),
        (
            "{ api_key: { keys: keys.yaml } }",
            "{ api_kee: { keys: keys.yaml } }",
            vec!["6:15: this must be one of `api_key`, `basic` and `jwt` (did you mean `api_key`?)"],
        ),
        (
            "{ api_key: { keys: keys.yaml } }",
            "{ introspection: {} }",
            vec![
                "6:15: `introspection` is not supported yet (this is reserved for a later version: remove it)",
            ],
        ),
        ("realm: Tools", "relm: Tools", vec!["7:35: unknown key `relm` (did you mean `realm`?)"]),
        (
            "  staff:",
            "  none:",
            vec![
                "7:3: `none` cannot be a name (`none` stands for \"no route\" in metrics, `public` for \"no authentication\" in routes)",
                "7:3: no route uses `none` (use it in a route or remove it, unless a route that has a mistake uses it)",
                "13:22: there is no `staff` in `auth` (add it to `auth`)",
            ],
        ),
        (
            "http://api:8080",
            "api:8080",
            vec![
                "9:8: this is not the URL of a server (write `http://host:port`, `https://host:port`, or `h2c://host:port` for HTTP/2 in the clear)",
            ],
        ),
        (
            "http://api:8080",
            "{ targets: [] }",
            vec![
                "9:19: at least one target must stand here (write `http://host:port`, `https://host:port`, or `h2c://host:port` for HTTP/2 in the clear)",
            ],
        ),
        (
            "http://api:8080",
            "{ targets: [\"http://a\"], health: { path: / } }",
            vec!["9:33: `health` is not supported yet (this is reserved for a later version: remove it)"],
        ),
        (
            "http://api:8080",
            "{ targets: [\"http://a\"], timeouts: { conect: 1s } }",
            vec!["9:45: unknown key `conect` (did you mean `connect`?)"],
        ),
        (
            "http://api:8080",
            "{ targets: [\"http://a\"], timeouts: { connect: 1 } }",
            vec!["9:54: a duration such as `30s` is expected here, found a number"],
        ),
        (
            "http://api:8080",
            "{ targets: [\"http://a\"], timeouts: { connect: 1x } }",
            vec!["9:54: a duration is expected here, such as `250ms`, `30s`, `15m`, `24h` or `90d`"],
        ),
        (
            "http://api:8080",
            "{ targets: [\"http://a\"], tls: { server_name: a } }",
            vec!["9:38: `tls` is set, and no target is `https` (remove it or change a target)"],
        ),
        (
            "  api: http://api:8080",
            "  api: http://api:8080\n  spare: http://spare",
            vec!["10:3: no route uses `spare` (use it in a route or remove it)"],
        ),
        (
            "upstream: api",
            "upstream: apis",
            vec!["14:15: there is no `apis` in `upstreams` (did you mean `api`?)"],
        ),
        (
            "auth: [partners, staff]",
            "auth: [partners, stuff]",
            vec!["13:22: there is no `stuff` in `auth` (did you mean `staff`?)"],
        ),
        (
            "auth: [partners, staff]",
            "auth: []",
            vec![
                "6:3: no route uses `partners` (use it in a route or remove it, unless a route that has a mistake uses it)",
                "7:3: no route uses `staff` (use it in a route or remove it, unless a route that has a mistake uses it)",
                "11:5: `auth` is missing here (name a method of `auth`, or write `auth: public` if anyone may use this route)",
                "13:11: at least one method must stand here; `public` says that anyone may",
            ],
        ),
        (
            "    auth: [partners, staff]\n",
            "",
            vec![
                "6:3: no route uses `partners` (use it in a route or remove it, unless a route that has a mistake uses it)",
                "7:3: no route uses `staff` (use it in a route or remove it, unless a route that has a mistake uses it)",
                "11:5: `auth` is missing here (name a method of `auth`, or write `auth: public` if anyone may use this route)",
            ],
        ),
        (
            "path: /orders/**",
            "path: orders/**",
            vec![
                "12:20: this is not a path that a request could have (a path starts with `/` and has no empty, `.` or `..` segments)",
            ],
        ),
        (
            "path: /orders/**",
            "path: /orders**",
            vec![
                "12:20: a wildcard stands for whole segments (write `/a/*` for one segment or `/a/**` for everything under `/a`)",
            ],
        ),
        (
            "path: /orders/**",
            "path: /orders/**, methods: [get]",
            vec!["12:42: methods are case-sensitive: `get` would match nothing (write `GET`)"],
        ),
        (
            "path: /orders/**",
            "path: /orders/**, methods: [CONNECT]",
            vec!["12:42: CONNECT is never passed on (it makes a tunnel or echoes credentials)"],
        ),
        (
            "    upstream: api",
            "    allow: {}\n    upstream: api",
            vec![
                "14:12: `allow` lists no method, so nobody could use this route (remove it, or list methods)",
            ],
        ),
        (
            "    upstream: api",
            "    allow: { \"GET, POST\": {}, GET: {} }\n    upstream: api",
            vec!["14:31: GET is listed twice (each method has one rule)"],
        ),
        (
            "    upstream: api",
            "    allow: { GET: { scope: [a] } }\n    upstream: api",
            vec!["14:21: unknown key `scope` (did you mean `scopes`?)"],
        ),
        (
            "    upstream: api",
            "    allow: { GET: { scopes: [\"a b\"] } }\n    upstream: api",
            vec!["14:30: this is no scope (visible ASCII characters without quotes, commas and backslashes)"],
        ),
        (
            "    upstream: api",
            "    rewrite: { strip_prefix: /v1 }\n    upstream: api",
            vec!["14:30: the route's path does not begin with this (the path is `/orders/**`)"],
        ),
        (
            "    upstream: api",
            "    rewrite: { strip_prefix: /ord }\n    upstream: api",
            vec!["14:30: the route's path does not begin with this (the path is `/orders/**`)"],
        ),
        (
            "    upstream: api",
            "    rate_limit: { rate: 600/m }\n    upstream: api",
            vec![
                "14:5: `rate_limit` is not supported yet (this key is reserved for a later version: remove it)",
            ],
        ),
        (
            "    upstream: api",
            "    encoded_slashes: yes\n    upstream: api",
            vec!["14:22: this must be one of `allow` and `refuse`"],
        ),
        (
            "    upstream: api",
            "    upstream: api\n    upstream: api",
            vec!["15:5: `upstream` is given twice (the first one is in line 14: keep one of them)"],
        ),
        (
            "auth:\n",
            "trusted_proxies: [10.0.0.0/8, 0.0.0.0/1, 128.0.0.0/1]\nauth:\n",
            vec![
                "5:19: these networks cover the whole internet (a trusted proxy can claim any client address: list the addresses of your proxies only)",
            ],
        ),
        (
            "auth:\n",
            "trusted_proxies: [\"::/0\"]\nauth:\n",
            vec![
                "5:19: these networks cover the whole internet (a trusted proxy can claim any client address: list the addresses of your proxies only)",
            ],
        ),
        (
            "auth:\n",
            "trusted_proxies: [localhost]\nauth:\n",
            vec![
                "5:19: this is not an IP network (write a network such as `10.0.0.0/8` or `fd00::/8`, or a single address)",
            ],
        ),
        (
            "auth:\n",
            "trusted_proxies: [127.0.0.1, 10.1.2.3/8]\nauth:\n",
            vec![
                "5:30: this network has host bits set: 10.1.2.3 is one address of 10.0.0.0/8 (write `10.0.0.0/8` for the whole network, or `10.1.2.3` for this address only)",
            ],
        ),
        (
            "auth:\n",
            "trusted_proxies: { networks: [\"2000::/4\", \"3000::/4\"], header: forwarded }\nauth:\n",
            vec![
                "5:31: these networks cover the whole internet (a trusted proxy can claim any client address: list the addresses of your proxies only)",
            ],
        ),
        (
            "auth:\n",
            "trusted_proxies: { networks: [], header: x-forwarded-for }\nauth:\n",
            vec![
                "5:30: at least one network must stand here (list the addresses of your proxies, such as `10.0.0.0/24`, or remove `trusted_proxies`)",
            ],
        ),
        (
            "auth:\n",
            "trusted_proxies: { networks: [10.0.0.1] }\nauth:\n",
            vec!["5:18: `header` is missing here (add `header: …`)"],
        ),
        (
            "auth:\n",
            "trusted_proxies: { networks: [10.0.0.1], header: x-real-ip }\nauth:\n",
            vec!["5:50: this must be one of `forwarded` and `x-forwarded-for`"],
        ),
        (
            "auth:\n",
            "trusted_proxies: { networks: [10.0.0.1], headers: forwarded }\nauth:\n",
            vec!["5:42: unknown key `headers` (did you mean `header`?)"],
        ),
        (
            "auth:\n",
            "trusted_proxies: 10.0.0.1\nauth:\n",
            vec![
                "5:18: a list of networks, or a mapping with `networks` and `header` is expected here, found text",
            ],
        ),
        (
            "auth:\n",
            "identity: { headers: { X-Auth-Subject: subjekt } }\nauth:\n",
            vec!["5:40: nothing called `subjekt` is known about a caller (did you mean `subject`?)"],
        ),
        (
            "auth:\n",
            "identity: { headers: { Authorization: subject } }\nauth:\n",
            vec!["5:24: `Authorization` has a meaning of its own (choose a name such as `X-Auth-Subject`)"],
        ),
        (
            "auth:\n",
            "identity: { headers: { X-User: subject, X_User: method } }\nauth:\n",
            vec![
                "5:41: upstreams may not tell `X_User` from `x-user` (many servers take upper and lower case, `_`, `.` and `-` for the same)",
            ],
        ),
        (
            "auth:\n",
            "identity: { assertion: {} }\nauth:\n",
            vec![
                "5:11: `headers` is missing here (add `headers: …`)",
                "5:13: `assertion` is not supported yet (this key is reserved for a later version: remove it)",
            ],
        ),
        (
            "auth:\n",
            "limits: { request_header_bytes: 32KB }\nauth:\n",
            vec!["5:33: a size is expected here, such as `512B`, `64KiB`, `16MiB` or `1GiB`"],
        ),
        (
            "auth:\n",
            "admin: { address: \"127.0.0.1:0\", token: hunter2 }\nauth:\n",
            vec![
                "5:41: a secret cannot stand in this file (write `file:PATH`, or `${NAME}` for an environment variable)",
            ],
        ),
        (
            "auth:\n",
            "admin: { address: \"127.0.0.1:0\", token: \"${UPSTREAM}\" }\nauth:\n",
            vec![
                "5:41: this admin token is short, so that it may be guessed (`openssl rand -hex 32` makes one that is never held up by the wrong ones of others)",
            ],
        ),
        (
            "http://api:8080",
            "${NOWHERE}",
            vec!["9:8: the environment variable `NOWHERE` is not set and has no default (`${NOWHERE:-…}`)"],
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let found = folder.problems(&GOOD.replacen(from, to, 1));
        if found != expect {
            wrong.push(format!("{from} → {to}\n  found {found:#?}\n  expected {expect:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
