//! The dashboard as people have it: real pipes on real nodes, in a real browser. Nothing of it is called but by keys, clicks and sight.

mod browser;

use std::{fs, io::Write as _};

use self::browser::{Browser, DARK, DESKTOP, PHONE};
use crate::kit::{Cluster, Heavy, Runner, Running, eventually, free_port, heavy};

/// A middle stage that is slower than its neighbours.
const SLOW_IN_THE_MIDDLE: &str =
    "@a cat /dev/zero | @b sh -c 'while head -c 10000; do sleep 0.05; done' | @c cat";

/// Two keys that have no character.
const ENTER: char = '\u{e007}';
const ESCAPE: char = '\u{e00c}';

/// A cluster of three whose node `a` shows the dashboard, and a browser that looks at it. The browser ends first.
struct Dashboard {
    page: Browser,
    cluster: Cluster,
    address: String,
    _turn: Heavy,
}

impl Dashboard {
    /// Starts all of it, and opens the page.
    #[track_caller]
    fn open() -> Self {
        let turn = heavy();
        let address = format!("127.0.0.1:{}", free_port());
        let rest = format!("rest: {{ listen: [\"{address}\"], token-file: rest-token }}");
        let cluster = Cluster::builder()
            .node_with("a", |node| node.section(&rest))
            .node("b")
            .node("c")
            .start();
        let dashboard = Self {
            page: Browser::start(cluster.scratch()),
            cluster,
            address,
            _turn: turn,
        };
        dashboard
            .page
            .open(&format!("http://{}/", dashboard.address));
        dashboard.page.shows("#connection", "live");
        // Whatever follows comes to the page by itself.
        dashboard.page.run("window.isTheFirst = true", &[]);
        dashboard
    }

    /// The full name of a node.
    fn name(&self, alias: &str) -> &str {
        &self.cluster.node(alias).name
    }

    /// The token that the node has made.
    fn token(&self) -> String {
        let file = self.cluster.scratch().root().join("rest-token");
        let text = fs::read_to_string(file).expect("the token of a node that serves the API");
        text.trim_end().to_owned()
    }

    /// Answers the question for the token.
    #[track_caller]
    fn give_token(&self, token: &str) {
        self.page.fill("#token", token);
        self.page.click("#token-use");
    }

    /// Starts a pipe, and waits until the page shows that it runs.
    #[track_caller]
    fn start(&self, pipeline: &str) -> Running {
        let running = self.cluster.dpipes(&["-n", pipeline]).spawn();
        self.page.shows("[data-pipe] .state", "running");
        running
    }

    /// Opens the page of the pipe at the top.
    #[track_caller]
    fn open_pipe(&self) {
        self.page.click("[data-pipe] a");
        self.page.shows("[data-fact=State]", "State");
    }

    fn picture(&self, name: &str) {
        self.page.picture(name, self.cluster.scratch());
    }

    /// Fails the test if the page was loaded again meanwhile.
    #[track_caller]
    fn is_still_the_first_page(&self) {
        assert!(
            self.page.holds("window.isTheFirst"),
            "the page was loaded again"
        );
    }

    /// Fails the test if the page as a whole is wider than what it is looked at through.
    #[track_caller]
    fn fits_the_width(&self) {
        let fits = "document.scrollingElement.scrollWidth <= innerWidth && innerWidth <= 360";
        let widest = "return [innerWidth, ...[...document.querySelectorAll('body *')]
            .filter(one => one.getBoundingClientRect().right > 360 && !one.closest('.graph, .wide'))
            .map(one => one.outerHTML.slice(0, 120))]";
        assert!(self.page.holds(fits), "{:#}", self.page.run(widest, &[]));
    }
}

#[test]
fn a_pipe_is_seen_on_its_nodes_while_it_runs_and_with_its_statuses_when_it_is_over() {
    let dashboard = Dashboard::open();
    let (page, cluster) = (&dashboard.page, &dashboard.cluster);
    page.shows("#summary", "0 running");
    let pipeline = "@a cat | @b cat | @c sh -c 'cat; exit 3'";
    let mut running = cluster
        .dpipes(&[pipeline])
        .stdin_piped()
        .count_stdout()
        .spawn();
    page.shows("[data-pipe] .state", "running");
    page.shows("#summary", "1 running");
    for (stage, app, node) in [(1, "cat", "a"), (2, "cat", "b"), (3, "sh", "c")] {
        let stage = format!("[data-pipe] [data-stage=\"{stage}\"]");
        page.shows(&format!("{stage} b"), app);
        page.shows(&format!("{stage} .where"), dashboard.name(node));
    }
    page.shows("[data-pipe] .name", "cat | cat | sh");
    let mut input = running.take_stdin();
    input.write_all(&[b'x'; 5_000]).expect("a pipe that reads");
    for link in 0..=3 {
        page.shows(&format!("[data-pipe] [data-link=\"{link}\"]"), "5.0 kB");
    }
    // It waits for its input.
    page.shows("[data-end=\"0\"][data-limits]", "limits");
    drop(input);
    running.wait().assert_status(3);
    page.shows("[data-pipe] .state", "complete");
    page.shows("[data-pipe] .when", "5.0 kB in");
    page.shows("#summary", "0 running");
    dashboard.open_pipe();
    page.shows("[data-fact=State]", "complete");
    let exits = || page.texts("#stages tbody td:nth-child(5)");
    eventually!(
        exits() == ["exit 0", "exit 0", "exit 3"],
        "the statuses: {:?}",
        exits()
    );
    page.shows("#graph [data-stage=\"3\"]", "exit 3");
    assert!(!page.holds("document.querySelector('#actions').checkVisibility()"));
    dashboard.picture("pipe-complete");
    dashboard.is_still_the_first_page();
}

