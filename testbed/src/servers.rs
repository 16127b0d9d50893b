//! Where the servers' programs come from: a path that is named, the system, or the distribution's package, fetched once.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FlockOperation, flock};

/// A server that tests run.
#[derive(Clone, Copy, Debug)]
pub enum Server {
    /// Consul 1.8 or later; `DPIPES_TEST_CONSUL` names another program.
    Consul,
    /// etcd 3.4 or later; `DPIPES_TEST_ETCD` names another program.
    Etcd,
    /// Not a server but what its owners type, 3.4 or later; `DPIPES_TEST_ETCDCTL` names another program.
    Etcdctl,
    /// What reads metrics as Prometheus does, 2.42 or later; `DPIPES_TEST_PROMTOOL` names another program.
    Promtool,
}

impl Server {
    /// The program. Unpacks the distribution's package below `target/servers` when neither the environment nor `PATH` has one.
    ///
    /// # Panics
    ///
    /// Panics with what to do when there is no way to get it.
    #[must_use]
    pub fn program(self) -> PathBuf {
        let (name, variable, suite, package) = match self {
            Self::Consul => ("consul", "DPIPES_TEST_CONSUL", "bullseye", "consul"),
            Self::Etcd => ("etcd", "DPIPES_TEST_ETCD", "bookworm", "etcd-server"),
            Self::Etcdctl => ("etcdctl", "DPIPES_TEST_ETCDCTL", "bookworm", "etcd-client"),
            Self::Promtool => ("promtool", "DPIPES_TEST_PROMTOOL", "bookworm", "prometheus"),
        };
        if let Some(path) = env::var_os(variable) {
            return path.into();
        }
        let path = env::var_os("PATH").unwrap_or_default();
        if let Some(found) = env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|file| file.is_file())
        {
            return found;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let servers = root.join("target/servers");
        fs::create_dir_all(&servers).unwrap();
        // Tests are many processes; the first one fetches, the others wait.
        let lock = fs::File::create(servers.join(format!("{name}.lock"))).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let unpacked = servers.join(name);
        let program = unpacked.join("usr/bin").join(name);
        if !program.is_file() {
            let status = Command::new(root.join("testbed/unpack-deb.sh"))
                .args([suite, package])
                .arg(&unpacked)
                .status()
                .unwrap();
            assert!(
                status.success() && program.is_file(),
                "{name} is not on PATH and could not be unpacked: install it, or say where it is with {variable}=/path/to/{name}"
            );
        }
        program
    }
}
