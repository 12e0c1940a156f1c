//! The rendered name: MD5 over a salt and the YAML form that the reference hashes (MCO render 2.8).
//!
//! The reference prints the spec as JSON, reads that with a YAML reader, and prints it again as YAML
//! (ghodss/yaml over go-yaml 2.4): [`hashed_yaml`] is that text, [`rendered_name`] streams it into the hash.

use md5::{Digest, Md5};
use serde_json::Value;

mod reread;
mod resolve;
mod yaml;

pub(crate) use yaml::{Shape, Tree};

/// What the reference hashes before the YAML (MCO controller map, appendix A).
const SALT: [u8; 80] = [
    0x10, 0x7c, 0xce, 0xe4, 0x8b, 0x38, 0xaf, 0xaf, 0x4f, 0xe5, 0x86, 0x76, 0x9d, 0x9a, 0xd3, 0x6e, 0x19,
    0x5d, 0x2f, 0xfd, 0xac, 0x6a, 0x25, 0x07, 0xae, 0x0d, 0xa0, 0xb9, 0x6e, 0x11, 0x57, 0x34, 0xdb, 0x83,
    0x0c, 0xce, 0xda, 0x8d, 0x74, 0x87, 0xbc, 0xb5, 0xc0, 0x97, 0xe9, 0x3e, 0x7e, 0xa5, 0x40, 0x53, 0xb3,
    0x77, 0x0f, 0xa8, 0xd0, 0xc5, 0x92, 0x6b, 0x3a, 0xe3, 0x85, 0xbc, 0xee, 0x1a, 0x21, 0x1a, 0xeb, 0xca,
    0x20, 0xad, 0x1f, 0xea, 0x29, 0x90, 0x94, 0x4f, 0x06, 0xce, 0x17, 0x16,
];

/// A string in the spec holds a character that the reference's YAML reader refuses: DEL, a C1 control, U+FFFE,
/// U+FFFF, or a NEL right before a `---` or `...` that stands alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} holds the control character U+{:04X}, which cannot be rendered", u32::from(*.character))]
pub struct UnhashableCharacter {
    /// Where in the spec the string is: `config.systemd.units[0].contents`.
    pub path: String,
    /// The character.
    pub character: char,
}

/// `rendered-<pool>-<md5>` of a spec given as the JSON object that the reference's API client writes: every field
/// of the spec, and a `config` without anything empty.
pub fn rendered_name(pool: &str, spec: &Value) -> Result<String, UnhashableCharacter> {
    name_of_fields(pool, fields(spec))
}

/// As [`rendered_name`], from the fields of the spec, which are sorted.
pub(crate) fn name_of_fields<'v, T: Tree>(
    pool: &str,
    fields: impl ExactSizeIterator<Item = (&'v str, Shape<'v, T>)>,
) -> Result<String, UnhashableCharacter> {
    let mut hash = Md5::new();
    hash.update(SALT);
    yaml::emit(fields, &mut |piece| hash.update(piece.as_bytes()))?;
    let mut name = format!("rendered-{pool}-");
    for byte in hash.finalize() {
        for nibble in [byte >> 4, byte & 0xf] {
            name.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    Ok(name)
}

/// The YAML text that [`rendered_name`] hashes after the salt, to find out why two names differ.
pub fn hashed_yaml(spec: &Value) -> Result<String, UnhashableCharacter> {
    let mut text = String::new();
    yaml::emit(fields(spec), &mut |piece| text.push_str(piece))?;
    Ok(text)
}

fn fields(spec: &Value) -> impl ExactSizeIterator<Item = (&str, Shape<'_, Value>)> {
    let fields: Vec<_> = spec.as_object().into_iter().flat_map(yaml::fields).collect();
    fields.into_iter()
}

impl From<yaml::Refused> for UnhashableCharacter {
    fn from(refused: yaml::Refused) -> Self {
        let mut path = String::new();
        for step in refused.path.iter().rev() {
            match step {
                yaml::Step::Key(key) if path.is_empty() => path.push_str(key),
                yaml::Step::Key(key) => path.extend([".", key]),
                yaml::Step::Index(index) => path.extend(["[", &index.to_string(), "]"]),
            }
        }
        Self {
            path,
            character: refused.character,
        }
    }
}
