// SPDX-License-Identifier: MIT OR Apache-2.0

//! Faults that are set.

use ekho::error::errno_name;
use ekho::module::netlink::fault::{Fault, Setting};

use super::common::{nothing, Rows};
use super::style::{Style, Text};
use super::table::Align;
use crate::results::FaultChange;

/// What a fault does, as the options of `fault set` that set it.
fn setting_text(setting: &Setting) -> String {
    let mut words = Vec::new();
    let mut word = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.push(format!("{name} {value}"));
        }
    };
    word("nth", setting.nth.map(|nth| nth.to_string()));
    word("errno", setting.errno.map(errno_name));
    word("delay-us", setting.delay_us.map(|us| us.to_string()));
    word("stall-us", setting.stall_us.map(|us| us.to_string()));
    word("nospc-after", setting.nospc_after.map(|n| n.to_string()));
    word("stats", setting.stats.clone());
    for (name, is_set) in [
        ("recurse", setting.recurse),
        ("interrupt", setting.interrupt),
    ] {
        if is_set {
            words.push(name.to_owned());
        }
    }
    words.join(" ")
}

impl Text for [Fault] {
    fn text(&self, style: Style) -> String {
        use Align::{Left, Right};

        if self.is_empty() {
            return nothing(style, "no fault is set");
        }
        let mut rows = Rows::new(
            self,
            &[
                ("DEVICE", Left),
                ("POINT", Left),
                ("CALLS", Right),
                ("FAULT", Left),
            ],
        );
        for fault in self {
            let any = Some("any".to_owned());
            let name = match fault.netns {
                Some(_) => &fault.netns_name,
                None => &any,
            };
            rows.row(
                fault.netns.unwrap_or(0),
                name,
                vec![
                    fault.dev.clone().unwrap_or_else(|| "(new devices)".into()),
                    fault.setting.point.clone().unwrap_or_else(|| "-".into()),
                    fault
                        .calls
                        .map_or_else(|| "-".into(), |calls| calls.to_string()),
                    setting_text(&fault.setting),
                ],
            );
        }
        rows.table.render(style, "")
    }
}

impl Text for FaultChange {
    fn text(&self, _style: Style) -> String {
        let who = self.dev.as_deref().unwrap_or("new devices");
        match self.set {
            true => format!("{who}: fault set\n"),
            false => format!("{who}: faults cleared\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ekho::kernel::netns;

    use super::*;

    const PLAIN: Style = Style {
        color: false,
        terminal: None,
    };

    #[test]
    fn faults_read_as_they_are_set() {
        let of_a_point = Fault {
            ifindex: Some(3),
            dev: Some("ek0".into()),
            netns: netns::current().ok(),
            calls: Some(5),
            setting: Setting {
                point: Some("replace".into()),
                nth: Some(3),
                errno: Some(12),
                recurse: true,
                ..Setting::default()
            },
            ..Fault::default()
        };
        let of_the_table = Fault {
            calls: None,
            setting: Setting {
                nospc_after: Some(7),
                ..Setting::default()
            },
            ..of_a_point.clone()
        };
        assert_eq!(
            [of_a_point, of_the_table].text(PLAIN),
            "\
DEVICE  POINT    CALLS  FAULT
ek0     replace      5  nth 3 errno ENOMEM recurse
ek0     -            -  nospc-after 7
"
        );
        let new = Fault {
            new_devices: true,
            ..Fault::default()
        };
        assert!([new].text(PLAIN).contains("(new devices)"));
        let change = FaultChange {
            dev: None,
            new_devices: true,
            set: false,
        };
        assert_eq!(change.text(PLAIN), "new devices: faults cleared\n");
    }
}
