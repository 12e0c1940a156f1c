//! The program as its users meet it: started with flags, asked over TLS, stopped by signals.

#![expect(
    clippy::unwrap_used,
    reason = "in a test an unwrap is an assertion, in its helpers too"
)]

mod answers;
mod limits;
mod log;
mod reload;
mod shutdown;
mod start;
mod support;
mod tls;
