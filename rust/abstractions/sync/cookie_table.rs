// SPDX-License-Identifier: GPL-2.0-only

//! A resizable hash table of objects by cookie, read under RCU.
//!
//! A cookie is a number that the caller of an interface chose to name an object; in flow offload
//! it is an address, so the table hashes it rather than indexing by it.
//!
//! C header: [`include/linux/rhashtable.h`](srctree/include/linux/rhashtable.h)

use crate::{
    abstractions::{
        slab::SlabCache,
        sort::sort_by_key,
        sync::rcu::Callbacks, //
    },
    bindings, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr, //
};
use kernel::{
    alloc::{
        flags::GFP_KERNEL_ACCOUNT,
        Flags,
        KVVec, //
    },
    container_of,
    error::to_result,
    prelude::*,
    sync::rcu::Guard,
    types::Opaque, //
};

/// An object in a [`CookieTable`], with what the table needs to link it.
#[repr(C)]
pub(crate) struct Entry<T> {
    node: Opaque<bindings::ekho_cookie_node>,
    rcu: Opaque<bindings::callback_head>,
    value: T,
}

impl<T> Entry<T> {
    /// Makes an object for insertion under `cookie`. May sleep if `flags` do.
    pub(crate) fn alloc<E>(
        cookie: usize,
        value: impl Init<T, E>,
        flags: Flags,
    ) -> Result<KBox<Self>>
    where
        Error: From<E>,
    {
        KBox::init(Self::init(cookie, value), flags)
    }

    /// The same, in memory of a cache. May sleep.
    pub(crate) fn alloc_in<E>(
        cache: &SlabCache<Self>,
        cookie: usize,
        value: impl Init<T, E>,
    ) -> Result<KBox<Self>>
    where
        Error: From<E>,
    {
        cache.init(Self::init(cookie, value))
    }

    fn init<E>(cookie: usize, value: impl Init<T, E>) -> impl Init<Self, E> {
        let node = bindings::ekho_cookie_node {
            cookie,
            ..pin_init::zeroed()
        };
        // Where it stays: objects are larger than what one likes to copy.
        try_init!(Self {
            node: Opaque::new(node),
            rcu: Opaque::uninit(),
            value <- value,
        }? E)
    }

    /// The cookie under which it is found.
    pub(crate) fn cookie(&self) -> usize {
        // SAFETY: It never changes. Only the other member is written to, by the table.
        unsafe { (&raw const (*self.node.get()).cookie).read() }
    }
}

impl<T> core::ops::Deref for Entry<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> core::ops::DerefMut for Entry<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Objects of type `T` by cookie.
///
/// Lookups take no lock and may run in any context. Insertion and removal may run in parallel.
///
/// # Invariants
///
/// - `table` is an initialised `struct rhashtable` with the parameters of `c/helpers.c`.
/// - Each node in it is the `node` of an `Entry<T>` that came from a [`KBox`] and is owned by the
///   table. A removed entry is freed after a grace period, in softirq: dropping a `T` must not
///   sleep.
// The number of entries is the last field of a `struct rhashtable`, and changes with each insertion:
// it shares no cache line with what is next to the table.
#[pin_data(PinnedDrop)]
#[repr(align(64))]
pub(crate) struct CookieTable<T: Send + Sync + 'static> {
    #[pin]
    table: Opaque<bindings::rhashtable>,
    callbacks: Callbacks,
    _owns: PhantomData<KBox<Entry<T>>>,
}

// SAFETY: The table owns its entries, and a `struct rhashtable` isn't tied to a thread.
unsafe impl<T: Send + Sync + 'static> Send for CookieTable<T> {}
// SAFETY: All methods on `&self` are safe to call in parallel: rhashtable locks its buckets, and
// hands out shared references to `T: Sync` only.
unsafe impl<T: Send + Sync + 'static> Sync for CookieTable<T> {}

