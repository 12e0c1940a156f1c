//! The table of the 3.x specs (`Ignition spec 3.5`, its configuration reference and Go types).

use super::Kind::{Bool, Int, Text};
use super::List::{Append, Keyed, Shared};
use super::Neutral::{self, Absent, Empty};
use super::{Field, Key, Object};
use crate::validate::{anything, node, resource, storage, unit};
use crate::version::Spec::{V3_0, V3_1, V3_2, V3_3, V3_4, V3_5};

/// Files, directories and links: a path is one node of the file system.
const NODE: super::List = Shared("node");
/// Arguments that should and should not exist.
const KARG: super::List = Shared("karg");

/// A config.
pub(crate) static CONFIG: Object = Object::new(
    "a config",
    Key::None,
    node::units_and_nodes,
    &[
        Field::object("ignition", &IGNITION),
        Field::object("kernelArguments", &KERNEL_ARGUMENTS).since(V3_3, Empty),
        Field::object("passwd", &PASSWD),
        Field::object("storage", &STORAGE),
        Field::object("systemd", &SYSTEMD),
    ],
);

static IGNITION: Object = Object::new(
    "the ignition section",
    Key::None,
    anything,
    &[
        Field::object("config", &IGNITION_CONFIG),
        Field::object("proxy", &PROXY).since(V3_1, Absent),
        Field::object("security", &SECURITY),
        Field::object("timeouts", &TIMEOUTS),
        Field::always("version", Text),
    ],
);

static IGNITION_CONFIG: Object = Object::new(
    "the config section",
    Key::None,
    resource::merges,
    &[
        Field::objects("merge", &REFERENCE, Keyed),
        Field::object("replace", &REFERENCE),
    ],
);

static PROXY: Object = Object::new(
    "the proxy section",
    Key::None,
    resource::proxy,
    &[
        Field::optional("httpProxy", Text),
        Field::optional("httpsProxy", Text),
        Field::texts("noProxy", Keyed),
    ],
);

static SECURITY: Object = Object::new(
    "the security section",
    Key::None,
    anything,
    &[Field::object("tls", &TLS)],
);

static TLS: Object = Object::new(
    "the tls section",
    Key::None,
    resource::authorities,
    &[Field::objects("certificateAuthorities", &REFERENCE, Keyed)],
);

static TIMEOUTS: Object = Object::new(
    "the timeouts",
    Key::None,
    anything,
    &[
        Field::optional("httpResponseHeaders", Int),
        Field::optional("httpTotal", Int),
    ],
);

/// A config or a certificate authority to fetch.
static REFERENCE: Object = Object::new(
    "a reference",
    Key::Field("source"),
    resource::resource,
    &[
        Field::optional("compression", Text).since(V3_1, Absent),
        Field::objects("httpHeaders", &HTTP_HEADER, Keyed).since(V3_1, Absent),
        Field::optional("source", Text),
        Field::object("verification", &VERIFICATION),
    ],
);

/// Something else to fetch: the contents of a file, a key.
static RESOURCE: Object = Object::new(
    "a resource",
    Key::Field("source"),
    resource::resource,
    &[
        Field::optional("compression", Text),
        Field::objects("httpHeaders", &HTTP_HEADER, Keyed).since(V3_1, Absent),
        Field::optional("source", Text),
        Field::object("verification", &VERIFICATION),
    ],
);

static HTTP_HEADER: Object = Object::new(
    "a header",
    Key::Header,
    resource::header,
    &[Field::always("name", Text), Field::optional("value", Text)],
);

static VERIFICATION: Object = Object::new(
    "the verification",
    Key::None,
    resource::verification,
    &[Field::optional("hash", Text)],
);

static KERNEL_ARGUMENTS: Object = Object::new(
    "the kernel arguments",
    Key::None,
    anything,
    &[
        Field::texts("shouldExist", KARG),
        Field::texts("shouldNotExist", KARG),
    ],
);

static PASSWD: Object = Object::new(
    "the passwd section",
    Key::None,
    anything,
    &[
        Field::objects("groups", &GROUP, Keyed),
        Field::objects("users", &USER, Keyed),
    ],
);

static GROUP: Object = Object::new(
    "a group",
    Key::Field("name"),
    anything,
    &[
        Field::optional("gid", Int),
        Field::always("name", Text),
        Field::optional("passwordHash", Text),
        Field::optional("shouldExist", Bool).since(V3_2, Neutral::Bool(true)),
        Field::optional("system", Bool),
    ],
);

