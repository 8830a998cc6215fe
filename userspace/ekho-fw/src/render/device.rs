// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices.

use ekho::module::state::Device;

use super::common::{nothing, or_dash, Rows};
use super::style::{Style, Text};
use super::table::Align;
use crate::results::DeviceChange;

fn on_off(on: Option<bool>) -> String {
    match on {
        None => "-",
        Some(true) => "on",
        Some(false) => "off",
    }
    .to_owned()
}

impl Text for [Device] {
    fn text(&self, style: Style) -> String {
        use Align::{Left, Right};

        if self.is_empty() {
            return nothing(
                style,
                "there is no device of kind ekho, and none that is served",
            );
        }
        let tells_offload = self.iter().any(|device| device.hw_tc_offload.is_some());
        let mut columns = vec![
            ("DEVICE", Left),
            ("KIND", Left),
            ("BINDINGS", Right),
            ("FLOWS", Right),
            ("FIRMWARE", Left),
        ];
        if tells_offload {
            columns.insert(2, ("HW-TC-OFFLOAD", Left));
        }
        let tells_nic = self.iter().any(|device| device.nic.is_some());
        if tells_nic {
            columns.insert(1, ("NIC", Left));
        }
        let mut rows = Rows::new(self, &columns);
        for device in self {
            let mut cells = vec![
                device.dev.clone(),
                device.kind.clone(),
                device.bindings.to_string(),
                device.flows.to_string(),
                or_dash(&device.firmware),
            ];
            if tells_offload {
                cells.insert(2, on_off(device.hw_tc_offload));
            }
            if tells_nic {
                cells.insert(1, or_dash(&device.nic));
            }
            rows.row(device.netns, &device.netns_name, cells);
        }
        rows.table.render(style, "")
    }
}

impl Text for DeviceChange {
    fn text(&self, _style: Style) -> String {
        match (self.ifindex, self.ports.as_deref()) {
            (Some(ifindex), _) => format!("{}: added, index {ifindex}\n", self.dev),
            (None, Some([only])) => format!("{}: added, with port {only}\n", self.dev),
            (None, Some([first, .., last])) => {
                format!("{}: added, with ports {first} to {last}\n", self.dev)
            }
            (None, _) => format!("{}: deleted\n", self.dev),
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
    fn columns_that_no_record_fills_are_left_out() {
        let mut device = Device {
            ifindex: 3,
            dev: "ek0".into(),
            netns: netns::current().unwrap(),
            netns_name: None,
            kind: "ekho".into(),
            nic: None,
            hw_tc_offload: None,
            bindings: 1,
            flows: 2,
            table_entries: None,
            action_counters: 0,
            ct_zones: 0,
            firmware: None,
        };
        assert_eq!(
            [device.clone()].text(PLAIN),
            "DEVICE  KIND  BINDINGS  FLOWS  FIRMWARE\nek0     ekho         1      2  -\n"
        );
        device.hw_tc_offload = Some(true);
        assert!([device.clone()].text(PLAIN).contains("HW-TC-OFFLOAD"));
        device.hw_tc_offload = None;
        let port = Device {
            dev: "nic0p0".into(),
            nic: Some("nic0".into()),
            ..device.clone()
        };
        assert_eq!(
            [device, port].text(PLAIN),
            "\
DEVICE  NIC   KIND  BINDINGS  FLOWS  FIRMWARE
ek0     -     ekho         1      2  -
nic0p0  nic0  ekho         1      2  -
"
        );
    }

    #[test]
    fn what_was_done_is_said() {
        let change = |ifindex, ports: Option<&[&str]>| {
            DeviceChange {
                dev: "nic0".into(),
                ifindex,
                ports: ports.map(|ports| ports.iter().map(|&port| port.to_owned()).collect()),
            }
            .text(PLAIN)
        };
        assert_eq!(change(Some(7), None), "nic0: added, index 7\n");
        assert_eq!(
            change(None, Some(&["nic0p0"])),
            "nic0: added, with port nic0p0\n"
        );
        assert_eq!(
            change(None, Some(&["nic0p0", "nic0p1", "nic0p2"])),
            "nic0: added, with ports nic0p0 to nic0p2\n"
        );
        assert_eq!(change(None, None), "nic0: deleted\n");
    }
}
