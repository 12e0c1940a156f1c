//! Names that are valid to the reference and that no node can have.

use super::{Report, View, shorten};
use crate::path::Path;
use crate::problem::Kind as Fault;

/// What ends a name for every kernel and every program.
const NUL: char = '\0';

/// Names with a NUL, and files and links in place of the root.
pub(super) fn names(config: &View<'_>, report: &mut Report) {
    let (storage, systemd) = (Path::Root.field("storage"), Path::Root.field("systemd"));
    if let Some(section) = config.inner("storage") {
        for list in ["directories", "files", "links"] {
            let nodes = storage.field(list);
            for (i, node) in section.objects(list).enumerate() {
                let at = nodes.index(i);
                let path = node.text("path").unwrap_or_default();
                if path == "/" && list != "directories" {
                    let message = "\"/\" is the root, which is a directory".to_owned();
                    report.error(&at.field("path"), Fault::Path, message);
                }
                nul(path, &at.field("path"), Fault::Path, report);
                let target = node.text("target").unwrap_or_default();
                nul(target, &at.field("target"), Fault::Path, report);
            }
        }
    }
    let units = systemd.field("units");
    for (i, unit) in config
        .inner("systemd")
        .iter()
        .flat_map(|section| section.objects("units"))
        .enumerate()
    {
        let at = units.index(i);
        let name = unit.text("name").unwrap_or_default();
        nul(name, &at.field("name"), Fault::Unit, report);
        let dropins = at.field("dropins");
        for (k, dropin) in unit.objects("dropins").enumerate() {
            let name = dropin.text("name").unwrap_or_default();
            nul(name, &dropins.index(k).field("name"), Fault::Unit, report);
        }
    }
}

fn nul(name: &str, at: &Path<'_>, kind: Fault, report: &mut Report) {
    if name.contains(NUL) {
        report.error(
            at,
            kind,
            format!("{} holds a NUL, which no name can", shorten(name)),
        );
    }
}
