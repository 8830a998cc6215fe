// SPDX-License-Identifier: GPL-2.0-only

//! Detects that a task enters a firmware's ops again while it runs one of them.
//!
//! BPF's own recursion check isn't used. struct_ops programs get it only with a private stack, it
//! is per CPU, so that it takes a task that preempts another for a recursion, and it skips the
//! program with a result of 0, which would mean that the op succeeded.

#![deny(unsafe_code)]

use crate::abstractions::sync::cache::CacheAligned;
use core::array;
use kernel::{
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    task::Task, //
};

/// The number of sets of slots; a task uses one of them, by its address.
const SETS: usize = 16;

/// The number of tasks that a set can hold. Others aren't checked.
const WAYS: usize = 2;

/// The tasks that run a firmware's ops, by address. Sets have cache lines of their own, as CPUs
/// write to them with each op.
pub(super) struct Recursion([CacheAligned<[Atomic<usize>; WAYS]>; SETS]);

/// The current task runs an op, until dropped.
pub(super) struct Entered<'a>(Option<&'a Atomic<usize>>);

impl Recursion {
    /// No task runs an op.
    pub(super) fn new() -> Self {
        Self(array::from_fn(|_| {
            CacheAligned(array::from_fn(|_| Atomic::new(0)))
        }))
    }

    /// The current task enters an op; none if it runs one already. Process context, or one that
    /// belongs to the task: ops aren't called from interrupts.
    pub(super) fn enter(&self) -> Option<Entered<'_>> {
        let task = Task::current_raw() as usize;
        // A `struct task_struct` is larger than 256 bytes.
        let slots: &[_; WAYS] = &self.0[(task >> 8) % SETS];
        let mut free = None;
        for slot in slots {
            match slot.load(Relaxed) {
                0 => free = free.or(Some(slot)),
                // Only the task itself writes its address, so the answer can't change.
                inside if inside == task => return None,
                _ => {}
            }
        }
        // Another task may have taken the slot in the meantime.
        let taken = |slot: &&Atomic<usize>| slot.cmpxchg(0, task, Relaxed).is_ok();
        Some(Entered(
            free.filter(taken).or_else(|| slots.iter().find(taken)),
        ))
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.store(0, Relaxed);
        }
    }
}
