//! Who may import whom. Reads the `crate::` paths of every source file; code inside test modules may use what it likes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Words open to every module.
const WORDS: &[&str] = &["id", "media", "variable", "word"];

/// Words open to pure modules.
const PURE_WORDS: &[&str] = &["id", "media", "variable", "word"];

/// What a module may import beside itself and the words of its layer. A name without `::` opens the whole module.
const TABLE: &[(Layer, &str, &[&str])] = &[
    (Layer::Word, "id", &[]),
    (Layer::Word, "media", &[]),
    (Layer::Word, "word", &[]),
    (Layer::Word, "variable", &[]),
    (Layer::Pure, "coding", &[]),
    (Layer::Pure, "expr", &[]),
    (Layer::Pure, "object", &[]),
    (Layer::Pure, "wire", &[]),
    (Layer::Pure, "mux", &["wire"]),
    (Layer::Pure, "negotiate", &["wire"]),
    (Layer::Pure, "plan", &["expr", "dpipes_discovery"]),
    (Layer::Pure, "schedule", &["plan", "dpipes_discovery"]),
    (Layer::Io, "transport", &["coding", "mux", "wire"]),
    (Layer::Io, "exec", &[]),
    (
        Layer::Side,
        "coordinator",
        &[
            "coding",
            "expr",
            "plan",
            "schedule",
            "negotiate",
            "wire",
            "object",
            "transport",
            "dpipes_discovery",
        ],
    ),
    (
        Layer::Side,
        "daemon",
        &[
            "coding",
            "coordinator",
            "schedule",
            "plan",
            "negotiate",
            "wire",
            "object",
            "transport",
            "exec",
            "dpipes_discovery",
        ],
    ),
    (
        Layer::Side,
        "client",
        &["coding", "expr", "wire", "negotiate", "object", "transport"],
    ),
    (
        Layer::Edge,
        "config",
        &[
            "api",
            "daemon::settings",
            "client::settings",
            "negotiate::rules",
            "object",
            "dpipes_discovery",
        ],
    ),
    // `cli` for what it says of failures and of statuses, so that both say the same.
    (
        Layer::Edge,
        "api",
        &[
            "client",
            "daemon",
            "transport",
            "wire",
            "cli::exit",
            "cli::pipes",
            "cli::render",
        ],
    ),
    // `wire` for the failures it prints, `daemon` only to build the embedded entry.
    (
        Layer::Edge,
        "cli",
        &[
            "api",
            "client",
            "expr",
            "plan",
            "config",
            "wire",
            "daemon",
            "negotiate::rules",
            "object",
        ],
    ),
];

/// What no pure module touches: the runtime, clocks, files and sockets.
const IMPURE: &[&str] = &[
    "tokio",
    "std::net",
    "std::fs",
    "std::process",
    "std::thread",
    "std::env",
    "Instant",
    "SystemTime",
    "rustix",
    "nix::",
];

/// How deep a module lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Word,
    Pure,
    Io,
    Side,
    Edge,
}

impl Layer {
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Pure => PURE_WORDS,
            _ => WORDS,
        }
    }
}

