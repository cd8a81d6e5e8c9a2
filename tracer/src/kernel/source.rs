//! The ring buffer's bytes, as they come.

use std::{io, time::Duration};

use aya::maps::{MapData, RingBuf};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Interval, MissedTickBehavior, interval},
};

/// The reading end of the ring buffer.
pub struct Source {
    ring: AsyncFd<RingBuf<MapData>>,
    tick: Interval,
}

impl Source {
    /// Starts reading; needs a running tokio reactor. `latency`: how long a record may lie in the buffer
    /// before it is looked at. The programs wake us earlier only when the buffer fills up, since a
    /// wake-up per record would cost more than the tracing.
    ///
    /// # Errors
    /// If the buffer cannot be polled.
    pub fn new(ring: RingBuf<MapData>, latency: Duration) -> io::Result<Self> {
        let mut tick = interval(latency);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // SAFETY: the ring buffer owns its descriptor, which stays open and the same as long as it lives.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        Ok(Self { ring: ring.map_err(io::Error::from)?, tick })
    }

    /// Waits until there may be records.
    ///
    /// # Errors
    /// If polling fails.
    pub async fn ready(&mut self) -> io::Result<()> {
        tokio::select! {
            guard = self.ring.readable() => guard?.clear_ready(),
            _ = self.tick.tick() => {}
        }
        Ok(())
    }

    /// The next record's bytes, if there is one.
    pub fn next_record(&mut self) -> Option<impl std::ops::Deref<Target = [u8]> + '_> {
        self.ring.get_mut().next()
    }
}
