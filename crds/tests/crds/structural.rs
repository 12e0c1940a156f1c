//! The rules that an API server has for schemas (structural schemas, list types, CEL), checked on
//! every schema, strictly: what an API server would only dislike is refused here.

use regex::Regex;
use serde_json::Value;

use crate::checker::{pattern_of, rules, violations};
use crate::objects::{FULL, schema};

/// A node, its path, and the lists that it is in, outermost first.
struct Node<'a> {
    path: String,
    schema: &'a Value,
    lists: Vec<&'a Value>,
}

/// Every node of a schema.
fn nodes(root: &Value) -> Vec<Node<'_>> {
    let mut found = vec![Node {
        path: String::new(),
        schema: root,
        lists: Vec::new(),
    }];
    let mut next = 0;
    while next < found.len() {
        let Node { path, schema, lists } = &found[next];
        let (path, schema, lists) = (path.clone(), *schema, lists.clone());
        for (field, below) in schema["properties"].as_object().into_iter().flatten() {
            found.push(Node {
                path: format!("{path}.{field}"),
                schema: below,
                lists: lists.clone(),
            });
        }
        for (keyword, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
            if let Some(below) = schema.get(keyword) {
                let mut lists = lists.clone();
                lists.push(schema);
                found.push(Node {
                    path: format!("{path}{mark}"),
                    schema: below,
                    lists,
                });
            }
        }
        next += 1;
    }
    found
}

fn for_all(check: impl Fn(&str, &Node<'_>)) {
    for (kind, _) in FULL {
        let schema = schema(kind);
        let nodes = nodes(schema);
        assert!(nodes.len() > 4, "{kind}");
        for node in &nodes {
            check(&format!("{kind}{}", node.path), node);
        }
    }
}

fn is_true(schema: &Value, keyword: &str) -> bool {
    schema[keyword] == true
}

#[test]
fn every_keyword_is_one_that_we_mean() {
    const KEYWORDS: [&str; 24] = [
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "nullable",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ];
    for_all(|path, node| {
        for keyword in node.schema.as_object().unwrap().keys() {
            assert!(KEYWORDS.contains(&keyword.as_str()), "{path}: {keyword}");
        }
    });
}

#[test]
fn every_node_has_one_type_and_what_belongs_to_it() {
    for_all(|path, Node { schema, .. }| {
        if is_true(schema, "x-kubernetes-int-or-string") {
            assert!(schema.get("type").is_none(), "{path}");
            return;
        }
        let keywords: &[&str] = match schema["type"].as_str() {
            Some("object") => &[
                "properties",
                "additionalProperties",
                "required",
                "minProperties",
                "x-kubernetes-map-type",
                "x-kubernetes-preserve-unknown-fields",
            ],
            Some("array") => &[
                "items",
                "minItems",
                "maxItems",
                "x-kubernetes-list-type",
                "x-kubernetes-list-map-keys",
            ],
            Some("string") => &["enum", "pattern", "minLength", "maxLength", "format"],
            Some("integer") => &["minimum", "maximum", "format"],
            Some("boolean") => &[],
            other => panic!("{path}: type {other:?}"),
        };
        for keyword in schema.as_object().unwrap().keys() {
            let everywhere = [
                "type",
                "description",
                "nullable",
                "default",
                "x-kubernetes-validations",
            ];
            assert!(
                everywhere.contains(&keyword.as_str()) || keywords.contains(&keyword.as_str()),
                "{path}: {keyword}"
            );
        }
        assert!(
            schema["type"] != "array" || schema["items"].is_object(),
            "{path}: a list needs items"
        );
        assert!(
            schema.get("properties").is_none() || schema.get("additionalProperties").is_none(),
            "{path}"
        );
    });
}

#[test]
fn what_is_required_is_there_and_every_field_is_described() {
    for_all(|path, Node { schema, .. }| {
        for field in schema["required"].as_array().into_iter().flatten() {
            assert!(
                schema["properties"].get(field.as_str().unwrap()).is_some(),
                "{path}: {field}"
            );
        }
        for (field, below) in schema["properties"].as_object().into_iter().flatten() {
            let text = below["description"].as_str().unwrap_or_default();
            assert!(text.len() > 8 && !text.contains('`'), "{path}.{field}: {text:?}");
        }
        for value in schema["enum"].as_array().into_iter().flatten() {
            assert!(value.is_string(), "{path}: {value}");
        }
    });
}

#[test]
fn lists_say_how_they_are_merged() {
    for_all(|path, Node { schema, .. }| {
        if schema["type"] != "array" || path.contains("Selector.matchExpressions") {
            return;
        }
        let items = &schema["items"];
        match schema["x-kubernetes-list-type"].as_str() {
            Some("atomic") => {}
            Some("set") => assert!(items["type"] == "string", "{path}"),
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().unwrap();
                assert!(!keys.is_empty() && items["type"] == "object", "{path}");
                for key in keys {
                    let field = &items["properties"][key.as_str().unwrap()];
                    assert_eq!(field["type"], "string", "{path}: {key}");
                    assert!(!is_true(field, "nullable"), "{path}: {key}");
                    let required = items["required"]
                        .as_array()
                        .is_some_and(|required| required.contains(key));
                    assert!(required || field.get("default").is_some(), "{path}: {key}");
                }
            }
            other => panic!("{path}: {other:?}"),
        }
    });
}

