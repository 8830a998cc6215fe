// SPDX-License-Identifier: GPL-2.0-only

//! Flow offload: blocks of filters that are bound to devices, and the requests that arrive for
//! the filters in them.
//!
//! C headers: [`include/net/flow_offload.h`](srctree/include/net/flow_offload.h),
//! [`include/net/pkt_cls.h`](srctree/include/net/pkt_cls.h)
//!
//! ```text
//!   BIND ──▶ BlockOffload::bind ──▶ BlockCallback::setup (requests) ──▶ UNBIND ──▶ release
//!                                        ▲
//!              TcBlock::reoffload ───────┘  the kernel walks its filters again
//! ```
//!
//! | call | locks held by the kernel |
//! |---|---|
//! | bind and unbind of a qdisc's block | RTNL, the block's `cb_lock` for writing |
//! | the same of a chain of nftables | the `commit_mutex` of its namespace |
//! | the same of a flowtable | `flow_block_lock` for writing; `commit_mutex` or RTNL |
//! | each of these through an indirect block | and then `flow_indr_block_lock` |
//! | flower requests | `cb_lock` for reading; RTNL where a callback of the block needs it |
//! | matchall and u32 requests | RTNL, `cb_lock` for reading |
//! | a callback of a ct action's flowtable comes or goes | `flow_block_lock` for writing, taken here |
//! | requests for a flowtable's flows | `flow_block_lock` for reading; several in parallel |
//! | requests for rules of nftables | `commit_mutex`; RCU for statistics: atomic |
//! | requests for shared actions | `flow_indr_block_lock`, or that of the actions' table |
//! | reoffload | RTNL; `cb_lock` for writing, taken here |

mod block;
mod flowtable;
mod indirect;
pub(crate) mod nft;
pub(crate) mod qdisc;
mod request;

pub(crate) use block::{
    Binder,
    BlockCallback,
    BlockCommand,
    BlockOffload,
    BoundCallback,
    Direction,
    Forgotten,
    Released,
    TcBlock, //
};
pub(crate) use flowtable::{
    FlowtableCallback,
    Tracker, //
};
pub(crate) use indirect::{
    ActionCallback,
    ActionRegistration,
    IndirectDriver,
    IndirectRegistration, //
};
pub(crate) use request::{
    Command,
    FlowRequest,
    HnodeRequest,
    Origin,
    Request,
    StatsDelta,
    WholeStats, //
};
