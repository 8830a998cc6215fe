// SPDX-License-Identifier: GPL-2.0-only

//! Requests for connections of zones that flows of a device send packets to.

use crate::{
    abstractions::{
        error::eopnotsupp,
        tc::flow_offload::{
            Command,
            FlowRequest,
            Tracker, //
        },
    },
    contract::flow::Classifier,
    intake::{
        ct_zones::Connections, //
        requests::{
            self,
            Context, //
        },
    },
};
use kernel::prelude::*;

impl Tracker for Connections {
    fn setup(&self, request: &mut FlowRequest<'_>) -> Result {
        let context = Context {
            dev: &self.dev,
            netns_cookie: self.netns_cookie,
            device: &self.device,
            classifier: Classifier::Ct,
            block_index: 0,
            hooks: 0,
            owner: self.id(),
            ct_zone: self.zone,
            rules: None,
            is_replayed: false,
        };
        let cookie = request.cookie();
        match request.command() {
            Command::Replace => requests::replace(&context, cookie, request),
            Command::Destroy => requests::destroy(&context, cookie),
            Command::Stats => requests::stats(&context, cookie, request),
            Command::TemplateCreate | Command::TemplateDestroy => Err(eopnotsupp()),
        }
    }
}
