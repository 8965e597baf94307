//! A real Redis on a free port, in a folder of its own, that keeps nothing on disk.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Redis {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Redis {
    /// Starts one and waits until it listens.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
        let process = Command::new("redis-server")
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("a redis-server (`scripts/install test`)");
        let redis = Self { process, address, _folder: folder };
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "Redis listens");
            std::thread::sleep(Duration::from_millis(20));
        }
        redis
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Revokes tokens that nobody has, those with these numbers, for so many seconds.
    pub(crate) fn revoke(&self, numbers: Range<u64>, seconds: u32) {
        let count = numbers.end - numbers.start;
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        let mut answers = stream.try_clone().expect("a connection");
        let reader = std::thread::spawn(move || {
            let mut missing = count * "+OK\r\n".len() as u64;
            let mut buffer = vec![0; 64 << 10];
            while missing > 0 {
                let read = answers.read(&mut buffer).expect("answers");
                assert!(read > 0 && !buffer[..read].contains(&b'-'), "every answer is good");
                missing = missing.saturating_sub(read as u64);
            }
        });
        let mut commands = Vec::new();
        for number in numbers {
            let name = format!("portcullis:revoked:jti:*:nobody-{number:024}");
            commands.extend_from_slice(set(&name, seconds).as_bytes());
            if commands.len() > 64 << 10 {
                stream.write_all(&commands).expect("commands that can be sent");
                commands.clear();
            }
        }
        stream.write_all(&commands).expect("commands that can be sent");
        reader.join().expect("all answers");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command that writes an entry, for so many seconds.
fn set(name: &str, seconds: u32) -> String {
    let seconds = seconds.to_string();
    let mut command = String::from("*5\r\n");
    for word in ["SET", name, "", "EX", &seconds] {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    command
}
