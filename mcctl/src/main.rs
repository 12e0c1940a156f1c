//! The people's tool: render, plan, lint, convert and inspect MachineConfigs

fn main() {}
