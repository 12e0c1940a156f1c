//! The table of the 3.x specs (`Ignition spec 3.5`, its configuration reference and Go types).

use super::Kind::{Bool, Int, Text};
use super::List::{Append, Keyed, Shared};
use super::Neutral::{self, Absent, Empty};
use super::{Field, Key, Object};
use crate::version::Spec::{V3_1, V3_2, V3_3, V3_4, V3_5};

/// Files, directories and links: a path is one node of the file system.
const NODE: super::List = Shared("node");
/// Arguments that should and should not exist.
const KARG: super::List = Shared("karg");

/// A config.
pub(crate) static CONFIG: Object = Object {
    name: "config",
    key: Key::None,
    fields: &[
        Field::object("ignition", &IGNITION),
        Field::object("kernelArguments", &KERNEL_ARGUMENTS).since(V3_3, Empty),
        Field::object("passwd", &PASSWD),
        Field::object("storage", &STORAGE),
        Field::object("systemd", &SYSTEMD),
    ],
};

static IGNITION: Object = Object {
    name: "ignition section",
    key: Key::None,
    fields: &[
        Field::object("config", &IGNITION_CONFIG),
        Field::object("proxy", &PROXY).since(V3_1, Absent),
        Field::object("security", &SECURITY),
        Field::object("timeouts", &TIMEOUTS),
        Field::always("version", Text),
    ],
};

static IGNITION_CONFIG: Object = Object {
    name: "config section",
    key: Key::None,
    fields: &[
        Field::objects("merge", &REFERENCE, Keyed),
        Field::object("replace", &REFERENCE),
    ],
};

static PROXY: Object = Object {
    name: "proxy",
    key: Key::None,
    fields: &[
        Field::optional("httpProxy", Text),
        Field::optional("httpsProxy", Text),
        Field::texts("noProxy", Keyed),
    ],
};

static SECURITY: Object = Object {
    name: "security section",
    key: Key::None,
    fields: &[Field::object("tls", &TLS)],
};

static TLS: Object = Object {
    name: "tls section",
    key: Key::None,
    fields: &[Field::objects("certificateAuthorities", &REFERENCE, Keyed)],
};

static TIMEOUTS: Object = Object {
    name: "timeouts",
    key: Key::None,
    fields: &[
        Field::optional("httpResponseHeaders", Int),
        Field::optional("httpTotal", Int),
    ],
};

/// A config or a certificate authority to fetch.
static REFERENCE: Object = Object {
    name: "reference",
    key: Key::Field("source"),
    fields: &[
        Field::optional("compression", Text).since(V3_1, Absent),
        Field::objects("httpHeaders", &HTTP_HEADER, Keyed).since(V3_1, Absent),
        Field::optional("source", Text),
        Field::object("verification", &VERIFICATION),
    ],
};

/// Something else to fetch: the contents of a file, a key.
static RESOURCE: Object = Object {
    name: "resource",
    key: Key::Field("source"),
    fields: &[
        Field::optional("compression", Text),
        Field::objects("httpHeaders", &HTTP_HEADER, Keyed).since(V3_1, Absent),
        Field::optional("source", Text),
        Field::object("verification", &VERIFICATION),
    ],
};

static HTTP_HEADER: Object = Object {
    name: "header",
    key: Key::Header,
    fields: &[Field::always("name", Text), Field::optional("value", Text)],
};

static VERIFICATION: Object = Object {
    name: "verification",
    key: Key::None,
    fields: &[Field::optional("hash", Text)],
};

static KERNEL_ARGUMENTS: Object = Object {
    name: "kernel arguments",
    key: Key::None,
    fields: &[
        Field::texts("shouldExist", KARG),
        Field::texts("shouldNotExist", KARG),
    ],
};

static PASSWD: Object = Object {
    name: "passwd section",
    key: Key::None,
    fields: &[
        Field::objects("groups", &GROUP, Keyed),
        Field::objects("users", &USER, Keyed),
    ],
};

static GROUP: Object = Object {
    name: "group",
    key: Key::Field("name"),
    fields: &[
        Field::optional("gid", Int),
        Field::always("name", Text),
        Field::optional("passwordHash", Text),
        Field::optional("shouldExist", Bool).since(V3_2, Neutral::Bool(true)),
        Field::optional("system", Bool),
    ],
};

static USER: Object = Object {
    name: "user",
    key: Key::Field("name"),
    fields: &[
        Field::optional("gecos", Text),
        Field::texts("groups", Keyed),
        Field::optional("homeDir", Text),
        Field::always("name", Text),
        Field::optional("noCreateHome", Bool),
        Field::optional("noLogInit", Bool),
        Field::optional("noUserGroup", Bool),
        Field::optional("passwordHash", Text),
        Field::optional("primaryGroup", Text),
        Field::texts("sshAuthorizedKeys", Keyed),
        Field::optional("shell", Text),
        Field::optional("shouldExist", Bool).since(V3_2, Neutral::Bool(true)),
        Field::optional("system", Bool),
        Field::optional("uid", Int),
    ],
};

