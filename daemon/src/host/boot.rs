//! shim
use super::Root;
use std::io;
use std::path::Path;
pub fn is_running(root: &Root) -> io::Result<bool> {
    let a = root.owner();
    let _ = a;
    Ok(root.same_as(Path::new("/"))?)
}
pub fn boot_id(root: &Root) -> io::Result<String> {
    Ok(String::from_utf8_lossy(
        &root
            .read(Path::new("/proc/sys/kernel/random/boot_id"), 100)?
            .unwrap_or_default(),
    )
    .trim()
    .to_owned())
}
