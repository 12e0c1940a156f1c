//! What a unit file says about its enablement: the `[Install]` section.

use super::unit_name;

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

/// A specifier that has no meaning without a running machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Specifier(pub(super) char);

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

    /// A word of the section with its specifiers replaced by what they stand for in `unit` (systemd.unit(5), specifiers).
    ///
    /// Those that speak of the machine that runs (`%H`, `%v`, `%m` and so on) are errors, since a root that is not running
    /// has no answer; in names of units that pull in others nobody uses them.
    pub(super) fn expand(&self, unit: &str, word: &str) -> Result<String, Specifier> {
        let mut text = String::new();
        let mut rest = word.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            match rest.next() {
                Some('%') | None => text.push('%'),
                Some(specifier) => self.specifier(unit, specifier, &mut text)?,
            }
        }
        Ok(text)
    }

    fn specifier(&self, unit: &str, specifier: char, text: &mut String) -> Result<(), Specifier> {
        let default = self.default_instance(unit);
        let full = default.and_then(|default| unit_name::with_instance(unit, default));
        let full = full.as_deref().unwrap_or(unit);
        let prefix = unit_name::prefix(unit);
        match specifier {
            'n' => text.push_str(full),
            'N' => text.push_str(full.rsplit_once('.').map_or(full, |(stem, _)| stem)),
            'p' => text.push_str(prefix),
            'j' => text.push_str(prefix.rsplit_once('-').map_or(prefix, |(_, last)| last)),
            'i' => text.push_str(unit_name::instance(full).unwrap_or_default()),
            'u' | 'g' => text.push_str("root"),
            'U' | 'G' => text.push('0'),
            'a' | 'A' | 'b' | 'B' | 'H' | 'l' | 'm' | 'M' | 'o' | 'v' | 'w' | 'W' => {
                return Err(Specifier(specifier));
            }
            // What is no specifier stays as it is.
            other => text.extend(['%', other]),
        }
        Ok(())
    }

    /// Puts what specifiers stand for into `DefaultInstance=`, once all files of the unit were added; one that cannot be is
    /// none.
    pub(super) fn settle_default_instance(&mut self, unit: &str) {
        let said = self.default_instance.take();
        self.default_instance = said.and_then(|word| self.expand(unit, &word).ok());
    }

    /// The instance that enabling the template `unit` enables, where it names one that can be.
    pub(super) fn default_instance(&self, unit: &str) -> Option<&str> {
        let default = self.default_instance.as_deref()?;
        (unit_name::is_template(unit) && unit_name::is_instance(default)).then_some(default)
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
        // An empty `Also=` takes nothing back.
        if value.is_empty() && key != "Also" {
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
