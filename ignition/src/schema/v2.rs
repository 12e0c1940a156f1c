//! The table of the 2.x specs (`Ignition spec 2.2`, its configuration reference and Go types).
//!
//! Its lists are never merged, and duplicates in them are not refused but resolved
//! ([`crate::translate::v2`]), so all of them are plain.

use super::Kind::{Bool, Int, Text};
use super::List::Append;
use super::Neutral::Absent;
use super::{Field, Key, Kind, Object};
use crate::validate::{anything, v2};
use crate::version::Spec::{V2_1, V2_2};

/// A config.
pub(crate) static CONFIG: Object = Object::new(
    "a config",
    Key::None,
    v2::config,
    &[
        Field::object("ignition", &IGNITION),
        Field::object("networkd", &NETWORKD),
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
        Field::object("security", &SECURITY).since(V2_2, Absent),
        Field::object("timeouts", &TIMEOUTS).since(V2_1, Absent),
        Field::nonzero("version", Text),
    ],
);

static IGNITION_CONFIG: Object = Object::new(
    "the config section",
    Key::None,
    anything,
    &[
        Field::objects("append", &REFERENCE, Append),
        pointer("replace", &REFERENCE),
    ],
);

/// An object that may be there and say nothing. (A Go pointer.)
const fn pointer(name: &'static str, object: &'static Object) -> Field {
    Field::optional(name, Kind::Object(object))
}

static REFERENCE: Object = Object::new(
    "a reference",
    Key::None,
    v2::reference,
    &[
        Field::nonzero("source", Text),
        Field::object("verification", &VERIFICATION),
    ],
);

