//! `dpipes lab up`, `down` and `status`: the daemons of the playground.

use std::{
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde::Serialize;
use serde_json::json;

use super::{
    data,
    state::{Node, State},
};
use crate::{
    cli::{
        caret::Message,
        console::say,
        exit, process,
        process::Handle,
        put,
        render::{json, table::columns},
    },
    config::{File, Surroundings, ensure_private_dir},
};

/// How long a node may take to leave before it is killed: its stages get the kill grace of 5 s, and nothing in a playground is worth
/// waiting longer.
const LEAVE_PATIENCE: Duration = Duration::from_secs(8);

/// How long a killed process may take to vanish: the kernel needs no time, a busy machine some.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What the names of nodes begin with; a letter follows.
const NAME_PREFIX: &str = "node-";

/// How long nodes of a lab drain: shorter than [`LEAVE_PATIENCE`], so that they kill their stages themselves.
const DRAIN: &str = "2s";

/// The lab of this user.
pub(super) struct Lab<'a> {
    /// Where its files are.
    pub dir: PathBuf,
    /// What this process was told.
    pub surroundings: &'a Surroundings,
}

// === impl Lab ===

impl Lab<'_> {
    fn failed(&self, what: &str, error: &io::Error) -> Message {
        Message::new(format!("{what} {}: {error}", self.dir.display()))
    }

    fn state(&self) -> Result<Option<State>, Message> {
        State::read(&self.dir).map_err(|error| self.failed("cannot read the lab in", &error))
    }

    fn living(&self, state: &State) -> Result<Vec<Handle>, Message> {
        state
            .living()
            .map_err(|error| self.failed("cannot look at the processes of", &error))
    }

    pub(super) fn up(&self, nodes: u8, base_port: Option<u16>) -> Result<u8, Message> {
        let program = dpipesd(self.surroundings)?;
        if let Some(state) = self.state()? {
            if !self.living(&state)?.is_empty() {
                return Err(Message::new(format!(
                    "a lab of {} nodes runs already",
                    state.nodes.len()
                ))
                .with_help("stop it first: dpipes lab down"));
            }
            say("dpipes: a lab whose nodes are gone was cleaned up");
            self.remove()?;
        }
        let write = |error: io::Error| self.failed("cannot make the lab in", &error);
        ensure_private_dir(&self.surroundings.runtime_dir(), self.surroundings.uid)
            .map_err(write)?;
        ensure_private_dir(&self.dir, self.surroundings.uid).map_err(write)?;
        let mut state = State {
            boot: process::boot_id(),
            nodes: self.nodes(nodes, base_port)?,
        };
        self.write_files(&state).map_err(write)?;
        state.write(&self.dir).map_err(write)?;
        if self.surroundings.uid == 0 {
            say(
                "warning: nodes of this lab run programs as root for every local user who reaches their ports",
            );
        }
        let started = self.start(&program, &mut state);
        // What did start must be found again by `lab down`, also when the rest did not.
        state.write(&self.dir).map_err(write)?;
        if let Err(message) = started {
            self.end(&state)?;
            return Err(message);
        }
        let mut rows = vec![["NODE", "ADDRESS", "PID"].map(str::to_owned).to_vec()];
        let pid = |node: &Node| node.pid.map(|pid| pid.to_string()).unwrap_or_default();
        rows.extend(
            state
                .nodes
                .iter()
                .map(|node| vec![node.name.clone(), node.address.clone(), pid(node)]),
        );
        let next = format!(
            "try:   dpipes nodes\n       dpipes lab data        # samples to play with, in ./{dir}\n       {first}\nstop:  dpipes lab down\n",
            dir = data::DIR,
            first = data::first_pipeline(data::DIR),
        );
        put(&format!("{}{next}", columns(0, &rows)))?;
        Ok(exit::OK)
    }

    fn nodes(&self, number: u8, base_port: Option<u16>) -> Result<Vec<Node>, Message> {
        let ports = ports(number, base_port)
            .map_err(|error| Message::new(format!("no ports for a lab: {error}")))?;
        let nodes = ports.iter().zip('a'..='z').map(|(port, letter)| Node {
            name: format!("{NAME_PREFIX}{letter}"),
            address: format!("127.0.0.1:{port}"),
            socket: self.dir.join(format!("{NAME_PREFIX}{letter}.sock")),
            pid: None,
            started: None,
        });
        Ok(nodes.collect())
    }

    fn write_files(&self, state: &State) -> io::Result<()> {
        let list: Vec<_> = state
            .nodes
            .iter()
            .map(|node| json!({ "name": node.name, "addr": node.address, "labels": labels(node) }))
            .collect();
        fs::write(self.dir.join("nodes.yaml"), yaml(&list)?)?;
        for node in &state.nodes {
            fs::write(self.config(node), yaml(&self.node_config(node))?)?;
        }
        Ok(())
    }

    fn config(&self, node: &Node) -> PathBuf {
        self.dir.join(format!("{}.yaml", node.name))
    }

    /// What one node is told. Apps start where `lab up` was typed, as they would without a cluster.
    fn node_config(&self, node: &Node) -> serde_json::Value {
        json!({
            "version": File::VERSION,
            "node": { "name": node.name, "labels": labels(node) },
            "listen": [node.address, format!("unix:{}", node.socket.display())],
            "advertise": node.address,
            "access": "local",
            "run": { "cwd": self.surroundings.cwd, "allow-root": self.surroundings.uid == 0 },
            "registry": [{ "static": { "file": self.dir.join("nodes.yaml") } }],
            "drain-timeout": DRAIN,
            "log": { "file": self.dir.join(format!("{}.log", node.name)) },
            "pid-file": self.dir.join(format!("{}.pid", node.name)),
        })
    }

    /// Starts all nodes at once; each command returns when its daemon listens.
    fn start(&self, program: &Path, state: &mut State) -> Result<(), Message> {
        let outputs: Vec<io::Result<Output>> = thread::scope(|scope| {
            let commands: Vec<_> = state
                .nodes
                .iter()
                .map(|node| {
                    let mut command = Command::new(program);
                    command
                        .arg("--config")
                        .arg(self.config(node))
                        .stdin(Stdio::null());
                    // The lab's files say all of it; a variable for the user's own daemon would say it to every node.
                    for name in self
                        .surroundings
                        .environment
                        .keys()
                        .filter(|name| name.starts_with("DPIPES_"))
                    {
                        command.env_remove(name);
                    }
                    scope.spawn(move || command.output())
                })
                .collect();
            let join = |thread: thread::ScopedJoinHandle<'_, io::Result<Output>>| {
                thread.join().unwrap_or_else(|_| {
                    Err(io::Error::other("the thread that started it panicked"))
                })
            };
            commands.into_iter().map(join).collect()
        });
        let mut first_error = None;
        for (node, output) in state.nodes.iter_mut().zip(outputs) {
            let problem = match output {
                Ok(output) if output.status.success() => None,
                Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
                Err(error) => Some(error.to_string()),
            };
            match problem {
                None => {
                    let pid_file = self.dir.join(format!("{}.pid", node.name));
                    node.pid = fs::read_to_string(pid_file)
                        .ok()
                        .and_then(|pid| pid.trim().parse().ok());
                    node.started = node.pid.and_then(process::start_time);
                }
                Some(problem) => {
                    let lines: Vec<String> = problem.lines().map(str::to_owned).collect();
                    let message = Message {
                        lines,
                        ..Message::new(format!("{} did not start", node.name))
                    };
                    first_error.get_or_insert(message);
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    pub(super) fn down(&self) -> Result<u8, Message> {
        match self.state()? {
            Some(state) => {
                let ended = self.end(&state)?;
                put(&format!(
                    "stopped {} of {} nodes and removed {}\n",
                    ended,
                    state.nodes.len(),
                    self.dir.display()
                ))?;
            }
            None => put("no lab runs\n")?,
        }
        Ok(exit::OK)
    }

    /// Ends exactly the processes of this lab and removes its files; returns how many still lived.
    fn end(&self, state: &State) -> Result<usize, Message> {
        let living = self.living(state)?;
        let cannot = |error: io::Error| self.failed("cannot stop the nodes of", &error);
        for node in &living {
            node.signal(Signal::TERM).map_err(cannot)?;
        }
        for node in &living {
            if !node.wait(LEAVE_PATIENCE).map_err(cannot)? {
                node.signal(Signal::KILL).map_err(cannot)?;
                if !node.wait(KILL_PATIENCE).map_err(cannot)? {
                    return Err(Message::new(format!(
                        "process {} does not end, not even killed",
                        node.pid
                    )));
                }
            }
        }
        self.remove()?;
        Ok(living.len())
    }

    fn remove(&self) -> Result<(), Message> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("cannot remove", &error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn status(&self, as_json: bool) -> Result<u8, Message> {
        let Some(state) = self.state()? else {
            put(&if as_json {
                String::new()
            } else {
                "no lab runs\n".to_owned()
            })?;
            return Ok(exit::FAILED);
        };
        let mut rows = vec![
            ["NODE", "ADDRESS", "PID", "STATE"]
                .map(str::to_owned)
                .to_vec(),
        ];
        let mut objects = String::new();
        let mut living = 0;
        for node in &state.nodes {
            let process = state
                .process(node)
                .map_err(|error| self.failed("cannot look at the processes of", &error))?;
            living += usize::from(process.is_some());
            let word = if process.is_some() { "running" } else { "gone" };
            let pid = node.pid.map(|pid| pid.to_string()).unwrap_or_default();
            rows.push(vec![
                node.name.clone(),
                node.address.clone(),
                pid,
                word.to_owned(),
            ]);
            let object = json!({ "node": node.name, "address": node.address, "socket": node.socket, "pid": node.pid, "state": word });
            objects.push_str(&json::line("lab-node", object));
        }
        put(&if as_json { objects } else { columns(0, &rows) })?;
        Ok(if living == state.nodes.len() {
            exit::OK
        } else {
            exit::FAILED
        })
    }
}

/// What tells the nodes apart for `@zone=b`: the same names and labels as in docker-compose.yml, so that what is typed in one works in the
/// other.
fn labels(node: &Node) -> serde_json::Value {
    let zone = node.name.strip_prefix(NAME_PREFIX).unwrap_or_default();
    json!({ "zone": zone })
}

/// YAML of data that is made of texts, numbers, lists and maps.
fn yaml(value: &impl Serialize) -> io::Result<String> {
    serde_yaml::to_string(value).map_err(io::Error::other)
}

/// Free ports, or a row of them. Free ones are held together before they are given back, so that they differ.
fn ports(number: u8, base: Option<u16>) -> io::Result<Vec<u16>> {
    if let Some(base) = base {
        let port = |index: u8| {
            base.checked_add(u16::from(index))
                .ok_or_else(|| io::Error::other("they end at 65535"))
        };
        return (0..number).map(port).collect();
    }
    let held: Vec<TcpListener> = (0..number)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<io::Result<_>>()?;
    held.iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

/// The daemon's program: beside this one, else on `PATH`.
fn dpipesd(surroundings: &Surroundings) -> Result<PathBuf, Message> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.join("dpipesd")));
    let path = surroundings.variable("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(path).map(|directory| directory.join("dpipesd"));
    beside
        .into_iter()
        .chain(on_path)
        .find(|program| program.is_file())
        .ok_or_else(|| {
            Message::new("there is no program `dpipesd` beside this one or on PATH")
                .with_help("install it, or build it: cargo build --bins")
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        cli::lab::first_socket,
        config::{self, Facts, Flags},
    };

    fn surroundings(base: &Path) -> Surroundings {
        Surroundings {
            uid: rustix::process::geteuid().as_raw(),
            cwd: base.to_owned(),
            environment: BTreeMap::from([(
                "DPIPES_RUNTIME_DIR".to_owned(),
                base.display().to_string(),
            )]),
            etc: base.join("etc"),
        }
    }

    #[test]
    fn the_files_of_a_node_are_a_configuration() {
        let base = tempfile::tempdir().unwrap();
        let surroundings = surroundings(base.path());
        let lab = Lab {
            dir: surroundings.lab_dir(),
            surroundings: &surroundings,
        };
        ensure_private_dir(&lab.dir, surroundings.uid).unwrap();
        let state = State {
            boot: "b".to_owned(),
            nodes: lab.nodes(3, None).unwrap(),
        };
        lab.write_files(&state).unwrap();
        let flags = Flags {
            config: Some(lab.config(&state.nodes[2])),
            ..Flags::default()
        };
        let facts = Facts {
            hostname: "h".to_owned(),
            has_dpipes_user: true,
        };
        let loaded = config::load(&surroundings, &flags, &facts).unwrap();
        assert_eq!(loaded.settings.node.as_str(), "node-c");
        let labels = &loaded.settings.labels;
        assert_eq!(labels.get("zone").map(String::as_str), Some("c"));
        assert_eq!(loaded.settings.rules.cwd.as_deref(), Some(base.path()));
        assert_eq!(loaded.settings.rules.allow_root, surroundings.uid == 0);
        assert!(loaded.process.pid_file_required);
    }

    #[test]
    fn ports_of_a_lab_differ() {
        let mut free = ports(20, None).unwrap();
        free.sort_unstable();
        free.dedup();
        assert_eq!(free.len(), 20);
        assert_eq!(ports(3, Some(4_000)).unwrap(), [4_000, 4_001, 4_002]);
        assert!(ports(3, Some(65_534)).is_err());
    }

    #[test]
    fn only_the_very_processes_are_ended_and_the_files_removed() {
        let base = tempfile::tempdir().unwrap();
        let surroundings = surroundings(base.path());
        let lab = Lab {
            dir: surroundings.lab_dir(),
            surroundings: &surroundings,
        };
        fs::create_dir(&lab.dir).unwrap();
        let mut mine = Command::new("sleep").arg("600").spawn().unwrap();
        let mut other = Command::new("sleep").arg("600").spawn().unwrap();
        let node = |child: &std::process::Child, shift: u64| {
            let pid = i32::try_from(child.id()).unwrap();
            let started = process::start_time(pid).map(|ticks| ticks + shift);
            Node {
                name: "node-a".to_owned(),
                address: String::new(),
                socket: "s".into(),
                pid: Some(pid),
                started,
            }
        };
        // The second one only has the number of a process of the lab, not its start time.
        let state = State {
            boot: process::boot_id(),
            nodes: vec![node(&mine, 0), node(&other, 1)],
        };
        state.write(&lab.dir).unwrap();
        assert_eq!(State::read(&lab.dir).unwrap().as_ref(), Some(&state));
        assert_eq!(first_socket(&surroundings), Some("s".into()));
        assert_eq!(lab.end(&state).unwrap(), 1);
        assert!(!mine.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        assert!(!lab.dir.exists());
        assert_eq!(first_socket(&surroundings), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_lab_of_another_boot_is_gone() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let node = Node {
            name: "node-a".to_owned(),
            address: String::new(),
            socket: "s".into(),
            pid: Some(pid),
            started: process::start_time(pid),
        };
        let state = State {
            boot: "another".to_owned(),
            nodes: vec![node],
        };
        assert!(state.living().unwrap().is_empty());
    }
}
