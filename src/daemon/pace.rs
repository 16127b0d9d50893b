//! How often a part is looked at, and its entry told of it.

use std::time::Duration;

use tokio::time::Instant;

/// How often the pipes are looked at: often enough for an eye, and so that some looks fall into the life of a pipe that somebody waits for.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Looks in which nothing moves before a part counts as still: three seconds, after which every rate has been told to be zero.
const STILL_AFTER: u32 = 15;

/// How often the pipes of a part are looked at that is still. Hundreds of pipes that wait are to cost next to nothing, and nobody sees
/// whether a new byte is noticed within a second.
const STILL_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the entry is told of a part that is still: it is the same word each time.
const STILL_TOLD_INTERVAL: Duration = Duration::from_secs(5);

/// When to look next, and when to tell.
#[derive(Debug)]
pub(super) struct Pace {
    looked: Instant,
    told: Instant,
    /// How often the entry wants to be told, if it does.
    telling: Option<Duration>,
    /// Looks since anything moved.
    still: u32,
}

// === impl Pace ===

impl Pace {
    /// From now on, for an entry that wants to be told this often.
    pub(super) fn new(telling: Option<Duration>) -> Self {
        let now = Instant::now();
        Self {
            looked: now,
            told: now,
            telling,
            still: 0,
        }
    }

    /// When to look next.
    pub(super) fn next_look(&self) -> Instant {
        let interval = match self.is_still() {
            true => STILL_LOOK_INTERVAL,
            false => LOOK_INTERVAL,
        };
        self.looked + interval
    }

    /// Begins a look. Returns the time since the last one.
    pub(super) fn look(&mut self) -> Duration {
        let now = Instant::now();
        let passed = now - self.looked;
        self.looked = now;
        passed
    }

    /// Takes note of what a look has shown.
    pub(super) const fn note(&mut self, moved: bool) {
        self.still = if moved {
            0
        } else {
            self.still.saturating_add(1)
        };
    }

    /// Whether it is time to tell the entry. It counts as told then.
    pub(super) fn tells(&mut self) -> bool {
        let Some(telling) = self.telling else {
            return false;
        };
        let interval = match self.is_still() {
            true => telling.max(STILL_TOLD_INTERVAL),
            false => telling,
        };
        // Looks come a little early or late.
        let is_due = self.told.elapsed() + LOOK_INTERVAL / 2 >= interval;
        if is_due {
            self.told = Instant::now();
        }
        is_due
    }

    /// Whether nothing has moved for a while. Where each look is told, somebody sees it, and a part never counts as still.
    fn is_still(&self) -> bool {
        let is_shown = self.telling.is_some_and(|telling| telling <= LOOK_INTERVAL);
        self.still >= STILL_AFTER && !is_shown
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// How often it is looked and told within half a minute.
    async fn of_half_a_minute(pace: &mut Pace, moves: bool) -> (u32, u32) {
        let until = Instant::now() + Duration::from_secs(30);
        let (mut looks, mut tells) = (0, 0);
        while pace.next_look() <= until {
            advance(pace.next_look() - Instant::now()).await;
            pace.look();
            pace.note(moves);
            looks += 1;
            tells += u32::from(pace.tells());
        }
        (looks, tells)
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_still_is_looked_at_and_told_of_less_often() {
        let mut pace = Pace::new(Some(Duration::from_secs(1)));
        assert_eq!(of_half_a_minute(&mut pace, true).await, (150, 30));
        // Three seconds as before, then once a second, and told every five.
        assert_eq!(of_half_a_minute(&mut pace, false).await, (15 + 27, 2 + 5));
        assert_eq!(of_half_a_minute(&mut pace, false).await, (30, 6));
        assert_eq!(of_half_a_minute(&mut pace, true).await.1, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn somebody_who_watches_is_told_of_every_look() {
        let mut pace = Pace::new(Some(LOOK_INTERVAL));
        assert_eq!(of_half_a_minute(&mut pace, false).await, (150, 150));
        let mut unwanted = Pace::new(None);
        assert_eq!(of_half_a_minute(&mut unwanted, true).await, (150, 0));
    }
}
