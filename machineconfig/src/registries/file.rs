//! The parts of a containers-registries.conf (version 2) that the rule looks at, typed as the reference types them.

use toml::{Table, Value};

/// The file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// `unqualified-search-registries`
    pub(super) search: Vec<String>,
    /// `[[registry]]`, in the order of the file.
    pub(super) registries: Vec<Registry>,
}

/// One `[[registry]]`.
#[derive(Debug)]
pub(super) struct Registry {
    /// `prefix`; empty when absent.
    pub(super) prefix: String,
    /// `location`; empty when absent.
    pub(super) location: String,
    /// `blocked`
    pub(super) blocked: bool,
    /// `insecure`
    pub(super) insecure: bool,
    /// `mirror-by-digest-only`
    pub(super) mirror_by_digest_only: bool,
    /// `[[registry.mirror]]`
    pub(super) mirrors: Vec<Endpoint>,
}

/// One `[[registry.mirror]]`.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// `location`; empty when absent.
    pub(super) location: String,
    /// `pull-from-mirror`; empty when absent.
    pub(super) pull_from_mirror: String,
}

impl Registry {
    /// What the registry is known by.
    pub(super) fn key(&self) -> &str {
        if self.prefix.is_empty() {
            &self.location
        } else {
            &self.prefix
        }
    }
}

impl File {
    /// Reads a file. The error names the place, never the contents.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| position(text, error.span()))?;
        let root = Node {
            table: &table,
            path: String::new(),
        };
        // Not looked at by the rule, yet a wrong type makes the file unreadable for the runtime.
        root.strings("credential-helpers")?;
        root.string("short-name-mode")?;
        root.string("additional-layer-store-auth-helper")?;
        let registries = root
            .tables("registry")?
            .iter()
            .map(registry)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            search: root.strings("unqualified-search-registries")?,
            registries,
        })
    }
}

fn registry(node: &Node<'_>) -> Result<Registry, String> {
    node.string("pull-from-mirror")?;
    Ok(Registry {
        prefix: node.string("prefix")?,
        location: node.string("location")?,
        blocked: node.flag("blocked")?,
        insecure: node.flag("insecure")?,
        mirror_by_digest_only: node.flag("mirror-by-digest-only")?,
        mirrors: node
            .tables("mirror")?
            .iter()
            .map(mirror)
            .collect::<Result<_, _>>()?,
    })
}

fn mirror(node: &Node<'_>) -> Result<Endpoint, String> {
    node.flag("insecure")?;
    Ok(Endpoint {
        location: node.string("location")?,
        pull_from_mirror: node.string("pull-from-mirror")?,
    })
}

/// A table and where it stands.
struct Node<'a> {
    table: &'a Table,
    path: String,
}

impl<'a> Node<'a> {
    /// A key by its exact name, else whatever its case: as the reference's decoder finds it.
    fn get(&self, key: &str) -> Option<&'a Value> {
        let any_case = || {
            self.table
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, value)| value)
        };
        self.table.get(key).or_else(any_case)
    }

    fn wrong(&self, key: &str, wanted: &str) -> String {
        format!("{}{key} is not {wanted}", self.path)
    }

    fn string(&self, key: &str) -> Result<String, String> {
        match self.get(key) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(self.wrong(key, "a string")),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Boolean(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    fn list(&self, key: &str, wanted: &str) -> Result<&'a [Value], String> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(self.wrong(key, wanted)),
        }
    }

    fn strings(&self, key: &str) -> Result<Vec<String>, String> {
        const WANTED: &str = "a list of strings";
        let text = |value: &Value| {
            value
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| self.wrong(key, WANTED))
        };
        self.list(key, WANTED)?.iter().map(text).collect()
    }

    fn tables(&self, key: &str) -> Result<Vec<Node<'a>>, String> {
        const WANTED: &str = "a list of tables";
        let node = |(i, value): (usize, &'a Value)| match value {
            Value::Table(table) => Ok(Node {
                table,
                path: format!("{}{key}[{i}].", self.path),
            }),
            _ => Err(self.wrong(key, WANTED)),
        };
        self.list(key, WANTED)?.iter().enumerate().map(node).collect()
    }
}

/// Where a syntax error is. The decoder's own message would quote the file.
fn position(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("it is not TOML at line {line}, column {column}")
}
