// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a failure is told: a sentence on standard error, an exit status, and with
//! `--json` an object on standard output.

use std::process::ExitCode;

use ekho::error::Class;
use serde::Serialize;

use crate::args::wants_json;
use crate::render::{self, Output};

/// A failure as JSON.
#[derive(Debug, Serialize)]
struct Failure<'error> {
    error: Details<'error>,
}

#[derive(Debug, Serialize)]
struct Details<'error> {
    /// A short name that stays the same; `other` when it has none.
    id: &'error str,
    message: String,
    details: Vec<String>,
    remedy: Option<String>,
}

/// The exit status for a class of failures; see `cli::EXIT_STATUS`.
pub fn status(class: Class) -> u8 {
    match class {
        Class::Other => 1,
        Class::Privilege => 3,
        Class::System => 4,
        Class::Firmware => 5,
        Class::Device => 6,
        Class::Statistics => 7,
    }
}

fn details(error: &anyhow::Error) -> (Details<'_>, u8) {
    let known = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<ekho::Error>());
    // A cause that the library's sentence has in it already isn't repeated.
    let mut message = String::new();
    for cause in error.chain() {
        if !message.is_empty() {
            message += ": ";
        }
        message += &cause.to_string();
        if cause.is::<ekho::Error>() {
            break;
        }
    }
    let details = Details {
        id: known.map_or("other", |error| error.id()),
        message,
        details: known.map(ekho::Error::details).unwrap_or_default(),
        remedy: known.and_then(ekho::Error::remedy),
    };
    let status = status(known.map_or(Class::Other, ekho::Error::class));
    (details, status)
}

fn text(details: &Details<'_>) -> String {
    let mut text = details.message.clone();
    for line in &details.details {
        text += &format!("\n    {line}");
    }
    if let Some(remedy) = &details.remedy {
        text += &format!("\n  hint: {remedy}");
    }
    text
}

/// Tells a failure, and returns the exit status for it.
pub fn report(error: &anyhow::Error, output: &Output) -> ExitCode {
    let (details, status) = details(error);
    render::note(&text(&details));
    output.json(&Failure { error: details });
    ExitCode::from(status)
}

/// Tells that the command line can't be understood, or prints help, as clap does; with JSON
/// where that is wanted. Returns the exit status.
pub fn usage(error: &clap::Error) -> ExitCode {
    // There is nobody left to tell.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let (json, pretty) = wants_json(std::env::args_os().skip(1));
    if json || pretty {
        let text = error.render().to_string();
        let sentence = text.split("\n\n").next().unwrap_or_default().trim();
        Output::new(json, pretty).json(&Failure {
            error: Details {
                id: "usage",
                message: sentence
                    .strip_prefix("error: ")
                    .unwrap_or(sentence)
                    .to_owned(),
                details: Vec::new(),
                remedy: Some("see ekho-fw --help".into()),
            },
        });
    }
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_sentence_its_proof_and_the_remedy() {
        let error = Err::<(), _>(ekho::Error::Busy {
            dev: "ek0".into(),
            firmware: Some("noop".into()),
            link: Some(7),
        })
        .context("can't load stats.bpf.o on ek0")
        .unwrap_err();
        let (details, status) = details(&error);
        assert_eq!(status, 6);
        assert_eq!(
            text(&details),
            "can't load stats.bpf.o on ek0: device `ek0` has firmware already: `noop`, link 7\n  hint: replace it: ekho-fw replace FILE --dev ek0; or remove it: ekho-fw unload --dev ek0"
        );
        assert_eq!(
            serde_json::to_string(&Failure { error: details }).unwrap(),
            concat!(
                r#"{"error":{"id":"busy","#,
                r#""message":"can't load stats.bpf.o on ek0: device `ek0` has firmware already: `noop`, link 7","#,
                r#""details":[],"#,
                r#""remedy":"replace it: ekho-fw replace FILE --dev ek0; or remove it: ekho-fw unload --dev ek0"}}"#
            )
        );
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::Error::from(ekho::Error::Io {
            what: "can't read x".into(),
            source: std::io::Error::from_raw_os_error(5),
        });
        let (details, status) = details(&error);
        assert_eq!(status, 1);
        assert_eq!(details.message, "can't read x (EIO: I/O error)");
    }

    #[test]
    fn each_class_has_its_status() {
        let all = [
            Class::Other,
            Class::Privilege,
            Class::System,
            Class::Firmware,
            Class::Device,
            Class::Statistics,
        ];
        let mut statuses: Vec<u8> = all.into_iter().map(status).collect();
        statuses.dedup();
        assert_eq!(statuses, [1, 3, 4, 5, 6, 7]);
    }
}
