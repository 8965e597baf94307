//! What end-to-end tests are made of. Each module is one party of a test; [`gateway`] is the one that is tested, all
//! others are independent of its code, so that a mistake in it cannot hide behind the same mistake here.

pub mod background;
pub mod balancer;
pub mod browser;
pub mod client;
pub mod cluster;
pub mod credentials;
pub mod deadline;
pub mod gateway;
pub mod http1;
pub mod issuer;
pub mod port;
pub mod problem;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod proxy;
pub mod redis;
pub mod scale;
pub mod text;
pub mod tls;
pub mod upstream;
pub mod websocket;
