// SPDX-License-Identifier: GPL-2.0-only

//! Finds calls that lead back to themselves.
//!
//! A call is recursive if another one runs already on the same path of execution. That is a task,
//! or an interrupt on top of it: a softirq, a hardirq, an NMI. A call by an interrupt in the middle
//! of a task's call is no recursion, nor is one by another task, on whichever CPU.
//!
//! ```text
//!   Recursion ──▶ CPU 0 ──▶ call of task B ──▶ call of task A, which B preempted
//!                 CPU 1 ──▶ call of a softirq ──▶ call of task C, which it interrupted
//!                 CPU 2
//! ```
//!
//! Each CPU has a list of the calls that have begun there and not ended. An entry is on the stack
//! of whoever makes the call, so there is room for any number of tasks. A task stays on its CPU
//! from the start of a call to its end ([`PerCpu::stay`]), so the list of a CPU is changed by that CPU
//! alone: no atomic instruction and no memory that CPUs share. The lists are short: more than one
//! entry takes a preemption or an interrupt in the middle of a call.
//!
//! Preemption is off while a list is read or changed. Interrupts aren't: one that comes in between
//! adds its entry in front and takes it away again before the interrupted code goes on, which
//! finds the list as it was. With `PREEMPT_RT` softirqs are run by tasks; the task and the level
//! together are one path there, too.
//!
//! BPF has a guard of its own, which struct_ops programs get only along with a private stack. It
//! goes by CPU, so that it takes a task which preempted another for the same, and it skips the
//! program with a result of 0.
//!
//! The list depends on `core` only, and is tested on the host: `rustc --edition 2021 --test
//! recursion.rs`.

/// Where an entry is, or null.
type Place = *mut Entry;

/// A place that changes. Each access is one load or store, as for `READ_ONCE()` and `WRITE_ONCE()`:
/// interrupts of this CPU get to see it. No other CPU does.
struct Link(core::cell::UnsafeCell<Place>);

impl Link {
    const fn new() -> Self {
        Self(core::cell::UnsafeCell::new(core::ptr::null_mut()))
    }

    #[inline]
    fn get(&self) -> Place {
        // SAFETY: Valid, and nobody writes to it meanwhile but interrupts, between instructions.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline]
    fn set(&self, place: Place) {
        // SAFETY: As above.
        unsafe { self.0.get().write_volatile(place) };
    }
}

/// A call that runs.
struct Entry {
    /// The path of execution that it runs on.
    path: usize,
    next: Link,
}

/// The calls that run on a CPU, the last one to begin first.
///
/// # Invariants
///
/// Each entry is valid for as long as it is on the list.
struct Running(Link);

impl Running {
    #[cfg(test)]
    const fn new() -> Self {
        Self(Link::new())
    }

    /// Whether a call runs on a path.
    #[inline]
    fn has(&self, path: usize) -> bool {
        let mut place = self.0.get();
        // SAFETY: By the type invariants; nobody but this CPU changes the list.
        while let Some(entry) = unsafe { place.as_ref() } {
            if entry.path == path {
                return true;
            }
            place = entry.next.get();
        }
        false
    }

    /// Adds an entry.
    ///
    /// # Safety
    ///
    /// It must stay valid until it is removed.
    #[inline]
    unsafe fn add(&self, entry: &Entry) {
        entry.next.set(self.0.get());
        // INVARIANT: By the requirements of this function.
        self.0.set(core::ptr::from_ref(entry).cast_mut());
    }

    /// Removes an entry, which need not be the last one that was added: a task that was preempted
    /// may go on before the one that preempted it.
    #[inline]
    fn remove(&self, entry: &Entry) {
        let place = core::ptr::from_ref(entry).cast_mut();
        let mut link = &self.0;
        while link.get() != place {
            // SAFETY: As for `has`.
            let Some(other) = (unsafe { link.get().as_ref() }) else {
                return;
            };
            link = &other.next;
        }
        link.set(entry.next.get());
    }
}

#[cfg(not(test))]
pub(crate) use kernel_side::Recursion;

#[cfg(not(test))]
mod kernel_side {
    use super::{
        Entry,
        Link,
        Running, //
    };
    use crate::{
        abstractions::sync::percpu::PerCpu,
        bindings, //
    };
    use kernel::prelude::*;

    // SAFETY: Null is an empty list.
    unsafe impl pin_init::Zeroable for Running {}

    // SAFETY: A list without entries may be sent; no other is.
    unsafe impl Send for Running {}

    // SAFETY: Nobody uses a list but the CPU that it belongs to, as `PerCpu` gives out no other.
    unsafe impl Sync for Running {}

    /// Calls among which none may lead to another.
    pub(crate) struct Recursion(PerCpu<Running>);

    impl Recursion {
        /// None runs. May sleep.
        pub(crate) fn new() -> Result<Self> {
            Ok(Self(PerCpu::new()?))
        }

        /// Calls `f`, or returns none if a call through this object runs already on this path of
        /// execution. Any context; `f` must not sleep.
        #[inline]
        pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
            let entry = Entry {
                // SAFETY: Any context.
                path: unsafe { bindings::ekho_helper_path_of_execution() },
                next: Link::new(),
            };
            self.0.stay(
                |running| {
                    let entered = !running.has(entry.path);
                    if entered {
                        // SAFETY: It is removed before this function returns, on the same CPU.
                        unsafe { running.add(&entry) };
                    }
                    entered.then_some(())
                },
                f,
                |running, ()| running.remove(&entry),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: usize) -> Entry {
        Entry {
            path,
            next: Link::new(),
        }
    }

    fn add(running: &Running, entry: &Entry) {
        // SAFETY: The tests keep their entries.
        unsafe { running.add(entry) };
    }

    #[test]
    fn a_path_is_found_while_its_call_runs() {
        let (running, a) = (Running::new(), entry(64));
        assert!(!running.has(64));
        add(&running, &a);
        assert!(running.has(64));
        running.remove(&a);
        assert!(!running.has(64));
    }

    #[test]
    fn an_interrupt_is_another_path_than_its_task() {
        let running = Running::new();
        let (task, softirq, hardirq) = (entry(64), entry(64 | 1), entry(64 | 2));
        add(&running, &task);
        assert!(!running.has(64 | 1));
        add(&running, &softirq);
        add(&running, &hardirq);
        running.remove(&hardirq);
        running.remove(&softirq);
        assert!(running.has(64) && !running.has(64 | 1) && !running.has(64 | 2));
    }

    #[test]
    fn tasks_end_in_any_order() {
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let running = Running::new();
            let entries = [entry(64), entry(128), entry(192)];
            entries.iter().for_each(|entry| add(&running, entry));
            for (n, gone) in order.into_iter().enumerate() {
                running.remove(&entries[gone]);
                for entry in &entries {
                    let there = !order[..=n].iter().any(|&i| entries[i].path == entry.path);
                    assert_eq!(running.has(entry.path), there);
                }
            }
        }
    }

    #[test]
    fn there_is_room_for_any_number_of_tasks() {
        let running = Running::new();
        let entries: Vec<_> = (1..=1000).map(|n| entry(64 * n)).collect();
        entries.iter().for_each(|entry| add(&running, entry));
        assert!(entries.iter().all(|entry| running.has(entry.path)));
        entries.iter().for_each(|entry| running.remove(entry));
        assert!(!entries.iter().any(|entry| running.has(entry.path)));
    }

    #[test]
    fn an_entry_that_is_not_there_is_not_removed() {
        let (running, a, b) = (Running::new(), entry(64), entry(128));
        add(&running, &a);
        running.remove(&b);
        assert!(running.has(64));
    }
}
