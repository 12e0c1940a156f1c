//! The registry of error codes: number, what it means, what to do. `docs/errors.md` lists the same.

use std::fmt;

use ignition::Kind;

/// A stable error code, `MC` and four digits.
///
/// `MC10xx` reading objects, `MC11xx` one MachineConfig, `MC12xx` rendering a pool, `MC20xx` changes a running node
/// refuses, `MC30xx` policies and plans, `MC40xx` drift, `MC50xx` server, `MC60xx` command line, `MC61xx` asking a
/// cluster, `MC70xx` changing a node, `MC71xx` what a node runs, `MC80xx` rolling out to nodes. A number once given is never
/// given to another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

/// What the registry says about a [`Code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// What it means, in one sentence.
    pub what: &'static str,
    /// What to do about it, in one sentence.
    pub remedy: &'static str,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MC{:04}", self.0)
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One line per code, in numerical order: `NAME = number: what, remedy`. Makes a documented constant of each
/// and lists all of them in [`Code::ALL`].
macro_rules! codes {
    ($($name:ident = $number:literal: $what:literal, $remedy:literal;)*) => {
        impl Code {
            $(
                #[doc = $what]
                #[doc = ""]
                #[allow(rustdoc::invalid_html_tags, reason = "the texts are for a terminal first")]
                #[doc = $remedy]
                pub const $name: Code = Code($number);
            )*

            /// Every code, in numerical order.
            pub const ALL: &'static [Entry] = &[
                $(Entry { code: Code::$name, what: $what, remedy: $remedy },)*
            ];
        }
    };
}

