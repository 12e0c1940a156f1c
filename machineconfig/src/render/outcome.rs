//! The MachineConfigs merged, and what only shows then (MCO render 2.5, 2.8).

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use ignition::tree::Value;
use ignition::{Config, Merger};

use crate::provenance::{Part, Recorder, part_at};
use crate::{Code, Finding, Provenance};

use super::compression::LostCompression;
use super::fields::Fields;
use super::hashes::InheritedHashes;
use super::input::{Input, KERNEL_TYPES, object};
use super::{Defaults, LARGE_SIZE, MAX_SIZE, blame, tree};

/// What the MachineConfigs say together.
#[derive(Debug)]
pub(super) struct Merged {
    /// The Ignition part, without anything empty.
    pub(super) ignition: Config,
    pub(super) fields: Fields,
    pub(super) provenance: Provenance,
    /// Files whose verification hash is of another MachineConfig than their contents.
    pub(super) inherited_hashes: InheritedHashes,
    lost_compression: LostCompression,
    /// What rendered configs among the inputs say of where their own parts came from.
    pub(super) inherited: HashMap<String, Provenance>,
    /// MachineConfigs whose Ignition part is refused by itself.
    invalid: BTreeSet<String>,
    /// Paths of files that could not be read, so it is not known what they would have been merged to.
    unread: BTreeSet<String>,
}

/// MachineConfigs on their way to [`Merged`], added one by one.
#[derive(Debug, Default)]
pub(super) struct Merging<'a> {
    merger: Option<Merger>,
    recorder: Recorder<'a>,
    fields: Fields,
    inherited_hashes: InheritedHashes,
    lost_compression: LostCompression,
    inherited: HashMap<String, Provenance>,
    invalid: BTreeSet<String>,
    unread: BTreeSet<String>,
}

/// Parts whose origins are taken over from inputs that are rendered themselves, of all of them: what a handful of real ones have. More
/// are forged, and would fill memory.
const MAX_INHERITED: usize = 100_000;

impl<'a> Merging<'a> {
    /// Adds the next input in merge order. Its parsed config is used up.
    pub(super) fn add(&mut self, input: &mut Input<'a>) {
        self.recorder.next(input.name);
        if input.is_rendered() {
            let provenance = crate::rendered::provenance(input.config);
            let parts = self
                .inherited
                .values()
                .map(|known| known.origins.len())
                .sum::<usize>();
            if parts + provenance.origins.len() <= MAX_INHERITED {
                self.inherited.insert(input.name.to_owned(), provenance);
            }
        }
        self.fields.add(input, &mut self.recorder);
        self.unread.extend(input.unread_paths().map(str::to_owned));
        self.invalid.extend(input.invalid.then(|| input.name.to_owned()));
        let config = input.parsed.take().map(|parsed| parsed.config);
        if let Some(config) = &config {
            self.recorder.config(config);
            self.inherited_hashes.add(input.name, files(config));
            self.lost_compression.add(input.name, files(config));
        }
        match (&mut self.merger, config) {
            // The first config is taken as it is, even when it is empty.
            (None, config) => self.merger = Some(Merger::new(config.unwrap_or_default())),
            (Some(merger), Some(config)) => merger.add_overriding(config),
            (Some(_), None) => {}
        }
    }

    /// What they say together.
    pub(super) fn finish(self) -> Merged {
        Merged {
            ignition: self.merger.map(Merger::finish_rendered).unwrap_or_default(),
            fields: self.fields,
            provenance: self.recorder.finish(),
            inherited_hashes: self.inherited_hashes,
            lost_compression: self.lost_compression,
            inherited: self.inherited,
            invalid: self.invalid,
            unread: self.unread,
        }
    }
}

/// Puts in place of rendered configs what these say themselves of where their parts came from.
pub(super) fn inherit(provenance: &mut Provenance, inherited: &HashMap<String, Provenance>) {
    if inherited.is_empty() {
        return;
    }
    for (part, origin) in &mut provenance.origins {
        for name in origin.beaten.iter_mut().chain([&mut origin.winner]) {
            let inherited = inherited.get(name.as_str());
            if let Some(source) = inherited.and_then(|inherited| inherited.winner(part)) {
                source.clone_into(name);
            }
        }
    }
}