#[test]
fn the_stage_that_holds_a_pipe_up_is_marked_in_the_list_and_on_its_page() {
    let dashboard = Dashboard::open();
    let page = &dashboard.page;
    let cluster = &dashboard.cluster;
    cluster
        .dpipes(&["-n", "@b seq 3 | @c cat"])
        .run()
        .assert_status(0);
    cluster
        .dpipes(&["-n", "no-such-app-anywhere"])
        .run()
        .assert_status(127);
    let running = dashboard.start(SLOW_IN_THE_MIDDLE);
    page.shows("[data-stage=\"2\"][data-limits] .limits", "limits ");
    eventually!(
        page.texts("[data-limits]").len() == 1,
        "nothing else is marked"
    );
    page.shows("[data-state=running] .name", "cat | sh | cat");
    page.shows("[data-state=failed] .failure", "refused");
    dashboard.picture("pipes");
    dashboard.open_pipe();
    page.shows("#graph [data-stage=\"2\"][data-limits]", "limits ");
    let shares = "#stages tbody tr:nth-child(2) td:last-child";
    page.shows(shares, "%");
    dashboard.picture("pipe");
    page.look(PHONE);
    dashboard.fits_the_width();
    page.look(DESKTOP);
    drop(running);
    page.shows("[data-fact=State]", "failed");
    // It is known afterwards.
    page.shows("#graph [data-stage=\"2\"][data-limits]", "limits ");
    dashboard.is_still_the_first_page();
}

#[test]
fn every_node_is_seen_with_its_state_and_a_crash_changes_it() {
    let mut dashboard = Dashboard::open();
    let page = &dashboard.page;
    page.press('2');
    page.shows("h1", "Nodes");
    let state = |name: &str| format!("[data-node=\"{name}\"] td:nth-child(2)");
    page.shows(&state(dashboard.name("a")), "here");
    page.shows(&state(dashboard.name("b")), "up");
    page.shows(&state(dashboard.name("c")), "up");
    assert_eq!(page.texts("[data-node]").len(), 3);
    page.shows("#sources tbody", "static");
    dashboard.cluster.node_mut("b").crash();
    let page = &dashboard.page;
    let lost = state(dashboard.name("b"));
    eventually!(
        matches!(page.text(&lost), state if !state.is_empty() && !state.ends_with("up")),
        "the node that crashed is no longer up: {}",
        page.text(&lost)
    );
    page.shows(&state(dashboard.name("c")), "up");
    dashboard.picture("nodes");
    page.look(PHONE);
    dashboard.fits_the_width();
    dashboard.is_still_the_first_page();
}

#[test]
fn a_pipe_is_ended_from_the_page_by_who_has_the_token() {
    let mut dashboard = Dashboard::open();
    dashboard.page.expect_refusals();
    let page = &dashboard.page;
    let running = dashboard.start("@b sleep 300 | @c cat");
    dashboard.open_pipe();
    page.shows("#pipeline", "sleep | cat");
    page.click("#end-pipe");
    page.shows("#confirm-dialog", "End pipe");
    dashboard.picture("confirm");
    page.click("#confirm-yes");
    page.shows("#token-why", "takes the token");
    dashboard.picture("token");
    dashboard.give_token("not-the-token-of-this-node");
    page.shows("#token-why", "not the token");
    assert!(
        dashboard.cluster.node("b").runs_app("sleep"),
        "it still runs"
    );
    dashboard.give_token(&dashboard.token());
    page.shows("#notice", "End pipe: asked for.");
    running
        .wait()
        .assert_status(143)
        .assert_says("stopped: killed by");
    page.shows("[data-fact=State]", "failed");
    page.shows("[data-fact=Failure]", "killed");
    // Who has shown the token sees the arguments too.
    page.shows("#pipeline", "sleep 300");
    assert!(!page.holds("document.querySelector('dialog[open]')"));
    page.click("#use-token");
    page.click("#forget-token");
    page.shows("#pipeline", "sleep | cat");
    dashboard.is_still_the_first_page();
}