codes! {
    UNREADABLE = 1001: "A file or a directory cannot be read.",
        "Check that the path exists and that you may read it.";
    TEXT_TOO_LARGE = 1002: "A file is longer than any set of objects needs to be.",
        "Name the file that holds the objects, or split it.";
    NOT_TEXT = 1003: "A file is not text, so it holds no YAML or JSON.",
        "Name the file that holds the objects, saved as UTF-8.";
    NO_MANIFESTS = 1004: "Nothing that could be an object was found.",
        "Name the files or the directory that hold the objects; directories below are read with -R.";
    MALFORMED = 1005: "A document is not well-formed, or not an object of the kind it says it is.",
        "Correct the document at the line and column that are named.";
    UNKNOWN_KIND = 1006: "An object is of a kind that is not known, and is left out.",
        "Correct apiVersion and kind, or leave the object out.";
    UNKNOWN_FIELD = 1007: "An object has a field that its kind does not have, and it is ignored.",
        "Correct the spelling of the field, or remove it.";
    KIND_LEFT_OUT = 1008: "An object is of a kind that a cluster makes MachineConfigs of, which is not done here.",
        "Give the MachineConfigs that the cluster made of it, or expect a result without them.";
    PULL_SECRET = 1009: "The pull secret is no Secret with credentials for image registries.",
        "Name the manifest of a Secret of type kubernetes.io/dockerconfigjson.";
    IGNITION_SYNTAX = 1101: "The Ignition config is not valid JSON.",
        "Correct the syntax at the place that is named.";
    IGNITION_TYPE = 1102: "A value in the Ignition config has the wrong JSON type.",
        "Give the value the type that the Ignition spec asks for.";
    IGNITION_MISSING = 1103: "A field that the Ignition spec requires is absent.",
        "Add the field.";
    IGNITION_VERSION = 1104: "ignition.version is missing, malformed, or not a version that is read.",
        "Set ignition.version to one of 2.2.0, 3.0.0, 3.1.0, 3.2.0, 3.3.0, 3.4.0, 3.5.0.";
    IGNITION_UNKNOWN_KEY = 1105: "A key is unknown to the declared Ignition version and is dropped.",
        "Remove the key, correct its spelling, or declare the Ignition version that knows it.";
    IGNITION_PATH = 1106: "A path is not absolute and clean, or none that a node can have.",
        "Write the path from the root, without //, . and .. parts, a trailing slash or NUL.";
    IGNITION_DUPLICATE = 1107: "The same thing is defined twice, or a path as two kinds of node.",
        "Keep one of the definitions.";
    IGNITION_MODE = 1108: "A mode is outside 0 to 0777.",
        "Use permission bits only: no setuid, setgid or sticky bit. YAML 0644 is octal, JSON wants the decimal 420.";
    IGNITION_URL = 1109: "A URL cannot be parsed or has a scheme that is not known to the declared version.",
        "Give file contents as a data: URL.";
    IGNITION_DATA_URL = 1110: "A data: URL does not decode.",
        "Write it as data:,percent%20encoded or data:;base64,….";
    IGNITION_COMPRESSION = 1111: "An unknown compression, or contents that are not what their compression says.",
        "Use gzip with a gzip stream, or leave compression out.";
    IGNITION_TOO_LARGE = 1112: "Contents are larger than the bound once inflated.",
        "Make the file smaller, or have the node fetch it by other means.";
    IGNITION_HASH = 1113: "A verification hash is malformed or does not match the contents.",
        "Recompute it over the decoded contents (sha512-<hex> or sha256-<hex>), or remove it.";
    IGNITION_UNIT = 1114: "A unit or drop-in has an unknown suffix or contents that do not parse.",
        "Name units *.service, *.socket, *.timer and so on, drop-ins *.conf, and mend the contents.";
    IGNITION_CONFLICT = 1115: "A combination of fields that the Ignition spec forbids.",
        "Remove one of the fields that exclude each other.";
    IGNITION_USER = 1116: "A 2.x config has a user that is not core.",
        "Configure the user core only.";
    IGNITION_DEPRECATED = 1117: "A 2.x config uses something that spec 3 has no word for.",
        "Write it as files: networkd units below /etc/systemd/network, paths on the root file system.";
    IGNITION_UNTRANSLATABLE = 1118: "The target Ignition version cannot say something the config says.",
        "Ask for a newer version, or remove the field.";
    IGNITION_VALUE = 1119: "A value is outside its range or enumeration.",
        "Use one of the values that the Ignition spec allows.";
    KERNEL_TYPE = 1130: "spec.kernelType is none of the kernels that exist.",
        "Use default, realtime or 64k-pages, or leave it out.";
    EXTENSION = 1131: "spec.extensions names an extension that is not supported.",
        "Use two-node-ha, ipsec, usbguard, kerberos, kernel-devel, sandboxed-containers or sysstat.";
    NO_ROLE = 1132: "A MachineConfig has no labels, so no pool can select it by its role.",
        "Set the label machineconfiguration.openshift.io/role to the name of a pool.";
    CONTROL_CHARACTER = 1133: "A string holds a control character that cannot be rendered.",
        "Remove the character, or put the text into a file as a base64 data: URL.";
    RESERVED_NAME = 1134: "The name of a MachineConfig looks like the name of a rendered one.",
        "Choose a name that does not begin with rendered-.";
    FILE_WITHOUT_CONTENTS = 1135: "A file has neither contents nor append, which no node can apply.",
        "Give it contents.source (data:, for an empty file), or remove it.";
    FIRST_BOOT_ONLY = 1136: "A section that takes effect on the first boot of a node only.",
        "Expect nodes that run already to refuse a change of it, or to ignore it.";
    NO_NAME = 1137: "An object has no name.",
        "Set metadata.name.";
    CONTENTS_NOT_DATA = 1138: "The contents of a file are to be fetched, which nodes do not do.",
        "Give the contents as a data: URL.";
    BELOW_FILE = 1139: "A path lies below another one that is a file.",
        "Move one of the two, or remove it.";
    OBJECT_NAME = 1140: "An object has a name that Kubernetes does not accept.",
        "Use lower case letters, digits, - and ., with a letter or digit at both ends.";
    KERNEL_ARGUMENT = 1141: "A kernel argument is empty or goes over the end of its line.",
        "Write one argument per entry, such as audit=1, or remove the entry.";
    POOL_SELECTS_NOTHING = 1201: "A pool selects no MachineConfig.",
        "Label at least one MachineConfig for the pool, or correct its machineConfigSelector.";
    DUPLICATE_NAME = 1202: "Two objects of one kind have the same name.",
        "Rename one of them or remove it.";
    GENERATED_BY_OTHER = 1203: "A generated MachineConfig was written by another version of the controller.",
        "Wait until the controller has generated it anew, or remove its generated-by annotation to own it yourself.";
    CONTROLLER_CONFIG_VERSION = 1204: "The ControllerConfig was written by another version, or says by none.",
        "Wait until the operator has updated the ControllerConfig, or set its generated-by-version annotation.";
    KERNEL_DEVEL = 1205: "The extension kernel-devel goes with the default kernel only.",
        "Remove kernel-devel or the kernelType.";
    OS_IMAGE_AND_STREAM = 1206: "An OS image is set by a MachineConfig and by the pool's osImageStream.",
        "Remove spec.osImageURL from the MachineConfig or spec.osImageStream from the pool.";
    RENDERED_TOO_LARGE = 1207: "The rendered MachineConfig is larger than an object may be.",
        "Compress large files with gzip, or move them out of MachineConfigs.";
    RENDERED_LARGE = 1208: "The rendered MachineConfig is near the size an object may have.",
        "Compress large files with gzip, or move them out of MachineConfigs.";
    OS_IMAGE_WITHOUT_DIGEST = 1209: "An OS image is named by tag, so equal configs may boot different images.",
        "Name the image by digest (@sha256:…).";
    INHERITED_HASH = 1210: "A file has new contents under the verification hash of the MachineConfig it overrides.",
        "Give the new contents their own verification.hash.";
    MERGED_INVALID = 1211: "MachineConfigs that are valid one by one contradict each other once merged.",
        "Remove one of the two definitions.";
    POOL_SELECTOR = 1212: "A label selector is one that Kubernetes does not accept.",
        "Correct the selector at the place that is named.";
    POOL_UNKNOWN = 1213: "A pool is named that does not exist.",
        "Correct the name, or give the MachineConfigPool.";
    MAX_UNAVAILABLE = 1214: "maxUnavailable of a pool is no number of nodes.",
        "Write a number from 1, or a percentage such as 10%.";
    NOT_SELECTED = 1215: "A MachineConfig is selected by no pool, so no node ever gets it.",
        "Correct its labels or the machineConfigSelector of the pool, or remove it.";
    POOL_NAME = 1216: "A pool has a name that Kubernetes does not accept.",
        "Use lower case letters, digits, - and ., with a letter or digit at both ends.";
    LOST_COMPRESSION = 1217: "A MachineConfig keeps the compressed contents of a file it overrides, and not their compression.",
        "Repeat the contents in the later MachineConfig, or its contents.compression: gzip.";
    CHANGED_GROUPS = 2001: "The groups of nodes that run already cannot be changed.",
        "Undo the change, or make new nodes.";
    CHANGED_USER = 2002: "Only the user core can be changed on nodes that run already.",
        "Undo the change, or make new nodes.";
    CHANGED_USER_EMPTY = 2003: "The user core is left without SSH key and password hash.",
        "Give the user core an SSH key or a password hash, or remove it from all MachineConfigs.";
    CHANGED_USER_FIELD = 2004: "Of the user core only SSH keys and password hash can be changed.",
        "Remove the other fields of the user.";
    CHANGED_IGNITION_ARGUMENTS = 2005: "Ignition's kernelArguments act on a node's first boot only.",
        "Use spec.kernelArguments of the MachineConfig instead.";
    CHANGED_DISKS = 2006: "The disks of nodes that run already cannot be changed.",
        "Undo the change, make new nodes, or allow the difference (irreconcilableValidationOverrides: Disks).";
    CHANGED_FILESYSTEMS = 2007: "The file systems of nodes that run already cannot be changed.",
        "Undo the change, make new nodes, or allow the difference (irreconcilableValidationOverrides: FileSystems).";
    CHANGED_RAID = 2008: "The RAID arrays of nodes that run already cannot be changed.",
        "Undo the change, make new nodes, or allow the difference (irreconcilableValidationOverrides: Raid).";
    CHANGED_DIRECTORIES = 2009: "Directories are made on a node's first boot only.",
        "Undo the change; a directory is made when a file in it is, or by a unit or tmpfiles.d.";
    CHANGED_LINKS = 2010: "Links are made on a node's first boot only, and afterwards can only be given up all together.",
        "Undo the change; make links by a unit or tmpfiles.d.";
    APPENDED_FILE = 2011: "Nodes that run already do not append to files.",
        "Give the whole file as contents.";
    FORCE_FILE = 2012: "The file that forces a node to apply its config cannot come from a config.",
        "Remove the file; create it on the node by hand.";
    CHANGED_FIPS = 2013: "FIPS mode is decided at installation.",
        "Undo the change, or make new nodes.";
    POLICY_PATH = 3001: "A disruption policy is for a path that it can never match.",
        "Write the absolute path of a file, or of a directory other than the root.";
    POLICY_PATH_UNCLEAN = 3002: "A disruption policy is for a path that is not in its shortest form.",
        "Write the path without //, . and .. parts or a trailing slash.";
    POLICY_ALONE = 3003: "A disruption policy has Reboot or None beside other actions.",
        "Let Reboot and None stand alone.";
    POLICY_SERVICE = 3004: "An action of a disruption policy lacks its unit, or has one that its type has no use for.",
        "Give Reload a reload.serviceName, Restart a restart.serviceName, and other types neither.";
    POLICY_UNIT_NAME = 3005: "A disruption policy names a unit that cannot exist.",
        "Write the full name of a unit, such as crio.service.";
    POLICY_TOO_MANY = 3006: "A disruption policy has more entries or actions than are allowed.",
        "Name a directory instead of its files, or drop some.";
    POLICY_SPECIAL = 3007: "A disruption policy asks for Special, which only the system uses.",
        "Use Reload with crio.service, after Drain if pods must go.";
    POLICY_DUPLICATE = 3008: "A disruption policy has two entries for the same path or unit.",
        "Merge the two into one.";
    POLICY_NO_ACTION = 3009: "An entry of a disruption policy has no action.",
        "Say None if nothing is to be done.";
    REGISTRIES_UNREADABLE = 3010: "registries.conf cannot be read, so nobody can tell whether its change needs a drain.",
        "Mend the file at the place that is named.";
    CONTENTS_UNREADABLE = 3011: "The contents of a file cannot be decoded, so no node can write it.",
        "Give the contents as a data: URL, compressed with gzip or not at all.";
    POLICY_PATTERN = 3012: "A disruption policy is for a path with a wildcard, which has no meaning there.",
        "Name the directory that holds the files: an entry covers everything below it.";
    DRIFT_MISSING = 4001: "A path of the config does not exist on the node.",
        "Find out what removed it, and have the config applied again.";
    DRIFT_TYPE = 4002: "Something else than a file is where the config has a file.",
        "Find out what put it there, remove it, and have the config applied again.";
    DRIFT_MODE = 4003: "The permissions of a file are not those of the config.",
        "Set the expected mode, or change it in the MachineConfig.";
    DRIFT_OWNER = 4004: "The owner of a file is not the one of the config.",
        "Set the expected owner, or change it in the MachineConfig.";
    DRIFT_CONTENT = 4005: "The contents of a file are not those of the config.",
        "Make the change in a MachineConfig instead of on the node, or undo it there.";
    DRIFT_MASK = 4006: "A unit that the config masks is not masked.",
        "Mask the unit, or unmask it in the MachineConfig.";
    DRIFT_ENABLEMENT = 4007: "A unit is enabled that the config disables, or the other way round.",
        "Run systemctl enable or disable as expected, or change it in the MachineConfig.";
    DRIFT_SSH_KEYS = 4008: "The SSH keys on the node are not those of the config.",
        "Add or remove keys in a MachineConfig instead of on the node.";
    DRIFT_LEADS_OUT = 4009: "A symbolic link on the way to a path leads out of the node's root and was not followed.",
        "Remove the link, or make it relative to the root.";
    DRIFT_UNREADABLE = 4010: "A path of the config exists and cannot be read.",
        "Check the file system and the rights of the process that verifies.";
    DRIFT_UNSATISFIABLE = 4011: "The config asks for what no node can hold, so every node differs from it.",
        "Correct the MachineConfig that is named.";
    NOTHING_TO_VERIFY = 4012: "A MachineConfig without an Ignition config is to be verified.",
        "Give the rendered MachineConfig, or the Ignition config that the server hands out.";
    NODE_UNREADABLE = 4013: "The root directory of a node, or a part of it that every answer needs, cannot be read.",
        "Name the directory that holds the node's root, and read it as a user who may.";
    DRIFT_LINK = 4014: "A symbolic link of the config leads elsewhere on the node.",
        "Point the link where the config says, or change it in the MachineConfig.";
    DRIFT_SHADOW = 4015: "A file that is not of the config takes the place of a unit or drop-in of the config, or adds to the unit.",
        "Remove the file, or bring what it says into a MachineConfig.";
    DRIFT_POLICY = 4016: "A drift policy cannot be used.",
        "Correct the policy at the place that is named.";
    SERVER_TLS_SETTINGS = 5001: "The server cannot offer TLS as it is asked to.",
        "Correct --tls-min-version and --tls-cipher-suites, or leave them out.";
    SERVER_PAIR = 5002: "Certificate and key of the server cannot be used.",
        "Point --cert and --key at the PEM files of one pair that the server may read.";
    SERVER_KUBECONFIG = 5003: "The kubeconfig for new machines cannot be used.",
        "Point --bootstrap-kubeconfig at a kubeconfig with at least one cluster.";
    SERVER_REGISTRY_CA = 5004: "The CA of a registry cannot be read.",
        "Correct --bootstrap-certs; its file lies below --server-basedir.";
    SERVER_DIRECTORY = 5005: "The directory that is served cannot be read as a whole.",
        "Point --server-basedir at the directory that machine-config-controller bootstrap wrote.";
    SERVER_POOL = 5006: "The file of a pool cannot be used.",
        "Write one MachineConfigPool into machine-pools/<pool>.yaml.";
    SERVER_NO_MACHINE_CONFIG = 5007: "A pool's rendered MachineConfig does not exist, so the pool is answered with 404.",
        "Write the MachineConfig that the pool's status names into machine-configs/<name>.yaml.";
    SERVER_MACHINE_CONFIG = 5008: "A rendered MachineConfig cannot be served, so its pool is answered with 500.",
        "Correct the MachineConfigs it was rendered from, and render it anew.";
    SERVER_CONTROLLER_CONFIG = 5009: "The ControllerConfig cannot be used, so no pool can be served.",
        "Write one ControllerConfig into controller-config/machine-config-controller.yaml.";
    SERVER_LISTEN = 5010: "A port cannot be opened.",
        "Stop what has it open, or choose another port.";
    POOL_NOT_FOUND = 6001: "The pool that is asked for is not in the input.",
        "Ask for a pool that is named in the message, or give its MachineConfigs.";
    NOT_ONE_OBJECT = 6002: "A file holds none or several of the objects of which it must hold one.",
        "Leave exactly one such object in the file.";
    KUBECONFIG = 6101: "The credentials of a cluster cannot be read.",
        "Name a kubeconfig with --kubeconfig or in KUBECONFIG, and one of its contexts with --context.";
    CLUSTER_UNREACHABLE = 6102: "The API server of the cluster does not answer.",
        "Check that it is up and that the server of the kubeconfig is its address.";
    CLUSTER_UNAUTHORIZED = 6103: "The API server does not know who asks.",
        "Log in anew, or choose other credentials with --context.";
    CLUSTER_FORBIDDEN = 6104: "Who asks may not do that in the cluster.",
        "Have somebody bind a role that allows what the message names, or ask as somebody who may.";
    NOT_INSTALLED = 6105: "The cluster has no MachineConfigPools: the definitions of this system are not installed there.",
        "Install them (kubectl apply -k deploy/base), or choose another cluster with --context.";
    NO_SUCH_OBJECT = 6106: "The object that is asked for is not in the cluster.",
        "Ask for one of those that the message names.";
    CLUSTER_REFUSED = 6107: "The API server refuses what is asked of it.",
        "See the reason that it gives.";
    NOT_ROOT = 7001: "A node is changed, and the program does not run as root.",
        "Run it as root.";
    LOCKED = 7002: "Another process is changing this node.",
        "Wait for it to end; the message names it.";
    NO_NODE = 7003: "The directory is no root of a node: it has no /etc.",
        "Name the root of a node with --root, / for the running one.";
    JOURNAL_DAMAGED = 7005: "The journal of a change that was cut off cannot be read.",
        "Look at it, compare the node with its config (verify), move the journal away, and apply the config again.";
    JOURNAL_NEWER = 7006: "The journal was written by a newer version, which knows what is to be finished.",
        "Run that version, at least for recover.";
    JOURNAL_FOREIGN = 7007: "The journal was written on another node.",
        "Move it away if this disk was copied from that node.";
    CURRENT_UNREADABLE = 7008: "The record of the current config is damaged.",
        "Move it away: the next apply then compares the disk itself with the config and writes the record anew.";
    TARGET_TYPE = 7009: "A path of the config is something that a file cannot take the place of.",
        "Move what is there away, or choose another path.";
    TARGET_MOUNT_POINT = 7010: "Something is mounted at a path of the config.",
        "Unmount it, or leave the path out of the config.";
    TARGET_IMMUTABLE = 7011: "A file is marked so that it cannot be replaced.",
        "Take the mark off (chattr -i -a), or leave the path out of the config.";
    TARGET_LEADS_OUT = 7012: "A link on the way to a path must not be followed.",
        "Remove the link, or make it root's if it is meant.";
    PARENT_TYPE = 7013: "Something on the way to a path is no directory.",
        "Move it away. A config that turns a file into a directory takes two steps.";
    NO_ROOM = 7014: "A file system has no room for staging the change.",
        "Free space or inodes on it.";
    READ_ONLY = 7015: "A file system that is to be written to is mounted read-only.",
        "Mount it read-write, or choose another path.";
    UNKNOWN_OWNER = 7016: "A file is to belong to somebody whom the node does not know.",
        "Create the user or group on the node first, or name the owner by number.";
    UNKNOWN_USER = 7017: "The config names a user whom the node does not have.",
        "Create the user on the node, or leave it out of the config.";
    PASSWORD_HASH = 7018: "A password hash cannot be written down.",
        "Make one with mkpasswd or openssl passwd -6.";
    OS_CHANGE = 7019: "The change needs another OS image, kernel or extension, which this version does not make.",
        "Make the change by the tools of the operating system, or apply a config without it.";
    APPLY_UNDONE = 7020: "A change failed, and the node has its old config.",
        "Mend what is named, and apply again.";
    APPLY_STUCK = 7021: "A change failed, and its way back failed too.",
        "Mend what is named, then run machine-config-daemon recover.";
    REBOOT_OVERDUE = 7022: "A reboot was asked for and did not happen.",
        "Look at what inhibits it (systemd-inhibit --list), then reboot by hand.";
    NOT_CONFIRMED = 7023: "A config was not confirmed in time, so the node went back to the one before.",
        "Look at the check that failed, and apply the config again once it would pass.";
    NO_SUCH_CONFIG = 7024: "The config to go back to is not kept on this node.",
        "Choose one of those that status lists.";
    UNIT_ENABLEMENT = 7025: "A unit cannot be enabled or disabled.",
        "Correct the Install section of the unit, or its name in the config.";
    RECORD_FAILED = 7026: "The state of the node cannot be kept.",
        "See to it that /var/lib/machine-config can be written.";
    OS_NOT_READ = 7027: "Settings of the operating system are taken as they are, since this host has no tool to read them.",
        "Nothing, if the host was set up with them.";
    CUT_OFF = 7028: "A change of the node was cut off and has not been taken up yet.",
        "Run machine-config-daemon recover, or apply a config.";
    NOT_PROVISIONED = 7029: "Part of a config is made at first boot only, and is not on this node.",
        "Make it by hand, or provision the machine with the config.";
    RECORD_DAMAGED = 7030: "A record of the state of the node says nothing, so what it was about is not known.",
        "Look at the node by hand, then remove the record.";
    SERVED_UNKNOWN = 7031: "The config that a machine was served at its first boot is none of the cluster's.",
        "Find out why the server renders something else than the cluster; then name a rendered config of its pool in the node's annotation desiredConfig, or provision the machine anew.";
    SYSTEMD_UNREACHABLE = 7101: "The systemd of a node cannot be reached.",
        "Run on a host with systemd, as root, and with the host's /run at hand when in a container.";
    SYSTEMD_REFUSED = 7102: "The systemd or logind of a node refused what was asked of it.",
        "See the reason that it gives; systemctl and loginctl on the node tell more.";
    UNIT_FAILED = 7103: "A unit could not be started, stopped, restarted or reloaded, or did not stay up.",
        "See systemctl status and journalctl -u for the unit on the node.";
    HOST_COMMAND = 7104: "A program of the node that is needed could not be run, or its answer is of no use.",
        "Run the command that is named on the node, and mend what it complains about.";
    NODE_IN_POOLS = 8001: "A node is selected by more than one custom pool, so nobody can tell which config is its own.",
        "Take the label off the node by which all but one of them select it.";
    NODE_POOL_UNKNOWN = 8002: "A pool has a selector that Kubernetes does not accept, so nobody can tell whether a node is its own.",
        "Correct the nodeSelector of the pool that is named.";
    RESERVATIONS_UNREADABLE = 8003: "The reservations of a pool cannot be read, so nobody can tell which nodes are being updated.",
        "Once no node of the pool is being updated, remove its annotation machine-config.io/reservations.";
    POOL_SELECTS_EVERY_NODE = 8004: "A pool has an empty nodeSelector, which would select every node.",
        "Select nodes by label, such as matchLabels: {node-role.kubernetes.io/edge: \"\"}, or remove the nodeSelector.";
    RENDERED_REFUSED = 8005: "The API server does not take a rendered config.",
        "See the reason that it gives; most often a MachineConfig is too large, or an admission policy is in the way.";
    DRAIN_REQUEST = 8006: "A node asks for something that is neither a drain nor an uncordon.",
        "Restart machine-config-daemon on the node, or correct the annotation that is named.";
    DRAIN_TIMEOUT = 8007: "The time that a pool gives a drain cannot be read.",
        "Write a duration such as 30m or 2h, or remove the annotation.";
    DRAIN_BLOCKED = 8008: "Pods of a node cannot be evicted, so its update waits.",
        "Let the pods that are named go: give their workload more replicas, relax the PodDisruptionBudget, or delete them.";
}