static VERIFICATION: Object = Object::new(
    "the verification",
    Key::None,
    v2::verification,
    &[Field::optional("hash", Text)],
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
    anything,
    &[Field::objects("certificateAuthorities", &REFERENCE, Append)],
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

static NETWORKD: Object = Object::new(
    "the networkd section",
    Key::None,
    anything,
    &[Field::objects("units", &NETWORKD_UNIT, Append)],
);

static NETWORKD_UNIT: Object = Object::new(
    "a networkd unit",
    Key::None,
    anything,
    &[
        Field::nonzero("contents", Text),
        Field::objects("dropins", &DROPIN, Append).since(V2_2, Absent),
        Field::nonzero("name", Text),
    ],
);

static PASSWD: Object = Object::new(
    "the passwd section",
    Key::None,
    anything,
    &[
        Field::objects("groups", &GROUP, Append),
        Field::objects("users", &USER, Append),
    ],
);

static GROUP: Object = Object::new(
    "a group",
    Key::None,
    anything,
    &[
        Field::optional("gid", Int),
        Field::nonzero("name", Text),
        Field::nonzero("passwordHash", Text),
        Field::nonzero("system", Bool),
    ],
);

static USER: Object = Object::new(
    "a user",
    Key::None,
    v2::user,
    &[
        pointer("create", &USER_CREATE),
        Field::nonzero("gecos", Text).since(V2_1, Absent),
        Field::texts("groups", Append).since(V2_1, Absent),
        Field::nonzero("homeDir", Text).since(V2_1, Absent),
        Field::nonzero("name", Text),
        Field::nonzero("noCreateHome", Bool).since(V2_1, Absent),
        Field::nonzero("noLogInit", Bool).since(V2_1, Absent),
        Field::nonzero("noUserGroup", Bool).since(V2_1, Absent),
        Field::optional("passwordHash", Text),
        Field::nonzero("primaryGroup", Text).since(V2_1, Absent),
        Field::texts("sshAuthorizedKeys", Append),
        Field::nonzero("shell", Text).since(V2_1, Absent),
        Field::nonzero("system", Bool).since(V2_1, Absent),
        Field::optional("uid", Int).since(V2_1, Absent),
    ],
);

static USER_CREATE: Object = Object::new(
    "the create section of a user",
    Key::None,
    anything,
    &[
        Field::nonzero("gecos", Text),
        Field::texts("groups", Append),
        Field::nonzero("homeDir", Text),
        Field::nonzero("noCreateHome", Bool),
        Field::nonzero("noLogInit", Bool),
        Field::nonzero("noUserGroup", Bool),
        Field::nonzero("primaryGroup", Text),
        Field::nonzero("shell", Text),
        Field::nonzero("system", Bool),
        Field::optional("uid", Int),
    ],
);

static STORAGE: Object = Object::new(
    "the storage section",
    Key::None,
    anything,
    &[
        Field::objects("directories", &DIRECTORY, Append).since(V2_1, Absent),
        Field::objects("disks", &DISK, Append),
        Field::objects("files", &FILE, Append),
        Field::objects("filesystems", &FILESYSTEM, Append),
        Field::objects("links", &LINK, Append).since(V2_1, Absent),
        Field::objects("raid", &RAID, Append),
    ],
);

static DIRECTORY: Object = Object::new(
    "a directory",
    Key::None,
    v2::directory,
    &[
        Field::nonzero("filesystem", Text),
        pointer("group", &OWNER),
        Field::optional("overwrite", Bool).since(V2_2, Absent),
        Field::nonzero("path", Text),
        pointer("user", &OWNER),
        Field::optional("mode", Int),
    ],
);

static FILE: Object = Object::new(
    "a file",
    Key::None,
    v2::file,
    &[
        Field::nonzero("filesystem", Text),
        pointer("group", &OWNER),
        Field::optional("overwrite", Bool).since(V2_2, Absent),
        Field::nonzero("path", Text),
        pointer("user", &OWNER),
        Field::nonzero("append", Bool).since(V2_2, Absent),
        Field::object("contents", &CONTENTS),
        Field::optional("mode", Int),
    ],
);

static CONTENTS: Object = Object::new(
    "the contents",
    Key::None,
    v2::contents,
    &[
        Field::nonzero("compression", Text),
        Field::nonzero("source", Text),
        Field::object("verification", &VERIFICATION),
    ],
);

static LINK: Object = Object::new(
    "a link",
    Key::None,
    v2::link,
    &[
        Field::nonzero("filesystem", Text),
        pointer("group", &OWNER),
        Field::optional("overwrite", Bool).since(V2_2, Absent),
        Field::nonzero("path", Text),
        pointer("user", &OWNER),
        Field::nonzero("hard", Bool),
        Field::nonzero("target", Text),
    ],
);

static OWNER: Object = Object::new(
    "an owner",
    Key::None,
    crate::validate::node::owner,
    &[
        Field::optional("id", Int),
        Field::nonzero("name", Text).since(V2_1, Absent),
    ],
);

static DISK: Object = Object::new(
    "a disk",
    Key::None,
    v2::disk,
    &[
        Field::nonzero("device", Text),
        Field::objects("partitions", &PARTITION, Append),
        Field::nonzero("wipeTable", Bool),
    ],
);

static PARTITION: Object = Object::new(
    "a partition",
    Key::None,
    v2::partition,
    &[
        Field::nonzero("guid", Text).since(V2_1, Absent),
        Field::nonzero("label", Text),
        Field::nonzero("number", Int),
        Field::nonzero("size", Int),
        Field::nonzero("start", Int),
        Field::nonzero("typeGuid", Text),
    ],
);

static FILESYSTEM: Object = Object::new(
    "a file system",
    Key::None,
    v2::filesystem,
    &[
        pointer("mount", &MOUNT),
        Field::nonzero("name", Text),
        Field::optional("path", Text),
    ],
);

static MOUNT: Object = Object::new(
    "a mount",
    Key::None,
    v2::mount,
    &[
        pointer("create", &MOUNT_CREATE),
        Field::nonzero("device", Text),
        Field::nonzero("format", Text),
        Field::optional("label", Text).since(V2_1, Absent),
        Field::texts("options", Append).since(V2_1, Absent),
        Field::optional("uuid", Text).since(V2_1, Absent),
        Field::nonzero("wipeFilesystem", Bool).since(V2_1, Absent),
    ],
);

static MOUNT_CREATE: Object = Object::new(
    "the create section of a file system",
    Key::None,
    anything,
    &[Field::nonzero("force", Bool), Field::texts("options", Append)],
);

static RAID: Object = Object::new(
    "an array",
    Key::None,
    v2::raid,
    &[
        Field::texts("devices", Append),
        Field::nonzero("level", Text),
        Field::nonzero("name", Text),
        Field::texts("options", Append).since(V2_2, Absent),
        Field::nonzero("spares", Int),
    ],
);

static SYSTEMD: Object = Object::new(
    "the systemd section",
    Key::None,
    anything,
    &[Field::objects("units", &UNIT, Append)],
);

static UNIT: Object = Object::new(
    "a unit",
    Key::None,
    v2::unit,
    &[
        Field::nonzero("contents", Text),
        Field::objects("dropins", &DROPIN, Append),
        Field::nonzero("enable", Bool),
        Field::optional("enabled", Bool).since(V2_1, Absent),
        Field::nonzero("mask", Bool),
        Field::nonzero("name", Text),
    ],
);

static DROPIN: Object = Object::new(
    "a drop-in",
    Key::None,
    crate::validate::unit::dropin,
    &[Field::nonzero("contents", Text), Field::nonzero("name", Text)],
);
