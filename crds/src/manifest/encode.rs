//! Objects written as YAML.

use serde::Serialize;

use super::normalise::integers;

/// One YAML document in block style, ending in a line break, that [`super::parse`] and kubectl
/// read back as the same value: strings that look like something else (`"0644"`, `"yes"`, `"1e3"`)
/// are quoted, text of several lines is a literal block, whole numbers have no decimal point.
///
/// # Panics
/// When the value does not serialise to JSON. Objects made of this crate's types always do.
pub fn to_yaml(value: &impl Serialize) -> String {
    // By way of JSON: what is written is what the API server would be sent, with sorted keys.
    let mut json =
        serde_json::to_value(value).expect("API types have string keys and no failing serialisers");
    integers(&mut json);
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(&json, options).expect("a JSON value can be said in YAML")
}
