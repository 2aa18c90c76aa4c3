//! Login, TLS, and the commands about the session itself.

use std::{io, sync::Arc};

use super::{
    command::ClientCommand,
    effect::Effect,
    listing::FactSelection,
    plan::Scene,
    reply::{CommandResult, ServerReply},
    session::{ClientSession, Next},
    setup::AllowedLogin,
};
use portolan_proto::{ReplyCode, Verb};

/// The state of the login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    /// No user has been named.
    LoggedOut,
    /// `USER` was sent.
    Named(String),
    /// `PASS` was correct, `ACCT` is required.
    WithoutAccount,
    /// The client is logged in.
    Known,
}

/// The protection of data connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataProtection {
    /// No protection.
    None,
    /// No protection yet: `PBSZ` was sent, `PROT P` was not.
    Sized,
    /// TLS.
    Private,
}

impl ClientSession {
    /// Executes `USER`.
    pub(super) fn user(&mut self, name: &str) -> CommandResult {
        if self.stage.tls_required() && !self.control.is_secure() {
            return Err(ServerReply::new(
                ReplyCode::NOT_LOGGED_IN,
                "Sessions must use encryption.",
            ));
        }
        self.who = Who::Named(name.to_owned());
        Ok(ServerReply::new(ReplyCode::PASSWORD_NEEDED, "Please specify the password."))
    }

    /// Executes `PASS`.
    pub(super) fn password(&mut self, password: &str) -> CommandResult {
        let Who::Named(user) = std::mem::replace(&mut self.who, Who::LoggedOut) else {
            return Err(ServerReply::new(ReplyCode::BAD_SEQUENCE, "Login with USER first."));
        };
        let (right, account) = match &self.stage.setup.login {
            None => (true, false),
            Some(login) => {
                (login.user == user && login.password == password, login.account.is_some())
            }
        };
        match (right, account) {
            (false, _) => Err(ServerReply::new(ReplyCode::NOT_LOGGED_IN, "Login incorrect.")),
            (true, true) => {
                self.who = Who::WithoutAccount;
                Ok(ServerReply::new(ReplyCode::ACCOUNT_NEEDED, "Need account for login."))
            }
            (true, false) => Ok(self.let_in()),
        }
    }

    /// Executes `ACCT`.
    pub(super) fn account(&mut self, account: &str) -> CommandResult {
        match self.who {
            Who::Known => Ok(ServerReply::new(ReplyCode::SUPERFLUOUS, "No account is needed.")),
            Who::WithoutAccount if self.wanted_account() == Some(account) => Ok(self.let_in()),
            Who::WithoutAccount => {
                Err(ServerReply::new(ReplyCode::NOT_LOGGED_IN, "Login incorrect."))
            }
            _ => Err(ServerReply::new(ReplyCode::BAD_SEQUENCE, "Login with USER first.")),
        }
    }

    fn wanted_account(&self) -> Option<&str> {
        let login: Option<&AllowedLogin> = self.stage.setup.login.as_ref();
        login?.account.as_deref()
    }

    fn let_in(&mut self) -> ServerReply {
        self.who = Who::Known;
        ServerReply::new(ReplyCode::LOGGED_IN, "Login successful.")
    }

    /// Executes `AUTH TLS`: the reply in clear, then the handshake; the login starts over (RFC 4217, 4.2).
    pub(super) async fn begin_tls(
        &mut self,
        scene: &Scene<'_>,
        command: &ClientCommand,
    ) -> io::Result<Next> {
        let known = ["TLS", "TLS-C", "SSL"];
        let asked = command.text().to_ascii_uppercase();
        let Some(config) = self.tls.clone().filter(|_| known.contains(&asked.as_str())) else {
            return self
                .say(scene, ServerReply::new(ReplyCode::NOT_IMPLEMENTED_FOR, "Unknown AUTH type."))
                .await;
        };
        if self.control.is_secure() {
            return self
                .say(scene, ServerReply::new(ReplyCode::BAD_SEQUENCE, "TLS is active already."))
                .await;
        }
        self.say(scene, ServerReply::new(ReplyCode::TLS_ACCEPTED, "Proceed with negotiation."))
            .await?;
        self.control.secure(Arc::clone(&config)).await?;
        self.who = Who::LoggedOut;
        self.protection = DataProtection::None;
        Ok(Next::Command)
    }

    /// Executes `PBSZ`, which has no effect under TLS but must precede `PROT`.
    pub(super) fn buffer_size(&mut self) -> CommandResult {
        if !self.control.is_secure() {
            return Err(ServerReply::new(
                ReplyCode::BAD_SEQUENCE,
                "PBSZ needs a secure connection.",
            ));
        }
        if self.protection == DataProtection::None {
            self.protection = DataProtection::Sized;
        }
        Ok(ServerReply::new(ReplyCode::OKAY, "PBSZ=0"))
    }

