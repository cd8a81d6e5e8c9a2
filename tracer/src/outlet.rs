//! A file that is written by a thread of its own. Whoever reads a pipe may stop reading, a terminal may be stopped, a
//! disk may hang: that holds up the thread, and not what hears signals and reads the ring buffer.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::Notify;

/// Bytes that go to the thread at once, if nobody asks for less.
const PIECE: usize = 64 << 10;
/// Bytes that may wait to be written. Who goes on all the same must look at [`Gauge::has_room`] now and then.
const ROOM: usize = 512 << 10;

/// The end that is written to. Dropped, it leaves to the thread what was written; see [`Gauge::settled`].
#[derive(Debug)]
pub struct Outlet {
    shared: Arc<Shared>,
    piece: Vec<u8>,
}

/// What the thread has come to.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or nothing will come any more.
    given: Condvar,
    /// Something was written, or will never be.
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Piece>,
    /// Bytes of the pieces, and of the one that is being written.
    waiting: usize,
    given: u64,
    written: u64,
    /// Used again.
    spare: Option<Vec<u8>>,
    is_open: bool,
    /// The outlet was dropped.
    is_last: bool,
    /// Nobody waits for what is left.
    is_given_up: bool,
    /// The thread has ended.
    is_over: bool,
    failure: Option<Failure>,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    /// What comes next belongs into another file.
    NextFile,
}

/// An [`io::Error`] that can be told more than once.
#[derive(Debug, Clone)]
struct Failure {
    number: Option<i32>,
    kind: io::ErrorKind,
    /// What it says, if the system does not say it.
    text: Arc<str>,
}

impl Outlet {
    /// To the file that `open` gives, which may take its time: a named pipe is opened when somebody reads it.
    ///
    /// # Errors
    /// If there can be no thread. Whether the file could be opened shows with [`Gauge::room`].
    pub fn new(open: impl FnOnce() -> io::Result<File> + Send + 'static) -> io::Result<(Self, Gauge)> {
        let mut open = Some(open);
        Self::to_files(move || open.take().map_or_else(|| Err(io::ErrorKind::Unsupported.into()), |open| open()))
    }

    /// To the files that `open` gives, one after the other, see [`Self::next_file`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn to_files(open: impl FnMut() -> io::Result<File> + Send + 'static) -> io::Result<(Self, Gauge)> {
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let outcome = its.write_to(open);
            its.end(outcome);
        })?;
        Ok((Self { shared: Arc::clone(&shared), piece: Vec::new() }, Gauge(shared)))
    }

    /// What is written from now on goes to the next file.
    ///
    /// # Errors
    /// As writing.
    pub fn next_file(&mut self) -> io::Result<()> {
        self.give()?;
        self.shared.lock().pieces.push_back(Piece::NextFile);
        self.shared.given.notify_one();
        Ok(())
    }

    fn give(&mut self) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.check()?;
        if !self.piece.is_empty() && !state.is_given_up {
            let next = state.spare.take().unwrap_or_default();
            let piece = std::mem::replace(&mut self.piece, next);
            state.waiting += piece.len();
            state.given += piece.len() as u64;
            state.pieces.push_back(Piece::Bytes(piece));
            self.shared.given.notify_one();
        }
        self.piece.clear();
        Ok(())
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.give()?;
        }
        Ok(bytes.len())
    }

    /// Gives the thread what was written.
    fn flush(&mut self) -> io::Result<()> {
        self.give()
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // Where it fails, the gauge tells.
        let _ = self.give();
        self.shared.lock().is_last = true;
        self.shared.given.notify_one();
    }
}

impl Gauge {
    /// The file is open and more may be written to it now.
    pub fn has_room(&self) -> bool {
        let state = self.0.lock();
        (state.is_open && state.waiting < ROOM) || state.is_over || state.is_given_up
    }

    /// Waits for that. Cancel-safe, for one at a time.
    ///
    /// # Errors
    /// If the file cannot be opened or written.
    pub async fn room(&self) -> io::Result<()> {
        while !self.has_room() {
            self.0.taken.notified().await;
        }
        self.0.lock().check()
    }

    /// Waits until the outlet was dropped and all is written, or given up. Cancel-safe, for one at a time.
    ///
    /// # Errors
    /// If the file cannot be opened or written.
    pub async fn settled(&self) -> io::Result<()> {
        let is_settled = || {
            let state = self.0.lock();
            state.is_over || state.is_given_up
        };
        while !is_settled() {
            self.0.taken.notified().await;
        }
        self.0.lock().check()
    }

    /// Bytes that the thread was given.
    pub fn given(&self) -> u64 {
        self.0.lock().given
    }

    /// Something is still to be written.
    pub fn is_waiting(&self) -> bool {
        let state = self.0.lock();
        state.waiting > 0 && !state.is_given_up && !state.is_over
    }

    /// Bytes that were written.
    pub fn written(&self) -> u64 {
        self.0.lock().written
    }

    /// The file could not be opened or written.
    pub fn has_failed(&self) -> bool {
        self.0.lock().failure.is_some()
    }

