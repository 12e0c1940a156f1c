//! Makes a [`Provenance`] while MachineConfigs are merged.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ignition::Config;

use super::{Origin, Part, Provenance, parts};

/// Remembers which MachineConfig touched which part; they come in merge order.
#[derive(Debug, Default)]
pub(crate) struct Recorder<'a> {
    sources: Vec<&'a str>,
    touched: HashMap<Part, Touched>,
}

/// Who touched a part.
#[derive(Debug)]
struct Touched {
    /// Indices into the sources, ascending.
    by: Vec<usize>,
    /// Whether it is only named so far, to hold drop-ins or SSH keys.
    only_named: bool,
}

impl<'a> Recorder<'a> {
    /// The next MachineConfig: what is recorded from now on is of it.
    pub(crate) fn next(&mut self, name: &'a str) {
        self.sources.push(name);
    }

    /// The current MachineConfig sets or merges into `part`.
    pub(crate) fn touch(&mut self, part: Part) {
        if let Some(current) = self.current() {
            touch(&mut self.touched, part, current, true);
        }
    }

    /// The current MachineConfig's Ignition config.
    pub(crate) fn config(&mut self, config: &Config) {
        if let Some(current) = self.current() {
            parts::each(config, |part, whole| {
                touch(&mut self.touched, part, current, whole);
            });
        }
    }

    fn current(&self) -> Option<usize> {
        self.sources.len().checked_sub(1)
    }

    /// What was recorded.
    pub(crate) fn finish(self) -> Provenance {
        let name = |index: &usize| self.sources[*index].to_owned();
        let origin = |touched: &[usize]| {
            let (last, beaten) = touched.split_last()?;
            Some(Origin {
                winner: name(last),
                beaten: beaten.iter().map(name).collect(),
            })
        };
        let origins = self
            .touched
            .into_iter()
            .filter_map(|(part, touched)| Some((part, origin(&touched.by)?)));
        Provenance {
            origins: origins.collect(),
        }
    }
}

fn touch(all: &mut HashMap<Part, Touched>, part: Part, current: usize, whole: bool) {
    match all.entry(part) {
        Entry::Vacant(vacant) => {
            vacant.insert(Touched {
                by: vec![current],
                only_named: !whole,
            });
        }
        Entry::Occupied(mut occupied) if whole => {
            let touched = occupied.get_mut();
            if touched.only_named {
                *touched = Touched {
                    by: vec![current],
                    only_named: false,
                };
            } else if touched.by.last() != Some(&current) {
                touched.by.push(current);
            }
        }
        Entry::Occupied(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_unit_belongs_to_whom_says_more_of_it_than_its_name() {
        let config = |unit: serde_json::Value| {
            let value = json!({ "ignition": { "version": "3.2.0" }, "systemd": { "units": [unit] } });
            Config::from_value_unvalidated(&value).unwrap().config
        };
        let mut recorder = Recorder::default();
        recorder.next("a");
        recorder.config(&config(
            json!({ "name": "u.service", "dropins": [{ "name": "1.conf" }] }),
        ));
        recorder.next("b");
        recorder.config(&config(json!({ "name": "u.service", "enabled": true })));
        recorder.next("c");
        recorder.config(&config(
            json!({ "name": "u.service", "dropins": [{ "name": "1.conf" }] }),
        ));
        let provenance = recorder.finish();
        let unit = Part::Unit("u.service".to_owned());
        let dropin = Part::Dropin("u.service".to_owned(), "1.conf".to_owned());
        assert_eq!(
            provenance.origins[&unit],
            Origin {
                winner: "b".to_owned(),
                beaten: vec![]
            }
        );
        assert_eq!(
            provenance.origins[&dropin],
            Origin {
                winner: "c".to_owned(),
                beaten: vec!["a".to_owned()]
            }
        );
    }

    #[test]
    fn a_part_is_touched_once_by_a_machine_config() {
        let mut recorder = Recorder::default();
        let part = Part::KernelArgument("quiet".to_owned());
        recorder.next("a");
        recorder.touch(part.clone());
        recorder.touch(part.clone());
        assert_eq!(
            recorder.finish().origins[&part],
            Origin {
                winner: "a".to_owned(),
                beaten: vec![]
            }
        );
    }
}
