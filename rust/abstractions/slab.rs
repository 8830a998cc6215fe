// SPDX-License-Identifier: GPL-2.0-only

//! Slab caches: memory for many objects of one type.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full, //
    },
};

/// A cache of memory for objects of type `T`, as a static of the module.
///
/// Objects take the bytes that they need, where `kmalloc()` takes the next larger of its sizes.
///
/// # Invariants
///
/// `cache` is null, or a cache of objects with the size and the alignment of `T`.
pub(crate) struct SlabCache<T> {
    name: &'static CStr,
    cache: Atomic<*mut bindings::kmem_cache>,
    _of: PhantomData<fn() -> T>,
}

impl<T> SlabCache<T> {
    /// A cache that is still to be created; `name` is shown to people.
    pub(crate) const fn new(name: &'static CStr) -> Self {
        // INVARIANT: There is none.
        Self {
            name,
            cache: Atomic::new(ptr::null_mut()),
            _of: PhantomData,
        }
    }

    /// Creates it, when the module is initialised. Process context.
    pub(crate) fn create(&self) -> Result {
        let (size, align) = (size_of::<T>() as u32, align_of::<T>() as u32);
        // SAFETY: Process context, and a string that stays.
        let cache =
            unsafe { bindings::ekho_helper_slab_create(self.name.as_char_ptr(), size, align) };
        if cache.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: Just created, with these.
        self.cache.store(cache, kernel::sync::atomic::Release);
        Ok(())
    }

    /// Destroys it, when the module is removed; also if it wasn't created. Process context.
    ///
    /// # Safety
    ///
    /// [`Self::init`] must not be called any more, and all objects be freed.
    pub(crate) unsafe fn destroy(&self) {
        let cache = self.cache.xchg(ptr::null_mut(), Full);
        // SAFETY: Null, or a cache that nobody uses, by the requirements of this function.
        unsafe { bindings::kmem_cache_destroy(cache) };
    }

    /// Makes an object. May sleep.
    pub(crate) fn init<E>(&self, value: impl Init<T, E>) -> Result<KBox<T>>
    where
        Error: From<E>,
    {
        let cache = self.cache.load(Acquire);
        if cache.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: By the type invariants, and as it isn't destroyed before the last call.
        let memory = unsafe { bindings::ekho_helper_slab_alloc(cache) };
        if memory.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: Memory with the size and the alignment of `T`. A `KBox` gives it back by `kfree()`,
        // which takes objects of any slab cache.
        let memory: KBox<MaybeUninit<T>> = unsafe { KBox::from_raw(memory.cast()) };
        Ok(memory.write_init(value)?)
    }
}
