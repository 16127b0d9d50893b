//! The dashboard: files that are part of the program, and load nothing else.

use axum::{
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};

use super::problem::Problem;

/// A file and what it is.
struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($name:literal: $kind:literal),* $(,)?) => {
        [$(File { name: $name, kind: $kind, text: include_str!(concat!("web/", $name)) }),*]
    };
}

/// All of them.
const FILES: [File; 14] = files! {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "app.js": "text/javascript; charset=utf-8",
    "chart.js": "text/javascript; charset=utf-8",
    "dialogs.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "format.js": "text/javascript; charset=utf-8",
    "graph.js": "text/javascript; charset=utf-8",
    "net.js": "text/javascript; charset=utf-8",
    "nodes.js": "text/javascript; charset=utf-8",
    "pipe.js": "text/javascript; charset=utf-8",
    "pipes.js": "text/javascript; charset=utf-8",
    "store.js": "text/javascript; charset=utf-8",
};

/// The page.
pub(super) async fn index(headers: HeaderMap) -> Response {
    serve("index.html", &headers)
}

/// A file of it.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&name, &headers)
}

fn serve(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return no_such_path().into_response();
    };
    let tag = tag(file.text);
    let known = headers.get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Body::from(file.text).into_response(),
    };
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static(file.kind);
    headers.insert(header::CONTENT_TYPE, kind);
    // It changes with the program; a browser asks each time whether it has.
    let cache = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, cache);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

fn tag(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let digits: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{digits}\"")
}

pub(super) fn no_such_path() -> Problem {
    let problem = Problem::new(
        StatusCode::NOT_FOUND,
        "no-such-path",
        "there is nothing at this path",
    );
    problem.help("what there is: /v1/openapi.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a phone loads over a bad link, and what nobody has to wonder at in a program of some megabytes.
    const MOST: usize = 40 << 10;

    #[test]
    fn the_dashboard_is_small_and_every_file_of_it_is_served() {
        let length: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(length <= MOST, "{length} bytes");
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/web");
        let found = std::fs::read_dir(directory).unwrap();
        let mut found: Vec<_> = found
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut served: Vec<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        found.sort();
        served.sort();
        assert_eq!(found, served);
    }

    #[test]
    fn a_browser_that_has_a_file_is_not_sent_it_again() {
        let first = serve("app.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        let tag = first.headers()[header::ETAG].clone();
        headers.insert(header::IF_NONE_MATCH, tag);
        assert_eq!(serve("app.js", &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(serve("style.css", &headers).status(), StatusCode::OK);
        assert_eq!(serve("../mod.rs", &headers).status(), StatusCode::NOT_FOUND);
    }
}
