//! Keeps one node at its rendered config

fn main() {}
