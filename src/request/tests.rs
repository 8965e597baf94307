//! Requests as rows: what the HTTP library hands over, and what it is read as.

use super::*;

fn parse(
    method: &str,
    target: &str,
    authority: Option<&str>,
    fields: &[(&str, &str)],
) -> Result<String, Malformed> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    let connection =
        Connection { peer: IpAddr::from([127, 0, 0, 1]), transport: Transport::Tls, certificate: None };
    let parts =
        Parts { method, target: target.as_bytes(), authority, headers: &headers, connection: &connection };
    Request::parse(parts)
        .map(|request| format!("{} {} {}", request.method(), request.host(), request.target().path()))
}

#[test]
fn hosts_and_authorities() {
    use Malformed as M;
    for (authority, hosts, expect) in [
        (None, vec!["API.example.com."], Ok("GET api.example.com /a")),
        (Some("api.example.com:443"), vec![], Ok("GET api.example.com /a")),
        (Some("api.example.com"), vec!["API.EXAMPLE.COM"], Ok("GET api.example.com /a")),
        (Some("api.example.com"), vec!["other.example.com"], Err(M::Host)),
        (Some("api.example.com:443"), vec!["api.example.com:444"], Err(M::Host)),
        (None, vec!["a", "a"], Err(M::Host)),
        (None, vec!["a,b"], Err(M::Host)),
        (None, vec!["a@b"], Err(M::Host)),
        (None, vec!["a:99999"], Err(M::Host)),
        (None, vec!["a/../b"], Err(M::Host)),
        (None, vec![""], Err(M::Host)),
        (None, vec![], Err(M::Host)),
    ] {
        let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        assert_eq!(
            parse("GET", "/a", authority, &fields).as_deref(),
            expect.as_ref().map(|text| &**text),
            "{hosts:?}"
        );
    }
}

#[test]
fn connection_options_cannot_remove_what_frames_or_routes() {
    for option in ["Host", "close, transfer-encoding", "Content-Length", "keep-alive, Authorization"] {
        let fields = [("host", "a"), ("connection", option)];
        assert_eq!(parse("GET", "/", None, &fields), Err(Malformed::ConnectionOption), "{option}");
    }
    assert!(parse("GET", "/", None, &[("host", "a"), ("connection", "close, X-Auth-Subject")]).is_ok());
}

#[test]
fn methods() {
    for (method, good) in
        [("GET", true), ("get", true), ("PROPFIND", true), ("", false), (&"X".repeat(33), false)]
    {
        assert_eq!(parse(method, "/", None, &[("host", "a")]).is_ok(), good, "{method}");
    }
}

#[test]
fn header_names_have_one_normal_form() {
    for name in ["X-Auth-Subject", "X_Auth_Subject", "x.auth.subject", "x-auth_subject", "x!auth~Subject"] {
        assert_eq!(normal_header_name(name), "x-auth-subject");
    }
}
