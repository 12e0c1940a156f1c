//! The finished bodies of one pool, made of a rendered MachineConfig and what goes with it. Entry point: [`bodies`].

use std::thread;

use crds::MachineConfigSpec;
use ignition::Version;
use machineconfig::name::rendered_name;
use serde_json::json;

use crate::assemble::{AssembleError, Assembly, Inputs};
use crate::snapshot::Pool;

/// The rendered name that a spec leads to: over every field, with the config as it stands, which is how it was hashed.
pub(crate) fn expected_name(pool: &str, spec: &MachineConfigSpec) -> Option<String> {
    let spec = json!({
        "baseOSExtensionsContainerImage": spec.base_os_extensions_container_image,
        "config": spec.config.as_ref()?,
        "extensions": spec.extensions.as_deref().unwrap_or_default(),
        "fips": spec.fips,
        "kernelArguments": spec.kernel_arguments.as_deref().unwrap_or_default(),
        "kernelType": spec.kernel_type,
        "osImageURL": spec.os_image_url,
    });
    rendered_name(pool, &spec).ok()
}

/// A body for every version that can say what the config says.
pub(crate) fn bodies(name: &str, inputs: &Inputs<'_>) -> Result<Pool, AssembleError> {
    let assembly = Assembly::new(inputs)?;
    let mut bodies = Vec::with_capacity(Version::ALL.len());
    for (version, body) in Version::ALL
        .into_iter()
        .zip(in_parallel(|version| assembly.body(version)))
    {
        bodies.push(match body {
            Ok(body) => Some(body),
            // What cannot even be said in the newest version concerns the config as a whole.
            Err(error) if version == Version::LATEST => return Err(error),
            // Nothing translates down to it, and nobody asks for it.
            Err(_) if version == Version::V3_0 => None,
            Err(error) => {
                tracing::warn!(pool = name, config = inputs.rendered, %version, %error, "Version not served");
                None
            }
        });
    }
    let mut bodies = bodies.into_iter();
    Ok(Pool::new(name, inputs.rendered.to_owned(), |_| {
        bodies.next().flatten()
    }))
}

/// Does the same for every version, on all processors, in the order of [`Version::ALL`]: the bodies of a large
/// config are most of what a server does before its first answer.
fn in_parallel<T: Send>(work: impl Fn(Version) -> T + Sync) -> Vec<T> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = Version::ALL.len().div_ceil(workers);
    let work = &work;
    thread::scope(|scope| {
        let start = |versions: &'static [Version]| {
            scope.spawn(move || versions.iter().map(|version| work(*version)).collect::<Vec<T>>())
        };
        let threads: Vec<_> = Version::ALL.chunks(share).map(start).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("assembling does not panic"))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    #[test]
    fn rendered_specs_lead_to_the_names_they_have() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/render");
        let mut checked = 0;
        for entry in fs::read_dir(directory).unwrap() {
            let vector: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            let Some(name) = vector["expect"]["name"].as_str() else {
                continue;
            };
            let pool = vector["input"]["pool"].as_str().unwrap();
            let text = vector["expect"]["specJSON"].as_str().unwrap();
            let spec: MachineConfigSpec = serde_json::from_str(text).unwrap();
            assert_eq!(expected_name(pool, &spec).as_deref(), Some(name));
            checked += 1;
        }
        assert!(checked >= 30, "only {checked} vectors were found");
    }
}
