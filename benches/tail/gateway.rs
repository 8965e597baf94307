//! How clients connect to the gateway, and with which credentials.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::connect_tls;
use super::material::Material;
use super::season::{lasting_key, token};
use super::unrest::{PASSWORD, user};

/// The header lines of each kind of good credential.
pub(crate) fn credentials(_material: &Material) -> [String; 3] {
    [
        format!("X-API-Key: {}\r\n", lasting_key(0)),
        format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{}:{PASSWORD}", user(0)))),
        format!("Authorization: Bearer {}\r\n", token(0)),
    ]
}

/// How clients connect that speak `protocol`, and never resume a session.
pub(crate) fn client(material: &Material, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut config = material.client(protocol);
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// The status of the answer to a request with this credential, on a connection of its own.
pub(crate) async fn status(
    gateway: SocketAddr,
    config: &Arc<ClientConfig>,
    credential: &str,
) -> std::io::Result<u16> {
    let mut stream = connect_tls(gateway, config).await?;
    let request = format!("GET /v1/orders HTTP/1.1\r\nHost: localhost\r\n{credential}\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).await?;
    let head = String::from_utf8_lossy(&buffer[..count]).into_owned();
    Ok(head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// Until the revocation list has been read the answer is 503.
pub(crate) fn wait_until_ready(gateway: SocketAddr, material: &Material) {
    let config = client(material, b"http/1.1");
    let [credential, ..] = credentials(material);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        while status(gateway, &config, &credential).await.ok() != Some(200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}
