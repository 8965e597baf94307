//! `gateway.yaml`: whatever stands in it is compiled, or refused with problems that can be printed, in bounded time.

use super::policy::load;

pub fn run(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, input).expect("a file");
    match load(&path).0 {
        Ok(configuration) => assert!(!configuration.listeners.is_empty(), "a gateway listens somewhere"),
        Err(problems) => assert!(problems.contains("gateway.yaml"), "a refusal says where"),
    }
}
