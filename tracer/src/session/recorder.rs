//! The recording of a run, in one file or in several.

use std::{
    io,
    ops::{Deref, DerefMut},
    time::Instant,
};

use crate::{
    config::Rotation,
    outlet::Outlet,
    recording::{Preamble, Writer},
};

/// Writes what happens, and turns to the next file in time.
pub(super) struct Recorder {
    writer: Writer<Outlet>,
    preamble: Preamble,
    rotation: Rotation,
    /// When this file was begun.
    began: Instant,
}

impl Recorder {
    pub(super) fn new(file: Outlet, preamble: Preamble, rotation: Rotation) -> io::Result<Self> {
        let mut writer = Writer::new(file, &preamble)?;
        if rotation.is_wanted() {
            writer = writer.in_parts(rotation.bytes);
        }
        writer.flush()?;
        Ok(Self { writer, preamble, rotation, began: Instant::now() })
    }

    /// Passes on what was recorded so far, and turns to the next file if it is time to: between two records.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Self { rotation, began, .. } = self;
        let is_over = |written| {
            rotation.bytes.is_some_and(|most| written >= most)
                || rotation.time.is_some_and(|most| began.elapsed() >= most)
        };
        if self.writer.written().is_some_and(is_over) {
            self.writer.next_part(&self.preamble, Outlet::next_file)?;
            self.began = Instant::now();
        }
        self.writer.flush()
    }

    pub(super) fn into_writer(self) -> Writer<Outlet> {
        self.writer
    }
}

impl Deref for Recorder {
    type Target = Writer<Outlet>;

    fn deref(&self) -> &Self::Target {
        &self.writer
    }
}

impl DerefMut for Recorder {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.writer
    }
}
