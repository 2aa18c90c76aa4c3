//! The FTP servers whose passive range an administrator sets, each in its own words.

use std::ops::RangeInclusive;

use super::{FirewallMode, WantedPorts};

/// The software of a server, as far as its greeting tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerSoftware {
    /// vsftpd.
    Vsftpd,
    /// `ProFTPD`.
    Proftpd,
    /// Pure-FTPd.
    PureFtpd,
    /// `FileZilla` Server.
    FileZilla,
    /// Microsoft IIS.
    Iis,
    /// Any other.
    Unknown,
}

impl ServerSoftware {
    /// Recognizes a server by its greeting, or by any other text in which it names itself.
    pub fn of(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let names = [
            ("vsftpd", Self::Vsftpd),
            ("proftpd", Self::Proftpd),
            ("pure-ftpd", Self::PureFtpd),
            ("pureftpd", Self::PureFtpd),
            ("filezilla server", Self::FileZilla),
            ("microsoft ftp service", Self::Iis),
        ];
        names.into_iter().find(|(name, _)| text.contains(name)).map_or(Self::Unknown, |(_, it)| it)
    }

    /// Returns its name in `nat::suggest`; empty for an unknown one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vsftpd => "vsftpd",
            Self::Proftpd => "proftpd",
            Self::PureFtpd => "pure-ftpd",
            Self::FileZilla => "filezilla",
            Self::Iis => "iis",
            Self::Unknown => "",
        }
    }

    /// Returns the setting that limits its passive ports to a range, as a clause.
    pub fn range_setting(self, range: &RangeInclusive<u16>) -> String {
        let (first, last) = (range.start(), range.end());
        match self {
            Self::Vsftpd => {
                format!("pasv_min_port={first} and pasv_max_port={last} in vsftpd.conf")
            }
            Self::Proftpd => format!("PassivePorts {first} {last} in proftpd.conf"),
            Self::PureFtpd => format!("PassivePortRange {first} {last} in pure-ftpd.conf"),
            Self::FileZilla => {
                format!(
                    "\"Use custom port range\" {first} to {last} in FileZilla Server's passive mode"
                )
            }
            Self::Iis => {
                format!("\"Data Channel Port Range\" {first}-{last} in IIS, FTP Firewall Support")
            }
            Self::Unknown => format!(
                "a passive port range of {first} to {last} (pasv_min_port and pasv_max_port, PassivePorts, \
                 PassivePortRange)"
            ),
        }
    }

    /// Returns the setting by which it announces its outside address, as a clause.
    pub const fn address_setting(self) -> &'static str {
        match self {
            Self::Vsftpd => "pasv_address",
            Self::Proftpd => "MasqueradeAddress",
            Self::PureFtpd => "ForcePassiveIP",
            Self::FileZilla => "the public IP of passive mode",
            Self::Iis => "the external IP address of the firewall",
            Self::Unknown => "its setting for the outside address",
        }
    }

    /// Returns the lines of its configuration.
    pub(super) fn settings(self, wanted: &WantedPorts) -> Vec<String> {
        let (first, last) = (wanted.ports.start(), wanted.ports.end());
        let other_port = (wanted.control != 21).then_some(wanted.control);
        let external = wanted.external;
        let mut lines = vec![
            match self {
                Self::Vsftpd => "# /etc/vsftpd.conf",
                Self::Proftpd => "# /etc/proftpd/proftpd.conf",
                Self::PureFtpd => {
                    "# /etc/pure-ftpd/conf holds one file for each (Debian), or pure-ftpd.conf"
                }
                Self::FileZilla => "# FileZilla Server: Server > Configure",
                Self::Iis => "# IIS, as an administrator; %windir%\\system32\\inetsrv holds appcmd",
                Self::Unknown => "# the settings of the server",
            }
            .to_owned(),
        ];
        lines.extend(other_port.map(|port| match self {
            Self::Vsftpd => format!("listen_port={port}"),
            Self::Proftpd => format!("Port {port}"),
            Self::PureFtpd => format!("Bind ,{port}"),
            Self::FileZilla => format!("# Server listeners: port {port}"),
            _ => format!("# its control port: {port}"),
        }));
        if wanted.mode == FirewallMode::Active {
            lines.extend(self.active().iter().map(|line| (*line).to_owned()));
            return lines;
        }
        match self {
            Self::Vsftpd => {
                lines.push("pasv_enable=YES".into());
                lines.extend([format!("pasv_min_port={first}"), format!("pasv_max_port={last}")]);
                lines.extend(external.map(|address| format!("pasv_address={address}")));
            }
            Self::Proftpd => {
                lines.push(format!("PassivePorts {first} {last}"));
                lines.extend(external.map(|address| format!("MasqueradeAddress {address}")));
            }
            Self::PureFtpd => {
                lines.push(format!("PassivePortRange {first} {last}"));
                lines.extend(external.map(|address| format!("ForcePassiveIP {address}")));
            }
            Self::FileZilla => {
                lines.push(format!(
                    "# FTP and FTP over TLS > Passive mode: Use custom port range, from {first} to {last}"
                ));
                lines.extend(external.map(|address| {
                    format!(
                        "# the same page: Use the following public IP address or host, {address}"
                    )
                }));
            }
            Self::Iis => {
                lines.push(format!(
                    "appcmd set config -section:system.ftpServer/firewallSupport /lowDataChannelPort:\"{first}\" \
                     /highDataChannelPort:\"{last}\" /commit:apphost"
                ));
                lines.extend(external.map(|address| {
                    format!(
                        "appcmd set config -section:system.applicationHost/sites \
                         /siteDefaults.ftpServer.firewallSupport.externalIp4Address:\"{address}\" /commit:apphost"
                    )
                }));
                lines.push("net stop ftpsvc && net start ftpsvc".into());
            }
            Self::Unknown => lines.push(format!("# {}", self.range_setting(&wanted.ports))),
        }
        lines
    }

    const fn active(self) -> &'static [&'static str] {
        match self {
            Self::Vsftpd => &["port_enable=YES", "connect_from_port_20=YES"],
            Self::Proftpd => &[
                "# active mode is on; the data connections come from the port below the control port",
            ],
            _ => &["# active mode is on"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_known_by_its_greeting_and_limits_its_ports_in_its_own_words() {
        for (greeting, software, setting) in [
            (
                "(vsFTPd 3.0.3)",
                ServerSoftware::Vsftpd,
                "pasv_min_port=50000 and pasv_max_port=50009",
            ),
            ("ProFTPD 1.3.8 Server (Debian)", ServerSoftware::Proftpd, "PassivePorts 50000 50009"),
            (
                "Welcome to Pure-FTPd [privsep]",
                ServerSoftware::PureFtpd,
                "PassivePortRange 50000 50009",
            ),
            ("FileZilla Server 1.8.1", ServerSoftware::FileZilla, "50000 to 50009"),
            ("Microsoft FTP Service", ServerSoftware::Iis, "50000-50009"),
            ("Hello", ServerSoftware::Unknown, "50000 to 50009"),
            ("", ServerSoftware::Unknown, "PassivePortRange"),
        ] {
            assert_eq!(ServerSoftware::of(greeting), software, "{greeting}");
            let told = software.range_setting(&(50000..=50009));
            assert!(told.contains(setting), "{told}");
        }
    }
}
