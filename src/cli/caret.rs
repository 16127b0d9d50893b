//! Messages that point into the pipeline: title, place, caret, and one next step.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::{config::ConfigError, expr};

/// A message for the user, not yet laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// What went wrong, in lower case.
    pub title: String,
    /// Where it points, if it does.
    pub place: Option<Box<Place>>,
    /// What stands at the caret; a line of its own when there is no place.
    pub label: Option<String>,
    /// More lines.
    pub lines: Vec<String>,
    /// One next step.
    pub help: Option<String>,
    /// The whole message as its own module draws it, without and with colour.
    pub drawn: Option<Box<(String, String)>>,
}

/// A place in a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The pipeline as the user wrote it.
    pub source: String,
    /// The bytes of it that are meant.
    pub span: Range<usize>,
}

/// Where the stages and words of a pipeline stand in its text, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    /// The stages in order.
    pub stages: Vec<StageSpans>,
}

/// Where one stage stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StageSpans {
    /// All of it.
    pub whole: Range<usize>,
    /// The `@` words.
    pub placement: Option<Range<usize>>,
    /// Its words: the app, then the arguments.
    pub words: Vec<Range<usize>>,
}

// === impl Message ===

impl Message {
    /// A message with a title only.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    /// The same message with a next step.
    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// The title and the next step, for where there is one line. Control characters are shown escaped.
    pub(crate) fn line(&self) -> String {
        let help = self.help.iter().map(|help| format!("; {help}"));
        printable(
            &std::iter::once(self.title.clone())
                .chain(help)
                .collect::<String>(),
        )
    }

    /// Lays it out; with `styled`, in colour. Control characters are shown escaped: parts of the text come from other machines.
    pub(crate) fn render(&self, styled: bool) -> String {
        if let Some(drawn) = &self.drawn {
            return if styled {
                drawn.1.clone()
            } else {
                drawn.0.clone()
            };
        }
        match &self.place {
            Some(place) => self.render_at(&place.source, place.span.clone(), styled),
            None => self.render_plain(styled),
        }
    }

    fn render_at(&self, source: &str, span: Range<usize>, styled: bool) -> String {
        let span = clamp(source, span);
        let annotation = AnnotationKind::Primary
            .span(span)
            .label(self.label.as_deref().map(printable));
        let snippet = Snippet::source(source)
            .path("pipeline")
            .annotation(annotation);
        let mut group =
            Group::with_title(Level::ERROR.primary_title(printable(&self.title))).element(snippet);
        for line in &self.lines {
            group = group.element(Level::NOTE.message(printable(line)));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(printable(help)));
        }
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[group])
    }

    fn render_plain(&self, styled: bool) -> String {
        let title = printable(&self.title);
        let mut text = if styled {
            format!("\x1b[1;91merror\x1b[0m\x1b[1m: {title}\x1b[0m")
        } else {
            format!("error: {title}")
        };
        for line in self.label.iter().chain(&self.lines) {
            text.push_str(&format!("\n  {}", printable(line)));
        }
        if let Some(help) = &self.help {
            let word = if styled {
                "\x1b[1;96mhelp\x1b[0m"
            } else {
                "help"
            };
            text.push_str(&format!("\n  = {word}: {}", printable(help)));
        }
        text
    }
}

/// A wrong configuration is drawn at its place in its file.
impl From<ConfigError> for Message {
    fn from(error: ConfigError) -> Self {
        let title = match &error {
            ConfigError::InFile(at) => at.to_string(),
            other => other.to_string(),
        };
        Self {
            drawn: Some(Box::new((error.render(false), error.render(true)))),
            ..Self::new(title)
        }
    }
}

/// Makes a span fit its text, whoever sent it: in order, inside, on characters, and at least one character long where there is one.
fn clamp(source: &str, span: Range<usize>) -> Range<usize> {
    let start = source.floor_char_boundary(span.start.min(source.len()));
    let end = source.ceil_char_boundary(span.end.clamp(start, source.len()));
    let least = source[start..].chars().next().map_or(0, char::len_utf8);
    start..end.max(start + least)
}

/// The text with control characters escaped, so that it cannot move the cursor or set a title.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

// === impl Spans ===

impl Spans {
    /// Reads a pipeline and finds its stages and words.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with it, at its place.
    pub(crate) fn read(source: &str) -> Result<Self, Message> {
        let pipeline = expr::parse(source).map_err(|error| Message {
            place: Some(Box::new(Place {
                source: source.to_owned(),
                span: error.span.range(),
            })),
            label: Some(error.label().to_string()),
            ..Message::new(error.to_string()).with_help(error.help().to_string())
        })?;
        let stage = |stage: &expr::Stage| StageSpans {
            whole: stage.span.range(),
            placement: stage.placement_span.map(|span| span.range()),
            words: std::iter::once(&stage.app)
                .chain(&stage.args)
                .map(|word| word.span.range())
                .collect(),
        };
        Ok(Self {
            stages: pipeline.stages.iter().map(stage).collect(),
        })
    }

    /// Where a stage's word stands, counted from 0; the whole stage for a word that is not written there.
    pub(crate) fn word(&self, index: usize, word: usize) -> Option<Range<usize>> {
        let stage = self.stages.get(index)?;
        Some(stage.words.get(word).unwrap_or(&stage.whole).clone())
    }

    /// Where a stage's `@` words stand; its app where it has none.
    pub(crate) fn placement(&self, index: usize) -> Option<Range<usize>> {
        let stage = self.stages.get(index)?;
        stage.placement.clone().or_else(|| self.word(index, 0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(source: &str) -> Vec<Vec<&str>> {
        let spans = Spans::read(source).unwrap();
        spans
            .stages
            .iter()
            .map(|stage| {
                stage
                    .words
                    .iter()
                    .map(|word| &source[word.clone()])
                    .collect()
            })
            .collect()
    }

    #[test]
    fn words_are_found_through_quotes() {
        assert_eq!(
            words("cat a | sort -r"),
            [vec!["cat", "a"], vec!["sort", "-r"]]
        );
        assert_eq!(
            words(r#"a 'b | c' "d\" |"|& e\ f"#),
            [vec!["a", "'b | c'", r#""d\" |""#], vec!["e\\ f"]]
        );
        assert_eq!(words("@gpu=yes LC_ALL=C sort -r"), [vec!["sort", "-r"]]);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let message = Message {
            label: Some("a\x1b[2Jb".to_owned()),
            ..Message::new("x\r\n")
        };
        assert_eq!(message.render(false), "error: x\\r\\n\n  a\\u{1b}[2Jb");
    }

    proptest! {
        #[test]
        fn any_place_in_any_text_can_be_shown(source in "\\PC{0,20}", start in 0_usize..40, end in 0_usize..40) {
            let message = Message { place: Some(Box::new(Place { source, span: start..end })), ..Message::new("t") };
            prop_assert!(message.render(false).starts_with("error: t"));
        }

        #[test]
        fn spans_lie_in_their_text(source in "[a-z '\"|&\\\\=@é\n]{0,30}") {
            for stage in Spans::read(&source).unwrap_or_default().stages {
                for word in stage.words {
                    prop_assert!(source.get(word).is_some());
                }
            }
        }
    }
}
