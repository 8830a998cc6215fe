// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the doctor found.

use ekho::doctor::{Report, Verdict};

use super::style::{Style, Text};

impl Text for Report {
    fn text(&self, style: Style) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let verdict = match check.verdict {
                Verdict::Ok => style.good("ok     "),
                Verdict::Warning => style.warn("warning"),
                Verdict::Failure => style.bad("FAILED "),
            };
            let remedy = check
                .remedy
                .as_ref()
                .map_or_else(String::new, |remedy| format!("; {remedy}"));
            text += &format!("{verdict}  {}{remedy}\n", check.finding);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use ekho::doctor::Check;

    use super::*;

    const PLAIN: Style = Style {
        color: false,
        terminal: None,
    };

    #[test]
    fn the_doctor_gives_the_remedy_on_the_same_line() {
        let report = Report {
            ok: false,
            checks: vec![
                Check {
                    id: "kernel".into(),
                    verdict: Verdict::Ok,
                    finding: "kernel 7.2".into(),
                    remedy: None,
                },
                Check {
                    id: "module".into(),
                    verdict: Verdict::Failure,
                    finding: "the module ekho isn't loaded".into(),
                    remedy: Some("load it".into()),
                },
            ],
        };
        assert_eq!(
            report.text(PLAIN),
            "ok       kernel 7.2\nFAILED   the module ekho isn't loaded; load it\n"
        );
    }
}
