//! What a replay writes, kept.

use std::{
    cell::RefCell,
    io::{self, Write},
    rc::Rc,
};

/// A place to write to, of which a copy has all that was written.
#[derive(Clone, Default)]
pub(crate) struct Shown(Rc<RefCell<Vec<u8>>>);

impl Shown {
    /// All that was written so far, once.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(self.0.take()).expect("UTF-8")
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
