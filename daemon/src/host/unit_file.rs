//! What a unit file says about its enablement: the `[Install]` section, as far as `systemctl is-enabled` looks at it.

/// The `[Install]` section of a unit, drop-ins included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Install {
    /// `Alias=`: other names, links of which enable the unit.
    pub(super) aliases: Vec<String>,
    /// `DefaultInstance=` of a template.
    pub(super) default_instance: Option<String>,
    /// `WantedBy=`: who pulls it in.
    pub(super) wanted_by: Vec<String>,
    /// `RequiredBy=`: who cannot do without it.
    pub(super) required_by: Vec<String>,
    /// `UpheldBy=`: who keeps it running.
    pub(super) upheld_by: Vec<String>,
    /// `Also=`: units that are enabled along with it.
    pub(super) also: Vec<String>,
}

impl Install {
    /// Adds what another file of the same unit says. Lists grow; an empty assignment empties them.
    pub(super) fn add(&mut self, text: &str) {
        let mut in_install = false;
        for line in logical_lines(text) {
            let line = line.trim();
            if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                in_install = section == "Install";
            } else if let (true, Some((key, value))) = (in_install, line.split_once('=')) {
                self.assign(key.trim_end(), value.trim_start());
            }
        }
    }

    /// Replaces in the aliases the specifiers that stand for the unit's own name (systemd.unit(5), specifiers).
    pub(super) fn expand(&mut self, unit: &str) {
        let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
        let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
        for alias in &mut self.aliases {
            for (specifier, text) in [("%n", unit), ("%N", stem), ("%p", prefix), ("%i", instance)] {
                *alias = alias.replace(specifier, text);
            }
        }
    }

    /// Whether enabling the unit makes a link.
    pub(super) fn has_rules(&self) -> bool {
        [&self.aliases, &self.wanted_by, &self.required_by, &self.upheld_by]
            .iter()
            .any(|list| !list.is_empty())
    }

    fn assign(&mut self, key: &str, value: &str) {
        let list = match key {
            "Alias" => &mut self.aliases,
            "WantedBy" => &mut self.wanted_by,
            "RequiredBy" => &mut self.required_by,
            "UpheldBy" => &mut self.upheld_by,
            "Also" => &mut self.also,
            "DefaultInstance" => {
                self.default_instance = Some(value.to_owned()).filter(|value| !value.is_empty());
                return;
            }
            _ => return,
        };
        if value.is_empty() {
            list.clear();
        }
        list.extend(
            value
                .split_whitespace()
                .map(|word| word.trim_matches(['"', '\'']).to_owned()),
        );
    }
}

/// Lines with continuations joined and comments left out; a comment inside a continuation does not end it.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let (part, continues) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        let mut joined = open.take().unwrap_or_default();
        joined.push_str(part);
        if continues {
            joined.push(' ');
            open = Some(joined);
        } else {
            lines.push(joined);
        }
    }
    lines.extend(open);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(texts: &[&str]) -> Install {
        let mut install = Install::default();
        for text in texts {
            install.add(text);
        }
        install
    }

    #[test]
    fn the_install_section_is_read_and_no_other() {
        let read = install(&[
            "[Unit]\nAlias=no.service\n[Install]\nWantedBy=a.target b.target\nRequiredBy=c.target\n\
            Alias = x.service \nAlso=y.socket\nDefaultInstance=one\n[Service]\nWantedBy=no.target\n",
        ]);
        assert_eq!(read.wanted_by, ["a.target", "b.target"]);
        assert_eq!(read.required_by, ["c.target"]);
        assert_eq!(read.aliases, ["x.service"]);
        assert_eq!(read.also, ["y.socket"]);
        assert_eq!(read.default_instance.as_deref(), Some("one"));
    }

    #[test]
    fn lines_continue_past_comments() {
        let read =
            install(&["[Install]\nWantedBy=a.target \\\n# not the end\n  b.target\n;WantedBy=no.target\n"]);
        assert_eq!(read.wanted_by, ["a.target", "b.target"]);
    }

    #[test]
    fn drop_ins_add_and_take_away() {
        assert!(!install(&["[Install]\nWantedBy=a.target\n", "[Install]\nWantedBy=\n"]).has_rules());
        assert_eq!(
            install(&["[Install]\nAlias=a.service\n", "[Install]\nAlias=b.service\n"])
                .aliases
                .len(),
            2
        );
        assert!(!install(&["[Install]\nAlso=a.socket\n"]).has_rules());
    }
}
