//! nginx with one worker. The free one knows no JWTs.

use super::contestant::Contestant;
use super::setting::{Setting, free_address};
use super::work::Work;

const NO_TOKENS: &str = "JWTs are in the commercial edition only";

pub(crate) fn start(setting: &Setting) -> Contestant {
    let address = free_address();
    let keys: Vec<String> = Setting::keys().map(|(key, owner)| format!("{key} {owner};\n")).collect();
    let keys = setting.write("nginx.map", &keys.concat());
    let folder = setting.path("nginx");
    std::fs::create_dir_all(&folder).expect("a folder");
    let configuration = format!(
        "worker_processes 1;\n\
         daemon off;\n\
         pid {folder}/pid;\n\
         error_log stderr error;\n\
         events {{ worker_connections 16384; }}\n\
         http {{\n\
           access_log off;\n\
           keepalive_timeout 600s;\n\
           keepalive_requests 100000000;\n\
           client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
           fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
           map_hash_max_size 65536;\n\
           map_hash_bucket_size 128;\n\
           map $http_x_api_key $owner {{ default \"\"; include {keys}; }}\n\
           upstream api {{ server {upstream}; keepalive 256; keepalive_requests 100000000; keepalive_timeout 600s; }}\n\
           server {{\n\
             listen {address} ssl http2;\n\
             ssl_certificate {certificate};\n\
             ssl_certificate_key {key};\n\
             ssl_protocols TLSv1.3;\n\
             proxy_http_version 1.1;\n\
             location /open/ {{\n\
               {forward}\n\
               proxy_set_header X-Auth-Subject \"\";\n\
               proxy_pass http://api;\n\
             }}\n\
             location /key/ {{\n\
               if ($owner = \"\") {{ return 401; }}\n\
               {forward}\n\
               proxy_set_header X-Auth-Subject $owner;\n\
               proxy_set_header X-API-Key \"\";\n\
               proxy_pass http://api;\n\
             }}\n\
           }}\n\
         }}\n",
        upstream = setting.upstream,
        certificate = setting.path("server.crt"),
        key = setting.path("server.key"),
        forward = "proxy_set_header Connection \"\"; proxy_set_header Host $host; \
                   proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;",
    );
    let configuration = setting.write("nginx.conf", &configuration);
    Contestant::start("nginx", "nginx", "-v", &["-e", "stderr", "-p", &folder, "-c", &configuration], address)
        .lacks(&[(Work::Token, NO_TOKENS), (Work::Tokens, NO_TOKENS)])
}
