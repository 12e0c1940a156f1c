//! Makes a [`Provenance`] while MachineConfigs are merged.

use ignition::Config;

use super::{Origin, Part, Provenance, parts};

/// Remembers which MachineConfig touched which part; they come in merge order.
#[derive(Debug, Default)]
pub(crate) struct Recorder<'a> {
    sources: Vec<&'a str>,
    touches: Vec<Touch>,
}

/// A MachineConfig says something about a part.
#[derive(Debug)]
struct Touch {
    part: Part,
    /// Index into the sources.
    by: usize,
    /// Whether the part is only named, to hold drop-ins or SSH keys.
    only_named: bool,
}

impl<'a> Recorder<'a> {
    /// The next MachineConfig: what is recorded from now on is of it.
    pub(crate) fn next(&mut self, name: &'a str) {
        self.sources.push(name);
    }

    /// The current MachineConfig sets or merges into `part`.
    pub(crate) fn touch(&mut self, part: Part) {
        self.push(part, false);
    }

    /// The current MachineConfig's Ignition config.
    pub(crate) fn config(&mut self, config: &Config) {
        parts::each(config, |part, whole| self.push(part, !whole));
    }

    fn push(&mut self, part: Part, only_named: bool) {
        if let Some(by) = self.sources.len().checked_sub(1) {
            self.touches.push(Touch { part, by, only_named });
        }
    }

    /// What was recorded.
    pub(crate) fn finish(mut self) -> Provenance {
        // Stable, so that the touches of a part stay in merge order.
        self.touches.sort_by(|a, b| a.part.cmp(&b.part));
        let mut touches = self.touches.into_iter().peekable();
        let origins = std::iter::from_fn(|| {
            let first = touches.next()?;
            let mut by = vec![first.by];
            let mut only_named = first.only_named;
            while let Some(touch) = touches.next_if(|touch| touch.part == first.part) {
                if touch.only_named || by.last() == Some(&touch.by) {
                    continue;
                }
                if only_named {
                    by.clear();
                    only_named = false;
                }
                by.push(touch.by);
            }
            Some((first.part, origin(&self.sources, &by)))
        });
        Provenance {
            origins: origins.collect(),
        }
    }
}

/// The origin of a part that these sources touched, of which there is at least one.
fn origin(sources: &[&str], by: &[usize]) -> Origin {
    let name = |index: &usize| sources[*index].to_owned();
    let (last, beaten) = by.split_last().expect("a part is recorded when it is touched");
    Origin {
        winner: name(last),
        beaten: beaten.iter().map(name).collect(),
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
