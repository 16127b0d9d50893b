use std::{
    collections::HashMap,
    fs::File,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{io::AsyncReadExt as _, net::unix::pipe, sync::Mutex as AsyncMutex, time::timeout};

use super::node::Node;
use crate::{
    exec::{self, Key, Spec, Stdio, Style},
    id::{PipeId, StageNumber},
    negotiate::Version,
    word::Word,
};

/// How long an app may take to say its version. Those that start a virtual machine take a second or two.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of the answer is looked at: a version stands in the first lines.
const MAX_OUTPUT: u64 = 4 * 1_024;

/// What apps said of their versions. Asked once for each command, and again when its program's file changed.
#[derive(Debug, Default)]
pub(super) struct Versions {
    known: Mutex<HashMap<Vec<String>, Arc<Slot>>>,
}

/// What one command said; whoever asks while it runs waits for the same answer.
type Slot = AsyncMutex<Option<Known>>;

#[derive(Debug)]
struct Known {
    file: Option<(u64, SystemTime)>,
    version: Option<String>,
}

// === impl Versions ===

impl Versions {
    /// The first version number in the output of a command; `None` when it fails, is late or names none.
    pub(super) async fn ask(
        &self,
        node: &Node,
        command: &[String],
        program: &Path,
    ) -> Option<String> {
        let slot = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(command.to_vec())
            .or_default()
            .clone();
        let mut slot = slot.lock().await;
        let file = identity(program);
        if let Some(known) = slot.as_ref().filter(|known| known.file == file) {
            return known.version.clone();
        }
        let version = run(node, command).await;
        *slot = Some(Known {
            file,
            version: version.clone(),
        });
        version
    }
}

fn identity(program: &Path) -> Option<(u64, SystemTime)> {
    let metadata = std::fs::metadata(program).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// Runs a command as apps are run, for it is one, and returns the version it names.
async fn run(node: &Node, command: &[String]) -> Option<String> {
    let (program, args) = command.split_first()?;
    let (reader, stdout) = exec::pipe().ok()?;
    let null = || File::options().read(true).write(true).open("/dev/null");
    let stdio = Stdio {
        stdin: null().ok()?.into(),
        stdout,
        stderr: null().ok()?.into(),
        stdin_writer: None,
        stderr_reader: None,
    };
    let settings = node.settings();
    let user = settings
        .rules
        .run_as
        .as_deref()
        .and_then(|name| exec::lookup_user(name).ok());
    let spec = Spec {
        key: Key {
            pipe: PipeId::generate(),
            stage: StageNumber::FIRST,
        },
        program: program.into(),
        arg0: program.into(),
        args: args.iter().map(Word::literal).collect(),
        env: vec![
            (
                "PATH".into(),
                std::env::join_paths(&settings.rules.search_path).ok()?,
            ),
            ("LC_ALL".into(), "C".into()),
        ],
        env_words: Vec::new(),
        cwd: "/".into(),
        run_as: user.filter(|user| user.uid != exec::current_user().uid),
        home: None,
        umask: None,
        limits: exec::Limits::default(),
        style: Style::Contained,
        no_new_privs: true,
        die_with_parent: true,
    };
    let mut process = node
        .launcher()
        .prepare(spec, stdio)
        .await
        .ok()?
        .go()
        .await
        .ok()?;
    let mut output = Vec::new();
    let reading = async {
        let reader = pipe::Receiver::from_owned_fd(reader).ok()?;
        reader.take(MAX_OUTPUT).read_to_end(&mut output).await.ok()
    };
    let read = timeout(VERSION_TIMEOUT, reading).await;
    process.kill(Duration::ZERO).await;
    read.ok()??;
    Version::find(&String::from_utf8_lossy(&output))
}
