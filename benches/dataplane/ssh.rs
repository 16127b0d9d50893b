//! An sshd of this run's own on loopback, with keys and configuration in a folder of its own.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    hop::{Chain, Ended, Load},
    kit::{free_port, holds_within, patience, processes},
    measure::cpu,
    work::{self, Flow},
};

/// What it is called in its client's configuration.
pub(crate) const HOST: &str = "bench";

/// The folder that sshd wants to exist, and that the package makes when the service starts.
const PRIVILEGES: &str = "/run/sshd";

/// A server, and the connection that is kept for later clients. Both end when it is dropped.
pub(crate) struct Sshd {
    folder: tempfile::TempDir,
    server: Child,
    master: Option<Child>,
    made_folder: bool,
}

impl Sshd {
    /// Starts one, which takes root; otherwise what to say in its place.
    pub(crate) fn start() -> Result<Self, String> {
        if let Some(note) = crate::peers::missing("sshd", "openssh-server") {
            return Err(note);
        }
        if !rustix::process::geteuid().is_root() {
            return Err("**Left out: an sshd of the bench's own takes root.**".to_owned());
        }
        let folder = tempfile::Builder::new()
            .prefix("dpssh")
            .tempdir()
            .expect("a folder");
        let root = folder.path();
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(root.join(key));
            let status = keygen.status().expect("ssh-keygen comes with ssh");
            assert!(status.success(), "no key");
        }
        let port = free_port();
        let shown = root.display();
        // Another home: what the user's shell does at its start is not what ssh costs.
        let server = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/user.pub\nPidFile none\n\
             PermitRootLogin yes\nStrictModes no\nUsePAM no\nMaxStartups 1000\nMaxSessions 1000\nPrintMotd no\nPasswordAuthentication no\n\
             SetEnv HOME={shown}\n"
        );
        let client = format!(
            "Host *\nHostName 127.0.0.1\nPort {port}\nUser root\nIdentityFile {shown}/user\nIdentitiesOnly yes\nBatchMode yes\n\
             StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\nCompression no\nCiphers aes128-gcm@openssh.com\n"
        );
        fs::write(root.join("server"), server).expect("our folder");
        fs::write(root.join("client"), client).expect("our folder");
        let made_folder = !Path::new(PRIVILEGES).exists();
        if made_folder {
            fs::create_dir(PRIVILEGES).expect("root may");
        }
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(root.join("server"));
        let log = fs::File::create(root.join("log")).expect("our folder");
        let server = command
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd is there");
        let mut sshd = Self {
            folder,
            server,
            master: None,
            made_folder,
        };
        let answers = || {
            sshd.command(false)
                .arg("true")
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        if !holds_within(patience(), answers) {
            let log = fs::read_to_string(sshd.folder.path().join("log"));
            return Err(format!(
                "**Left out: sshd did not work: {}**",
                log.unwrap_or_default()
            ));
        }
        let mut master = Command::new("ssh");
        master.args([
            "-F",
            &sshd.config(),
            "-S",
            &sshd.control(),
            "-M",
            "-N",
            HOST,
        ]);
        master.stdin(Stdio::null());
        sshd.master = Some(master.spawn().expect("ssh is there"));
        let joins = || sshd.folder.path().join("control").exists();
        assert!(holds_within(patience(), joins), "no connection is kept");
        Ok(sshd)
    }

    /// The client's configuration.
    pub(crate) fn config(&self) -> String {
        self.folder.path().join("client").display().to_string()
    }

    /// What makes a client use the connection that is kept.
    pub(crate) fn control(&self) -> String {
        self.folder.path().join("control").display().to_string()
    }

    /// The client, with the host; the connection is a new one or the one that is kept.
    pub(crate) fn command(&self, kept: bool) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-F", &self.config()]);
        if kept {
            command.args(["-S", &self.control()]);
        }
        command.arg(HOST);
        command
    }

    /// From a program here to a program behind the server.
    pub(crate) fn carry(&self, load: &Load, kept: bool) -> Ended {
        let before = self.cpu();
        let mut ssh = self.command(kept);
        ssh.arg(work::stage(&load.sink));
        let chain = Chain::start(Stdio::null(), [work::command(&load.source), ssh], None);
        let (said, here) = chain.end();
        // What a session took is known to the server once it is gone.
        let quiet = || kept || processes::children_of(self.server.id()).len() <= 1;
        assert!(holds_within(patience(), quiet), "a session of ssh stays");
        // And with it what the program that it ran took.
        let reader = if kept { 0.0 } else { Flow::parse(&said).cpu };
        let cpu = here[1] + self.cpu() - before - reader;
        Ended { said, cpu }
    }

    /// What the server, its sessions and the connection that is kept took until now.
    fn cpu(&self) -> f64 {
        let sessions = processes::children_of(self.server.id());
        let all = sessions
            .into_iter()
            .chain(self.master.as_ref().map(Child::id));
        all.map(cpu::seconds).sum::<f64>() + cpu::with_children(self.server.id())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        for child in [self.master.as_mut(), Some(&mut self.server)]
            .into_iter()
            .flatten()
        {
            processes::send(child.id(), rustix::process::Signal::TERM);
            let _reaped = child.wait();
        }
        if self.made_folder {
            let _somebody_uses_it = fs::remove_dir(PRIVILEGES);
        }
    }
}
