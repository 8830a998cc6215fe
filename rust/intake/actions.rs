// SPDX-License-Identifier: GPL-2.0-only

//! Actions that filters share: `tc actions add`.
//!
//! They belong to a network namespace, not to a device: each firmware in the namespace is asked,
//! and tc counts how many have accepted an action.

use crate::{
    abstractions::{
        error::eopnotsupp,
        net::net_device::NetDevice,
        tc::flow_offload::{
            ActionCallback,
            Command,
            FlowRequest, //
        },
    },
    contract::flow::Classifier,
    hardware::rules::policer,
    intake::requests::{
        self,
        Context, //
    },
    offload::device::Device, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// A device that is asked for shared actions.
pub(crate) struct Actions {
    device: Arc<Device>,
    dev: ARef<NetDevice>,
}

impl Actions {
    pub(crate) fn new(device: Arc<Device>, dev: ARef<NetDevice>) -> Self {
        Self { device, dev }
    }
}

/// Destroys what is left of shared actions, of which the device isn't asked any more. Process context.
///
/// An action that was replaced by one that isn't offloadable is left: the kernel makes the request to
/// destroy it like one to offload it, and can't (`offload_action_init()`).
pub(crate) fn destroy_rest(device: &Device, dev: &NetDevice) {
    requests::destroy_where(device, dev, |flow| {
        flow.position.classifier == Classifier::Action
    });
    requests::destroy_unasked(device);
}

impl ActionCallback for Actions {
    fn setup(&self, request: &mut FlowRequest<'_>) -> Result {
        let context = Context {
            dev: &self.dev,
            netns_cookie: self.dev.netns_cookie(),
            device: &self.device,
            classifier: Classifier::Action,
            block_index: 0,
            hooks: 0,
            owner: request.action_id(),
            ct_zone: 0,
            rules: None,
            is_replayed: false,
        };
        let cookie = request.cookie();
        match request.command() {
            Command::Replace => {
                // Filters that have the action are executed with what it says now. The kernel doesn't offer
                // them again.
                policer::changed(&request.rule()?);
                // An action that is changed keeps its cookie, and what it has counted. The old record
                // is dropped even if the new action is refused.
                let owed = requests::destroy_owed(&context, cookie);
                if request.action_netns() != Some(self.dev.netns()) {
                    return Err(eopnotsupp());
                }
                requests::replace_owed(&context, cookie, request, owed)
            }
            Command::Destroy => requests::destroy(&context, cookie),
            _ => requests::action_stats(&context, cookie, request),
        }
    }
}
