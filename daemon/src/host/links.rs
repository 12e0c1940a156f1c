//! Where a path leads, symbolic links and `..` taken by their text, never above the root.
//!
//! A pure function over "what does this link say": the root's handle then opens the outcome with no link left in it, so
//! that whatever changes in between, the kernel follows nothing.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Links followed before it is called a loop; the kernel's own bound.
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// To this path beneath the root, which holds no link and no `..`; empty for the root itself.
    To(PathBuf),
    /// Out of the root.
    Out(Exit),
    /// Round in circles.
    Loop,
}

/// The link that leads out of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The link, as an absolute path beneath the root.
    pub link: PathBuf,
    /// Its text.
    pub target: PathBuf,
}

/// Follows `path` from the root on. `readlink` gives the text of the link at a path beneath the root, `None` for
/// everything that is no link. The last part of `path` is followed only when `last` says so.
pub(super) fn follow(
    path: &Path,
    last: bool,
    mut readlink: impl FnMut(&Path) -> io::Result<Option<PathBuf>>,
) -> io::Result<Route> {
    let mut resolved = PathBuf::new();
    let mut pending = parts(path);
    // What to blame for a `..` too many: the path itself, or the link it came from.
    let mut blame = Exit {
        link: path.to_owned(),
        target: path.to_owned(),
    };
    let mut links = 0;
    while let Some(part) = pending.pop_front() {
        if part == ".." {
            if !resolved.pop() {
                return Ok(Route::Out(blame));
            }
            continue;
        }
        resolved.push(&part);
        if pending.is_empty() && !last {
            break;
        }
        let Some(target) = readlink(&resolved)? else {
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Ok(Route::Loop);
        }
        blame = Exit {
            link: Path::new("/").join(&resolved),
            target: target.clone(),
        };
        if target.is_absolute() {
            resolved.clear();
        } else {
            resolved.pop();
        }
        let mut next = parts(&target);
        next.append(&mut pending);
        pending = next;
    }
    Ok(Route::To(resolved))
}

/// The names and `..` of a path; the leading slash and `.` say nothing here.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Links of a tree: path and text.
    type Tree = &'static [(&'static str, &'static str)];

    fn route(links: &[(&str, &str)], path: &str, last: bool) -> Route {
        let links: BTreeMap<&Path, &Path> = links
            .iter()
            .map(|(from, to)| (Path::new(*from), Path::new(*to)))
            .collect();
        follow(Path::new(path), last, |at| {
            Ok(links.get(at).map(|target| (*target).to_owned()))
        })
        .unwrap()
    }

    fn to(path: &str) -> Route {
        Route::To(path.into())
    }

    fn out(link: &str, target: &str) -> Route {
        Route::Out(Exit {
            link: link.into(),
            target: target.into(),
        })
    }

    #[test]
    fn links_are_followed_beneath_the_root() {
        let table: [(Tree, &str, Route); 14] = [
            (&[], "/etc/a", to("etc/a")),
            (&[], "/", to("")),
            (&[], "//etc/./a/", to("etc/a")),
            (&[("etc/l", "/srv")], "/etc/l/a", to("srv/a")),
            (&[("etc/l", "../srv")], "/etc/l/a", to("srv/a")),
            (&[("etc/l", "..")], "/etc/l/a", to("a")),
            (&[("etc/l", "/")], "/etc/l/a", to("a")),
            (&[("etc/l", "m"), ("etc/m", "n/o")], "/etc/l/a", to("etc/n/o/a")),
            (&[("etc/l", "../..")], "/etc/l/a", out("/etc/l", "../..")),
            (&[("etc/l", "../../etc")], "/etc/l/a", out("/etc/l", "../../etc")),
            (&[("etc/l", "/../srv")], "/etc/l/a", out("/etc/l", "/../srv")),
            (
                &[("etc/l", "m"), ("etc/m", "../../x")],
                "/etc/l/a",
                out("/etc/m", "../../x"),
            ),
            (&[("l", "l")], "/l/a", Route::Loop),
            (&[("l", "m"), ("m", "l")], "/l/a", Route::Loop),
        ];
        for (links, path, expected) in table {
            assert_eq!(route(links, path, false), expected, "{links:?} {path}");
        }
    }

    #[test]
    fn the_last_part_is_followed_on_demand() {
        let links = [("etc/u", "v"), ("etc/v", "/dev/null")];
        assert_eq!(route(&links, "/etc/u", false), to("etc/u"));
        assert_eq!(route(&links, "/etc/u", true), to("dev/null"));
        assert_eq!(route(&[("etc/u", "../../x")], "/etc/u", false), to("etc/u"));
        assert_eq!(
            route(&[("etc/u", "../../x")], "/etc/u", true),
            out("/etc/u", "../../x")
        );
    }

    #[test]
    fn dots_in_the_path_itself_do_not_climb_out() {
        assert_eq!(
            route(&[], "/../etc/shadow", false),
            out("/../etc/shadow", "/../etc/shadow")
        );
        assert_eq!(route(&[], "/etc/../a", false), to("a"));
    }

    #[test]
    fn as_many_links_as_the_kernel_follows() {
        let chain = |length: usize| -> Vec<(String, String)> {
            (0..length)
                .map(|i| (format!("l{i}"), format!("l{}", i + 1)))
                .collect()
        };
        for (length, expected) in [(40, to("l40")), (41, Route::Loop)] {
            let links = chain(length);
            let links: Vec<_> = links.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!(route(&links, "/l0", true), expected);
        }
    }

    proptest! {
        #[test]
        fn no_tree_of_links_leads_to_a_path_with_dots_or_above_the_root(
            links in prop::collection::btree_map("[abc](/[abc]){0,2}", "(/|)([abc]|\\.\\.|\\.)(/([abc]|\\.\\.)){0,3}", 0..6),
            path in "(/[abc]){1,4}",
        ) {
            let readlink = |at: &Path| Ok(links.get(at.to_str().unwrap()).map(PathBuf::from));
            if let Route::To(end) = follow(Path::new(&path), true, readlink).unwrap() {
                prop_assert!(end.is_relative());
                prop_assert!(end.components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
