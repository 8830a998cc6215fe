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
            rows.row(device.netns, &device.netns_name, cells);
        }
        rows.table.render(style, "")
    }
}

impl Text for DeviceChange {
    fn text(&self, _style: Style) -> String {
        match self.ifindex {
            Some(ifindex) => format!("{}: added, index {ifindex}\n", self.dev),
            None => format!("{}: deleted\n", self.dev),
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
            hw_tc_offload: None,
            bindings: 1,
            flows: 2,
            table_entries: None,
            firmware: None,
        };
        assert_eq!(
            [device.clone()].text(PLAIN),
            "DEVICE  KIND  BINDINGS  FLOWS  FIRMWARE\nek0     ekho         1      2  -\n"
        );
        device.hw_tc_offload = Some(true);
        assert!([device].text(PLAIN).contains("HW-TC-OFFLOAD"));
    }
}
