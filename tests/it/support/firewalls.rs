//! Real ufw and firewalld in a network of the test: unpacked by `tests/servers/install`, with files of their own.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::{
    net::Space,
    server::{find, skip},
};

/// Lays the unpacked programs over the files of the host, and begins a shell there. Nothing of the host is changed: the
/// layer is in memory, and ends with the mount namespace.
const ROOM: &str = r#"
set -e
cache=$1
room=$(mktemp -d)
trap 'rmdir "$room" 2>/dev/null || true' EXIT
mount -t tmpfs room "$room"
up=$room/up
mkdir -p "$up/etc/default" "$up/usr/lib" "$up/usr/sbin" "$up/usr/bin" "$up/usr/share" "$room/work" "$room/all"
cp -a "$cache/etc/ufw" "$cache/etc/firewalld" "$up/etc/"
cp -a "$cache/etc/default/ufw" "$up/etc/default/"
cp -a "$cache/lib/ufw" "$cache/usr/lib/firewalld" "$cache/usr/lib/python3" "$up/usr/lib/"
cp -a "$cache/usr/sbin/ufw" "$cache/usr/sbin/firewalld" "$up/usr/sbin/"
cp -a "$cache/usr/bin/firewall-cmd" "$up/usr/bin/"
cp -a "$cache/usr/share/ufw" "$up/usr/share/"
for file in ufw.conf before.rules before6.rules after.rules after6.rules user.rules user6.rules; do
    from=$(find "$cache/usr/share/ufw" -name "$file" | tail -n 1)
    cp "$from" "$up/etc/ufw/"
done
cat >"$up/etc/bus.conf" <<'END'
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
END
mount -t overlay room -o "lowerdir=/,upperdir=$up,workdir=$room/work" "$room/all"
for folder in proc sys dev; do mount --rbind "/$folder" "$room/all/$folder"; done
for folder in run tmp; do mount -t tmpfs "$folder" "$room/all/$folder"; done
mkdir "$room/all/run/dbus"
exec chroot "$room/all" sh
"#;
/// Starts firewalld, and waits until it answers.
const FIREWALLD: &str = "dbus-daemon --config-file=/etc/bus.conf --fork
firewalld --nofork --nopid >/tmp/firewalld.log 2>&1 </dev/null &
tries=0
until firewall-cmd --state >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 150 ] || { cat /tmp/firewalld.log >&2; exit 1; }
    sleep 0.2
done";

/// A shell in the network of `space`, with the programs of firewalls.
pub(crate) struct FirewallRoom {
    shell: Child,
    say: ChildStdin,
    heard: BufReader<ChildStdout>,
}

impl FirewallRoom {
    /// Opens it. `None` if the programs are missing, which has then been reported.
    pub(crate) fn open(space: &Space) -> Option<Self> {
        let Some((_, Some(cache))) = find("ufw") else {
            skip("ufw and firewalld are not unpacked: tests/servers/install");
            return None;
        };
        let net = format!("--net=/proc/{}/ns/net", space.pid());
        let mut command = Command::new("nsenter");
        command.args([&*net, "unshare", "--mount", "--pid", "--fork", "--kill-child"]);
        command.args(["--propagation=private", "sh", "-c", ROOM, "room"]).arg(cache);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        let say = shell.stdin.take().unwrap();
        let heard = BufReader::new(shell.stdout.take().unwrap());
        Some(Self { shell, say, heard })
    }

    /// Starts firewalld with its usual zones.
    pub(crate) fn firewalld(&mut self) {
        self.sh(FIREWALLD);
    }

    /// Runs a script, which must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn sh(&mut self, script: &str) -> String {
        let (code, output) = self.run(script);
        assert_eq!(code, "0", "{script}\n{output}");
        output
    }

    /// Runs a script, and returns its exit code and its output.
    fn run(&mut self, script: &str) -> (String, String) {
        // A subshell: `set -e` and `exit` end the script alone.
        writeln!(self.say, "(set -e\n{script}\n) 2>&1 </dev/null; echo \"ended: $?\"").unwrap();
        let mut output = String::new();
        loop {
            let mut line = String::new();
            let read = self.heard.read_line(&mut line).unwrap();
            assert!(read > 0, "the shell ended: {output}");
            match line.strip_prefix("ended: ") {
                Some(code) => return (code.trim().to_owned(), output),
                None => output.push_str(&line),
            }
        }
    }
}

impl Drop for FirewallRoom {
    fn drop(&mut self) {
        // `unshare` kills the first process of the room, and the kernel all others.
        self.shell.kill().ok();
        self.shell.wait().ok();
    }
}
