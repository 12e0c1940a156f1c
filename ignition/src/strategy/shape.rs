//! Objects of any shape the key table allows, and some it does not.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{one, text};
use crate::schema::{Kind, Object};

/// An object of the table with any of its fields, in any spelling, of mostly the right type.
pub(super) fn by_table(table: &'static Object) -> BoxedStrategy<Value> {
    let fields = table.fields.iter().map(|field| {
        let key = prop_oneof![20 => Just(field.name.to_owned()), 1 => Just(field.name.to_uppercase())];
        let value = prop_oneof![30 => by_kind(field.kind), 1 => stray()];
        option::weighted(0.35, (key, value)).boxed()
    });
    let unknown = option::weighted(0.02, (Just("unknown".to_owned()), stray())).boxed();
    fields
        .chain([unknown])
        .collect::<Vec<_>>()
        .prop_map(|fields| Value::Object(fields.into_iter().flatten().collect()))
        .boxed()
}

fn by_kind(kind: Kind) -> BoxedStrategy<Value> {
    const TEXTS: [&str; 16] = [
        "/a",
        "/a/b",
        "/a/b/",
        "a",
        "",
        "data:,x",
        "data:x",
        "data:;base64,eA==",
        "https://h/",
        "gzip",
        "a.service",
        "x.conf",
        "core",
        "[Unit]\nA=1\n",
        "root",
        "sha256-x",
    ];
    match kind {
        Kind::Text => prop_oneof![20 => one(TEXTS.to_vec()), 1 => text()].boxed(),
        Kind::Int => {
            prop_oneof![5 => (0..4_i64).prop_map(Value::from), 1 => any::<i64>().prop_map(Value::from)]
                .boxed()
        }
        Kind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Object(object) => by_table(object),
        Kind::Texts(_) => vec(by_kind(Kind::Text), 0..3).prop_map(Value::Array).boxed(),
        Kind::Objects(object, _) => vec(by_table(object), 0..3).prop_map(Value::Array).boxed(),
    }
}

/// A value that hardly fits.
fn stray() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(1.5),
        json!(-1),
        json!(u64::MAX),
        json!("x"),
        json!([]),
        json!([null]),
        json!({}),
        json!(true),
    ])
}