impl<T: Send + Sync + 'static> CookieTable<T> {
    /// Creates an empty table, whose entries are freed by `callbacks`.
    pub(crate) fn new(callbacks: Callbacks) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: Initialised by the helper; an empty table has no nodes.
            table <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes and pinned.
                to_result(unsafe { bindings::ekho_helper_cookie_table_init(slot) })
            }),
            callbacks,
            _owns: PhantomData,
        })
    }

    /// How many entries there are. Exact while nobody inserts or removes.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: By the type invariants the table is initialised; `nelems` is an `atomic_t`, which
        // is read here as the C side would, by a single load.
        let n = unsafe { ptr::read_volatile(&raw const (*self.table.get()).nelems.counter) };
        usize::try_from(n).unwrap_or(0)
    }

    /// Adds `entry`, and gives its object, which may be taken out again at any time. Doesn't sleep.
    ///
    /// Fails with [`EEXIST`] if its cookie is in use, or with [`ENOMEM`]; the entry is freed then.
    pub(crate) fn insert<'a>(
        &'a self,
        entry: KBox<Entry<T>>,
        _guard: &'a Guard,
    ) -> Result<&'a Entry<T>> {
        let entry = KBox::into_raw(entry);
        // SAFETY: The table is initialised, and `entry` is valid and not in any table.
        let ret = unsafe {
            bindings::ekho_helper_cookie_table_insert(self.table.get(), (*entry).node.get())
        };
        // INVARIANT: On success the table owns an entry that came from a `KBox`.
        to_result(ret).inspect_err(|_| {
            // SAFETY: The table didn't take the entry, so it is still ours.
            drop(unsafe { KBox::from_raw(entry) });
        })?;
        // SAFETY: It was put into this table under the guard, and isn't freed before that is
        // dropped.
        Ok(unsafe { &*entry })
    }

    fn find(&self, cookie: usize, _guard: &Guard) -> *mut bindings::ekho_cookie_node {
        // SAFETY: The table is initialised.
        unsafe { bindings::ekho_helper_cookie_table_lookup(self.table.get(), cookie) }
    }

    /// # Safety
    ///
    /// `node` must be in this table, or have been taken out of it under the RCU read lock that is
    /// held.
    unsafe fn entry(node: *mut bindings::ekho_cookie_node) -> *mut Entry<T> {
        // SAFETY: By the type invariants each node is the `node` of an `Entry<T>`.
        unsafe { container_of!(Opaque::cast_from(node), Entry<T>, node).cast_mut() }
    }

    /// Finds the object with `cookie`. Any context.
    pub(crate) fn get<'a>(&'a self, cookie: usize, guard: &'a Guard) -> Option<&'a Entry<T>> {
        let node = self.find(cookie, guard);
        if node.is_null() {
            return None;
        }
        // SAFETY: The node was found in this table, and isn't freed before the guard is dropped.
        Some(unsafe { &*Self::entry(node) })
    }

    /// Takes the object with `cookie` out of the table.
    ///
    /// Of several that remove the same object in parallel, one gets it.
    pub(crate) fn remove<'a>(&'a self, cookie: usize, guard: &'a Guard) -> Option<&'a Entry<T>> {
        self.remove_if(cookie, |_| true, guard)
    }

    /// The same, if `which` says yes to it.
    pub(crate) fn remove_if<'a>(
        &'a self,
        cookie: usize,
        which: impl FnOnce(&Entry<T>) -> bool,
        guard: &'a Guard,
    ) -> Option<&'a Entry<T>> {
        let node = self.find(cookie, guard);
        if node.is_null() {
            return None;
        }
        // SAFETY: The node was found in this table, and isn't freed before the guard is dropped.
        if !which(unsafe { &*Self::entry(node) }) {
            return None;
        }
        // SAFETY: The node was found in this table under the guard.
        unsafe { self.take(node, guard) }
    }

    /// Removes an object, unless another thread has.
    ///
    /// # Safety
    ///
    /// `node` must have been found in this table under the guard.
    unsafe fn take<'a>(
        &'a self,
        node: *mut bindings::ekho_cookie_node,
        _guard: &'a Guard,
    ) -> Option<&'a Entry<T>> {
        // SAFETY: By the requirements of this function.
        let ret = unsafe { bindings::ekho_helper_cookie_table_remove(self.table.get(), node) };
        if ret != 0 {
            return None;
        }
        // SAFETY: The node was in this table, and can't be freed before the guard is dropped.
        let entry = unsafe { Self::entry(node) };
        // SAFETY: The entry is out of the table, by the hand of this thread alone, so this is the
        // only callback for it; it owns the entry, which is `'static` and may be sent.
        unsafe { self.callbacks.call((*entry).rcu.get(), free_rcu::<T>) };
        // SAFETY: The grace period that the callback waits for can't end before the guard is
        // dropped.
        Some(unsafe { &*entry })
    }

    /// The cookies of the objects in the table, in no order: of one that is in it throughout the
    /// call exactly once, of one that comes or goes in the meantime at most once. Process context.
    ///
    /// All are read in one section of RCU, about as fast as memory answers: where the walk of
    /// [`Self::for_each`] pauses it may lose its place.
    pub(crate) fn cookies(&self) -> Result<KVVec<usize>> {
        let mut room = self.len();
        loop {
            room += room / 8 + 64;
            let mut cookies = KVVec::with_capacity(room, GFP_KERNEL_ACCOUNT)?;
            if let Some(resized) = self.collect(&mut cookies) {
                if resized {
                    sort_by_key(&mut cookies, |cookie| *cookie);
                    let mut last = None;
                    cookies.retain(|cookie| last.replace(*cookie) != Some(*cookie));
                }
                return Ok(cookies);
            }
        }
    }

    /// Adds the cookies of all objects, as long as there is capacity. None if it isn't enough; or
    /// whether the table was being resized, so that some may be there twice.
    fn collect(&self, cookies: &mut KVVec<usize>) -> Option<bool> {
        let iter = Opaque::<bindings::rhashtable_iter>::uninit();
        let mut result = Some(false);
        // SAFETY: As in `for_each`, here and below. RCU is held from `start` until `stop`, so that
        // an object that is taken out still leads on to the next; a table that is being resized is
        // walked first as it was and then as it becomes, and objects go from the former, last ones
        // first, to the latter.
        unsafe { bindings::rhashtable_walk_enter(self.table.get(), iter.get()) };
        // SAFETY: See above.
        unsafe { bindings::ekho_helper_rhashtable_walk_start(iter.get()) };
        loop {
            // SAFETY: See above.
            let node = unsafe { bindings::rhashtable_walk_next(iter.get()) };
            if node.is_null() {
                break;
            }
            if kernel::error::from_err_ptr(node).is_err() {
                result = Some(true);
                continue;
            }
            let node: *const bindings::ekho_cookie_node = node.cast();
            // SAFETY: `node` is in this table or was under RCU, and its cookie never changes.
            let cookie = unsafe { (*node).cookie };
            if cookies.push_within_capacity(cookie).is_err() {
                result = None;
                break;
            }
        }
        // SAFETY: Pairs with `start`.
        unsafe { bindings::rhashtable_walk_stop(iter.get()) };
        // SAFETY: Pairs with `enter`.
        unsafe { bindings::rhashtable_walk_exit(iter.get()) };
        result
    }

    /// Calls `f` with each object that is in the table throughout; one that comes or goes in the
    /// meantime may be missed, or if the table is resized seen twice. Process context.
    ///
    /// Stops early when `f` fails, with its result. `f` runs under RCU and must not sleep; between
    /// some calls of it others get to run.
    pub(crate) fn for_each<E>(
        &self,
        mut f: impl FnMut(&Entry<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        // SAFETY: The node is in this table, and RCU is held until after `f`.
        self.walk(|node| f(unsafe { &*Self::entry(node) })).1
    }

    /// Removes the objects for which `which` is true, and calls `f` with each, in linear time. Process
    /// context.
    ///
    /// Objects that are inserted meanwhile may be missed. Both functions run under RCU and must not
    /// sleep; between some of the calls the thread may be rescheduled.
    pub(crate) fn remove_where(
        &self,
        which: impl Fn(&Entry<T>) -> bool,
        f: impl Fn(&Entry<T>, &Guard),
    ) {
        // A walk that pauses at an object that is removed may skip others of the bucket, whoever
        // removed it. So it is repeated until it finds none and hasn't lost its place, which is
        // mostly the second time.
        let mut again = true;
        while again {
            let mut found = false;
            let (lost, _): (_, Result<(), ()>) = self.walk(|node| {
                let guard = kernel::sync::rcu::read_lock();
                // SAFETY: The node is in this table, and RCU is held.
                if which(unsafe { &*Self::entry(node) }) {
                    found = true;
                    // SAFETY: As above.
                    if let Some(object) = unsafe { self.take(node, &guard) } {
                        f(object, &guard);
                    }
                }
                Ok(())
            });
            again = found || lost;
        }
    }

    /// Calls `f` with each node, as [`Self::for_each`] does. `f` may remove it.
    ///
    /// Also returns whether the walk lost its place: the object at which it had paused was removed
    /// meanwhile, so that it may have skipped others of the bucket.
    fn walk<E>(
        &self,
        mut f: impl FnMut(*mut bindings::ekho_cookie_node) -> Result<(), E>,
    ) -> (bool, Result<(), E>) {
        let iter = Opaque::<bindings::rhashtable_iter>::uninit();
        // SAFETY: The table is initialised; `enter` initialises `iter`, which doesn't move.
        unsafe { bindings::rhashtable_walk_enter(self.table.get(), iter.get()) };
        // SAFETY: `iter` was initialised by `enter`. RCU is held from here until `stop`.
        unsafe { bindings::ekho_helper_rhashtable_walk_start(iter.get()) };
        // SAFETY: Initialised by `enter`; only this thread uses it.
        let has_place = || unsafe { !(*iter.get()).p.is_null() };
        let mut lost = false;
        let mut result = Ok(());
        for n in 1usize.. {
            if n % 256 == 0 {
                let had_place = has_place();
                // SAFETY: Between `start` and `stop`, which this does in turn.
                unsafe { bindings::ekho_helper_rhashtable_walk_pause(iter.get()) };
                // `rhashtable_walk_start_check()` looks for the object, and clears `p` if it is gone.
                lost |= had_place && !has_place();
            }
            // SAFETY: Between `start` and `stop`.
            let node = unsafe { bindings::rhashtable_walk_next(iter.get()) };
            if node.is_null() {
                break;
            }
            // An error pointer is -EAGAIN: the table is being resized, and the walk goes on.
            if kernel::error::from_err_ptr(node).is_err() {
                continue;
            }
            // The hash head is the first field of the node.
            result = f(node.cast());
            if result.is_err() {
                break;
            }
        }
        // SAFETY: Pairs with `start`.
        unsafe { bindings::rhashtable_walk_stop(iter.get()) };
        // SAFETY: Pairs with `enter`.
        unsafe { bindings::rhashtable_walk_exit(iter.get()) };
        (lost, result)
    }
}