    /// Drops what is not written, and what is still to come. What the thread is writing now it may go on writing.
    pub fn give_up(&self) {
        let mut state = self.0.lock();
        state.is_given_up = true;
        state.pieces.clear();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole after each statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn write_to(&self, mut open: impl FnMut() -> io::Result<File>) -> io::Result<()> {
        let mut file = open()?;
        self.lock().is_open = true;
        self.taken.notify_one();
        while let Some(piece) = self.next() {
            let Piece::Bytes(piece) = piece else {
                file = open()?;
                continue;
            };
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let (is_last, is_given_up) = {
                    let state = self.lock();
                    (state.is_last, state.is_given_up)
                };
                if is_given_up {
                    return Ok(());
                }
                // At the end little by little: whoever waits for it sees that it goes on.
                let most = if is_last { libc::PIPE_BUF } else { PIECE };
                match file.write(&rest[..rest.len().min(most)]) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(taken) => {
                        rest = &rest[taken..];
                        let mut state = self.lock();
                        state.waiting -= taken;
                        state.written += taken as u64;
                        drop(state);
                        self.taken.notify_one();
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            let mut spare = piece;
            spare.clear();
            self.lock().spare = Some(spare);
        }
        Ok(())
    }

    /// The next piece, when it is there; none after the last.
    fn next(&self) -> Option<Piece> {
        let mut state = self.lock();
        loop {
            if let Some(piece) = state.pieces.pop_front() {
                return Some(piece);
            }
            if state.is_last || state.is_given_up {
                return None;
            }
            state = self.given.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self, outcome: io::Result<()>) {
        let mut state = self.lock();
        state.failure = outcome.err().map(|error| Failure {
            number: error.raw_os_error(),
            kind: error.kind(),
            text: error.to_string().into(),
        });
        state.is_over = true;
        state.pieces.clear();
        drop(state);
        self.taken.notify_one();
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match self.failure.as_ref().filter(|_| !self.is_given_up) {
            None => Ok(()),
            Some(Failure { number: Some(number), .. }) => Err(io::Error::from_raw_os_error(*number)),
            Some(Failure { number: None, kind, text }) => Err(io::Error::new(*kind, text.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, time::Duration};

    use super::*;

    fn pipe() -> (File, Outlet, Gauge) {
        let (read, write) = nix::unistd::pipe().unwrap();
        let (outlet, gauge) = Outlet::new(move || Ok(write.into())).unwrap();
        (read.into(), outlet, gauge)
    }

    fn wait<T>(work: impl Future<Output = T>) -> Option<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), work).await.ok() })
    }

    #[test]
    fn what_is_written_arrives_in_order() {
        let (mut read, mut outlet, gauge) = pipe();
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            read.read_to_end(&mut all).unwrap();
            all
        });
        let mut expected = Vec::new();
        for number in 0..50_000u32 {
            outlet.write_all(&number.to_le_bytes()).unwrap();
            expected.extend(number.to_le_bytes());
        }
        drop(outlet);
        wait(gauge.settled()).expect("the reader reads").unwrap();
        assert_eq!(gauge.written(), expected.len() as u64);
        assert_eq!(reader.join().unwrap(), expected);
    }

    #[test]
    fn a_reader_that_does_not_read_holds_up_nobody() {
        let (read, mut outlet, gauge) = pipe();
        wait(gauge.room()).expect("it is open").unwrap();
        while gauge.has_room() {
            outlet.write_all(&[0; 4096]).unwrap();
            outlet.flush().unwrap();
        }
        assert!(gauge.written() < 4 * ROOM as u64);
        gauge.give_up();
        assert!(gauge.has_room(), "what comes is dropped");
        outlet.write_all(&[0; 4 * PIECE]).unwrap();
        drop(outlet);
        wait(gauge.settled()).expect("there is nothing to wait for").unwrap();
        drop(read);
    }

    #[test]
    fn each_file_gets_what_is_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let mut count = 0;
        let open = move || {
            count += 1;
            File::create(path.join(count.to_string()))
        };
        let (mut outlet, gauge) = Outlet::to_files(open).unwrap();
        outlet.write_all(b"one").unwrap();
        outlet.next_file().unwrap();
        outlet.next_file().unwrap();
        outlet.write_all(b"three").unwrap();
        drop(outlet);
        wait(gauge.settled()).expect("nothing holds it up").unwrap();
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(["1", "2", "3"].map(read), ["one", "", "three"]);
        assert_eq!(gauge.written(), 8);
    }

    #[test]
    fn a_reader_that_goes_is_an_error() {
        let (read, mut outlet, gauge) = pipe();
        drop(read);
        outlet.write_all(b"text").unwrap();
        drop(outlet);
        let error = wait(gauge.settled()).expect("its write has failed").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(gauge.has_failed());
    }

    #[test]
    fn a_file_that_cannot_be_opened_says_so() {
        let (mut outlet, gauge) = Outlet::new(|| File::create("/no/such/directory/file")).unwrap();
        let error = wait(gauge.room()).expect("it has failed").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(outlet.flush().unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
