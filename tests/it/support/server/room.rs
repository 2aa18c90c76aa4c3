//! A sandbox for a server: namespaces for processes and mounts, so that it may have an `/etc/passwd` of its own and
//! that no process of it is left.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::wait;

/// The first process of the sandbox. The test holds the other end of its standard input: when that closes, because the
/// test ended or was killed, the server ends; and when this process ends, the kernel ends all others of the sandbox.
const KEEPER: &str = r#"
set -e
folder=$1
shift
for file in passwd group shadow pam.d; do
    [ ! -e "$folder/$file" ] || mount --bind "$folder/$file" "/etc/$file"
done
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(read -r _ <&3 || true; kill -KILL $server) &
exec 3<&-
wait $server
"#;

/// The time after which the sandbox is killed; it normally ends in a few milliseconds.
const END_TIME_MAX: Duration = Duration::from_secs(5);

const UNSHARE: [&str; 4] = ["--mount", "--pid", "--fork", "--propagation=private"];

pub(super) struct Room {
    keeper: Child,
}

impl Room {
    /// Runs `program` in a sandbox in which those of `passwd`, `group`, `shadow` and `pam.d` that are in `folder`
    /// replace the system's. Its output goes to `folder/output`.
    pub(super) fn open(
        folder: &Path,
        program: &Path,
        arguments: &[String],
        tls12_only: bool,
    ) -> Self {
        let output = File::create(folder.join("output")).unwrap();
        let mut command = Command::new("unshare");
        command.args(UNSHARE).args(["sh", "-c", KEEPER, "keeper"]).arg(folder).arg(program);
        command.args(arguments).env("TZ", "UTC").current_dir(folder).process_group(0);
        if tls12_only {
            // Not every server has an option for it; their TLS library has.
            let conf = folder.join("openssl.cnf");
            std::fs::write(&conf, OPENSSL_TLS12).unwrap();
            command.env("OPENSSL_CONF", conf);
        }
        command.stdin(Stdio::piped()).stderr(output.try_clone().unwrap()).stdout(output);
        Self { keeper: command.spawn().unwrap() }
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.keeper.try_wait().unwrap().is_some()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Its end is the end of the whole sandbox, sessions included.
        if wait::until(END_TIME_MAX, || self.has_ended().then_some(())).is_none() {
            kill_process_group(Pid::from_child(&self.keeper), Signal::KILL).ok();
            drop(self.keeper.wait());
        }
    }
}

const OPENSSL_TLS12: &str = "\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = limits
[limits]
MaxProtocol = TLSv1.2
";

/// Returns an error if this process may not create such namespaces; tried once.
pub(super) fn can_be_made() -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    TRIED
        .get_or_init(|| {
            if !rustix::process::geteuid().is_root() {
                return Err("not root".to_owned());
            }
            let tried = Command::new("unshare").args(UNSHARE).arg("true").output();
            match tried {
                Ok(done) if done.status.success() => Ok(()),
                Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
                Err(error) => Err(format!("unshare: {error}")),
            }
        })
        .clone()
}
