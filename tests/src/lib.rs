//! End to end checks against real parts, and the vectors.

pub mod vectors;