#[test]
fn hostile_text_is_shown_as_text_and_runs_nothing() {
    let dashboard = Dashboard::open();
    let page = &dashboard.page;
    page.click("#use-token");
    dashboard.give_token(&dashboard.token());
    page.shows("#connection", "live");
    let script = "<script>window.hacked=1</script>";
    let image = "<img src=x onerror=window.hacked=1>";
    let turned = "\u{202e}drawkcab\u{2066}\u{200b}";
    let says = r"printf '\033[31mred\033[0m\033]0;title\007 <img src=x onerror=window.hacked=1>\n' >&2; exec sleep 300";
    let quoted = says.replace('\'', r"'\''");
    let pipeline =
        format!("@b sh -c '{quoted}' '{script}' '{image}' '{turned}' 'a\u{1b}[31mb\u{7}' | @c cat");
    let running = dashboard.start(&pipeline);
    dashboard
        .cluster
        .dpipes(&["-n", &format!("'{image}'")])
        .run()
        .assert_status(127);
    page.shows("[data-state=failed] .failure", image);
    for text in [
        script,
        image,
        r"\u{202e}drawkcab\u{2066}\u{200b}",
        r"a\u{1b}[31mb\u{7}",
    ] {
        page.shows("[data-state=running] .name", text);
    }
    page.fill("#filter", script);
    eventually!(
        page.texts("[data-pipe]").len() == 1,
        "the filter takes it for text too"
    );
    dashboard.picture("hostile-pipes");
    dashboard.open_pipe();
    page.shows("#pipeline", script);
    page.shows(
        "#stderr pre",
        r"\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7} <img src=x onerror=",
    );
    dashboard.picture("hostile-pipe");
    page.look(PHONE);
    dashboard.fits_the_width();
    page.press('1');
    page.shows("h1", "Pipes");
    dashboard.fits_the_width();
    assert!(!page.holds("window.hacked"), "it ran");
    assert!(
        !page.holds("document.querySelector('main script, main img')"),
        "it is markup"
    );
    // Were there a way to markup after all, the browser would run nothing of it, and the console would tell.
    assert_eq!(page.console(), Vec::<String>::new());
    page.run(
        "document.querySelector('main').setAttribute('onclick', 'window.hacked = 1')",
        &[],
    );
    page.click("main");
    assert!(!page.holds("window.hacked"), "it ran");
    let said = page.console();
    assert!(
        said.iter()
            .any(|line| line.contains("Content Security Policy")),
        "{said:?}"
    );
    drop(running);
    dashboard.is_still_the_first_page();
}

#[test]
fn on_a_telephone_in_the_dark_and_by_keys_alone_it_can_be_used_too() {
    let dashboard = Dashboard::open();
    let page = &dashboard.page;
    let _running =
        dashboard.start("@a cat /dev/zero | @b sleep 300 | @c cat | @a cat | @b cat | @c wc -c");
    for (key, view) in [('2', "Nodes"), ('1', "Pipes")] {
        page.press(key);
        page.shows("h1", view);
        assert!(page.text("nav [aria-current]") == view);
        page.look(PHONE);
        dashboard.fits_the_width();
        page.look(DESKTOP);
    }
    page.press('?');
    page.shows("#keys-dialog", "these keys");
    dashboard.picture("keys");
    page.press(ESCAPE);
    eventually!(
        !page.holds("document.querySelector('dialog[open]')"),
        "the dialog is closed"
    );
    page.press('/');
    eventually!(
        page.holds("document.activeElement.id === 'filter'"),
        "the filter has the focus"
    );
    page.press('2');
    eventually!(
        page.holds("document.querySelector('#filter').value === '2'"),
        "the filter takes it"
    );
    assert_eq!(page.text("h1"), "Pipes", "in a filter a digit is a digit");
    page.press(ESCAPE);
    eventually!(
        page.holds("!document.querySelector('#filter').value"),
        "Escape clears the filter"
    );
    page.press(ESCAPE);
    page.press('j');
    eventually!(
        page.holds("document.activeElement.matches('[data-row]')"),
        "a row has the focus"
    );
    page.press(ENTER);
    page.shows("h1", "Pipe ");
    page.shows("[data-fact=State]", "running");
    page.look(PHONE);
    dashboard.fits_the_width();
    page.press(ESCAPE);
    page.shows("h1", "Pipes");
    let brightest =
        "Math.max(...getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3))";
    page.look(DESKTOP);
    assert!(
        page.holds(&format!("{brightest} > 200")),
        "light for those who like it light"
    );
    page.look(DARK);
    assert!(
        page.holds(&format!("{brightest} < 50")),
        "dark for those who like it dark"
    );
    dashboard.is_still_the_first_page();
}