static STORAGE: Object = Object {
    name: "storage section",
    key: Key::None,
    fields: &[
        Field::objects("directories", &DIRECTORY, NODE),
        Field::objects("disks", &DISK, Keyed),
        Field::objects("files", &FILE, NODE),
        Field::objects("filesystems", &FILESYSTEM, Keyed),
        Field::objects("links", &LINK, NODE),
        Field::objects("luks", &LUKS, Keyed).since(V3_2, Empty),
        Field::objects("raid", &RAID, Keyed),
    ],
};

static DIRECTORY: Object = Object {
    name: "directory",
    key: Key::Field("path"),
    fields: &[
        Field::object("group", &OWNER),
        Field::optional("overwrite", Bool),
        Field::always("path", Text),
        Field::object("user", &OWNER),
        Field::optional("mode", Int),
    ],
};

static FILE: Object = Object {
    name: "file",
    key: Key::Field("path"),
    fields: &[
        Field::object("group", &OWNER),
        Field::optional("overwrite", Bool),
        Field::always("path", Text),
        Field::object("user", &OWNER),
        Field::objects("append", &RESOURCE, Append),
        Field::object("contents", &RESOURCE),
        Field::optional("mode", Int),
    ],
};

static LINK: Object = Object {
    name: "link",
    key: Key::Field("path"),
    fields: &[
        Field::object("group", &OWNER),
        Field::optional("overwrite", Bool),
        Field::always("path", Text),
        Field::object("user", &OWNER),
        Field::optional("hard", Bool),
        Field::optional("target", Text),
    ],
};

static OWNER: Object = Object {
    name: "owner",
    key: Key::None,
    fields: &[Field::optional("id", Int), Field::optional("name", Text)],
};

static DISK: Object = Object {
    name: "disk",
    key: Key::Field("device"),
    fields: &[
        Field::always("device", Text),
        Field::objects("partitions", &PARTITION, Keyed),
        Field::optional("wipeTable", Bool),
    ],
};

static PARTITION: Object = Object {
    name: "partition",
    key: Key::Partition,
    fields: &[
        Field::optional("guid", Text),
        Field::optional("label", Text),
        Field::nonzero("number", Int),
        Field::optional("resize", Bool).since(V3_2, Neutral::Bool(false)),
        Field::optional("shouldExist", Bool),
        Field::optional("sizeMiB", Int),
        Field::optional("startMiB", Int),
        Field::optional("typeGuid", Text),
        Field::optional("wipePartitionEntry", Bool),
    ],
};

static FILESYSTEM: Object = Object {
    name: "file system",
    key: Key::Field("device"),
    fields: &[
        Field::always("device", Text),
        Field::optional("format", Text),
        Field::optional("label", Text),
        Field::texts("mountOptions", Append).since(V3_1, Absent),
        Field::texts("options", Append),
        Field::optional("path", Text),
        Field::optional("uuid", Text),
        Field::optional("wipeFilesystem", Bool),
    ],
};

static RAID: Object = Object {
    name: "array",
    key: Key::Field("name"),
    fields: &[
        Field::texts("devices", Keyed),
        Field::optional("level", Text),
        Field::always("name", Text),
        Field::texts("options", Append),
        Field::optional("spares", Int),
    ],
};

static LUKS: Object = Object {
    name: "LUKS volume",
    key: Key::Field("name"),
    fields: &[
        Field::object("cex", &CEX).since(V3_5, Empty),
        Field::object("clevis", &CLEVIS),
        Field::optional("device", Text),
        Field::optional("discard", Bool).since(V3_4, Neutral::Bool(false)),
        Field::object("keyFile", &RESOURCE),
        Field::optional("label", Text),
        Field::always("name", Text),
        Field::texts("openOptions", Keyed).since(V3_4, Empty),
        Field::texts("options", Append),
        Field::optional("uuid", Text),
        Field::optional("wipeVolume", Bool),
    ],
};

static CEX: Object = Object {
    name: "cex",
    key: Key::None,
    fields: &[Field::optional("enabled", Bool)],
};

static CLEVIS: Object = Object {
    name: "clevis",
    key: Key::None,
    fields: &[
        Field::object("custom", &CLEVIS_CUSTOM),
        Field::objects("tang", &TANG, Keyed),
        Field::optional("threshold", Int),
        Field::optional("tpm2", Bool),
    ],
};

static CLEVIS_CUSTOM: Object = Object {
    name: "custom clevis pin",
    key: Key::None,
    fields: &[
        Field::optional("config", Text),
        Field::optional("needsNetwork", Bool),
        Field::optional("pin", Text),
    ],
};

static TANG: Object = Object {
    name: "tang server",
    key: Key::Field("url"),
    fields: &[
        Field::optional("advertisement", Text).since(V3_4, Empty),
        Field::optional("thumbprint", Text),
        Field::nonzero("url", Text),
    ],
};

static SYSTEMD: Object = Object {
    name: "systemd section",
    key: Key::None,
    fields: &[Field::objects("units", &UNIT, Keyed)],
};

static UNIT: Object = Object {
    name: "unit",
    key: Key::Field("name"),
    fields: &[
        Field::optional("contents", Text),
        Field::objects("dropins", &DROPIN, Keyed),
        Field::optional("enabled", Bool),
        Field::optional("mask", Bool),
        Field::always("name", Text),
    ],
};

static DROPIN: Object = Object {
    name: "drop-in",
    key: Key::Field("name"),
    fields: &[Field::optional("contents", Text), Field::always("name", Text)],
};