/// What is wrong with the merged whole, or doubtful.
pub(super) fn findings(pool: &str, merged: &Merged, defaults: &Defaults) -> Vec<Finding> {
    let mut findings = invalid(pool, merged);
    findings.extend(kernel_devel(merged));
    findings.extend(os_image(merged, defaults));
    findings.extend(merged.inherited_hashes.findings(files(&merged.ignition)));
    findings
}

/// What no node can apply although the reference renders it, as errors.
pub(super) fn unusable(pool: &str, merged: &Merged) -> Vec<Finding> {
    let object_of = |path: &str| blame::object(pool, &merged.provenance, &Part::Path(path.to_owned()));
    let mut findings = tree::findings(&merged.ignition, object_of);
    findings.extend(merged.lost_compression.findings());
    findings
}

/// What Ignition refuses although it accepts every single MachineConfig.
fn invalid(pool: &str, merged: &Merged) -> Vec<Finding> {
    let Merged {
        ignition,
        provenance,
        invalid,
        unread,
        ..
    } = merged;
    let sourceless = files(ignition)
        .filter(|file| file.get("overwrite") == Some(&Value::Bool(true)) && source(file).is_none())
        .filter(|file| !unread.contains(file.text("path")));
    let mut findings: Vec<Finding> = sourceless
        .map(|file| without_contents(pool, provenance, file))
        .collect();
    let already_told = |path: &str| {
        findings
            .iter()
            .any(|finding| matches!(finding.code, Code::FILE_WITHOUT_CONTENTS | Code::APPENDED_FILE))
            && path.ends_with(".overwrite")
    };
    // What comes from a config that is refused by itself was told of that one.
    let is_of_invalid = |path: &str| {
        let part = part_at(ignition, path);
        let origin = provenance.origins.get(&part);
        origin.is_some_and(|origin| origin.touched_by().any(|name| invalid.contains(name)))
            || matches!(part, Part::Path(path) if unread.contains(&path))
    };
    let problems = ignition.validate_merged();
    let others = problems.iter().filter(|problem| {
        problem.severity == crate::Severity::Error
            && !already_told(&problem.path)
            && !is_of_invalid(&problem.path)
    });
    let others: Vec<Finding> = others
        .map(|problem| blame::merged(pool, problem, ignition, provenance))
        .collect();
    findings.extend(others);
    findings
}

fn files(ignition: &Config) -> impl Iterator<Item = &Value> {
    ignition.fields().list("storage", "files").iter()
}

/// The source of a file's contents.
fn source(file: &Value) -> Option<&str> {
    file.get("contents")?.get("source")?.as_str()
}

fn without_contents(pool: &str, provenance: &Provenance, file: &Value) -> Finding {
    let path = file.text("path");
    let object = blame::object(pool, provenance, &Part::Path(path.to_owned()));
    let field = "spec.config.storage.files";
    if file.get("append").is_some() {
        let message =
            format!("{path} is only appended to, and has neither contents of its own nor overwrite: false");
        return Finding::error(Code::APPENDED_FILE, object, field, message);
    }
    Finding::error(
        Code::FILE_WITHOUT_CONTENTS,
        object,
        field,
        format!("{path} has neither contents nor append"),
    )
}

fn kernel_devel(merged: &Merged) -> Option<Finding> {
    const KERNEL_DEVEL: &str = "kernel-devel";
    let fields = &merged.fields;
    // A kernel that does not exist was told of by itself.
    let conflicts = KERNEL_TYPES.contains(&fields.kernel_type.as_str())
        && fields
            .extensions
            .iter()
            .any(|extension| extension == KERNEL_DEVEL);
    if !conflicts {
        return None;
    }
    let extension = merged
        .provenance
        .winner(&Part::Extension(KERNEL_DEVEL.to_owned()))?;
    let kernel = merged.provenance.winner(&Part::Field("kernelType".to_owned()))?;
    let message = format!(
        "{KERNEL_DEVEL} does not go with kernelType {}, which {} sets",
        fields.kernel_type,
        object(kernel)
    );
    Some(Finding::error(
        Code::KERNEL_DEVEL,
        object(extension),
        "spec.extensions",
        message,
    ))
}

