//! The permissions of a session, from the options that a script gives.

use rhai::Map;

use super::ScriptRun;
use crate::{
    error::Result,
    ftp::site::{Site, Trust},
    script::needs,
};

impl ScriptRun {
    /// Fails with `denied_by_policy` if one of `commands`, which a script sends as they are, may remove files of the server,
    /// and the script may not.
    pub fn may_send<'c>(&self, commands: impl IntoIterator<Item = &'c str>) -> Result<()> {
        if commands.into_iter().all(needs::removes_nothing) {
            return Ok(());
        }
        self.permissions().allow_remote_delete()
    }

    /// Fails with `denied_by_policy` unless the script may connect with `site` and use what its `options` name.
    pub(super) fn may_reach(&self, site: &Site, options: &Map) -> Result<()> {
        let permissions = self.permissions();
        let is_asked = |key: &str| options.contains_key(key) && !self.settings.overrides.has(key);
        let Trust { ca_file, client_cert, client_key, .. } = &site.trust;
        for (key, file) in
            [("ca_file", ca_file), ("client_cert", client_cert), ("client_key", client_key)]
        {
            if let Some(file) = file.as_ref().filter(|_| is_asked(key)) {
                permissions.allow_read(file)?;
            }
        }
        if site.map_ports && is_asked("map_ports") {
            permissions.allow_nat_questions()?;
        }
        if let Some(proxy) = site.proxy.as_ref().filter(|_| is_asked("proxy")) {
            let (host, port) = proxy.place();
            permissions.allow_net(host, port)?;
        }
        permissions.allow_net(&site.host, site.port)?;
        let listing = site.list_command.as_deref().filter(|_| is_asked("list_command"));
        self.may_send(listing)?;
        let commands = site.site_commands.iter().filter(|_| is_asked("site"));
        let commands: Vec<_> = commands.map(|text| needs::site_command(text)).collect();
        self.may_send(commands.iter().map(String::as_str))
    }
}