#[test]
fn defaults_are_valid_and_only_where_we_want_them() {
    let mut found = Vec::new();
    for (kind, _) in FULL {
        let schema = schema(kind);
        for node in nodes(schema) {
            if let Some(default) = node.schema.get("default") {
                assert_eq!(violations(node.schema, default), [] as [&str; 0]);
                found.push(format!("{kind}{} = {default}", node.path));
            }
        }
    }
    assert_eq!(
        found,
        [
            "MachineConfig.spec = {}",
            "MachineConfiguration.spec.logLevel = \"Normal\"",
            "MachineConfiguration.spec.operatorLogLevel = \"Normal\"",
        ]
    );
}

#[test]
fn nulls_are_kept_only_where_the_reference_keeps_them() {
    let mut found = Vec::new();
    for (kind, _) in FULL {
        let schema = schema(kind);
        found.extend(
            nodes(schema)
                .into_iter()
                .filter(|node| is_true(node.schema, "nullable"))
                .map(|node| format!("{kind}{}", node.path)),
        );
    }
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn rules_have_a_text_and_patterns_are_patterns() {
    for_all(|path, Node { schema, .. }| {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            assert!(
                rule["rule"].as_str().is_some_and(|text| !text.trim().is_empty()),
                "{path}"
            );
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(
                message.len() > 10 && message.len() < 300 && !message.contains('\n'),
                "{path}: {message}"
            );
            assert_eq!(rule.as_object().unwrap().len(), 2, "{path}");
        }
        for pattern in schema["pattern"]
            .as_str()
            .map(str::to_owned)
            .into_iter()
            .chain(rules(schema).filter_map(|rule| pattern_of(&rule)))
        {
            Regex::new(&pattern).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    });
    let matching = |kind: &str| {
        nodes(schema(kind))
            .iter()
            .flat_map(|node| rules(node.schema))
            .filter_map(|rule| pattern_of(&rule))
            .count()
    };
    assert!(
        matching("MachineConfiguration") > 10,
        "patterns inside rules are found"
    );
}

/// An API server estimates what a rule costs at worst: the work of the rule times the number of
/// places that it holds at. So whatever a rule walks, and every list that it is in, has a bound.
#[test]
fn whatever_a_rule_walks_is_bounded() {
    for_all(|path, Node { schema, lists, .. }| {
        if rules(schema).next().is_none() {
            return;
        }
        for list in lists {
            assert!(
                list.get("maxItems").is_some(),
                "{path}: in a list without a bound"
            );
        }
        match schema["type"].as_str() {
            Some("string") => assert!(
                schema.get("maxLength").is_some(),
                "{path}: a text without a bound"
            ),
            Some("array") => assert!(schema.get("maxItems").is_some(), "{path}: a list without a bound"),
            _ => {}
        }
        if rules(schema).any(|rule| rule.contains("oldSelf")) {
            let known = lists.iter().all(|list| list["x-kubernetes-list-type"] == "map");
            assert!(
                known,
                "{path}: the old value cannot be found in a list that has no keys"
            );
        }
    });
}
