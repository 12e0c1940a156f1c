//! Renders MachineConfigs into one rendered config per pool

fn main() {}
