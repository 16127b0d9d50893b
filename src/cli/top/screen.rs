//! The screen: a header, the pipes, stages or nodes below them, a line of news, and the keys.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    symbols::border::Set,
    widgets::{Block, Clear, Widget},
};

use super::{
    columns::{Side, put},
    dialog::{Mode, SIGNALS, Target},
    model::{Model, Pane},
    short::{self, Look},
    tables,
};
use crate::cli::render::{
    text::{age, plural},
    views::busy,
};

/// Lines from which on there is room for the lower part and the keys.
const ROOMY: u16 = 12;

/// Lines above the pipes where there is room.
const HEADER: u16 = 2;

/// The keys, for `h`.
const HELP: [&str; 16] = [
    "Up Down PgUp PgDn Home End   select a pipe",
    "Left Right                   select a stage; before the first one, all",
    "P T R                        sort by age, time, rate",
    "< > F6                       sort by the column before or after",
    "I                            turn the order round",
    "/ F4                         filter by pipeline, name or node; Esc ends it",
    "Tab n                        stages or nodes below",
    "k F9                         end the selected pipe, after a question",
    "s                            send its apps a signal",
    "space                        pause, and go on",
    "Ctrl-L                       draw anew",
    "Ctrl-Z                       suspend",
    "q F10 Ctrl-C                 quit",
    "",
    "A stage's time: < it awaits input, # it works, > its output is not",
    "taken. The one that holds the pipe up is marked: <-- limits.",
];

/// A frame for terminals that have only ASCII.
const ASCII: Set<'static> = Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// When it is, for the header.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// The time of day.
    pub(super) now: String,
    /// Age of the last answer.
    pub(super) answered_ms: u64,
}

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places {
    header: Rect,
    pipes: Rect,
    lower: Rect,
    news: Rect,
    keys: Rect,
}

/// How many pipes a screen of this size shows.
pub(super) fn page(area: Rect) -> usize {
    usize::from(Places::new(area).pipes.height.saturating_sub(1))
}

/// Draws all of it.
pub(super) fn draw(model: &Model, clock: &Clock, look: Look, area: Rect, buffer: &mut Buffer) {
    let places = Places::new(area);
    header(model, clock, look, places.header, buffer);
    tables::pipes(model, look, places.pipes, buffer);
    match model.pane {
        Pane::Stages => tables::stages(model, look, places.lower, buffer),
        Pane::Nodes => tables::nodes(model, look, places.lower, buffer),
    }
    let (text, style) = news(model, look);
    buffer.set_style(places.news, style);
    put(&text, Side::Left, look, places.news, buffer);
    put(keys(model), Side::Left, look, places.keys, buffer);
    match &model.mode {
        Mode::Help => {
            let lines = HELP.map(str::to_owned);
            boxed(
                "keys: any of them goes on",
                &lines,
                None,
                look,
                area,
                buffer,
            );
        }
        Mode::Signal { target, at } => {
            let lines = SIGNALS.map(|signal| signal.as_str().to_owned());
            let title = signal_title(model, target);
            boxed(&title, &lines, Some(*at), look, area, buffer);
        }
        Mode::Table | Mode::Filter { .. } | Mode::Kill(_) => {}
    }
}

fn header(model: &Model, clock: &Clock, look: Look, area: Rect, buffer: &mut Buffer) {
    let entry = model.here().map_or("-", |node| node.node.as_str());
    let paused = if model.is_paused { "  PAUSED" } else { "" };
    let answered = age(clock.answered_ms);
    let bold = look.style(Color::Reset, Modifier::BOLD);
    let mut lines = vec![format!(
        "dpipes top  {entry}  {}  answered {answered} ago{paused}",
        clock.now
    )];
    lines.push(summary(model));
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        let row = Rect {
            y,
            height: 1,
            ..area
        };
        buffer.set_style(row, bold);
        put(line, Side::Left, look, row, buffer);
    }
}

/// How the cluster is, on one line.
pub(super) fn summary(model: &Model) -> String {
    let totals = model.totals();
    let starting = match totals.starting {
        0 => String::new(),
        starting => format!(", {starting} starting"),
    };
    let load = model.here().and_then(|node| node.load);
    format!(
        "{} running{starting}  stages {} here  nodes {} of {} up  {}",
        plural(totals.running as u64, "pipe"),
        busy(load),
        totals.up,
        model.nodes.len(),
        short::rate(Some(totals.rate)),
    )
}

