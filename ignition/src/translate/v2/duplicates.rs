//! 2.x configs may define a file, unit or user twice; the last one wins (`MCO render 2.6`).
//!
//! Files and units are gone through from the last to the first, so that they come out in reverse order.

use std::collections::{HashMap, HashSet};

use crate::tree::{Map, Value};

/// Where entries stood before duplicates were resolved.
#[derive(Debug)]
pub(super) struct Origins {
    files: Vec<usize>,
    units: Vec<usize>,
}

impl Origins {
    /// The JSON path in the config as it was written.
    pub(super) fn relocate(&self, path: &str) -> String {
        for (list, origins) in [
            ("$.storage.files[", &self.files),
            ("$.systemd.units[", &self.units),
        ] {
            let entry = path.strip_prefix(list).and_then(|rest| rest.split_once(']'));
            if let Some((index, rest)) = entry
                && let Some(origin) = index.parse().ok().and_then(|index: usize| origins.get(index))
            {
                return format!("{list}{origin}]{rest}");
            }
        }
        path.to_owned()
    }
}

/// Leaves one of each file, unit and user.
pub(super) fn resolve(mut config: Map) -> (Map, Origins) {
    let files = change_list(&mut config, "storage", "files", last_files);
    let units = change_list(&mut config, "systemd", "units", last_units);
    change_list(&mut config, "passwd", "users", |users| {
        (one_user(users), Vec::new())
    });
    (config, Origins { files, units })
}

/// Changes a list of objects in a section, when there is one.
fn change_list(
    config: &mut Map,
    section: &str,
    list: &str,
    change: impl FnOnce(Vec<Value>) -> (Vec<Value>, Vec<usize>),
) -> Vec<usize> {
    let Some(Value::Array(items)) = config.get_mut(section).and_then(|section| section.get_mut(list)) else {
        return Vec::new();
    };
    let (changed, origins) = change(std::mem::take(items));
    *items = changed;
    origins
}

fn text<'v>(item: &'v Value, name: &str) -> &'v str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn last_files(files: Vec<Value>) -> (Vec<Value>, Vec<usize>) {
    let mut seen = HashSet::new();
    let last = files
        .into_iter()
        .enumerate()
        .rev()
        .filter(|(_, file)| seen.insert(text(file, "path").to_owned()));
    last.map(|(i, file)| (file, i)).unzip()
}

/// The last unit of each name, with the drop-ins of the earlier ones that it has not.
fn last_units(units: Vec<Value>) -> (Vec<Value>, Vec<usize>) {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut dropins: HashSet<(usize, String)> = HashSet::new();
    let (mut out, mut origins) = (Vec::new(), Vec::new());
    for (i, mut unit) in units.into_iter().enumerate().rev() {
        let own = match unit.get_mut("dropins") {
            Some(Value::Array(own)) => std::mem::take(own),
            _ => Vec::new(),
        };
        let name = text(&unit, "name").to_owned();
        let is_first = !places.contains_key(&name);
        let place = *places.entry(name).or_insert(out.len());
        if is_first {
            out.push(unit);
            origins.push(i);
        }
        // A unit may well hold a drop-in twice; that is an error later on.
        let known: Vec<bool> = own
            .iter()
            .map(|d| dropins.contains(&(place, text(d, "name").to_owned())))
            .collect();
        for (dropin, is_known) in own.into_iter().zip(known) {
            let is_new = dropins.insert((place, text(&dropin, "name").to_owned()));
            if is_first || (is_new && !is_known) {
                push_dropin(&mut out[place], dropin);
            }
        }
    }
    (out, origins)
}

fn push_dropin(unit: &mut Value, dropin: Value) {
    let Value::Object(unit) = unit else { return };
    if let Value::Array(list) = unit.or_insert_with("dropins", || Value::Array(Vec::new())) {
        list.push(dropin);
    }
}

/// The last user with the keys of all, each key once, its own first.
fn one_user(mut users: Vec<Value>) -> Vec<Value> {
    let Some(mut last) = users.pop() else {
        return Vec::new();
    };
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    for user in std::iter::once(&last).chain(users.iter().rev()) {
        let own = user.get("sshAuthorizedKeys").and_then(Value::as_array);
        keys.extend(
            own.into_iter()
                .flatten()
                .filter(|key| seen.insert(key.as_str().map(str::to_owned)))
                .cloned(),
        );
    }
    if let Value::Object(user) = &mut last {
        user.insert("sshAuthorizedKeys", Value::Array(keys));
    }
    vec![last]
}
