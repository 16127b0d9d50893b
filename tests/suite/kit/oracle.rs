//! bash decides what is right.

use super::{Invocation, Run, Scratch};

/// bash with a script, in the same folder and environment as everything else of the test.
pub(crate) fn bash(scratch: &Scratch, script: &str) -> Invocation {
    let mut command = scratch.command("bash");
    command.args(["-c", script]);
    Invocation::new(command)
}

/// Something that runs pipelines: a cluster, or the client alone.
pub(crate) trait Runner {
    /// Where it works.
    fn scratch(&self) -> &Scratch;

    /// The client with these arguments.
    fn dpipes(&self, arguments: &[&str]) -> Invocation;

    /// Runs the pipeline here and in bash, with and without `pipefail`, and fails the test unless bytes and status are the same.
    #[track_caller]
    fn same_as_bash(&self, pipeline: &str) {
        self.same_as_bash_given(pipeline, b"");
    }

    /// The same with something to read.
    #[track_caller]
    fn same_as_bash_given(&self, pipeline: &str, stdin: &[u8]) {
        for pipefail in [false, true] {
            let script = format!(
                "{}{pipeline}",
                if pipefail { "set -o pipefail; " } else { "" }
            );
            let options: &[&str] = if pipefail {
                &["-o", "pipefail", "-c", pipeline]
            } else {
                &["-c", pipeline]
            };
            let wanted = bash(self.scratch(), &script).stdin(stdin).run();
            let got = self.dpipes(options).stdin(stdin).run();
            assert_same(&got, &wanted);
        }
    }
}

#[track_caller]
fn assert_same(got: &Run, wanted: &Run) {
    assert!(
        got.stdout == wanted.stdout,
        "bytes differ\ngot    {got:?}\nwanted {wanted:?}"
    );
    assert_eq!(
        got.status, wanted.status,
        "status differs\ngot    {got:?}\nwanted {wanted:?}"
    );
}
