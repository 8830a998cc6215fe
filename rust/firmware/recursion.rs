// SPDX-License-Identifier: GPL-2.0-only

//! Who is inside of a firmware's ops, so that a task which comes back to them is found.
//!
//! BPF has a guard of its own, which struct_ops programs get only along with a private stack, and
//! EKHO's don't ask for one: it goes by CPU, so that it takes a task which preempted another for
//! the same, and it skips the program with a result of 0, which an op would return to say yes.

#![deny(unsafe_code)]

use core::array;
use kernel::{
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    task::Task, //
};

/// How many tasks are watched at a time; others aren't.
const SLOTS: usize = 32;

/// In how many of the slots a task can be.
const WAYS: usize = 2;

/// The tasks that are inside of a firmware's ops, by address.
pub(super) struct Recursion([Atomic<usize>; SLOTS]);

/// A task is inside, until dropped.
pub(super) struct Entered<'a>(Option<&'a Atomic<usize>>);

impl Recursion {
    /// Nobody is inside.
    pub(super) fn new() -> Self {
        Self(array::from_fn(|_| Atomic::new(0)))
    }

    /// The current task goes in; none if it is inside already. Process context, or one that
    /// belongs to the task: ops aren't called from interrupts.
    pub(super) fn enter(&self) -> Option<Entered<'_>> {
        let task = Task::current_raw() as usize;
        // Different tasks have different ones, so that CPUs seldom meet. Tasks are larger than
        // that.
        let start = (task >> 8) % SLOTS / WAYS * WAYS;
        let slots = &self.0[start..start + WAYS];
        let mut free = None;
        for slot in slots {
            match slot.load(Relaxed) {
                0 => free = free.or(Some(slot)),
                // The task alone writes its own address, so nobody can change the answer.
                inside if inside == task => return None,
                _ => {}
            }
        }
        // Another task may have been faster.
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
