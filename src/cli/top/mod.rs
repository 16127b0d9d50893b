//! `dpipes top`: the pipes that run, as they run.
//!
//! On a terminal it is a screen with keys; elsewhere it is lines. What is shown is made by pure modules of answers and keys.

use std::io::{self, IsTerminal};

use ratatui::crossterm::style::force_color_output;

use super::{args::TopArgs, caret::Message, client::failed, exit, run::Context};
use crate::config::{Period, Surroundings, Text};

mod ask;
mod columns;
mod dialog;
mod keys;
mod model;
mod plain;
#[cfg(test)]
mod samples;
mod screen;
mod short;
mod show;
mod tables;
mod terminal;
mod tracked;

use self::{ask::Asker, short::Look};

/// The shortest time between two looks: entries learn of their stages about once a second, and ten looks in that are smooth already.
const SHORTEST: Period = Period(std::time::Duration::from_millis(100));

/// The longest: who wants to look once a day has a timer for it.
const LONGEST: Period = Period(std::time::Duration::from_secs(24 * 3_600));

/// Shows the pipes until it is told to end.
pub(super) async fn run(context: &Context, args: &TopArgs) -> u8 {
    match try_run(context, args).await {
        Ok(status) => status,
        Err(message) => failed(&message),
    }
}

async fn try_run(context: &Context, args: &TopArgs) -> Result<u8, Message> {
    let asker = Asker::new(context.entry(&args.entry, None)?, args.cluster);
    let here = &context.surroundings;
    if args.plain || args.count.is_some() || !has_screen(here) {
        plain::write(&asker, args).await?;
        return Ok(exit::OK);
    }
    let look = look(here);
    force_color_output(look.colored);
    show::show(asker, args, look).await
}

/// Whether there is a screen, and somebody with keys before it.
fn has_screen(here: &Surroundings) -> bool {
    let is_dumb = here.variable("TERM").is_none_or(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
}

fn look(here: &Surroundings) -> Look {
    let colored = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    Look {
        colored,
        unicode: has_unicode(here),
    }
}

/// Whether the terminal has more than ASCII, as the first of these variables that is set says.
fn has_unicode(here: &Surroundings) -> bool {
    let mut names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
    let locale = names.find_map(|name| here.variable(name)).unwrap_or("");
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Reads the time between two looks.
pub(super) fn interval(text: &str) -> Result<Period, String> {
    let interval = Period::from_text(text)?;
    match (SHORTEST.0..=LONGEST.0).contains(&interval.0) {
        true => Ok(interval),
        false => Err(format!(
            "`{text}` is not from {} to {}",
            SHORTEST.to_text(),
            LONGEST.to_text()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_from_a_tenth_of_a_second_to_a_day() {
        assert_eq!(interval("100ms"), Ok(SHORTEST));
        assert_eq!(interval("24h"), Ok(LONGEST));
        assert_eq!(
            interval("99ms").unwrap_err(),
            "`99ms` is not from 100ms to 1day"
        );
        assert!(interval("25h").is_err() && interval("1").is_err());
    }

    #[test]
    fn the_locale_says_whether_there_is_more_than_ascii() {
        let has = |variables: &[(&str, &str)]| has_unicode(&Surroundings::of_a_user(variables));
        assert!(has(&[("LANG", "de_DE.UTF-8")]));
        assert!(has(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(!has(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(!has(&[]));
    }
}
