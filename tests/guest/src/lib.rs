//! What runs inside the guests of the power-cut tests: the manifest of a tree, and the program that the harness is tried on. The
//! first process of a guest is the binary `guest-init`.

pub mod manifest;
pub mod standin;
