//! Disks, partitions, arrays, file systems and encrypted volumes.

use serde_json::json;

use crate::{check, check_in, stored};

#[test]
fn devices_are_absolute_and_clean() {
    check(
        r#"
        {"storage": {"disks": [{"device": "a"}]}} => .storage.disks[0].device: Path
        {"storage": {"disks": [{}]}} => .storage.disks[0].device: Missing
        {"storage": {"raid": [{"name": "m", "level": "1", "devices": ["/dev/a", "b"]}]}} => .storage.raid[0].devices[1]: Path
        {"storage": {"filesystems": [{"device": "a", "format": "xfs"}]}} => .storage.filesystems[0].device: Path
        {"storage": {"filesystems": [{"device": "/dev/a", "path": "b", "format": "xfs"}]}} => .storage.filesystems[0].path: Path
        {"storage": {"filesystems": [{"device": "/dev/a", "path": "", "format": "xfs"}]}} =>
        {"storage": {"luks": [{"name": "l", "device": "a"}]}} => .storage.luks[0].device: Path
        "#,
    );
}

#[test]
fn partitions_are_told_apart() {
    let disk = |partitions| {
        stored(
            "disks",
            &json!({"device": "/dev/a"}),
            json!({"partitions": partitions}),
        )
    };
    let lines = r#"
        [{"number": 1}, {"label": "a"}]                                              =>
        [{}]                                                                         => [0]: Missing
        [{"number": 0}]                                                              => [0]: Missing
        [{"number": 1}, {"number": 1}]                                               => [1].number: Duplicate; [1]: Duplicate
        [{"number": 1, "label": "a"}, {"number": 2, "label": "a"}]                   => [1].label: Duplicate
        [{"label": "a"}, {"label": "a"}]                                             => [1].label: Duplicate; [1]: Duplicate
        [{"number": 1, "shouldExist": false}]                                        =>
        [{"number": 1, "shouldExist": false, "sizeMiB": 0}]                          => [0]: Conflict
        [{"number": 1, "shouldExist": false, "guid": "", "typeGuid": ""}]            =>
        [{"number": 1, "shouldExist": false}, {"label": "a"}]                        => : Conflict
        [{"label": "012345678901234567890123456789012345"}]                          =>
        [{"label": "0123456789012345678901234567890123456"}]                         => [0].label: Value
        [{"label": "a:b"}]                                                           => [0].label: Value
        [{"number": 1, "guid": "01234567-89ab-CDEF-edcb-A98765432101"}]              =>
        [{"number": 1, "guid": "01234567-89ab-CDEF-edcb-A9876543210"}]               => [0].guid: Value
        [{"number": 1, "typeGuid": "0123456789abCDEFedcbA98765432101"}]              => [0].typeGuid: Value
    "#;
    check_in("3.5.0", "$.storage.disks[0].partitions", lines, disk);
}

#[test]
fn partitions_do_not_overlap() {
    // Each pair is the start and the size of a partition.
    let disk = |ranges: serde_json::Value| {
        let ranges = ranges.as_array().expect("a list").iter().enumerate();
        let partition = |(i, range): (usize, &serde_json::Value)| json!({"number": i + 1, "startMiB": range[0], "sizeMiB": range[1]});
        let partitions: serde_json::Value = ranges.map(partition).collect();
        stored(
            "disks",
            &json!({"device": "/dev/a"}),
            json!({"partitions": partitions}),
        )
    };
    let lines = "
        [[1, 10], [11, 5]]                     =>
        [[1, 10], [10, 5]]                     => [1]: Conflict
        [[5, 1], [1, 10]]                      => [0]: Conflict
        [[1, 100], [5, 1], [50, 1]]            => [1]: Conflict; [2]: Conflict
        [[0, 10], [0, 10]]                     =>
        [[1, null], [1, null]]                 =>
        [[7, 0], [1, 6]]                       =>
        [[7, 0], [1, 7]]                       => [0]: Conflict
        [[1, 9223372036854775807], [5, 1]]     => [1]: Conflict
    ";
    check_in("3.5.0", "$.storage.disks[0].partitions", lines, disk);
}

#[test]
fn file_systems_have_a_format() {
    let filesystem = |fields| stored("filesystems", &json!({"device": "/dev/a"}), fields);
    let lines = r#"
        {}                                              =>
        {"path": "/x"}                                  => .format: Missing
        {"label": "x"}                                  => .format: Missing
        {"uuid": "x"}                                   => .format: Missing
        {"wipeFilesystem": true}                        => .format: Missing
        {"wipeFilesystem": false, "label": ""}          =>
        {"options": ["x"]}                              => .format: Missing
        {"mountOptions": ["x"]}                         => .format: Missing
        {"format": "ntfs"}                              => .format: Value
        {"format": "swap"}                              =>
        {"format": "vfat"}                              =>
    "#;
    check_in("3.5.0", "$.storage.filesystems[0]", lines, filesystem);
    check_in(
        "3.3.0",
        "$.storage.filesystems[0]",
        r#"{"format": "none"} =>"#,
        filesystem,
    );
    check_in(
        "3.2.0",
        "$.storage.filesystems[0]",
        r#"{"format": "none"} => .format: Value"#,
        filesystem,
    );
}

#[test]
fn labels_fit_their_format() {
    for (format, longest) in [
        ("ext4", 16),
        ("btrfs", 256),
        ("xfs", 12),
        ("swap", 15),
        ("vfat", 11),
    ] {
        let label = |length: u64| {
            let label = "x".repeat(usize::try_from(length).expect("it is small"));
            json!({"storage": {"filesystems": [{"device": "/dev/a", "format": format, "label": label}]}})
        };
        let lines = format!("{longest} =>\n{} => .label: Value", longest + 1);
        check_in("3.5.0", "$.storage.filesystems[0]", &lines, |length| {
            label(length.as_u64().expect("a number"))
        });
    }
}