#[test]
fn every_module_imports_only_what_its_layer_allows() {
    let table: BTreeMap<_, _> = TABLE
        .iter()
        .map(|(layer, module, allowed)| (*module, (*layer, *allowed)))
        .collect();
    let mut found = Vec::new();
    let mut imports_seen = 0;
    for (module, file, code) in sources() {
        let Some(&(layer, allowed)) = table.get(module.as_str()) else {
            found.push(format!(
                "{}: `{module}` is in no row of the table",
                file.display()
            ));
            continue;
        };
        for import in imports(&code) {
            imports_seen += 1;
            let root = import.split("::").next().unwrap_or_default();
            let opened = |open: &str| import == *open || import.starts_with(&format!("{open}::"));
            if root != module
                && !layer.words().contains(&root)
                && !allowed.iter().any(|open| opened(open))
            {
                found.push(format!(
                    "{}: `{module}` must not import `{import}`",
                    file.display()
                ));
            }
        }
    }
    assert!(
        imports_seen > 20,
        "only {imports_seen} imports were found: the search is broken"
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn pure_modules_touch_no_runtime_clock_file_or_socket() {
    let pure: BTreeSet<_> = TABLE
        .iter()
        .filter(|(layer, ..)| *layer == Layer::Pure)
        .map(|(_, module, _)| *module)
        .collect();
    let mut found = Vec::new();
    for (module, file, code) in sources()
        .into_iter()
        .filter(|(module, ..)| pure.contains(module.as_str()))
    {
        let words = IMPURE.iter().filter(|word| mentions(&code, word));
        found.extend(words.map(|word| {
            format!(
                "{}: `{module}` is pure and must not use `{word}`",
                file.display()
            )
        }));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_registry_crate_knows_nothing_of_dpipes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("discovery");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let depends = manifest
        .lines()
        .any(|line| line.starts_with("dpipes ") || line.starts_with("dpipes."));
    assert!(!depends, "dpipes-discovery depends on dpipes");
}

#[test]
fn the_search_reads_groups_and_skips_comments_and_tests() {
    let code = code_of(
        "//! See [`crate::cli`].\nuse crate::{\n    id::{NodeId, PipeId},\n    wire::message::{Offer, Answer},\n};\n\
         /* crate::daemon */ fn f() { crate::mux::go() } // crate::exec\n\
         #[cfg(test)]\nmod tests { use crate::client::X; fn g() { if true { } } }\nfn h() { crate::plan::h() }\n",
    );
    assert_eq!(
        imports(&code),
        [
            "id::NodeId",
            "id::PipeId",
            "wire::message::Offer",
            "wire::message::Answer",
            "mux::go",
            "plan::h"
        ]
    );
}

/// Every file below `src/` but the binaries and the crate root: its top module, its path, its code.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            if path.is_dir() {
                folders.extend((name != "bin" && name != "tests").then_some(path));
            } else if let Some(stem) = name
                .strip_suffix(".rs")
                .filter(|stem| !["lib", "tests"].contains(stem))
            {
                let inside = path.strip_prefix(&root).unwrap();
                let first = inside
                    .components()
                    .next()
                    .unwrap()
                    .as_os_str()
                    .to_str()
                    .unwrap();
                let module = if first == name {
                    stem.to_owned()
                } else {
                    first.to_owned()
                };
                sources.push((
                    module,
                    path.clone(),
                    code_of(&fs::read_to_string(&path).unwrap()),
                ));
            }
        }
    }
    sources
}

/// The text without comments and without inline test modules.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("/*") {
        code.push_str(&rest[..at]);
        rest = rest[at..].split_once("*/").map_or("", |(_, after)| after);
    }
    code.push_str(rest);
    let lines = code
        .lines()
        .map(|line| line.split_once("//").map_or(line, |(before, _)| before));
    without_tests(&lines.collect::<Vec<_>>().join("\n"))
}

fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let (open, semicolon) = (
            item.find('{').unwrap_or(item.len()),
            item.find(';').unwrap_or(item.len()),
        );
        rest = if semicolon < open {
            &item[semicolon..]
        } else {
            &item[open + block_length(&item[open..])..]
        };
    }
    kept.push_str(rest);
    kept
}

/// The length of a `{…}` block, up to and with its closing brace. Braces in literals come in pairs in test modules, or the search
/// stops early and reads more of the test than it should, which only makes it stricter.
fn block_length(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// All paths below `crate::` and those of `dpipes_discovery`, groups taken apart.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, marker) in code.match_indices("crate::") {
        let before = code[..at].bytes().next_back();
        if before.is_none_or(|byte| !byte.is_ascii_alphanumeric() && byte != b'_' && byte != b'$') {
            expand("", &code[at + marker.len()..], &mut found);
        }
    }
    if code.contains("dpipes_discovery") {
        found.push("dpipes_discovery".to_owned());
    }
    found
}

/// Reads one path, or one group of them, and returns how much of the text it took.
fn expand(prefix: &str, text: &str, found: &mut Vec<String>) -> usize {
    if let Some(group) = text.strip_prefix('{') {
        let mut at = 0;
        while at < group.len() {
            let skipped = group[at..]
                .find(|c: char| !c.is_whitespace() && c != ',')
                .unwrap_or(group.len() - at);
            at += skipped;
            if at >= group.len() || group[at..].starts_with('}') {
                return at + 2;
            }
            at += expand(prefix, &group[at..], found).max(1);
        }
        return text.len();
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':' && c != '*')
        .unwrap_or(text.len());
    let path = &text[..end];
    if let Some(stem) = path
        .strip_suffix("::")
        .filter(|_| text[end..].starts_with('{'))
    {
        return end + expand(&format!("{prefix}{stem}::"), &text[end..], found);
    }
    found.push(format!("{prefix}{path}"));
    // `name as other` belongs to the same item.
    let rest = &text[end..];
    let renamed = rest.trim_start().starts_with("as ");
    if renamed {
        end + rest.find([',', '}', ';']).unwrap_or(rest.len())
    } else {
        end
    }
}

/// Whether a name stands in the code as a whole word.
fn mentions(code: &str, name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].bytes().next_back();
        let after = code[at + name.len()..].bytes().next();
        let ends = name.ends_with(':') || after.is_none_or(|byte| !is_part(byte));
        before.is_none_or(|byte| !is_part(byte)) && ends
    })
}
