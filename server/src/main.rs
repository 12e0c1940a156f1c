//! Hands Ignition to new machines

fn main() {}
