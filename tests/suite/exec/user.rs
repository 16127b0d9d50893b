//! Another user. These need root; elsewhere there is no other user to become, and becoming one must fail.

use dpipes::exec::{RunAs, SpawnError, lookup_user};

use super::kit::*;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Supplementary groups survive a change of user unless they are set.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_runs_as_exactly_the_user_it_was_given() {
    let launcher = launcher();
    let mut spec =
        shell("grep -E '^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb)' /proc/self/status");
    // Numbers that are nobody's, so that nothing is taken from the user database.
    let user = RunAs {
        name: "somebody".into(),
        uid: 54321,
        gid: 54322,
        groups: vec![4242, 54322],
        home: "/".into(),
        shell: "/bin/sh".into(),
    };
    spec.run_as = Some(user);
    let (stdio, read) = captured();
    match launcher.prepare(spec, stdio).await {
        Ok(mut prepared) => {
            assert!(is_root());
            let mut process = prepared.go().await.unwrap();
            let text = String::from_utf8(read_all(read).await).unwrap();
            process.wait().await;
            let fields = |name: &str| -> Vec<String> {
                let line = text.lines().find(|line| line.starts_with(name)).unwrap();
                line.split_whitespace().skip(1).map(str::to_owned).collect()
            };
            assert_eq!(fields("Uid"), vec!["54321"; 4]);
            assert_eq!(fields("Gid"), vec!["54322"; 4]);
            let mut groups = fields("Groups");
            groups.sort_unstable();
            assert_eq!(groups, ["4242", "54322"]);
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(fields(set), ["0000000000000000"], "{set}");
            }
        }
        Err(SpawnError::Step { step, .. }) => assert!(!is_root() && step == "setgroups", "{step}"),
        Err(other) => panic!("{other}"),
    }
    launcher.shutdown().await;
}

/// What only the daemon may see, the run user's wildcards do not.
#[tokio::test(flavor = "multi_thread")]
async fn words_are_expanded_with_the_run_users_eyes() {
    use dpipes::word::{Part, Word};
    use std::os::unix::fs::PermissionsExt;
    if !is_root() {
        return;
    }
    let launcher = launcher();
    let directory = tempfile::tempdir().unwrap();
    let set_mode =
        |mode| std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(mode)).unwrap();
    std::fs::write(directory.path().join("secret"), "").unwrap();
    let pattern = |last: &str| Word {
        parts: vec![
            Part::Text(format!("{}/", directory.path().display())),
            Part::Glob(last.into()),
        ],
    };
    let mut as_nobody = spec("/bin/echo", &[]);
    as_nobody.args = vec![pattern("*")];
    as_nobody.run_as = Some(lookup_user("nobody").unwrap());
    for (mode, found) in [(0o700, "*"), (0o755, "secret")] {
        set_mode(mode);
        let prepared = launcher.prepare(as_nobody.clone(), silent()).await.unwrap();
        assert_eq!(
            prepared.argv()[1],
            directory.path().join(found).into_os_string()
        );
    }
    launcher.shutdown().await;
}
