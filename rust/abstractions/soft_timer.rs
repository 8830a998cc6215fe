// SPDX-License-Identifier: GPL-2.0-only

//! Timers that expire in softirq.
//!
//! C header: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h)

use super::bottom_half::{
    without_bottom_halves,
    BottomHalf, //
};
use core::ops::Deref;
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    sync::{
        new_spinlock,
        Arc,
        ArcBorrow,
        SpinLock, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeSoftMode, //
        },
        Delta,
        Instant,
        Monotonic, //
    },
};

/// What a timer does when it expires.
pub(crate) trait Expire: Send + Sync + 'static {
    /// The time is over, or an hour. Returns after how long it is to be called again, if it is. Softirq.
    fn expire(&self, bh: &BottomHalf) -> Option<Delta>;
}

/// A `T` with a timer. It keeps itself alive from [`Self::start`] until [`Self::stop`].
#[pin_data]
pub(crate) struct SoftTimer<T: Expire> {
    #[pin]
    timer: HrTimer<Self>,
    /// What keeps the timer going. Taken and dropped with bottom halves off.
    #[pin]
    handle: SpinLock<Option<ArcHrTimerHandle<Self>>>,
    #[pin]
    inner: T,
}

impl<T: Expire> SoftTimer<T> {
    /// It expires after this time at the latest, perhaps before what it was made for.
    const LONGEST: Delta = Delta::from_secs(3600);

    /// A timer that isn't started.
    pub(crate) fn new(inner: impl PinInit<T, Error>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            timer <- HrTimer::new(),
            handle <- new_spinlock!(None, "SoftTimer::handle"),
            inner <- inner,
        } ? Error)
    }

    /// Has the timer expire after a time.
    ///
    /// It mustn't be running: its owner has to know that it never was started, or that
    /// [`Expire::expire`] has decided to return none. If that is about to return, this waits for it.
    pub(crate) fn start(this: ArcBorrow<'_, Self>, after: Delta, _bh: &BottomHalf) {
        let mut handle = this.handle.lock();
        // To drop a handle stops the timer, so first the old one goes.
        drop(handle.take());
        *handle = Some(Arc::from(this).start(after));
    }

    /// Stops the timer, if it was started: it isn't running when this returns. The owner has to see
    /// to it that it isn't started meanwhile. Process context.
    pub(crate) fn stop(&self) {
        let handle = without_bottom_halves(|_| self.handle.lock().take());
        // Without the lock, as this may wait.
        drop(handle);
    }
}

impl<T: Expire> Deref for SoftTimer<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: Expire> HrTimerCallback for SoftTimer<T> {
    type Pointer<'a> = Arc<Self>;

    fn run(
        this: ArcBorrow<'_, Self>,
        mut context: HrTimerCallbackContext<'_, Self>,
    ) -> HrTimerRestart {
        // SAFETY: Timers of a soft mode expire in softirq.
        let bh = unsafe { BottomHalf::assume() };
        match this.inner.expire(&bh) {
            Some(after) => {
                let after = after.min(Self::LONGEST);
                // By what the old time has to be moved, as only that can be said.
                let old = this.timer.expires();
                let by = Instant::now() + after - old;
                context.forward(old, by);
                HrTimerRestart::Restart
            }
            None => HrTimerRestart::NoRestart,
        }
    }
}

impl_has_hr_timer! {
    impl{T: Expire} HasHrTimer<Self> for SoftTimer<T> {
        mode: RelativeSoftMode<Monotonic>, field: self.timer
    }
}