#[test]
fn a_disk_that_is_wiped_under_its_file_system_is_worth_a_warning() {
    check(
        r#"
        {"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1}]}], "filesystems": [{"device": "/dev/a", "format": "xfs", "wipeFilesystem": true}]}} => ~.storage.filesystems[0].device: Conflict
        {"storage": {"disks": [{"device": "/dev/a", "wipeTable": true}], "filesystems": [{"device": "/dev/a", "format": "xfs"}]}} => ~.storage.filesystems[0].device: Conflict
        {"storage": {"disks": [{"device": "/dev/a", "wipeTable": true}], "filesystems": [{"device": "/dev/a", "format": "xfs", "wipeFilesystem": true}]}} =>
        {"storage": {"disks": [{"device": "/dev/b", "wipeTable": true}], "filesystems": [{"device": "/dev/a", "format": "xfs"}]}} =>
        "#,
    );
}

#[test]
fn arrays_have_a_level_and_devices() {
    let raid = |fields| stored("raid", &json!({"name": "m", "devices": ["/dev/a"]}), fields);
    for level in ["linear", "raid0", "0", "stripe"] {
        let lines = format!(r#"{{"level": "{level}", "spares": 0}} =>"#);
        check_in("3.5.0", "$.storage.raid[0]", &lines, raid);
        let lines = format!(r#"{{"level": "{level}", "spares": 1}} => .level: Conflict"#);
        check_in("3.5.0", "$.storage.raid[0]", &lines, raid);
    }
    for level in "raid1 1 mirror raid4 4 raid5 5 raid6 6 raid10 10".split(' ') {
        let lines = format!(r#"{{"level": "{level}", "spares": 1}} =>"#);
        check_in("3.5.0", "$.storage.raid[0]", &lines, raid);
    }
    let lines = r#"
        {"level": "raid7"}                    => .level: Value
        {}                                    => .level: Missing
        {"level": "1", "devices": []}         => .devices: Missing
        {"level": "1", "devices": null}       => .devices: Missing
    "#;
    check_in("3.5.0", "$.storage.raid[0]", lines, raid);
}

#[test]
fn encrypted_volumes_are_unlocked_in_one_way() {
    let luks = |fields| stored("luks", &json!({"name": "l", "device": "/dev/a"}), fields);
    let lines = r#"
        {"name": "a/b"}                                                                     => .name: Value
        {"label": "01234567890123456789012345678901234567890123456"}                        =>
        {"label": "012345678901234567890123456789012345678901234567"}                       => .label: Value
        {"device": null}                                                                    => .device: Missing
        {"keyFile": {"source": "x"}}                                                        => .keyFile.source: Url
        {"clevis": {"tpm2": true, "tang": [{"url": "http://t", "thumbprint": "p"}]}}        =>
        {"clevis": {"custom": {"pin": "tpm2", "config": "c"}}}                              =>
        {"clevis": {"custom": {"pin": "tpm2", "config": "c"}, "tpm2": true}}                => .clevis: Conflict
        {"clevis": {"custom": {"pin": "tpm2", "config": "c"}, "threshold": 1}}              => .clevis: Conflict
        {"clevis": {"custom": {"pin": "tpm2", "config": "c"}, "threshold": 0}}              =>
        {"clevis": {"custom": {"pin": "x", "config": "c"}}}                                 => .clevis.custom.pin: Value
        {"clevis": {"custom": {"pin": "tang", "config": ""}}}                               => .clevis.custom.config: Missing
        {"clevis": {"custom": {"needsNetwork": true, "config": "c"}}}                       => .clevis.custom.pin: Missing
        {"clevis": {"custom": {"needsNetwork": false, "pin": ""}}}                          =>
        {"cex": {"enabled": true}}                                                          =>
        {"cex": {"enabled": true}, "clevis": {"tpm2": true}}                                => .cex: Conflict
        {"cex": {"enabled": true}, "clevis": {"tpm2": false}}                               =>
        {"cex": {"enabled": true}, "keyFile": {"source": "data:,k"}}                        => .cex: Conflict
        {"cex": {"enabled": false}, "keyFile": {"source": "data:,k"}}                       =>
    "#;
    check_in("3.5.0", "$.storage.luks[0]", lines, luks);
}

#[test]
fn tang_servers_have_a_url_and_a_thumbprint() {
    let tang = |server| {
        stored(
            "luks",
            &json!({"name": "l", "device": "/dev/a"}),
            json!({"clevis": {"tang": [server]}}),
        )
    };
    let lines = r#"
        {"url": "http://t", "thumbprint": "p"}                             =>
        {"url": "http://t"}                                                => .thumbprint: Missing
        {"url": "ftp://t", "thumbprint": "p"}                              => .url: Url
        {"thumbprint": "p"}                                                => .url: Url
        {"url": "http://t:x", "thumbprint": "p"}                           => .url: Url
        {"url": "http://t", "thumbprint": "p", "advertisement": "{}"}      =>
        {"url": "http://t", "thumbprint": "p", "advertisement": ""}        =>
        {"url": "http://t", "thumbprint": "p", "advertisement": "{"}       => .advertisement: Value
    "#;
    check_in("3.5.0", "$.storage.luks[0].clevis.tang[0]", lines, tang);
}
