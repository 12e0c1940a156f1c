//! Words for what the tests do in a cluster.

use std::time::Duration;

use anyhow::Result;
use e2e::cluster::{Cluster, ImageFile, Parts, image_from_binaries, wait_on};
use serde_json::{Value, json};

/// For a pod to run, or a controller to take note, with other clusters beside this one.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// The image whose containers say what their arguments are.
pub(crate) const IMAGE: &str = "localhost/say:1";

/// Makes that image, and brings it to every node.
pub(crate) fn load_say(cluster: &mut Cluster) -> Result<()> {
    let archive = cluster.dir().join("say.tar");
    let program = ImageFile {
        path: "/bin/guest-pod".to_owned(),
        from: Parts::provide()?.pod_program().to_owned(),
    };
    image_from_binaries(IMAGE, &[program], &["say"], &archive)?;
    cluster.load_image(&archive)
}

/// A pod that says some words and then stays.
pub(crate) fn pod(name: &str, words: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "say", "image": IMAGE, "imagePullPolicy": "Never", "args": words}],
        },
    })
}

/// Creates a pod that goes to a node by way of the scheduler.
pub(crate) fn create_pod(cluster: &Cluster, node: &str, name: &str, words: &[&str]) -> Result<()> {
    let mut pod = pod(name, words);
    pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    cluster.api().create("/api/v1/namespaces/default/pods", &pod)?;
    Ok(())
}

/// Waits until the log of a pod is `text`.
pub(crate) fn wait_said(cluster: &Cluster, pod: &str, text: &str) -> Result<()> {
    wait_on(format!("pod {pod} to say {text:?}"), DEADLINE, || {
        let log = cluster
            .api()
            .text(&format!("/api/v1/namespaces/default/pods/{pod}/log"))?;
        Ok((log == text).then_some(()))
    })
}
