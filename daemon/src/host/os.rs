//! shim
use super::{Root, command::Commands};
#[derive(Debug)]
pub enum Os {
    None,
}
impl Os {
    pub fn detect(_r: &Root) -> std::io::Result<Self> {
        Ok(Os::None)
    }
    pub fn missing(
        &self,
        _c: &Commands,
        _r: &Root,
        _s: &crds::MachineConfigSpec,
    ) -> anyhow::Result<Vec<String>> {
        Ok(vec![])
    }
}
