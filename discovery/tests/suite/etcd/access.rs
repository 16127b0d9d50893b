//! Users, rights and TLS.

use std::{net::IpAddr, path::Path};

use dpipes_discovery::{
    Registry, RegistryError, Secret, Tls,
    etcd::{Config, Password},
};
use dpipes_testbed::{
    certificates::{Authority, Certificate},
    etcd::{Clients, Member, own_address},
};
use etcd_client::{Client, Permission, PermissionType, UserAddOptions};
use tokio::time::sleep;

use super::{SHORT, member, raw, register, skipped, with};
use crate::bed::{becomes, is_live, is_retrying, names, next, registration, service, short_lived};

/// Turns on authentication: `root`, and `node` who may do what a node has to below the default prefix.
async fn enable_auth(member: &Member) -> Client {
    let mut raw = raw(member).await;
    for (user, role) in [("root", "root"), ("node", "node"), ("stranger", "nothing")] {
        raw.role_add(role).await.unwrap();
        let options = Some(UserAddOptions::new());
        raw.user_add(user, format!("{user}-word"), options)
            .await
            .unwrap();
        raw.user_grant_role(user, role).await.unwrap();
    }
    let all = Permission::new(PermissionType::Readwrite, "/dpipes/v1/").with_prefix();
    raw.role_grant_permission("node", all).await.unwrap();
    raw.auth_enable().await.unwrap();
    let options = etcd_client::ConnectOptions::new().with_user("root", "root-word");
    Client::connect([member.endpoint()], Some(options))
        .await
        .unwrap()
}

fn user(member: &Member, user: &str, password: Password) -> Config {
    Config {
        user: Some(user.to_owned()),
        password,
        ..Config::new([member.endpoint()])
    }
}

fn word(word: &str) -> Password {
    Password::Value(Secret::new(word))
}

fn assert_denied<T: std::fmt::Debug>(result: Result<T, RegistryError>) {
    let Err(RegistryError::Denied { detail }) = &result else {
        panic!("{result:?}");
    };
    assert!(!detail.contains("-word"), "{detail}");
    assert!(detail.contains("127."), "it says where: {detail}");
}

#[tokio::test]
async fn nobody_a_wrong_password_and_a_user_without_rights_are_denied() {
    let Some(member) = member().await else { return };
    let _root = enable_auth(&member).await;
    for config in [
        Config::new([member.endpoint()]),
        user(&member, "node", word("wrong-word")),
        user(&member, "nobody", word("node-word")),
        user(&member, "stranger", word("stranger-word")),
    ] {
        println!("{:?}", config.user);
        let shown = format!("{config:?}");
        assert!(!shown.contains("-word"), "{shown}");
        let registry = with(config);
        assert_denied(registry.lookup(&service("noded")).await);
        assert_denied(registry.register(registration("n1", &["sort"])).await);
        assert_denied(next(&mut registry.watch(&service("noded"))).await);
        assert_denied(registry.services().await);
    }
    let registry = with(user(&member, "node", word("node-word")));
    let lease = register(&registry, registration("n1", &["sort"])).await;
    let set = registry.lookup(&service("app.sort")).await.unwrap();
    assert_eq!(names(&set), ["n1"]);
    lease.deregister().await.unwrap();
}

#[tokio::test]
async fn a_password_file_is_read_again_after_a_refusal() {
    let Some(member) = member().await else { return };
    let mut root = enable_auth(&member).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    let registry = with(user(&member, "node", Password::File(file.clone())));
    let missing = registry.lookup(&service("noded")).await.unwrap_err();
    assert!(matches!(missing, RegistryError::Denied { .. }), "{missing}");
    std::fs::write(&file, "wrong\n").unwrap();
    assert_denied(registry.lookup(&service("noded")).await);
    std::fs::write(&file, "node-word\n").unwrap();
    assert_eq!(registry.lookup(&service("noded")).await.unwrap(), []);
    // Changing it takes every token away, this one's too.
    root.user_change_password("node", "other-word")
        .await
        .unwrap();
    assert_denied(registry.lookup(&service("noded")).await);
    std::fs::write(&file, "other-word\n").unwrap();
    assert_eq!(registry.lookup(&service("noded")).await.unwrap(), []);
}

#[tokio::test]
async fn a_token_that_the_server_forgot_is_renewed_unnoticed() {
    let Some(mut member) = member().await else {
        return;
    };
    let _root = enable_auth(&member).await;
    let registry = with(user(&member, "node", word("node-word")));
    let lease = register(&registry, registration("n1", &["sort"])).await;
    // Its tokens live in memory alone.
    member.restart().await;
    let set = registry.lookup(&service("app.sort")).await.unwrap();
    assert_eq!(names(&set), ["n1"]);
    becomes(&*lease, is_live).await;
    lease.update(Vec::new()).await.unwrap();
    assert_eq!(registry.lookup(&service("app.sort")).await.unwrap(), []);
}

