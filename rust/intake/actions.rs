// SPDX-License-Identifier: GPL-2.0-only

//! Actions that filters share: `tc actions add`.
//!
//! They belong to a network namespace, not to a device: each firmware in the namespace is asked, and
//! tc counts how many have taken one.

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
    flows::Source,
    intake::flows::{
        self,
        Site, //
    },
    port::Port, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// A port that is asked for shared actions.
pub(crate) struct Actions {
    port: Arc<Port>,
    dev: ARef<NetDevice>,
}

impl Actions {
    pub(crate) fn new(port: Arc<Port>, dev: ARef<NetDevice>) -> Self {
        Self { port, dev }
    }
}

impl ActionCallback for Actions {
    fn setup(&self, request: &mut FlowRequest<'_>) -> Result {
        let site = Site {
            dev: &self.dev,
            port: &self.port,
            source: Source::Action,
            block_index: 0,
            hooks: 0,
            owner: 0,
        };
        let cookie = request.cookie();
        match request.command() {
            Command::Replace => {
                if request.action_netns() != Some(self.dev.netns()) {
                    return Err(eopnotsupp());
                }
                // An action that is changed keeps its cookie.
                let _ = flows::destroy(&site, cookie);
                flows::replace(&site, cookie, request)
            }
            Command::Destroy => flows::destroy(&site, cookie),
            _ => flows::action_stats(&site, cookie, request),
        }
    }
}
