//! What stands in the store, and how it is read.

use dpipes_discovery::{Health, Registry};
use etcd_client::{Client, CompactionOptions, PutOptions};

use super::{at, error_of, member, raw, register};
use crate::bed::{names, next, registration, service, until};

async fn put(raw: &mut Client, key: &str, value: &str) {
    let key = format!("/dpipes/v1/services/{key}");
    raw.put(key, value, Some(PutOptions::new())).await.unwrap();
}

fn value(node: &str) -> String {
    format!(r#"{{"v":1,"node":"{node}","host":"h","port":1,"health":"warning","later":true}}"#)
}

#[tokio::test]
async fn unusable_entries_are_left_out_and_the_others_stay() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let mut raw = raw(&member).await;
    put(&mut raw, "app.sort/n1", &value("n1")).await;
    for (key, bad) in [
        ("app.sort/bad1", "{".to_owned()),
        (
            "app.sort/bad2",
            value("bad2").replace(":1,\"health", ":70000,\"health"),
        ),
        ("app.sort/bad3", value("another")),
        ("app.sort/bad4/deeper", value("bad4")),
        ("app.sort/", value("")),
        ("app.sort/%zz", value("%zz")),
        ("app.sort/bad5", value("bad5").replace("\"v\":1", "\"v\":2")),
    ] {
        put(&mut raw, key, &bad).await;
    }
    let mut watch = registry.watch(&service("app.sort"));
    let set = next(&mut watch).await.unwrap();
    assert_eq!(names(&set), ["n1"]);
    assert_eq!(set[0].health, Health::Warning);
    put(&mut raw, "app.sort/n2", &value("n2")).await;
    until(&mut watch, &["n1", "n2"]).await;
    // An entry that becomes unusable is as good as gone, and back when it is mended.
    put(&mut raw, "app.sort/n1", "garbage").await;
    until(&mut watch, &["n2"]).await;
    put(&mut raw, "app.sort/n1", &value("n1")).await;
    until(&mut watch, &["n1", "n2"]).await;
    let services = registry.services().await.unwrap();
    assert_eq!(
        services.into_iter().collect::<Vec<_>>(),
        [service("app.sort")]
    );
}

#[tokio::test]
async fn an_entry_without_a_lease_is_taken_over_by_its_node() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let mut raw = raw(&member).await;
    put(&mut raw, "noded/n1", &value("n1")).await;
    put(&mut raw, "app.sort/n1", "garbage").await;
    let lease = register(&registry, registration("n1", &["sort"])).await;
    let set = registry.lookup(&service("app.sort")).await.unwrap();
    assert_eq!((names(&set), set[0].port), (vec!["n1"], 4000));
    lease.deregister().await.unwrap();
    assert!(registry.services().await.unwrap().is_empty());
}

#[tokio::test]
async fn names_that_begin_alike_wake_no_foreign_watch() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let mut log = registry.watch(&service("app.log"));
    assert_eq!(next(&mut log).await.unwrap(), []);
    let _logger = register(&registry, registration("n1", &["logger", "Log", "log2"])).await;
    let _log = register(&registry, registration("n2", &["log"])).await;
    assert_eq!(names(&next(&mut log).await.unwrap()), ["n2"]);
}

/// Between the range and the watch, which begins when the second item is asked for, history is compacted away.
#[tokio::test]
async fn a_watch_from_a_compacted_revision_ends_with_an_error_and_the_next_one_works() {
    let Some(member) = member().await else { return };
    let registry = at(&member);
    let mut raw = raw(&member).await;
    let mut watch = registry.watch(&service("app.sort"));
    assert_eq!(next(&mut watch).await.unwrap(), []);
    for node in ["n1", "n2", "n1"] {
        put(&mut raw, &format!("app.sort/{node}"), &value(node)).await;
    }
    let last = raw.get("x", None).await.unwrap();
    let last = last.header().unwrap().revision();
    let physical = CompactionOptions::new().with_physical();
    raw.compact(last, Some(physical)).await.unwrap();
    let error = error_of(&mut watch).await.to_string();
    assert!(error.contains("compacted"), "{error}");
    let mut watch = registry.watch(&service("app.sort"));
    assert_eq!(names(&next(&mut watch).await.unwrap()), ["n1", "n2"]);
}