    /// Executes `PROT`.
    pub(super) fn protect(&mut self, level: &str) -> CommandResult {
        if self.protection == DataProtection::None {
            return Err(ServerReply::new(ReplyCode::BAD_SEQUENCE, "PBSZ comes first."));
        }
        self.protection = match level.to_ascii_uppercase().as_str() {
            "P" => DataProtection::Private,
            "C" if self.stage.tls_required() => {
                return Err(ServerReply::new(
                    ReplyCode::REQUEST_DENIED,
                    "Data connections must be encrypted.",
                ));
            }
            "C" => DataProtection::Sized,
            "S" | "E" => {
                return Err(ServerReply::new(
                    ReplyCode::PROTECTION_UNSUPPORTED,
                    "Only C and P are known.",
                ));
            }
            _ => {
                return Err(ServerReply::new(
                    ReplyCode::NOT_IMPLEMENTED_FOR,
                    "Unknown protection level.",
                ));
            }
        };
        Ok(ServerReply::new(ReplyCode::OKAY, format!("Protection set to {level}.")))
    }

    /// Executes `FEAT`.
    pub(super) fn features(&self) -> ServerReply {
        let facts = format!("MLST {}", self.facts.feature());
        let features = [
            (Verb::Auth, "AUTH TLS"),
            (Verb::Eprt, "EPRT"),
            (Verb::Epsv, "EPSV"),
            (Verb::Hash, "HASH SHA-256*"),
            (Verb::Mdtm, "MDTM"),
            (Verb::Mfmt, "MFMT"),
            (Verb::Mlsd, facts.as_str()),
            (Verb::Pasv, "PASV"),
            (Verb::Pbsz, "PBSZ"),
            (Verb::Prot, "PROT"),
            (Verb::Rest, "REST STREAM"),
            (Verb::Size, "SIZE"),
            (Verb::Noop, "TVFS"),
            (Verb::Noop, "UTF8"),
        ];
        let there = features.into_iter().filter(|(verb, _)| !self.is_missing(*verb));
        let lines: Vec<_> = there.map(|(_, line)| line.as_bytes().to_vec()).collect();
        ServerReply::lines(ReplyCode::SYSTEM_STATUS, "Features:", &lines, "End")
    }

    /// Executes `HELP`.
    pub(super) fn help(&self) -> ServerReply {
        let there = Verb::ALL.iter().filter(|verb| !self.is_missing(**verb));
        let words: Vec<_> = there.map(|verb| verb.as_str()).filter(|word| word.len() < 5).collect();
        let lines: Vec<_> = words.chunks(12).map(|row| row.join(" ").into_bytes()).collect();
        ServerReply::lines(ReplyCode::HELP, "The following commands are known:", &lines, "Help OK.")
    }

    /// Executes `OPTS`.
    pub(super) fn options(&mut self, text: &str) -> CommandResult {
        let upper = text.to_ascii_uppercase();
        match upper.split_once(' ').unwrap_or((&upper, "")) {
            ("UTF8" | "UTF-8", _) => Ok(ServerReply::new(ReplyCode::OKAY, "Always in UTF8 mode.")),
            ("MLST", list) => {
                self.facts = FactSelection::chosen(list);
                Ok(ServerReply::new(ReplyCode::OKAY, format!("MLST OPTS {}", self.facts.list())))
            }
            ("HASH", "" | "SHA-256") => Ok(ServerReply::new(ReplyCode::OKAY, "SHA-256")),
            _ => Err(ServerReply::new(ReplyCode::BAD_ARGUMENT, "Option not understood.")),
        }
    }

    /// Executes `TYPE`.
    pub(super) fn representation(&mut self, text: &str) -> CommandResult {
        let is_text = match text.to_ascii_uppercase().as_str() {
            "A" | "A N" => true,
            "I" | "L 8" | "L8" => false,
            _ => {
                return Err(ServerReply::new(
                    ReplyCode::NOT_IMPLEMENTED_FOR,
                    "Only A and I are known.",
                ));
            }
        };
        self.converts = is_text && !self.stage.plans.have(&Effect::Binary);
        let mode = if is_text { "ASCII" } else { "Binary" };
        Ok(ServerReply::new(ReplyCode::OKAY, format!("Switching to {mode} mode.")))
    }

    /// Executes `REST`.
    pub(super) fn restart_at(&mut self, text: &str) -> CommandResult {
        let at: u64 = text
            .parse()
            .map_err(|_| ServerReply::new(ReplyCode::BAD_ARGUMENT, "REST wants a number."))?;
        if at > 0 && self.converts {
            return Err(ServerReply::new(
                ReplyCode::BAD_ARGUMENT,
                "REST is not allowed in ASCII mode.",
            ));
        }
        self.restart = at;
        Ok(ServerReply::new(ReplyCode::PENDING, format!("Restart position accepted ({at}).")))
    }

    /// Executes `ABOR` outside of a transfer, or after one that it has ended.
    pub(super) fn abort(&mut self) -> ServerReply {
        if std::mem::take(&mut self.aborted) {
            return ServerReply::new(ReplyCode::TRANSFER_COMPLETE, "ABOR command successful.");
        }
        ServerReply::new(ReplyCode::NO_TRANSFER, "No transfer to ABOR.")
    }
}
