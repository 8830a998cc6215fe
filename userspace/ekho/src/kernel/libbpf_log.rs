// SPDX-License-Identifier: MIT OR Apache-2.0

//! What libbpf says, kept instead of printed.
//!
//! libbpf explains failures in messages only; its return values are errnos. The
//! messages are collected while an operation runs, and the errors made of them.
//! With [`set_debug`] they also go to standard error as they come.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libbpf_rs::{set_print, PrintLevel};

static DEBUG: AtomicBool = AtomicBool::new(false);
static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// One operation collects at a time: libbpf has one callback for the process.
static COLLECTING: Mutex<()> = Mutex::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(level: PrintLevel, message: String) {
    if DEBUG.load(Ordering::Relaxed) {
        let _ = std::io::stderr().write_all(message.as_bytes());
    }
    if level != PrintLevel::Debug {
        lock(&MESSAGES).push(message);
    }
}

/// Whether libbpf's messages also go to standard error, debugging ones included,
/// and the verifier logs what it accepts.
pub fn set_debug(on: bool) {
    DEBUG.store(on, Ordering::Relaxed);
    silence();
}

/// Whether [`set_debug`] is on.
pub(crate) fn debug() -> bool {
    DEBUG.load(Ordering::Relaxed)
}

/// Takes libbpf's messages away from standard error, from now on.
pub fn silence() {
    let level = if debug() {
        PrintLevel::Debug
    } else {
        PrintLevel::Info
    };
    set_print(Some((level, keep)));
}

/// Collects libbpf's messages for as long as it lives.
pub(crate) struct Collector {
    _one: MutexGuard<'static, ()>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let one = lock(&COLLECTING);
        silence();
        lock(&MESSAGES).clear();
        Self { _one: one }
    }

    /// The messages so far, oldest first.
    pub(crate) fn take(&self) -> Messages {
        Messages(std::mem::take(&mut *lock(&MESSAGES)))
    }
}

/// Messages of one operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Messages(Vec<String>);

const LOG_BEGIN: &str = "-- BEGIN PROG LOAD LOG --\n";
const LOG_END: &str = "-- END PROG LOAD LOG --";

impl Messages {
    #[cfg(test)]
    pub(crate) fn new(messages: &[&str]) -> Self {
        Self(messages.iter().map(|text| (*text).to_owned()).collect())
    }

    /// The program that the verifier rejected, and its whole log.
    pub(crate) fn verifier_log(&self) -> Option<(String, String)> {
        self.0.iter().rev().find_map(|message| {
            let (head, rest) = message.split_once(LOG_BEGIN)?;
            let log = rest.split_once(LOG_END).map_or(rest, |(log, _)| log);
            Some((quoted(head)?.to_owned(), log.to_owned()))
        })
    }

    /// The program whose load failed, with or without a log.
    pub(crate) fn failed_program(&self) -> Option<String> {
        self.0
            .iter()
            .find(|message| message.contains("BPF program load failed"))
            .and_then(|message| quoted(message))
            .map(str::to_owned)
    }

    /// The function that libbpf looked for in vain.
    pub(crate) fn unknown_function(&self) -> Option<String> {
        self.0
            .iter()
            .find(|message| message.contains("extern (func ksym)") && message.contains("not found"))
            .and_then(|message| quoted(message))
            .map(str::to_owned)
    }

    /// The type that differs between firmware and kernel, in libbpf's words.
    pub(crate) fn incompatible(&self) -> Option<String> {
        self.0
            .iter()
            .find(|message| message.contains("incompatible with") || message.contains("relo #"))
            .map(|message| clean(message).to_owned())
    }

    /// The messages as lines for a person, logs left out.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0
            .iter()
            .filter(|message| !message.contains(LOG_BEGIN))
            .flat_map(|message| message.lines())
            .map(clean)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// A line without libbpf's prefix.
fn clean(line: &str) -> &str {
    line.trim_start_matches("libbpf: ").trim_end()
}

/// What stands between the first pair of single quotes.
fn quoted(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('\'')?;
    rest.split_once('\'').map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_the_rejected_program_is_found() {
        let messages = Messages::new(&[
            "libbpf: prog 'stats_replace': BPF program load failed: -EACCES\n",
            "libbpf: prog 'stats_replace': -- BEGIN PROG LOAD LOG --\n0: R1=ctx()\nR0 !read_ok\nprocessed 1 insns\n-- END PROG LOAD LOG --\n",
            "libbpf: prog 'stats_replace': failed to load: -EACCES\n",
        ]);
        let (program, log) = messages.verifier_log().unwrap();
        assert_eq!(program, "stats_replace");
        assert_eq!(log, "0: R1=ctx()\nR0 !read_ok\nprocessed 1 insns\n");
        assert_eq!(messages.failed_program().as_deref(), Some("stats_replace"));
        assert_eq!(
            messages.lines(),
            [
                "prog 'stats_replace': BPF program load failed: -EACCES",
                "prog 'stats_replace': failed to load: -EACCES"
            ]
        );
    }

    #[test]
    fn a_missing_kernel_function_is_found() {
        let messages = Messages::new(&[
            "libbpf: extern (func ksym) 'bpf_flow_offload_future': not found in kernel or module BTFs\n",
        ]);
        assert_eq!(
            messages.unknown_function().as_deref(),
            Some("bpf_flow_offload_future")
        );
    }

    #[test]
    fn collecting_starts_anew_each_time() {
        let collector = Collector::start();
        keep(PrintLevel::Warn, "one\n".into());
        keep(PrintLevel::Debug, "noise\n".into());
        assert_eq!(collector.take().lines(), ["one"]);
        assert!(collector.take().lines().is_empty());
    }
}
