// SPDX-License-Identifier: MIT OR Apache-2.0

//! Notifications about firmware, a line each, with the time in front as in the kernel's
//! log.

use ekho::kernel::netns;
use ekho::monitor::{Kind, Notification};

use super::common::{netns_text, plural, stamp};
use super::style::{Style, Text};

impl Text for Notification {
    fn text(&self, style: Style) -> String {
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".into());
        let firmware = style.bold(&or_unknown(&self.firmware));
        let told = match self.event {
            Kind::Attached => format!("firmware {firmware} is attached"),
            Kind::Attach => format!("firmware {firmware} was {}", style.good("attached")),
            Kind::Replace => match &self.replaced {
                Some(old) => format!("firmware {old} was replaced by {firmware}"),
                None => format!("firmware was replaced by {firmware}"),
            },
            Kind::Detach => format!("firmware {firmware} was {}", style.warn("detached")),
            Kind::Exit => {
                let flows = self.flows.map_or_else(String::new, |flows| {
                    format!("; {} went back to software", plural(flows, "flow"))
                });
                let reason = match (&self.reason, &self.op) {
                    (Some(reason), _) if !reason.is_empty() => reason.clone(),
                    (_, Some(op)) => format!("{op} broke the contract"),
                    _ => "it broke the contract".into(),
                };
                format!(
                    "firmware {firmware} was {}: {reason}{flows}",
                    style.bad("stopped")
                )
            }
            Kind::Gone => match &self.firmware {
                Some(_) => format!(
                    "the device is gone from its network namespace, and firmware {firmware} with it"
                ),
                None => "the device is gone from its network namespace".into(),
            },
            Kind::Lost => {
                let text = style.warn("messages were lost: this output is incomplete");
                return format!("{} {text}\n", stamp(self.time_ns));
            }
            Kind::Unknown => format!("something happened to firmware {firmware}"),
        };
        // As `cable connect` takes it.
        let elsewhere = self
            .netns
            .filter(|netns| netns::current().is_ok_and(|here| here != *netns))
            .map(|netns| format!("@{}", netns_text(netns, &self.netns_name)));
        format!(
            "{} {}{}: {told}\n",
            stamp(self.time_ns),
            style.bold(&or_unknown(&self.dev)),
            elsewhere.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use ekho::module::state::Exit;

    use super::*;

    const PLAIN: Style = Style {
        color: false,
        terminal: None,
    };

    #[test]
    fn what_becomes_of_firmware_is_told_in_sentences() {
        let exit = Exit {
            ifindex: 3,
            dev: "ek0".into(),
            netns: netns::current().unwrap(),
            netns_name: None,
            firmware: "bad".into(),
            generation: 1,
            op: "replace".into(),
            code: "returned".into(),
            value: 1,
            flows: 1,
            time_ns: 5_000_000_000,
            reason: "replace returned 1".into(),
        };
        let notification = Notification::of_exit(&exit);
        assert_eq!(
            notification.text(PLAIN),
            "[    5.000000] ek0: firmware bad was stopped: replace returned 1; 1 flow went back to software\n"
        );
        let told = |event, replaced: Option<&str>| {
            Notification {
                event,
                replaced: replaced.map(str::to_owned),
                ..notification.clone()
            }
            .text(PLAIN)
        };
        assert!(
            told(Kind::Replace, Some("old")).ends_with("ek0: firmware old was replaced by bad\n")
        );
        assert!(told(Kind::Attach, None).ends_with("ek0: firmware bad was attached\n"));
        assert!(told(Kind::Gone, None).ends_with("and firmware bad with it\n"));
        assert!(told(Kind::Lost, None).ends_with("this output is incomplete\n"));
        let elsewhere = Notification {
            event: Kind::Attach,
            netns: Some(1),
            netns_name: Some("blue".into()),
            ..notification.clone()
        };
        assert!(elsewhere
            .text(PLAIN)
            .ends_with(" ek0@blue: firmware bad was attached\n"));
    }
}
