//! HAProxy (2.5 or newer, for `jwt_verify`) with one thread.

use super::contestant::Contestant;
use super::setting::{AUDIENCE, ISSUER, Setting, free_address};

pub(crate) fn start(setting: &Setting) -> Contestant {
    let address = free_address();
    let read = |name| std::fs::read_to_string(setting.path(name)).expect("a file");
    let certificate = setting.write("haproxy.pem", &(read("server.crt") + &read("server.key")));
    let keys: Vec<String> = Setting::keys().map(|(key, owner)| format!("{key} {owner}\n")).collect();
    let keys = setting.write("haproxy.map", &keys.concat());
    let issuer = setting.path("issuer.pem");
    let configuration = format!(
        "global\n\
         \x20 nbthread 1\n\
         \x20 maxconn 8000\n\
         defaults\n\
         \x20 mode http\n\
         \x20 timeout connect 5s\n\
         \x20 timeout client 600s\n\
         \x20 timeout server 600s\n\
         \x20 timeout http-keep-alive 600s\n\
         \x20 http-reuse always\n\
         frontend clients\n\
         \x20 bind {address} ssl crt {certificate} alpn h2,http/1.1 ssl-min-ver TLSv1.3\n\
         \x20 acl open path_beg /open/\n\
         \x20 acl key path_beg /key/\n\
         \x20 acl jwt path_beg /jwt/\n\
         \x20 http-request deny deny_status 404 unless open or key or jwt\n\
         \x20 http-request del-header X-Auth-Subject\n\
         \x20 http-request set-var(txn.owner) req.hdr(x-api-key),map_str({keys}) if key\n\
         \x20 http-request deny deny_status 401 if key !{{ var(txn.owner) -m found }}\n\
         \x20 http-request set-header X-Auth-Subject %[var(txn.owner)] if key\n\
         \x20 http-request del-header X-API-Key if key\n\
         \x20 http-request set-var(txn.token) http_auth_bearer if jwt\n\
         \x20 http-request deny deny_status 401 if jwt !{{ var(txn.token) -m found }}\n\
         \x20 http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg') if jwt\n\
         \x20 http-request deny deny_status 401 if jwt !{{ var(txn.alg) -m str RS256 }}\n\
         \x20 http-request deny deny_status 401 if jwt !{{ var(txn.token),jwt_verify(txn.alg,\"{issuer}\") -m int 1 }}\n\
         \x20 http-request set-var(txn.now) date() if jwt\n\
         \x20 http-request deny deny_status 401 if jwt !{{ var(txn.token),jwt_payload_query('$.exp','int'),sub(txn.now) -m int gt 0 }}\n\
         \x20 http-request deny deny_status 401 if jwt !{{ var(txn.token),jwt_payload_query('$.iss') -m str {ISSUER} }}\n\
         \x20 http-request deny deny_status 401 if jwt !{{ var(txn.token),jwt_payload_query('$.aud') -m str {AUDIENCE} }}\n\
         \x20 http-request set-header X-Auth-Subject %[var(txn.token),jwt_payload_query('$.sub')] if jwt\n\
         \x20 http-request del-header Authorization if jwt\n\
         \x20 default_backend api\n\
         backend api\n\
         \x20 option forwardfor\n\
         \x20 server api {} pool-max-conn 1000\n",
        setting.upstream
    );
    let configuration = setting.write("haproxy.cfg", &configuration);
    Contestant::start("HAProxy", "haproxy", "-v", &["-db", "-f", &configuration], address)
}
