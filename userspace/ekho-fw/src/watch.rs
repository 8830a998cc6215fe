// SPDX-License-Identifier: MIT OR Apache-2.0

//! What commands have in common that watch until something ends them.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use ekho::{Error, Result};
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// How long nothing may happen until things are looked at anyway.
const TICK: Duration = Duration::from_millis(500);

/// When to end.
#[derive(Debug, clap::Args)]
pub struct Limits {
    /// End after so many lines
    #[arg(long, value_name = "N")]
    pub count: Option<NonZeroU64>,

    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number")?;
    Duration::try_from_secs_f64(seconds).map_err(|err| err.to_string())
}

/// Waits for signals that end the command, a deadline, and what is watched.
#[derive(Debug)]
pub struct Watch {
    signals: SignalFd,
    deadline: Option<Instant>,
    left: Option<u64>,
}

fn failed(what: &str) -> impl FnOnce(Errno) -> Error + '_ {
    move |errno| Error::io(what)(errno.into())
}

impl Watch {
    /// Takes SIGINT and SIGTERM, so that they end the command cleanly.
    pub fn start(limits: &Limits) -> Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGINT);
        mask.add(Signal::SIGTERM);
        mask.thread_block()
            .and_then(|()| SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC))
            .map(|signals| Self {
                signals,
                deadline: limits
                    .timeout
                    .and_then(|timeout| Instant::now().checked_add(timeout)),
                left: limits.count.map(NonZeroU64::get),
            })
            .map_err(failed("can't wait for signals"))
    }

    /// How many lines are still wanted, `most` at most.
    pub fn wanted(&self, most: usize) -> usize {
        self.left.map_or(most, |left| {
            usize::try_from(left).map_or(most, |left| left.min(most))
        })
    }

    /// A line was printed. False if it was the last that is wanted.
    pub fn printed(&mut self) -> bool {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        self.left != Some(0)
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Waits until one of `fds` has something, for half a second at most. The reason to
    /// end, if there is one: a signal, or that nobody reads what is printed.
    pub fn wait(&self, fds: &[BorrowedFd<'_>]) -> Result<Option<&'static str>> {
        let left = self.deadline.map_or(TICK, |deadline| {
            TICK.min(deadline.saturating_duration_since(Instant::now()))
        });
        self.poll(fds, left)
    }

    /// The same, without waiting.
    pub fn look(&self) -> Result<Option<&'static str>> {
        self.poll(&[], Duration::ZERO)
    }

    fn poll(&self, fds: &[BorrowedFd<'_>], time: Duration) -> Result<Option<&'static str>> {
        let stdout = std::io::stdout();
        let mut all = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            // A pipe says so by itself when its reader is gone.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        all.extend(fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        // Rounded up, or the last millisecond would be spent turning in circles.
        let time =
            PollTimeout::try_from(time + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        match poll(&mut all, time) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed("can't wait")(errno)),
        }
        let has = |at: usize, flag| all[at].revents().is_some_and(|flags| flags.contains(flag));
        Ok(if has(0, PollFlags::POLLIN) {
            Some("signal")
        } else if has(1, PollFlags::POLLERR) {
            Some("reader")
        } else {
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(count: Option<u64>, timeout: Option<Duration>) -> Watch {
        Watch::start(&Limits {
            count: count.and_then(NonZeroU64::new),
            timeout,
        })
        .unwrap()
    }

    #[test]
    fn lines_are_counted_down() {
        let mut watch = watch(Some(2), None);
        assert_eq!(watch.wanted(64), 2);
        assert!(watch.printed());
        assert_eq!(watch.wanted(64), 1);
        assert!(!watch.printed());
        let mut endless = super::tests::watch(None, None);
        assert!(endless.printed());
        assert_eq!(endless.wanted(64), 64);
    }

    #[test]
    fn time_ends() {
        assert!(watch(None, Some(Duration::ZERO)).is_over());
        let long = watch(None, Some(Duration::from_secs(1000)));
        assert!(!long.is_over());
        assert_eq!(long.look().unwrap(), None);
        assert!(!watch(None, Some(Duration::MAX)).is_over());
    }

    #[test]
    fn seconds_may_have_a_fraction_and_must_make_sense() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["-1", "nan", "inf", "x", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
