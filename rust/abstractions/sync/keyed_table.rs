// SPDX-License-Identifier: GPL-2.0-only

//! A resizable hash table of shared objects by key, of which several can have the same key, read under
//! RCU.
//!
//! C header: [`include/linux/rhashtable.h`](srctree/include/linux/rhashtable.h), `struct rhltable`

use crate::{
    abstractions::sync::rcu::Callbacks,
    bindings, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ops::Deref, //
};
use kernel::{
    container_of,
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        rcu::Guard,
        Arc,
        ArcBorrow, //
    },
    types::Opaque, //
};

/// An object that can be in a [`KeyedTable`], once.
#[repr(C)]
pub(crate) struct Keyed<T> {
    node: Opaque<bindings::ekho_keyed_node>,
    rcu: Opaque<bindings::callback_head>,
    /// [`NEW`], [`BUSY`], [`GONE`], or the address of the table that it is in.
    place: Atomic<usize>,
    value: T,
}

/// It wasn't in a table yet.
const NEW: usize = 0;
/// It is being inserted.
const BUSY: usize = 1;
/// It was taken out, or couldn't be inserted.
const GONE: usize = 2;

// SAFETY: Nothing in it is tied to a thread, if the object isn't.
unsafe impl<T: Send> Send for Keyed<T> {}
// SAFETY: Node and head are used by the table only, which is synchronised.
unsafe impl<T: Send + Sync> Sync for Keyed<T> {}

impl<T> Keyed<T> {
    /// An object that is found by `key`.
    pub(crate) fn new(key: usize, value: T) -> Self {
        Self {
            node: Opaque::new(bindings::ekho_keyed_node {
                key,
                ..pin_init::zeroed()
            }),
            rcu: Opaque::uninit(),
            place: Atomic::new(NEW),
            value,
        }
    }
}

impl<T> Deref for Keyed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Shared objects by key.
///
/// Lookups take no lock and may run in any context. Insertion and removal may run in parallel.
///
/// # Invariants
///
/// - `table` is an initialised `struct rhltable` with the parameters of `c/helpers.c`.
/// - Each node in it is the `node` of a `Keyed<T>` in an [`Arc`], of which the table owns a reference.
///   That of an object that is taken out is dropped after a grace period, in softirq: dropping a `T`
///   must not sleep.
/// - An object that has the address of the table as its `place` is in it.
#[pin_data(PinnedDrop)]
pub(crate) struct KeyedTable<T: Send + Sync + 'static> {
    #[pin]
    table: Opaque<bindings::rhltable>,
    callbacks: Callbacks,
    _owns: PhantomData<Arc<Keyed<T>>>,
}

// SAFETY: The table owns references, and a `struct rhltable` isn't tied to a thread.
unsafe impl<T: Send + Sync + 'static> Send for KeyedTable<T> {}
// SAFETY: All methods on `&self` are safe to call in parallel, as rhashtable locks its buckets.
unsafe impl<T: Send + Sync + 'static> Sync for KeyedTable<T> {}

