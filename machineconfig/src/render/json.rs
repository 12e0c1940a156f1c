//! The exact bytes of a rendered spec, as Go's `encoding/json` writes it for the API server, its name and its size.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crds::MachineConfigSpec;
use ignition::Config;
use ignition::tree::Value;

use crate::name::{Shape, UnhashableCharacter, name_of_fields};

/// The API version of the objects that are written.
const API_VERSION: &str = "machineconfiguration.openshift.io/v1";

/// The name of a spec with this config.
pub(super) fn name(
    pool: &str,
    spec: &MachineConfigSpec,
    ignition: &Config,
) -> Result<String, UnhashableCharacter> {
    let list = |texts: &Option<Vec<String>>| -> Vec<Value> {
        let texts = texts.iter().flatten();
        texts.map(|text| Value::from(text.as_str())).collect()
    };
    let (extensions, arguments) = (list(&spec.extensions), list(&spec.kernel_arguments));
    let fields = [
        (
            "baseOSExtensionsContainerImage",
            Shape::Text(&spec.base_os_extensions_container_image),
        ),
        ("config", Shape::of_fields(ignition.fields())),
        ("extensions", Shape::List(&extensions)),
        ("fips", Shape::Bool(spec.fips)),
        ("kernelArguments", Shape::List(&arguments)),
        ("kernelType", Shape::Text(&spec.kernel_type)),
        ("osImageURL", Shape::Text(&spec.os_image_url)),
    ];
    name_of_fields(pool, fields.into_iter())
}

/// The spec's JSON text in the order of the reference's Go type, with the Ignition config's own canonical text.
pub(super) fn spec(spec: &MachineConfigSpec, ignition: &Config) -> String {
    let mut out = String::new();
    out.push_str("{\"osImageURL\":");
    string(&spec.os_image_url, &mut out);
    out.push_str(",\"baseOSExtensionsContainerImage\":");
    string(&spec.base_os_extensions_container_image, &mut out);
    out.push_str(",\"config\":");
    ignition.write_json(&mut out);
    out.push_str(",\"kernelArguments\":");
    strings(spec.kernel_arguments.as_deref().unwrap_or_default(), &mut out);
    out.push_str(",\"extensions\":");
    strings(spec.extensions.as_deref().unwrap_or_default(), &mut out);
    out.push_str(if spec.fips {
        ",\"fips\":true"
    } else {
        ",\"fips\":false"
    });
    out.push_str(",\"kernelType\":");
    string(&spec.kernel_type, &mut out);
    out.push('}');
    out
}

/// Bytes of the whole rendered object, with the pool as its owner. The owner's uid is not known here and counts as one.
pub(super) fn object_size(
    name: &str,
    pool: &str,
    annotations: &BTreeMap<String, String>,
    spec_json: &str,
) -> usize {
    let mut metadata = String::from("{\"metadata\":{\"name\":");
    string(name, &mut metadata);
    metadata.push_str(",\"annotations\":{");
    for (index, (key, value)) in annotations.iter().enumerate() {
        if index > 0 {
            metadata.push(',');
        }
        string(key, &mut metadata);
        metadata.push(':');
        string(value, &mut metadata);
    }
    metadata.push_str("},\"ownerReferences\":[{\"apiVersion\":");
    string(API_VERSION, &mut metadata);
    metadata.push_str(",\"kind\":\"MachineConfigPool\",\"name\":");
    string(pool, &mut metadata);
    metadata.push_str(",\"uid\":\"u\",\"controller\":true,\"blockOwnerDeletion\":true}]},\"spec\":}");
    metadata.len() + spec_json.len()
}

/// Bytes that one more annotation takes.
pub(super) fn annotation_size(key: &str, value: &str) -> usize {
    let mut text = String::from(",");
    string(key, &mut text);
    text.push(':');
    string(value, &mut text);
    text.len()
}

fn strings(texts: &[String], out: &mut String) {
    out.push('[');
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(text, out);
    }
    out.push(']');
}

/// A string with Go's escapes: HTML characters, U+2028 and U+2029 as `\uXXXX`, and short forms for the usual controls.
fn string(text: &str, out: &mut String) {
    out.push('"');
    let mut copied = 0;
    for (at, c) in text.char_indices() {
        let short = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '<' | '>' | '&' | '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => "",
            _ => continue,
        };
        out.push_str(&text[copied..at]);
        copied = at + c.len_utf8();
        if short.is_empty() {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&text[copied..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does_it() {
        let mut out = String::new();
        string(
            "a\"\\\n\r\t\u{8}\u{c}\u{b}\u{7f}<>&\u{2028}\u{2029}é😀\0z",
            &mut out,
        );
        assert_eq!(
            out,
            "\"a\\\"\\\\\\n\\r\\t\\b\\f\\u000b\u{7f}\\u003c\\u003e\\u0026\\u2028\\u2029é😀\\u0000z\""
        );
    }
}