/// Frees a removed entry.
///
/// # Safety
///
/// `head` must be the `rcu` of an `Entry<T>` from a [`KBox`] that nobody uses any longer.
unsafe extern "C" fn free_rcu<T>(head: *mut bindings::callback_head) {
    // SAFETY: By the requirements of this function.
    let entry = unsafe { container_of!(Opaque::cast_from(head), Entry<T>, rcu).cast_mut() };
    // SAFETY: As above.
    drop(unsafe { KBox::from_raw(entry) });
}

/// Frees an entry that is still in a table which is being destroyed.
///
/// # Safety
///
/// `node` must be the node of an `Entry<T>` from a [`KBox`] that nobody uses any longer.
unsafe extern "C" fn free_node<T>(node: *mut c_void, _arg: *mut c_void) {
    let node: *mut bindings::ekho_cookie_node = node.cast();
    // SAFETY: By the requirements of this function.
    let entry = unsafe { container_of!(Opaque::cast_from(node), Entry<T>, node).cast_mut() };
    // SAFETY: As above.
    drop(unsafe { KBox::from_raw(entry) });
}

#[pinned_drop]
impl<T: Send + Sync + 'static> PinnedDrop for CookieTable<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The table is initialised and, as it is being dropped, not in use. What is left
        // in it is owned by it. May sleep.
        unsafe {
            bindings::rhashtable_free_and_destroy(
                self.table.get(),
                Some(free_node::<T>),
                ptr::null_mut(),
            )
        };
    }
}