#[tokio::test]
async fn a_user_is_no_harm_where_none_is_asked_for_and_of_use_once_one_is() {
    let Some(member) = member().await else { return };
    let registry = with(user(&member, "node", word("node-word")));
    let lease = register(&registry, registration("n1", &["sort"])).await;
    let _root = enable_auth(&member).await;
    let refused = registry.lookup(&service("app.sort")).await;
    assert_denied(refused);
    let set = registry.lookup(&service("app.sort")).await.unwrap();
    assert_eq!(names(&set), ["n1"]);
    lease.deregister().await.unwrap();
}

#[tokio::test]
async fn tls_serves_who_knows_the_authority_and_tells_others_what_is_wrong() {
    if skipped() {
        return;
    }
    let (authority, stranger) = (Authority::new(), Authority::new());
    let address = own_address();
    let shown = authority.issue("server", &[IpAddr::from(address)], &["registry.test"]);
    let member = Member::serving(address, Clients::Tls(shown)).await;
    let endpoint = member.endpoint();
    let ask = async |endpoint: String, tls: Tls| {
        let registry = with(Config {
            tls,
            ..Config::new([endpoint])
        });
        registry.lookup(&service("noded")).await
    };
    let knows = |authority: &Authority| Tls {
        ca: Some(authority.cert()),
        ..Tls::default()
    };
    assert_eq!(ask(endpoint.clone(), knows(&authority)).await.unwrap(), []);
    let named = Tls {
        server_name: Some("registry.test".to_owned()),
        ..knows(&authority)
    };
    assert_eq!(ask(endpoint.clone(), named).await.unwrap(), []);
    let misnamed = Tls {
        server_name: Some("other.test".to_owned()),
        ..knows(&authority)
    };
    for (endpoint, tls, word) in [
        (endpoint.clone(), knows(&stranger), "certificate"),
        (endpoint.clone(), misnamed, "certificate"),
        (format!("https://{endpoint}"), Tls::default(), "certificate"),
        (endpoint.clone(), Tls::default(), "https://"),
    ] {
        let error = ask(endpoint, tls).await.unwrap_err();
        println!("{error}");
        assert!(
            matches!(error, RegistryError::Unavailable { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn tls_to_a_plaintext_server_is_told_to_be_that() {
    let Some(member) = member().await else { return };
    let url = format!("https://{}", member.endpoint());
    let error = with(Config::new([url]))
        .lookup(&service("noded"))
        .await
        .unwrap_err();
    println!("{error}");
    assert!(error.to_string().contains("write http://"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_read_again_when_it_was_refused() {
    if skipped() {
        return;
    }
    let (authority, stranger) = (Authority::new(), Authority::new());
    let address = own_address();
    let shown = authority.issue("server", &[IpAddr::from(address)], &[]);
    let member = Member::serving(address, Clients::Mutual(shown, authority.cert())).await;
    let dir = tempfile::tempdir().unwrap();
    let place = |from: &Certificate| {
        std::fs::copy(&from.cert, dir.path().join("node.pem")).unwrap();
        std::fs::copy(&from.key, dir.path().join("node.key")).unwrap();
    };
    let file = |name: &str| Some(Path::join(dir.path(), name));
    let registry = with(Config {
        tls: Tls {
            ca: Some(authority.cert()),
            cert: file("node.pem"),
            key: file("node.key"),
            ..Tls::default()
        },
        ..Config::new([member.endpoint()])
    });
    let missing = registry.lookup(&service("noded")).await.unwrap_err();
    assert!(missing.to_string().contains("node.pem"), "{missing}");
    place(&stranger.issue("node", &[], &["node"]));
    let refused = registry.lookup(&service("noded")).await.unwrap_err();
    println!("{refused}");
    place(&authority.issue("node", &[], &["node"]));
    let lease = register(&registry, registration("n1", &[])).await;
    let set = registry.lookup(&service("noded")).await.unwrap();
    assert_eq!(names(&set), ["n1"]);
    lease.deregister().await.unwrap();
}

#[tokio::test]
async fn a_lease_whose_rights_are_taken_away_is_renewed_and_written_when_they_are_back() {
    let Some(member) = member().await else { return };
    let mut root = enable_auth(&member).await;
    let registry = with(user(&member, "node", word("node-word")));
    let what = short_lived(registration("n1", &["sort"]), SHORT);
    let lease = register(&registry, what).await;
    root.user_revoke_role("node", "node").await.unwrap();
    assert_denied(lease.update(Vec::new()).await);
    becomes(&*lease, is_retrying).await;
    sleep(SHORT * 2).await;
    let key = "/dpipes/v1/services/noded/n1";
    let renewed = root.get(key, None).await.unwrap();
    assert_eq!(renewed.kvs().len(), 1, "what is there stays there");
    root.user_grant_role("node", "node").await.unwrap();
    becomes(&*lease, is_live).await;
    assert_eq!(registry.lookup(&service("app.sort")).await.unwrap(), []);
}
