//! Images of containers without a registry: an OCI archive of one layer, as container runtimes import it. The same files make the same
//! bytes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The layout's own words.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A file of an image.
#[derive(Debug, Clone)]
pub struct ImageFile {
    /// Its absolute path in the image.
    pub path: String,
    /// Where its contents are on the host.
    pub from: PathBuf,
}

/// Makes an image of programs that need nothing but themselves, and writes it to `archive`. `name` is as a pod has it
/// (`localhost/NAME:TAG`; the runtime never asks a registry for it when the pod says `imagePullPolicy: Never`). The first file is the
/// entry point, and `arguments` are what follows it.
pub fn image_from_binaries(
    name: &str,
    files: &[ImageFile],
    arguments: &[&str],
    archive: &Path,
) -> Result<()> {
    let first = files.first().context("an image takes at least one program")?;
    let mut entrypoint = vec![first.path.as_str()];
    entrypoint.extend(arguments);
    let layer = layer(files)?;
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": described(CONFIG, &config),
        "layers": [described(LAYER, &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let tag = name.rsplit_once(':').map(|(_, tag)| tag);
    let tag = tag.with_context(|| format!("image {name} has no tag"))?;
    let mut named = described(MANIFEST, &manifest);
    named["annotations"] =
        json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
    named["platform"] = json!({"architecture": "amd64", "os": "linux"});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]});

    let file = File::create(archive).with_context(|| format!("could not create {}", archive.display()))?;
    let mut tar = Builder::new(file);
    append(
        &mut tar,
        "oci-layout",
        0o644,
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    append(&mut tar, "index.json", 0o644, index.to_string().as_bytes())?;
    for blob in [&layer, &config, &manifest] {
        let path = format!("blobs/{}", digest(blob).replace(':', "/"));
        append(&mut tar, &path, 0o644, blob)?;
    }
    tar.into_inner()
        .and_then(|mut file| file.flush())
        .with_context(|| format!("could not write {}", archive.display()))
}

/// The files as they lie in the image, with the directories above them.
fn layer(files: &[ImageFile]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let mut made: Vec<PathBuf> = Vec::new();
    for file in files {
        let relative = file.path.strip_prefix('/');
        let relative = Path::new(relative.with_context(|| format!("{} is no absolute path", file.path))?);
        ensure!(relative.file_name().is_some(), "{} names no file", file.path);
        let above: Vec<&Path> = relative.ancestors().skip(1).collect();
        for directory in above.into_iter().rev() {
            if directory.as_os_str().is_empty() || made.iter().any(|made| made == directory) {
                continue;
            }
            let mut header = header(0o755, 0);
            header.set_entry_type(EntryType::Directory);
            tar.append_data(&mut header, directory, std::io::empty())?;
            made.push(directory.to_owned());
        }
        let contents =
            fs::read(&file.from).with_context(|| format!("could not read {}", file.from.display()))?;
        append(&mut tar, &relative.to_string_lossy(), 0o755, &contents)?;
    }
    Ok(tar.into_inner()?)
}

fn append(tar: &mut Builder<impl Write>, path: &str, mode: u32, contents: &[u8]) -> Result<()> {
    let mut header = header(mode, u64::try_from(contents.len())?);
    tar.append_data(&mut header, path, contents)
        .with_context(|| format!("could not put {path} into the archive"))
}

/// Of root, and of no time, so that archives can be compared.
fn header(mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn described(kind: &str, blob: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": digest(blob), "size": blob.len()})
}

fn digest(blob: &[u8]) -> String {
    Sha256::digest(blob)
        .iter()
        .fold("sha256:".to_owned(), |digest, byte| format!("{digest}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::{ImageFile, image_from_binaries};
    use std::collections::BTreeMap;
    use std::fs;
    use std::io::Read;

    use serde_json::Value;

    #[test]
    fn an_archive_is_the_same_each_time_and_names_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let (program, one, two) = (dir.path().join("p"), dir.path().join("1"), dir.path().join("2"));
        fs::write(&program, "#!/bin/true\n").unwrap();
        let files = [ImageFile {
            path: "/usr/bin/p".to_owned(),
            from: program,
        }];
        image_from_binaries("localhost/p:1", &files, &["run"], &one).unwrap();
        image_from_binaries("localhost/p:1", &files, &["run"], &two).unwrap();
        let bytes = fs::read(&one).unwrap();
        assert_eq!(bytes, fs::read(&two).unwrap());

        let mut held = BTreeMap::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            held.insert(entry.path().unwrap().display().to_string(), contents);
        }
        let read = |path: &str| -> Value { serde_json::from_slice(&held[path]).unwrap() };
        let blob = |object: &Value| {
            let digest = object["digest"].as_str().unwrap().replace(':', "/");
            format!("blobs/{digest}")
        };
        let index = read("index.json");
        let named = &index["manifests"][0];
        assert_eq!(named["annotations"]["io.containerd.image.name"], "localhost/p:1");
        let manifest = read(&blob(named));
        let config = read(&blob(&manifest["config"]));
        assert_eq!(
            config["config"]["Entrypoint"],
            serde_json::json!(["/usr/bin/p", "run"])
        );
        let layer = &held[&blob(&manifest["layers"][0])];
        let paths: Vec<String> = tar::Archive::new(&layer[..])
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(paths, ["usr", "usr/bin", "usr/bin/p"]);
    }

    #[test]
    fn what_makes_no_image_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        assert!(image_from_binaries("localhost/p:1", &[], &[], &archive).is_err());
        let files = [ImageFile {
            path: "p".to_owned(),
            from: "/bin/true".into(),
        }];
        assert!(image_from_binaries("localhost/p:1", &files, &[], &archive).is_err());
    }
}
