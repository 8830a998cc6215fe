// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages of the netlink family: a command, and what follows it as attributes of each kind of
//! object.

#![no_main]

use ekho::kernel::netlink::generic::Family;
use ekho::kernel::netlink::Attributes;
use ekho::module::netlink::{cable, fault, notification, parse};
use libfuzzer_sys::fuzz_target;

/// What was read can be shown.
fn show<T: serde::Serialize>(read: Result<T, String>) {
    match read {
        Ok(record) => drop(serde_json::to_string(&record).expect("it is plain data")),
        Err(why) => assert!(!why.is_empty()),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((command, rest)) = data.split_first() else {
        return;
    };
    let attributes = Attributes(rest);
    show(parse::version(attributes));
    show(parse::fault_points(attributes));
    show(parse::device(attributes));
    show(parse::firmware(attributes));
    show(parse::flow(attributes));
    show(parse::declared(attributes).map(|declared| declared.capabilities));
    show(parse::refusal(attributes));
    show(parse::exit(attributes));
    show(fault::parse(attributes));
    show(cable::parse(attributes));
    let _ = notification::parse(*command, attributes);
    let _ = Family::parse(data);
});