/// What is most worth a line.
fn news(model: &Model, look: Look) -> (String, Style) {
    let alarm = look.style(Color::Red, Modifier::BOLD);
    let question = look.style(Color::Yellow, Modifier::BOLD);
    match &model.mode {
        Mode::Kill(target) => (
            format!(
                "end the pipe {}? y/n  {}",
                short::name(target.pipe),
                target.pipeline
            ),
            question,
        ),
        Mode::Filter { text } => (format!("filter: {text}_"), question),
        _ => match (&model.lost, &model.status, model.silent.first()) {
            (Some(why), ..) => (format!("no answer: {why}"), alarm),
            (None, Some(status), _) => (status.clone(), question),
            (None, None, Some(silent)) => (
                format!("what {} conducts is missing: {}", silent.node, silent.why),
                alarm,
            ),
            (None, None, None) => (quiet_news(model), Style::new()),
        },
    }
}

fn quiet_news(model: &Model) -> String {
    let mut news = Vec::new();
    if !model.filter.is_empty() {
        news.push(format!("filter: {}", model.filter));
    }
    if model.left_out > 0 {
        news.push(format!("and {} more", plural(model.left_out, "pipe")));
    }
    if model.rows().next().is_none() {
        news.push("no pipe runs".to_owned());
    }
    news.join("  ")
}

const fn keys(model: &Model) -> &'static str {
    match (&model.mode, model.pane) {
        (Mode::Kill(_), _) => "y end it  n leave it",
        (Mode::Filter { .. }, _) => "Enter keep  Esc end the filter",
        (Mode::Signal { .. }, _) => "Up Down signal  Left Right stage  Enter send  Esc leave",
        (Mode::Help, _) => "",
        (Mode::Table, Pane::Stages) => {
            "h help  / filter  F6 sort  Tab nodes  space pause  s signal  k kill  q quit"
        }
        (Mode::Table, Pane::Nodes) => {
            "h help  / filter  F6 sort  Tab stages  space pause  s signal  k kill  q quit"
        }
    }
}

fn signal_title(model: &Model, target: &Target) -> String {
    let name = short::name(target.pipe);
    match model.stage {
        Some(stage) => format!("signal to stage {stage} of {name}"),
        None => format!("signal to all stages of {name}"),
    }
}

/// Draws lines in a frame in the middle; with `chosen`, one of them is selected and in sight.
fn boxed(
    title: &str,
    lines: &[String],
    chosen: Option<usize>,
    look: Look,
    area: Rect,
    buffer: &mut Buffer,
) {
    let longest = lines.iter().map(String::len).chain([title.len()]).max();
    let width = u16::try_from(longest.unwrap_or(0) + 4)
        .unwrap_or(u16::MAX)
        .min(area.width);
    let height = u16::try_from(lines.len() + 2)
        .unwrap_or(u16::MAX)
        .min(area.height);
    let frame = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(frame, buffer);
    let mut block = Block::bordered().title(title);
    if !look.unicode {
        block = block.border_set(ASCII);
    }
    let inner = block.inner(frame);
    block.render(frame, buffer);
    let page = usize::from(inner.height).max(1);
    let first = chosen.unwrap_or(0) / page * page;
    for ((at, line), y) in lines
        .iter()
        .enumerate()
        .skip(first)
        .zip(inner.y..inner.bottom())
    {
        let row = Rect {
            y,
            height: 1,
            ..inner
        };
        if chosen == Some(at) {
            buffer.set_style(row, look.style(Color::Cyan, Modifier::REVERSED));
        }
        let mark = match chosen {
            Some(chosen) if chosen == at => "> ",
            _ => "  ",
        };
        put(&format!("{mark}{line}"), Side::Left, look, row, buffer);
    }
}

// === impl Places ===

