//! Merging by the key table, for any number of configs in linear time.

use crate::Config;

/// Merges many configs one over the other, in time linear in their total size: keyed lists are
/// indexed once and stay indexed between the children.
#[derive(Debug)]
pub struct Merger {
    base: Config,
}

impl Merger {
    /// Starts with the undermost config.
    #[must_use]
    pub fn new(base: Config) -> Self {
        Self { base }
    }

    /// Merges `child` over what is there. Same result as [`Config::merge`].
    pub fn add(&mut self, child: Config) {
        let _ = child;
        todo!()
    }

    /// The merged config.
    #[must_use]
    pub fn finish(self) -> Config {
        self.base
    }
}