impl<T: Send + Sync + 'static> KeyedTable<T> {
    /// Creates an empty table, whose references are dropped by `callbacks`.
    pub(crate) fn new(callbacks: Callbacks) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: Initialised by the helper; an empty table has no nodes.
            table <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes and pinned.
                to_result(unsafe { bindings::ekho_helper_keyed_table_init(slot) })
            }),
            callbacks,
            _owns: PhantomData,
        })
    }

    fn address(&self) -> usize {
        self.table.get().addr()
    }

    /// Adds an object, before those with the same key. Doesn't sleep.
    ///
    /// Fails with [`EBUSY`] if it was added to a table before, or with [`ENOMEM`].
    pub(crate) fn insert(&self, object: Arc<Keyed<T>>) -> Result {
        if object.place.cmpxchg(NEW, BUSY, Full).is_err() {
            return Err(EBUSY);
        }
        let raw = Arc::into_raw(object);
        // SAFETY: The table is initialised. The object isn't in any table, as it was new, and stays
        // where it is, as it is shared.
        let result = to_result(unsafe {
            bindings::ekho_helper_keyed_table_insert(self.table.get(), (*raw).node.get())
        });
        if let Err(error) = result {
            // SAFETY: From `into_raw`, and not taken.
            let object = unsafe { Arc::from_raw(raw) };
            object.place.store(GONE, Relaxed);
            return Err(error);
        }
        // INVARIANT: The table owns the reference; the object is in it until somebody changes `place`.
        // SAFETY: Valid: it isn't taken out while `place` is BUSY.
        unsafe { (*raw).place.store(self.address(), Release) };
        Ok(())
    }

    /// Takes an object out; returns whether it was in this table. Of several that take it out in
    /// parallel one does. Any context but hard interrupts.
    pub(crate) fn remove(&self, object: &Keyed<T>) -> bool {
        if object.place.cmpxchg(self.address(), GONE, Full).is_err() {
            return false;
        }
        // SAFETY: By the type invariants it was in this table, and nobody else takes it out. It isn't
        // freed before the callback, which drops the table's reference: the only one for it.
        unsafe {
            bindings::ekho_helper_keyed_table_remove(self.table.get(), object.node.get());
            self.callbacks.call(object.rcu.get(), drop_rcu::<T>);
        }
        true
    }

    /// The first object with this key for which `which` is true; the one that was added last comes
    /// first. Any context.
    #[inline]
    pub(crate) fn find<'a>(
        &'a self,
        key: usize,
        which: impl Fn(&T) -> bool,
        _guard: &'a Guard,
    ) -> Option<&'a Keyed<T>> {
        // SAFETY: The table is initialised, and RCU is held, here and below.
        let mut node = unsafe { bindings::ekho_helper_keyed_table_lookup(self.table.get(), key) };
        while !node.is_null() {
            // SAFETY: By the type invariants; not dropped before the guard.
            let object = unsafe { &*Self::object(node) };
            if which(&object.value) {
                return Some(object);
            }
            // SAFETY: As above.
            node = unsafe { bindings::ekho_helper_keyed_table_next(node) };
        }
        None
    }

    /// The same, with a reference of its own.
    pub(crate) fn find_arc(
        &self,
        key: usize,
        which: impl Fn(&T) -> bool,
        guard: &Guard,
    ) -> Option<Arc<Keyed<T>>> {
        let object = self.find(key, which, guard)?;
        // SAFETY: By the type invariants the object is in an `Arc`, and the table's reference to it isn't
        // dropped before the guard.
        Some(unsafe { ArcBorrow::from_raw(object) }.into())
    }

    /// # Safety
    ///
    /// `node` must be the node of a `Keyed<T>`.
    #[inline]
    unsafe fn object(node: *mut bindings::ekho_keyed_node) -> *mut Keyed<T> {
        // SAFETY: By the requirements of this function.
        unsafe { container_of!(Opaque::cast_from(node), Keyed<T>, node).cast_mut() }
    }
}

/// Drops the table's reference to an object that was taken out.
///
/// # Safety
///
/// `head` must be the `rcu` of a `Keyed<T>` that a reference was owned of.
unsafe extern "C" fn drop_rcu<T>(head: *mut bindings::callback_head) {
    // SAFETY: By the requirements of this function.
    unsafe {
        let object = container_of!(Opaque::cast_from(head), Keyed<T>, rcu);
        drop(Arc::from_raw(object));
    }
}

/// Drops the reference of a table that is being destroyed.
///
/// # Safety
///
/// `node` must be the node of a `Keyed<T>` that a reference was owned of.
unsafe extern "C" fn drop_node<T>(node: *mut c_void, _arg: *mut c_void) {
    let node: *mut bindings::ekho_keyed_node = node.cast();
    // SAFETY: By the requirements of this function.
    unsafe {
        let object = container_of!(Opaque::cast_from(node), Keyed<T>, node);
        (*object).place.store(GONE, Relaxed);
        drop(Arc::from_raw(object));
    }
}

#[pinned_drop]
impl<T: Send + Sync + 'static> PinnedDrop for KeyedTable<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The table is initialised and, as it is being dropped, not in use. What is left in it
        // is owned by it. May sleep.
        unsafe {
            bindings::ekho_helper_keyed_table_destroy(self.table.get(), Some(drop_node::<T>));
        }
    }
}