static USER: Object = Object::new(
    "a user",
    Key::Field("name"),
    anything,
    &[
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
);

static STORAGE: Object = Object::new(
    "the storage section",
    Key::None,
    storage::storage,
    &[
        Field::objects("directories", &DIRECTORY, NODE),
        Field::objects("disks", &DISK, Keyed),
        Field::objects("files", &FILE, NODE),
        Field::objects("filesystems", &FILESYSTEM, Keyed),
        Field::objects("links", &LINK, NODE),
        Field::objects("luks", &LUKS, Keyed).since(V3_2, Empty),
        Field::objects("raid", &RAID, Keyed),
    ],
);

static DIRECTORY: Object = Object::new(
    "a directory",
    Key::Field("path"),
    node::directory,
    &[
        Field::object("group", &OWNER),
        Field::optional("overwrite", Bool),
        Field::always("path", Text),
        Field::object("user", &OWNER),
        Field::optional("mode", Int),
    ],
);

/// A file.
pub(crate) static FILE: Object = Object::new(
    "a file",
    Key::Field("path"),
    node::file,
    &[
        Field::object("group", &OWNER),
        Field::optional("overwrite", Bool),
        Field::always("path", Text),
        Field::object("user", &OWNER),
        Field::objects("append", &RESOURCE, Append),
        Field::object("contents", &RESOURCE),
        Field::optional("mode", Int),
    ],
);

static LINK: Object = Object::new(
    "a link",
    Key::Field("path"),
    node::link,
    &[
        Field::object("group", &OWNER),
        Field::optional("overwrite", Bool),
        Field::always("path", Text),
        Field::object("user", &OWNER),
        Field::optional("hard", Bool),
        Field::optional("target", Text),
    ],
);

static OWNER: Object = Object::new(
    "an owner",
    Key::None,
    node::owner,
    &[Field::optional("id", Int), Field::optional("name", Text)],
);

static DISK: Object = Object::new(
    "a disk",
    Key::Field("device"),
    storage::disk,
    &[
        Field::always("device", Text),
        Field::objects("partitions", &PARTITION, Keyed),
        Field::optional("wipeTable", Bool),
    ],
);

static PARTITION: Object = Object::new(
    "a partition",
    Key::Partition,
    storage::partition,
    &[
        Field::optional("guid", Text),
        Field::optional("label", Text),
        Field::nonzero("number", Int),
        Field::optional("resize", Bool).since(V3_2, Neutral::Bool(false)),
        Field::optional("shouldExist", Bool).since(V3_0, Neutral::Bool(true)),
        Field::optional("sizeMiB", Int).since(V3_0, Absent),
        Field::optional("startMiB", Int).since(V3_0, Absent),
        Field::optional("typeGuid", Text),
        Field::optional("wipePartitionEntry", Bool).since(V3_0, Neutral::Bool(false)),
    ],
);

static FILESYSTEM: Object = Object::new(
    "a file system",
    Key::Field("device"),
    storage::filesystem,
    &[
        Field::always("device", Text),
        Field::optional("format", Text),
        Field::optional("label", Text),
        Field::texts("mountOptions", Append).since(V3_1, Absent),
        Field::texts("options", Append),
        Field::optional("path", Text),
        Field::optional("uuid", Text),
        Field::optional("wipeFilesystem", Bool),
    ],
);

static RAID: Object = Object::new(
    "an array",
    Key::Field("name"),
    storage::raid,
    &[
        Field::texts("devices", Keyed),
        Field::optional("level", Text),
        Field::always("name", Text),
        Field::texts("options", Append),
        Field::optional("spares", Int),
    ],
);

static LUKS: Object = Object::new(
    "a LUKS volume",
    Key::Field("name"),
    storage::luks,
    &[
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
);

static CEX: Object = Object::new("cex", Key::None, anything, &[Field::optional("enabled", Bool)]);

static CLEVIS: Object = Object::new(
    "clevis",
    Key::None,
    anything,
    &[
        Field::object("custom", &CLEVIS_CUSTOM),
        Field::objects("tang", &TANG, Keyed),
        Field::optional("threshold", Int),
        Field::optional("tpm2", Bool),
    ],
);

static CLEVIS_CUSTOM: Object = Object::new(
    "a custom clevis pin",
    Key::None,
    storage::clevis_custom,
    &[
        Field::optional("config", Text),
        Field::optional("needsNetwork", Bool),
        Field::optional("pin", Text),
    ],
);

static TANG: Object = Object::new(
    "a tang server",
    Key::Field("url"),
    resource::tang,
    &[
        Field::optional("advertisement", Text).since(V3_4, Empty),
        Field::optional("thumbprint", Text),
        Field::nonzero("url", Text),
    ],
);

static SYSTEMD: Object = Object::new(
    "the systemd section",
    Key::None,
    unit::instances,
    &[Field::objects("units", &UNIT, Keyed)],
);

static UNIT: Object = Object::new(
    "a unit",
    Key::Field("name"),
    unit::unit,
    &[
        Field::optional("contents", Text),
        Field::objects("dropins", &DROPIN, Keyed),
        Field::optional("enabled", Bool),
        Field::optional("mask", Bool),
        Field::always("name", Text),
    ],
);

static DROPIN: Object = Object::new(
    "a drop-in",
    Key::Field("name"),
    unit::dropin,
    &[Field::optional("contents", Text), Field::always("name", Text)],
);
