//! What the disk should hold against what it holds, with redacted diffs.
