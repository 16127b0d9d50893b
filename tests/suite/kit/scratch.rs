//! One test's own corner of the file system and environment.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{DPIPES, processes};

/// A folder of one test: apps and bash work in [`work`](Self::work), everything else lies beside it.
pub(crate) struct Scratch {
    folder: TempDir,
    root: PathBuf,
}

impl Scratch {
    /// Makes the folder. Its path is short, since unix sockets allow about 100 bytes.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("dpt")
            .tempdir()
            .expect("a temporary folder");
        let root = folder
            .path()
            .canonicalize()
            .expect("a folder that was just made");
        for name in ["work", "home", "run", "tmp"] {
            fs::create_dir(root.join(name)).expect("a new folder");
        }
        Self { folder, root }
    }

    /// Where everything of this test lies.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The working directory of apps, of the client and of bash.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Writes a file into the working directory.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        fs::write(&path, content).expect("a writable working directory");
        path
    }

    /// Whether a file is in the working directory.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.work().join(name).exists()
    }

    /// The text of a file in the working directory, empty if there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.work().join(name)).unwrap_or_default()
    }

    /// A command that works in this folder and sees nothing of the environment of the tests.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(self.environment())
            .current_dir(self.work());
        command
    }

    /// Temporary files that somebody left.
    pub(crate) fn left_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join("tmp")).into_iter().flatten();
        entries.flatten().map(|entry| entry.path()).collect()
    }

    /// Processes that work here or have their home here: whatever was started for this test, whoever its parent is now.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let home = format!("HOME={}", self.root.join("home").display());
        let ours = |&pid: &u32| {
            processes::works_in(pid, &self.root) || processes::has_variable(pid, &home)
        };
        processes::all().into_iter().filter(ours).collect()
    }

    /// Lets daemons that are started with their defaults run apps as the user of the tests, whoever that is, and end them quickly.
    pub(crate) fn allow_any_user(&self, more: &str) {
        let folder = self.root.join("home/config/dpipes");
        fs::create_dir_all(&folder).expect("a writable home");
        let text = format!(
            "run: {{ allow-root: true, kill-grace: 1s, cwd: {:?} }}\n{more}\n",
            self.work()
        );
        fs::write(folder.join("dpipesd.yaml"), text).expect("a writable home");
    }

    /// Keeps the folder for a look at it; for failures only.
    pub(crate) fn keep(&mut self) {
        if std::env::var_os("DPIPES_TEST_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("kept {}", self.root.display());
        }
    }

    fn environment(&self) -> [(&'static str, OsString); 7] {
        let binaries = Path::new(DPIPES)
            .parent()
            .expect("binaries lie in a folder")
            .display();
        [
            (
                "PATH",
                format!("{binaries}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin").into(),
            ),
            ("HOME", self.root.join("home").into()),
            // With this one a daemon of the machine that runs the tests is not looked for.
            ("DPIPES_RUNTIME_DIR", self.root.join("run").into()),
            ("XDG_RUNTIME_DIR", self.root.join("run").into()),
            ("XDG_STATE_HOME", self.root.join("home/state").into()),
            ("XDG_CONFIG_HOME", self.root.join("home/config").into()),
            ("TMPDIR", self.root.join("tmp").into()),
        ]
    }
}
