//! The static file and the inline list.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use dpipes_discovery::{Registry, StaticNodes};

use futures_util::StreamExt;

use crate::bed::{Bed, conforms, service, service_names, until};

struct FileBed {
    dir: tempfile::TempDir,
    registry: StaticNodes,
    text: String,
}

impl FileBed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = StaticNodes::file(dir.path().join("nodes.yaml"), service_names());
        Self {
            dir,
            registry,
            text: String::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("nodes.yaml")
    }

    fn write(&self, text: &str) {
        replace(&self.path(), text);
    }
}

/// Replaces a file by renaming another one over it, as editors do.
fn replace(path: &Path, text: &str) {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.persist(path).unwrap();
}

#[async_trait::async_trait]
impl Bed for FileBed {
    fn registry(&self) -> &dyn Registry {
        &self.registry
    }

    async fn holds(&mut self, nodes: &[(&str, &[&str])]) {
        use std::fmt::Write as _;
        self.text = String::from("version: 1\nnodes: [\n");
        for (node, apps) in nodes {
            let apps: Vec<_> = apps.iter().map(|app| format!("'{app}'")).collect();
            let apps = apps.join(", ");
            writeln!(
                self.text,
                "  {{ name: {node}, addr: '[::1]:4000', apps: [{apps}], weight: 7, labels: {{ zone: 'ä b' }} }},"
            )
            .unwrap();
        }
        self.text.push_str("]\n");
        self.write(&self.text);
    }

    async fn breaks(&mut self) {
        self.write(&self.text[..self.text.len() / 2]);
    }

    async fn mends(&mut self) {
        self.write(&self.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_static_file_conforms() {
    conforms(FileBed::new()).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_file_is_an_error_and_not_an_empty_set() {
    let bed = FileBed::new();
    let error = bed.registry.lookup(&service("noded")).await.unwrap_err();
    assert!(error.to_string().contains("nodes.yaml"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_file_rewritten_in_place_with_the_same_size_is_noticed() {
    let bed = FileBed::new();
    std::fs::write(bed.path(), "[{name: a, addr: a}]").unwrap();
    let mut watch = bed.registry.watch(&service("noded"));
    until(&mut watch, &["a"]).await;
    std::fs::write(bed.path(), "[{name: b, addr: b}]").unwrap();
    until(&mut watch, &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_swapped_symlink_is_noticed() {
    let bed = FileBed::new();
    for (file, text) in [
        ("one", "[{name: a, addr: a}]"),
        ("two", "[{name: b, addr: b}]"),
    ] {
        std::fs::write(bed.dir.path().join(file), text).unwrap();
    }
    std::os::unix::fs::symlink("one", bed.path()).unwrap();
    let mut watch = bed.registry.watch(&service("noded"));
    until(&mut watch, &["a"]).await;
    std::os::unix::fs::symlink("two", bed.dir.path().join("next")).unwrap();
    std::fs::rename(bed.dir.path().join("next"), bed.path()).unwrap();
    until(&mut watch, &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_place_of_a_mistake_is_in_the_error() {
    let bed = FileBed::new();
    bed.write("version: 1\nnodes:\n- {name: a, addr: a}\n- {name: a, addr: b}\n");
    let error = bed.registry.lookup(&service("noded")).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("a second node `a`") && text.contains("line 4"),
        "{text}"
    );
}

#[tokio::test]
async fn an_inline_list_answers_once_and_stays() {
    let nodes = "[{name: a, addr: a, apps: [sort]}]".parse().unwrap();
    let registry = StaticNodes::inline(nodes, service_names());
    let mut watch = registry.watch(&service("app.sort"));
    until(&mut watch, &["a"]).await;
    assert!(futures_util::FutureExt::now_or_never(watch.next()).is_none());
}