/// Doubts about an OS image that overrides the default.
fn os_image(merged: &Merged, defaults: &Defaults) -> Vec<Finding> {
    let image = merged.fields.os_image_url.as_str();
    if image.is_empty() || image == defaults.os_image_url {
        return Vec::new();
    }
    let object = merged
        .provenance
        .winner(&Part::Field("osImageURL".to_owned()))
        .map(object)
        .unwrap_or_default();
    let mut findings = Vec::new();
    if !defaults.os_image_stream.is_empty() {
        let message = format!(
            "sets the OS image, and the pool sets spec.osImageStream {:?}",
            defaults.os_image_stream
        );
        findings.push(Finding::error(
            Code::OS_IMAGE_AND_STREAM,
            &object,
            "spec.osImageURL",
            message,
        ));
    }
    if !image.contains("sha256:") {
        let message = format!("the OS image {image:?} is not named by digest");
        findings.push(Finding::warning(
            Code::OS_IMAGE_WITHOUT_DIGEST,
            &object,
            "spec.osImageURL",
            message,
        ));
    }
    findings
}

/// The size of the rendered object, when it is too large or near it.
pub(super) fn size_finding(
    pool: &str,
    size: usize,
    ignition: &Config,
    provenance: &Provenance,
) -> Option<Finding> {
    if size <= LARGE_SIZE {
        return None;
    }
    let (object, field, brought) = match largest(ignition, provenance, size) {
        Some((name, brought)) => (object(&name), "spec.config", brought),
        None => (format!("MachineConfigPool/{pool}"), "", String::new()),
    };
    let message = format!(
        "the rendered MachineConfig of the pool {pool} has {size} bytes, and {MAX_SIZE} are allowed{brought}"
    );
    Some(if size <= MAX_SIZE {
        Finding::warning(Code::RENDERED_LARGE, object, field, message)
    } else {
        Finding::error(Code::RENDERED_TOO_LARGE, object, field, message)
    })
}

/// The MachineConfig that brings most, and in words which ones do, by the contents of their files as they are encoded. `None` when
/// the files are not most of all `size` bytes.
fn largest(ignition: &Config, provenance: &Provenance, size: usize) -> Option<(String, String)> {
    const NAMED: usize = 3;
    let of_file = |file| (Value::text(file, "path"), source(file).map_or(0, str::len));
    let mut files: Vec<(&str, usize)> = files(ignition).map(of_file).collect();
    let mut first = ("", 0);
    for (path, size) in &files {
        first = if *size > first.1 { (path, *size) } else { first };
    }
    files.sort_unstable();
    let mut files = files.into_iter().peekable();
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    // Both in the order of their paths: looking each of many paths up costs more than all the rest.
    for (part, origin) in &provenance.origins {
        let Part::Path(path) = part else { continue };
        while files.next_if(|(file, _)| *file < path.as_str()).is_some() {}
        if let Some((_, size)) = files.next_if(|(file, _)| file == path) {
            *sizes.entry(&origin.winner).or_default() += size;
        }
    }
    if sizes.values().sum::<usize>() < size / 2 {
        return None;
    }
    let mut sizes: Vec<_> = sizes.into_iter().collect();
    if sizes.len() > NAMED {
        sizes.select_nth_unstable_by_key(NAMED, |(name, size)| (Reverse(*size), *name));
        sizes.truncate(NAMED);
    }
    sizes.sort_by_key(|(name, size)| (Reverse(*size), *name));
    let named: Vec<_> = sizes
        .iter()
        .map(|(name, size)| format!("{size} of {name}"))
        .collect();
    let (path, size) = first;
    let brought = format!(
        "; most are in files: {}; the largest is {path} with {size}",
        named.join(", ")
    );
    let (most, _) = sizes.first()?;
    Some(((*most).to_owned(), brought))
}
