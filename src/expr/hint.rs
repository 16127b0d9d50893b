//! Names that are commands in a shell and nowhere else.

/// What to do instead of running this app, if it exists only inside a shell.
///
/// It is not an error of the grammar, for a node may well offer a program of that name; it explains why none does.
#[must_use]
pub fn shell_only_hint(app: &str) -> Option<&'static str> {
    let hint = match app {
        "cd" | "pushd" | "popd" | "dirs" => {
            "changes the directory of a shell only; set the directory of every stage with --cwd DIR"
        }
        "export" | "unset" | "set" | "declare" | "typeset" | "local" | "readonly" | "let"
        | "shift" | "getopts" => {
            "changes variables of a shell only; write NAME=value before the app, or use -e NAME=value"
        }
        "read" | "mapfile" | "readarray" => {
            "reads into a variable of a shell only; use sh -c 'while read -r line; do …; done', or head -n 1"
        }
        "ulimit" | "umask" => {
            "changes limits of a shell only; use sh -c 'ulimit …; exec app', or the limits in the node's configuration"
        }
        "wait" | "jobs" | "fg" | "bg" | "disown" | "suspend" => {
            "works on jobs of a shell only; dpipes ps and dpipes kill work on pipes"
        }
        "exec" | "command" | "builtin" => {
            "exists only inside a shell; name the app itself, it runs without a shell anyway"
        }
        "type" | "hash" => {
            "exists only inside a shell; ask with dpipes apps, or run `which` on the node"
        }
        ":" => "exists only inside a shell; the program `true` does the same",
        "source" | "." | "eval" | "alias" | "unalias" | "return" | "break" | "continue"
        | "trap" | "exit" | "logout" | "shopt" | "history" | "fc" | "bind" | "caller"
        | "compgen" | "complete" | "compopt" | "enable" | "help" | "times" => {
            "exists only inside a shell; run one on the node: sh -c '…'"
        }
        _ => return None,
    };
    Some(hint)
}