impl Code {
    /// What the registry says about this code, if it is registered.
    #[must_use]
    pub fn entry(self) -> Option<&'static Entry> {
        Self::ALL.iter().find(|entry| entry.code == self)
    }
}

impl From<Kind> for Code {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Syntax => Code::IGNITION_SYNTAX,
            Kind::Type => Code::IGNITION_TYPE,
            Kind::Missing => Code::IGNITION_MISSING,
            Kind::Version => Code::IGNITION_VERSION,
            Kind::UnknownKey => Code::IGNITION_UNKNOWN_KEY,
            Kind::Path => Code::IGNITION_PATH,
            Kind::Duplicate => Code::IGNITION_DUPLICATE,
            Kind::Mode => Code::IGNITION_MODE,
            Kind::Url => Code::IGNITION_URL,
            Kind::DataUrl => Code::IGNITION_DATA_URL,
            Kind::Compression => Code::IGNITION_COMPRESSION,
            Kind::TooLarge => Code::IGNITION_TOO_LARGE,
            Kind::Hash => Code::IGNITION_HASH,
            Kind::Unit => Code::IGNITION_UNIT,
            Kind::Conflict => Code::IGNITION_CONFLICT,
            Kind::User => Code::IGNITION_USER,
            Kind::Deprecated => Code::IGNITION_DEPRECATED,
            Kind::Untranslatable => Code::IGNITION_UNTRANSLATABLE,
            Kind::Value => Code::IGNITION_VALUE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_numerical_order_and_unique() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn every_code_lies_in_a_documented_range() {
        for entry in Code::ALL {
            assert!(
                matches!(
                    entry.code.0 / 100,
                    10 | 11 | 12 | 20 | 30 | 40 | 50 | 60 | 61 | 70 | 71 | 80
                ),
                "{} lies in no range",
                entry.code
            );
        }
    }

    #[test]
    fn every_code_says_what_it_means_and_what_to_do_in_a_sentence() {
        for entry in Code::ALL {
            for text in [entry.what, entry.remedy] {
                assert!(
                    text.ends_with('.') && text.contains(' '),
                    "{}: {text}",
                    entry.code
                );
            }
        }
    }
}
