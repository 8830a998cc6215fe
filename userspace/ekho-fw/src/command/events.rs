// SPDX-License-Identifier: MIT OR Apache-2.0

//! `ekho-fw events`: what the kernel asks of a device, as its firmware tells it.

use std::process::ExitCode;

use anyhow::Result;
use ekho::events::event::{self, Event};
use ekho::events::listener::{Continuity, Listener};
use nix::net::if_::if_indextoname;

use crate::context::Context;
use crate::render::note;
use crate::results::{End, Line, Lost};
use crate::watch::{Limits, Watch};

const EXAMPLES: &str = "\
Examples:
  ekho-fw load events.bpf.o --dev ek0
  ekho-fw events --dev ek0
  ekho-fw events --dev ek0 --only replace,destroy
  ekho-fw -j events --dev ek0 --count 1 | jq -r '.match[]? | [.field, .value] | @tsv'
  ekho-fw -j events --dev ek0 | agent

What firmware sends by EKHO_EVENTS() of ekho.bpf.h waits in a ring buffer until it is
read; events that find it full are counted as lost. The command ends when the firmware
is detached or its device goes; it stays when the firmware is replaced. Two readers of
one firmware share the events: each gets a part of them.";

/// Samples that are read at a time.
const BATCH: usize = 64;

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Network device
    #[arg(long, value_name = "DEV")]
    dev: String,

    /// Print only these events
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(event::names()))]
    only: Vec<String>,

    #[command(flatten)]
    limits: Limits,
}

/// How many events were lost: a number that grows, in records and in a map.
#[derive(Debug, Default)]
struct Losses {
    /// Up to which it was told.
    seen: Option<u64>,
    told: u64,
}

impl Losses {
    /// What is new. The first number is where it starts.
    fn new_since(&mut self, total: u64) -> u64 {
        let seen = self.seen.unwrap_or(total);
        self.seen = Some(seen.max(total));
        let count = total.saturating_sub(seen);
        self.told += count;
        count
    }
}

fn device(ifindex: u32) -> Option<String> {
    if_indextoname(ifindex)
        .ok()
        .and_then(|name| name.into_string().ok())
}

struct Session<'session> {
    context: &'session Context<'session>,
    args: &'session Args,
    watch: Watch,
    dev: String,
    listener: Listener,
    losses: Losses,
    events: u64,
    malformed: u64,
}

impl Session<'_> {
    fn print(&self, line: &Line) -> bool {
        self.context.output.print(line)
    }

    fn lost(&mut self, total: u64) -> bool {
        match self.losses.new_since(total) {
            0 => true,
            count => self.print(&Line::Lost(Lost {
                what: "lost",
                count,
            })),
        }
    }

    /// Prints a record. The reason to end, if there is one.
    fn sample(&mut self, sample: &[u8]) -> Option<&'static str> {
        let event = match Event::parse(sample, &device) {
            Ok(event) => event,
            Err(err) => {
                self.malformed += 1;
                note(&format!("an event can't be read: {err}"));
                return None;
            }
        };
        if !self.lost(event.lost) {
            return Some("reader");
        }
        if !self.args.only.is_empty() && !self.args.only.iter().any(|what| what == event.what) {
            return None;
        }
        self.events += 1;
        if !self.print(&Line::Event(Box::new(event))) {
            return Some("reader");
        }
        (!self.watch.printed()).then_some("count")
    }

    /// Prints all that there is. The reason to end, if there is one.
    fn drain(&mut self) -> Result<Option<&'static str>> {
        loop {
            let samples = self.listener.take(self.watch.wanted(BATCH))?;
            if samples.is_empty() {
                let total = self.listener.lost();
                return Ok((!self.lost(total)).then_some("reader"));
            }
            for sample in samples {
                if let Some(reason) = self.sample(&sample) {
                    return Ok(Some(reason));
                }
            }
            // A firmware that never stops must not keep a signal from being seen.
            if let Some(reason) = self.watch.look()? {
                return Ok(Some(reason));
            }
            if self.watch.is_over() {
                return Ok(Some("timeout"));
            }
        }
    }

    fn run(&mut self) -> Result<&'static str> {
        loop {
            if let Some(reason) = self.drain()? {
                return Ok(reason);
            }
            let continuity = self.listener.follow(&*self.context.state, &self.dev)?;
            match continuity {
                Continuity::Same => {}
                Continuity::Replaced => {
                    // What came between the last look and the end of the old firmware.
                    if let Some(reason) = self.drain()? {
                        return Ok(reason);
                    }
                    self.listener = Listener::open(&*self.context.state, &self.dev)?;
                    self.losses.seen = None;
                    continue;
                }
                Continuity::Silent | Continuity::Gone => {
                    // Its detach op may run just now.
                    if let Some(reason) = self.watch.wait(&[self.listener.events()])? {
                        return Ok(reason);
                    }
                    let reason = match continuity {
                        Continuity::Silent => "replaced",
                        _ => "detached",
                    };
                    return Ok(self.drain()?.unwrap_or(reason));
                }
            }
            if self.watch.is_over() {
                return Ok("timeout");
            }
            let fds = [self.listener.events(), self.listener.link()];
            if let Some(reason) = self.watch.wait(&fds)? {
                return Ok(reason);
            }
        }
    }
}

/// Prints events.
pub fn run(context: &Context<'_>, args: &Args) -> Result<ExitCode> {
    let watch = Watch::start(&args.limits)?;
    let dev = context.dev(&args.dev)?;
    let mut session = Session {
        context,
        args,
        watch,
        listener: Listener::open(&*context.state, &dev)?,
        dev,
        losses: Losses::default(),
        events: 0,
        malformed: 0,
    };
    let reason = session.run()?;
    let total = session.listener.lost();
    session.lost(total);
    let end = End {
        what: "end",
        reason,
        events: session.events,
        lost: session.losses.told,
        malformed: session.malformed,
    };
    session.print(&Line::End(end));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_once_from_where_reading_began() {
        let mut losses = Losses::default();
        let told: Vec<u64> = [5, 5, 8, 7, 8, 10]
            .into_iter()
            .map(|total| losses.new_since(total))
            .collect();
        assert_eq!(told, [0, 0, 3, 0, 0, 2]);
        assert_eq!(losses.told, 5);
    }

    #[test]
    fn the_schema_of_lines_is_stable() {
        let lost = Line::Lost(Lost {
            what: "lost",
            count: 3,
        });
        assert_eq!(
            serde_json::to_string(&lost).unwrap(),
            r#"{"what":"lost","count":3}"#
        );
        let end = Line::End(End {
            what: "end",
            reason: "count",
            events: 1,
            lost: 2,
            malformed: 0,
        });
        assert_eq!(
            serde_json::to_string(&end).unwrap(),
            r#"{"what":"end","reason":"count","events":1,"lost":2,"malformed":0}"#
        );
    }
}
