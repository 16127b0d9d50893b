mod bash;
mod carets;
mod literals;
mod refusals;

use super::*;
use crate::word::Part;

/// Parses what must be a pipeline.
#[track_caller]
fn pipeline(source: &str) -> Pipeline {
    parse(source).unwrap_or_else(|error| panic!("{}", error.render(source)))
}

/// The only stage of what must be a pipeline of one.
#[track_caller]
fn stage(source: &str) -> Stage {
    let mut stages = pipeline(source).stages;
    assert_eq!(stages.len(), 1, "stages of {source}");
    stages.remove(0)
}

/// App and arguments of each stage as they stand if nothing matches.
#[track_caller]
fn argv(source: &str) -> Vec<Vec<String>> {
    pipeline(source).stages.iter().map(words_of).collect()
}

fn words_of(stage: &Stage) -> Vec<String> {
    std::iter::once(&stage.app)
        .chain(&stage.args)
        .map(|word| word.word.to_string())
        .collect()
}

/// The parts of the one argument.
#[track_caller]
fn parts(argument: &str) -> Vec<Part> {
    let mut args = stage(&format!("x {argument}")).args;
    assert_eq!(args.len(), 1, "arguments in {argument}");
    args.remove(0).word.parts
}

/// The code of the refusal and the text under its caret.
#[track_caller]
fn refusal(source: &str) -> (&'static str, &str) {
    match parse(source) {
        Ok(pipeline) => panic!("accepted {source:?} as {pipeline}"),
        Err(error) => (error.code(), &source[error.span.range()]),
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn glob(pattern: &str) -> Part {
    Part::Glob(pattern.to_owned())
}

fn home(user: &str) -> Part {
    Part::Home((!user.is_empty()).then(|| user.to_owned()))
}
