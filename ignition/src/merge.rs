//! Merging by the key table, for any number of configs in linear time.

mod node;

use crate::schema::v3;
use crate::tree::{Map, Value};
use crate::{Config, encode};
use node::{Part, Rules};

/// Merges many configs one over the other, in time linear in their total size: keyed lists are
/// indexed once and stay indexed between the children.
#[derive(Debug)]
pub struct Merger {
    root: Part,
    /// Whether an empty compression of a file stands for none in the result.
    overriding: bool,
}

impl Merger {
    /// Starts with the undermost config.
    #[must_use]
    pub fn new(base: Config) -> Self {
        Self {
            root: Part::Whole(Value::Object(base.into_fields())),
            overriding: false,
        }
    }

    /// Merges `child` over what is there. Same result as [`Config::merge`].
    pub fn add(&mut self, child: Config) {
        self.root
            .merge(&v3::CONFIG, child.into_fields(), Rules { overriding: false });
    }

    /// As [`Merger::add`], but a file of `child` that says nothing of compression has none, even when the
    /// file below it is compressed, and [`Merger::finish`] then leaves out every empty compression of a
    /// file (`MCO render 2.5`).
    pub fn add_overriding(&mut self, child: Config) {
        self.overriding = true;
        self.root
            .merge(&v3::CONFIG, child.into_fields(), Rules { overriding: true });
    }

    /// The merged config.
    #[must_use]
    pub fn finish(self) -> Config {
        let mut config = Config::from_map(self.root.close_map());
        if self.overriding {
            for file in config.files_mut() {
                drop_empty_compression(file);
            }
        }
        config
    }

    /// As [`Merger::finish`], with `overwrite: true` on every file that does not say, and without anything empty: what a rendered
    /// config holds (`MCO render 2.5`, after the last merge).
    #[must_use]
    pub fn finish_rendered(self) -> Config {
        let overriding = self.overriding;
        let mut map = self.root.close_map();
        encode::prune(&v3::CONFIG, &mut map, &|object, map| {
            if std::ptr::eq(object, &raw const v3::FILE) {
                if overriding {
                    drop_empty_compression(map);
                }
                map.or_insert_with("overwrite", || Value::Bool(true));
            }
        });
        Config::from_map(map)
    }
}

fn drop_empty_compression(file: &mut Map) {
    let Some(Value::Object(contents)) = file.get_mut("contents") else {
        return;
    };
    if contents.get("compression").and_then(Value::as_str) == Some("") {
        contents.remove("compression");
    }
    if contents.is_empty() {
        file.remove("contents");
    }
}