impl Places {
    fn new(area: Rect) -> Self {
        let line = |y, height| Rect { y, height, ..area }.intersection(area);
        let is_roomy = area.height >= ROOMY;
        let header = if is_roomy {
            HEADER
        } else {
            u16::from(area.height > 3)
        };
        let below = if is_roomy {
            2
        } else {
            u16::from(area.height > 2)
        };
        let middle = area.height.saturating_sub(header + below);
        let lower = if is_roomy { middle * 2 / 5 } else { 0 };
        let at = |lines| area.y.saturating_add(lines);
        Self {
            header: line(at(0), header),
            pipes: line(at(header), middle - lower),
            lower: line(at(header + middle - lower), lower),
            news: line(at(header + middle), below.min(1)),
            keys: line(at(header + middle + 1), below.saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::{
        cli::{
            caret::Message,
            render::samples::node,
            top::{
                keys::Action,
                samples::{PLAIN, answer, limited, model, pipe},
            },
        },
        id::StageNumber,
        wire::message::{LimitedBy, PipeView, Silent},
    };

    /// What a screen of this size shows.
    fn shown(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let clock = Clock {
            now: "12:03:41Z".to_owned(),
            answered_ms: 300,
        };
        terminal
            .draw(|frame| draw(model, &clock, PLAIN, frame.area(), frame.buffer_mut()))
            .unwrap();
        let text = terminal.backend().to_string();
        let lines = text.lines().map(|line| line.trim_matches('"').trim_end());
        lines.collect::<Vec<_>>().join("\n")
    }

    fn two_pipes() -> Model {
        let stage = StageNumber::new(2);
        let sort = limited(pipe(7, 3), LimitedBy::Stage { stage, last: None });
        let mut model = model(vec![sort.clone(), pipe(9, 2)]);
        model.take(answer(vec![sort, pipe(9, 2)]));
        model
    }

    #[test]
    fn a_usual_screen_shows_pipes_and_the_stages_of_the_selected_one() {
        assert_snapshot!(shown(&two_pipes(), 80, 24), @r##"
        dpipes top  node-a  12:03:41Z  answered 300ms ago
        2 pipes running  stages 5/64 here  nodes 2 of 3 up  5.0 KiB/s
        PIPE*        TIME STATE            RATE GRAPH   LIMIT               PIPELINE
        00000007    7.00s running     3.0 KiB/s      ## stage 2 sort@n~ 97% cat a | sor~
        00000009    9.00s running     2.0 KiB/s      ## -                   cat a | sor~









           N APP       NODE          RATE-OUT AWAITS IN/WORKS/AWAITS OUT
           1 cat       node-a       1.0 KiB/s [##########] 2/97/1%
           2 sort      node-b       2.0 KiB/s [##########] 2/97/1%         <-- limits
           3 uniq      node-c       3.0 KiB/s [##########] 2/97/1%





        h help  / filter  F6 sort  Tab nodes  space pause  s signal  k kill  q quit
        "##);
    }

    #[test]
    fn a_large_screen_shows_all_there_is() {
        let mut model = two_pipes();
        model.cluster = true;
        assert_snapshot!(shown(&model, 200, 50), @r##"
        dpipes top  node-a  12:03:41Z  answered 300ms ago
        2 pipes running  stages 5/64 here  nodes 2 of 3 up  5.0 KiB/s
        PIPE*    ENTRY                    TIME STATE            RATE GRAPH                          LIMIT                          PIPELINE
        00000007 node-a                  7.00s running     3.0 KiB/s                             ## stage 2 sort@node-b 97%        cat a | sort | uniq
        00000009 node-a                  9.00s running     2.0 KiB/s                             ## -                              cat a | sort | uniq

























           N APP              NODE             EXIT                 BYTES-IN       BYTES-OUT      RATE-IN     RATE-OUT AWAITS IN/WORKS/AWAITS OUT
           1 cat              node-a           -                           0           2,048        0 B/s    1.0 KiB/s [##########] 2/97/1%
           2 sort             node-b           -                       4,096           2,048    2.0 KiB/s    2.0 KiB/s [##########] 2/97/1%         <-- limits
           3 uniq             node-c           -                       8,192           2,048    4.0 KiB/s    3.0 KiB/s [##########] 2/97/1%















        h help  / filter  F6 sort  Tab nodes  space pause  s signal  k kill  q quit
        "##);
    }

    #[test]
    fn a_tiny_screen_shows_what_matters_most() {
        assert_snapshot!(shown(&two_pipes(), 20, 5), @r##"
        dpipes top  node-a ~
        PIPE*    PIPELINE
        00000007 cat a | so~
        00000009 cat a | so~
        "##);
    }

    #[test]
    fn nodes_take_the_place_of_stages() {
        let mut model = two_pipes();
        model.act(Action::SwitchPane, 10);
        model.lose(&Message::new("the entry did not answer"));
        assert_snapshot!(shown(&model, 80, 14), @r##"
        dpipes top  node-a  12:03:41Z  answered 300ms ago
        2 pipes running  stages 5/64 here  nodes 2 of 3 up  5.0 KiB/s
        PIPE*        TIME STATE            RATE GRAPH   LIMIT               PIPELINE
        00000007    7.00s running     3.0 KiB/s      ## stage 2 sort@n~ 97% cat a | sor~
        00000009    9.00s running     2.0 KiB/s      ## -                   cat a | sor~



        NODE                      STATE          LOAD   SEEN
        node-a                    here           5/64  400ms
        node-b                    up             5/64  400ms
        node-c                    avoided        5/64  400ms
        no answer: the entry did not answer
        h help  / filter  F6 sort  Tab stages  space pause  s signal  k kill  q quit
        "##);
    }

    #[test]
    fn a_kill_asks_and_a_signal_is_chosen_from_a_list() {
        let mut model = two_pipes();
        model.act(Action::Kill, 10);
        let asks = shown(&model, 80, 24);
        assert!(
            asks.contains("end the pipe 00000007? y/n  cat a | sort | uniq"),
            "{asks}"
        );
        model.act(Action::Cancel, 10);
        model.act(Action::Signal, 10);
        model.act(Action::Stage { forward: true }, 10);
        assert_snapshot!(shown(&model, 80, 14), @r##"
        dpipes top  node-a  12:03:41Z  answered 300ms ago
        2 pipes running  stages+signal to stage 1 of 00000007--+KiB/s
        PIPE*        TIME STATE|> SIGTERM                      |            PIPELINE
        00000007    7.00s runni|  SIGINT                       |sort@n~ 97% cat a | sor~
        00000009    9.00s runni|  SIGHUP                       |            cat a | sor~
                               |  SIGUSR1                      |
                               |  SIGUSR2                      |
                               |  SIGSTOP                      |
           N APP       NODE    |  SIGCONT                      |AITS OUT
        >  1 cat       node-a  |  SIGQUIT                      |1%
           2 sort      node-b  |  SIGKILL                      |1%         <-- limits
           3 uniq      node-c  +-------------------------------+1%

        Up Down signal  Left Right stage  Enter send  Esc leave
        "##);
    }

    #[test]
    fn help_names_every_key() {
        let mut model = two_pipes();
        model.act(Action::Help, 10);
        assert_snapshot!(shown(&model, 80, 24), @r##"
        dpipes top  node-a  12:03:41Z  answered 300ms ago
        2 pipes running  stages 5/64 here  nodes 2 of 3 up  5.0 KiB/s
        PIPE*        TIME STATE            RATE GRAPH   LIMIT               PIPELINE
        0+keys: any of them goes on---------------------------------------------------+~
        0|  Up Down PgUp PgDn Home End   select a pipe                                |~
         |  Left Right                   select a stage; before the first one, all    |
         |  P T R                        sort by age, time, rate                      |
         |  < > F6                       sort by the column before or after           |
         |  I                            turn the order round                         |
         |  / F4                         filter by pipeline, name or node; Esc ends it|
         |  Tab n                        stages or nodes below                        |
         |  k F9                         end the selected pipe, after a question      |
         |  s                            send its apps a signal                       |
         |  space                        pause, and go on                             |
         |  Ctrl-L                       draw anew                                    |
         |  Ctrl-Z                       suspend                                      |
         |  q F10 Ctrl-C                 quit                                         |
         |                                                                            |
         |  A stage's time: < it awaits input, # it works, > its output is not        |
         |  taken. The one that holds the pipe up is marked: <-- limits.              |
         +----------------------------------------------------------------------------+
        "##);
    }

    #[test]
    fn the_selected_pipe_is_on_its_page() {
        let mut model = model((1..=100).map(|number| pipe(number, 2)).collect());
        model.step(57);
        let text = shown(&model, 80, 24);
        assert!(text.contains("58.0s"), "{text}");
        let mut silent = answer(Vec::new());
        silent.left_out = 3;
        model.take(silent.clone());
        assert!(shown(&model, 80, 24).contains("and 3 pipes more  no pipe runs"));
        silent.silent = vec![Silent {
            node: node("c"),
            why: "did not answer".to_owned(),
        }];
        model.take(silent);
        assert!(shown(&model, 80, 24).contains("what c conducts is missing: did not answer"));
    }

    #[test]
    fn hostile_text_stays_in_its_place() {
        let mut evil = pipe(7, 3);
        evil.pipeline = "\u{1b}[2J\u{1b}]0;title\u{7}\r\n漢字".repeat(10_000);
        evil.stages_mut()[0].app = "\u{1b}[31m".to_owned();
        let text = shown(&model(vec![evil]), 80, 24);
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text}"
        );
        assert_eq!(text.lines().count(), 24, "{text}");
    }

    proptest! {
        #[test]
        fn any_text_can_be_drawn_on_any_screen(
            pipeline in "\\PC{0,40}", app in ".{0,10}", width in 0_u16..120, height in 0_u16..40,
            actions in 0_usize..4, elapsed_ms: u64, bytes: u64,
        ) {
            let mut evil = PipeView { pipeline, elapsed_ms, ..pipe(7, 5) };
            evil.stages_mut()[1].app = app;
            evil.stages_mut()[1].bytes_in = Some(bytes);
            evil.stages_mut()[1].rate_out = Some(bytes);
            let mut model = model(vec![evil, pipe(8, 0)]);
            model.act([Action::Help, Action::Signal, Action::Kill, Action::SwitchPane][actions], 1);
            let area = Rect::new(0, 0, width, height);
            let mut buffer = Buffer::empty(area);
            let clock = Clock { now: String::new(), answered_ms: u64::MAX };
            draw(&model, &clock, Look { colored: true, unicode: true }, area, &mut buffer);
            prop_assert!(page(area) <= usize::from(height));
        }
    }
}
