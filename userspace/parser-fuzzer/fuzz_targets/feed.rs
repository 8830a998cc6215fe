// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines of an agent that feeds counters.

#![no_main]

use ekho::error::Error;
use ekho::flows::feed::feed;
use ekho::flows::stats::{Change, Counters, Sink, Target, Updated};
use libfuzzer_sys::fuzz_target;

struct Last(Counters);

impl Sink for Last {
    fn change(&mut self, target: &Target, change: &Change) -> Result<Updated, Error> {
        assert!(!change.is_empty());
        self.0 = change.apply(self.0, 1);
        match target {
            Target::Cookie { cookie, dev } => Ok(Updated {
                dev: dev.clone().unwrap_or_default(),
                cookie: *cookie,
                counters: self.0,
            }),
            Target::Filter(filter) => Err(Error::NotAttached {
                dev: filter.to_string(),
            }),
            Target::Rule(rule) => Err(Error::NotAttached {
                dev: rule.to_string(),
            }),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut errors = 0;
    let _ = feed(data, &mut Last(Counters::default()), |_, error| {
        assert!(!error.to_string().is_empty());
        errors += 1;
    });
    let lines = data.split(|byte| *byte == b'\n').count();
    assert!(errors <= lines);
});
