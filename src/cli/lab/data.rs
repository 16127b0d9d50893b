//! `dpipes lab data`: writes the samples, all of them or none.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::samples::{self, Sample};
use crate::cli::{caret::Message, exit, render::table::columns};

/// Where the samples go unless another directory is named; the documentation's pipelines read them from there.
pub(super) const DIR: &str = "data";

/// What becomes of one sample.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Todo {
    /// There is nothing yet.
    Write,
    /// The very same bytes are there.
    Keep,
    /// Something else is there.
    Replace,
}

/// A file under another name, removed again unless it gets its own.
struct Unfinished {
    path: PathBuf,
    named: bool,
}

/// Writes what is missing into `dir`. What is there and differs is replaced only when `force` says so.
pub(super) fn run(dir: &Path, force: bool) -> Result<u8, Message> {
    let samples = samples::all();
    let mut plan = Vec::new();
    for sample in &samples {
        plan.push((sample, todo(&dir.join(sample.name), &sample.text)?));
    }
    let differing: Vec<String> = plan
        .iter()
        .filter(|(_, todo)| *todo == Todo::Replace && !force)
        .map(|(sample, _)| dir.join(sample.name).display().to_string())
        .collect();
    if !differing.is_empty() {
        return Err(Message {
            lines: differing,
            ..Message::new("files with these names are there already and differ, so nothing was written")
        }
        .with_help("name another directory: dpipes lab data DIR   or replace them: dpipes lab data --force"));
    }
    write(dir, &plan)?;
    crate::cli::put(&report(dir, &plan))?;
    Ok(exit::OK)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Message {
    Message::new(format!("cannot {what} {}: {error}", path.display()))
}

/// Looks at what is at a sample's place and reads no more of it than the sample is long.
fn todo(path: &Path, text: &str) -> Result<Todo, Message> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Todo::Write),
        Err(error) => return Err(failed("look at", path, &error)),
    };
    if !meta.is_file() {
        return Err(
            Message::new(format!("{} is there and is no file", path.display()))
                .with_help("name another directory: dpipes lab data DIR"),
        );
    }
    if meta.len() != text.len() as u64 {
        return Ok(Todo::Replace);
    }
    let mut found = Vec::with_capacity(text.len());
    File::open(path)
        .and_then(|file| file.take(meta.len()).read_to_end(&mut found))
        .map_err(|error| failed("read", path, &error))?;
    Ok(if found == text.as_bytes() {
        Todo::Keep
    } else {
        Todo::Replace
    })
}

/// Every file is written whole before the first one gets its name, so that a full disk changes nothing.
fn write(dir: &Path, plan: &[(&Sample, Todo)]) -> Result<(), Message> {
    let is_new = !dir.exists();
    fs::create_dir_all(dir).map_err(|error| failed("make the directory", dir, &error))?;
    let written = write_all(dir, plan);
    if written.is_err() && is_new {
        // Only if it is empty; whatever is in it is somebody's.
        let _kept = fs::remove_dir(dir);
    }
    written
}

fn write_all(dir: &Path, plan: &[(&Sample, Todo)]) -> Result<(), Message> {
    let mut ready = Vec::new();
    for (sample, _) in plan.iter().filter(|(_, todo)| *todo != Todo::Keep) {
        let path = dir.join(sample.name);
        let file =
            Unfinished::write(dir, sample).map_err(|error| failed("write", &path, &error))?;
        ready.push((file, path));
    }
    for (mut file, path) in ready {
        file.name(&path)
            .map_err(|error| failed("write", &path, &error))?;
    }
    Ok(())
}

fn report(dir: &Path, plan: &[(&Sample, Todo)]) -> String {
    let mut rows = vec![["FILE", "LINES", "BYTES", ""].map(str::to_owned).to_vec()];
    rows.extend(plan.iter().map(|(sample, todo)| {
        let word = match todo {
            Todo::Write => "written",
            Todo::Keep => "there already",
            Todo::Replace => "replaced",
        };
        vec![
            dir.join(sample.name).display().to_string(),
            sample.text.lines().count().to_string(),
            sample.text.len().to_string(),
            word.to_owned(),
        ]
    }));
    format!(
        "{}try:   {}\n",
        columns(0, &rows),
        first_pipeline(&dir.display().to_string())
    )
}

/// The pipeline that everything begins with, as it is typed.
pub(super) fn first_pipeline(dir: &str) -> String {
    format!("dpipes 'cat {dir}/words.txt | sort | uniq -c | sort -rn | head'")
}

// === impl Unfinished ===

impl Unfinished {
    /// Writes a sample beside its place. The number of this process keeps two who do this at once apart.
    fn write(dir: &Path, sample: &Sample) -> io::Result<Self> {
        let path = dir.join(format!(".{}.{}.new", sample.name, std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        let unfinished = Self { path, named: false };
        file.write_all(sample.text.as_bytes())?;
        // Some file systems tell only now that they are full.
        file.sync_all()?;
        Ok(unfinished)
    }

    fn name(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.named {
            // It was made by this process a moment ago; if it cannot be removed, the error that led here says why.
            let _left = fs::remove_file(&self.path);
        }
    }
}
