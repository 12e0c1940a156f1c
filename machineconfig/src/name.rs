//! The rendered name: MD5 over a salt and the YAML form that the reference hashes (MCO render 2.8).

/// `rendered-<pool>-<md5>` of a spec given as the JSON that the reference's API client writes. Fails on characters its YAML reader refuses
/// (surprise 3: DEL, C1 controls except NEL, U+FFFE, U+FFFF); the error names the character.
pub fn rendered_name(pool: &str, spec: &serde_json::Value) -> Result<String, UnhashableCharacter> {
    let _ = (pool, spec);
    todo!()
}

/// A string in the spec holds a character that the reference's YAML reader refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} holds the control character U+{:04X}, which cannot be rendered", u32::from(*.character))]
pub struct UnhashableCharacter {
    /// JSON path of the string in the spec.
    pub path: String,
    /// The character.
    pub character: char,
}
