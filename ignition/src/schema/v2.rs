//! The table of the 2.x specs.
