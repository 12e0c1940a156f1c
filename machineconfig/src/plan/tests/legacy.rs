//! The first-boot table.

use super::super::legacy::{Legacy, LegacyAction, legacy};
use super::*;

const USER_CA: &str = "/etc/pki/ca-trust/source/anchors/openshift-config-user-ca-bundle.crt";

#[test]
fn the_first_boot_table_decides_by_the_worst_file() {
    let table: [(&[&str], LegacyAction); 13] = [
        (&[], LegacyAction::None),
        (&["/etc/kubernetes/kubelet-ca.crt"], LegacyAction::None),
        (&["/var/lib/kubelet/config.json"], LegacyAction::None),
        (&["/etc/nmstate/openshift/a.yml"], LegacyAction::None),
        (&["/etc/nmstate/openshift/a/b.yml"], LegacyAction::Reboot),
        (&["/etc/containers/policy.json"], LegacyAction::ReloadCrio),
        (
            &["/etc/machine-config-daemon/no-reboot/containers-gpg.pub"],
            LegacyAction::ReloadCrio,
        ),
        (&["/etc/containers/registries.d/a.yaml"], LegacyAction::ReloadCrio),
        (&["/etc/containers/registries.d/a/b.yaml"], LegacyAction::Reboot),
        (&[USER_CA], LegacyAction::RestartCrio),
        (
            &[
                "/etc/containers/policy.json",
                USER_CA,
                "/var/lib/kubelet/config.json",
            ],
            LegacyAction::RestartCrio,
        ),
        (&[USER_CA, "/etc/other"], LegacyAction::Reboot),
        (&["/etc/other"], LegacyAction::Reboot),
    ];
    for (paths, action) in table {
        let list = json!(
            paths
                .iter()
                .map(|path| json!({ "path": path }))
                .collect::<Vec<_>>()
        );
        for (old, new) in [(json!([]), list.clone()), (list, json!([]))] {
            let (old, new) = files(old, new);
            let drain = action == LegacyAction::Reboot;
            assert_eq!(legacy(&old, &new), Ok(Legacy { action, drain }), "{paths:?}");
        }
    }
}

#[test]
fn units_and_the_operating_system_reboot_and_users_do_nothing() {
    let unit = |name: &str| json!({"config": {"systemd": {"units": [{"name": name}]}}});
    let user = json!({"config": {"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["k"]}]}}});
    let table = [
        (unit("a.service"), json!({}), LegacyAction::Reboot),
        (
            json!({"osImageURL": "a"}),
            json!({"osImageURL": "b"}),
            LegacyAction::Reboot,
        ),
        (json!({"kernelArguments": ["a"]}), json!({}), LegacyAction::Reboot),
        (
            json!({"extensions": ["usbguard"]}),
            json!({}),
            LegacyAction::Reboot,
        ),
        (json!({"fips": true}), json!({}), LegacyAction::Reboot),
        (json!({"kernelType": "realtime"}), json!({}), LegacyAction::Reboot),
        (json!({"kernelType": "default"}), json!({}), LegacyAction::None),
        (user, json!({}), LegacyAction::None),
    ];
    for (old, new, action) in table {
        let (old, new) = (config("old", old), config("new", new));
        assert_eq!(legacy(&old, &new).unwrap().action, action);
    }
}

#[test]
fn registries_conf_decides_about_the_drain_here_too() {
    let conf = |source: &str| json!([{"path": registries::PATH, "contents": {"source": source}}]);
    let table = [
        (conf("data:,"), Ok(false)),
        (
            conf("data:,%5B%5Bregistry%5D%5D%0Alocation%20%3D%20%27q%27"),
            Ok(true),
        ),
        (conf("data:,%5B%5B%5B"), Err(registries::Side::Desired)),
    ];
    for (new, drain) in table {
        let (old, new) = files(json!([]), new);
        let found = legacy(&old, &new);
        assert_eq!(
            found
                .as_ref()
                .map(|found| found.drain)
                .map_err(|error| error.side),
            drain
        );
        assert!(found.is_err() || found.is_ok_and(|found| found.action == LegacyAction::ReloadCrio));
    }
    let words = [
        LegacyAction::None,
        LegacyAction::ReloadCrio,
        LegacyAction::RestartCrio,
        LegacyAction::Reboot,
    ];
    assert_eq!(
        words.map(|word| word.to_string()),
        ["none", "reload crio", "restart crio", "reboot"]
    );
}
