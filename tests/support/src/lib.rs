//! What tests need from outside: a PostgreSQL of their own, and servers that take what leaves.

pub mod http_sink;
pub mod pg;
pub mod smtp_sink;

pub use http_sink::{Answer, HttpSink, Request};
pub use smtp_sink::{Mail, SmtpAnswer, SmtpSink, SmtpStep};
