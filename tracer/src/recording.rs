//! Records in a file, with what is needed to read them on another machine: kernel, clock, names.
//!
//! Layout: the magic, then frames of a tag byte, a length (u32, little-endian) and that many bytes. The
//! first frame is the [`Preamble`]; a symbol comes before the first record whose stack needs it, and a fact
//! (a user's name, a control group's path) before the first that it explains; a loss where it was told; the last
//! frame is the summary, so a file without one was cut off; or it says that the recording goes on in another file, which
//! begins as the first one did, with what it needs of those before. Records are as the kernel wrote them: native
//! byte order, which the preamble names.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    io::{self, Read, Write},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    event::Reasons,
    pipeline::enrich::host_facts::{Fact, shortened},
    redact::{Redact, Redactor},
    report::{Loss, RunInfo, Summary},
};

mod context;

use self::context::Context;

const MAGIC: &[u8; 8] = b"TRACER\x00\x06";
const PREAMBLE: u8 = b'P';
const SYMBOL: u8 = b'S';
const FACT: u8 = b'F';
const LOSS: u8 = b'L';
const RECORD: u8 = b'R';
const SUMMARY: u8 = b'E';
const CONTINUED: u8 = b'C';
/// Longest frame that is believed: a damaged length must not make us allocate gigabytes.
const LONGEST: u32 = 1 << 20;
/// Longest name of a function that a kernel has (`KSYM_NAME_LEN`, since 6.1). Reasons are shorter. A name is read once and
/// kept by each event that has it, so a longer one would multiply.
const LONGEST_NAME: usize = 512;
/// Functions that are known to be told already: of more than a kernel sends RSTs from, some are told again.
const TOLD: usize = 1 << 16;

/// What all records of a file have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preamble {
    /// "little" or "big": byte order of the records.
    pub endian: String,
    /// Wall-clock time at which `CLOCK_MONOTONIC` was zero.
    pub boot: Timestamp,
    /// Names of `enum sk_rst_reason` by number.
    pub reasons: BTreeMap<u32, String>,
    /// Names of `enum skb_drop_reason` by number.
    #[serde(default)]
    pub drop_reasons: BTreeMap<u32, String>,
    /// Each RST that the host sent was to be reported.
    #[serde(default)]
    pub sees_sent: bool,
    /// `CLOCK_MONOTONIC` in nanoseconds when all probes were attached.
    #[serde(default)]
    pub attached_ns: u64,
    /// How the events were observed.
    pub run: RunInfo,
}

impl Preamble {
    /// What the kernel that was recorded calls reasons.
    pub fn reasons(&self) -> Reasons {
        let names = |all: &BTreeMap<u32, String>| {
            all.iter().map(|(number, name)| (*number, shortened(name.clone(), LONGEST_NAME))).collect()
        };
        Reasons { reset: names(&self.reasons), drop: names(&self.drop_reasons) }
    }
}

impl Redact for Preamble {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { endian: _, boot: _, reasons: _, drop_reasons: _, sees_sent: _, attached_ns: _, run } = self;
        run.redact(redactor);
    }
}

/// A frame of a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// The function at an address.
    Symbol(u64, String),
    /// What a number is called on that host.
    Fact(Fact),
    /// A record's bytes.
    Record(Vec<u8>),
    /// What was lost before this place.
    Loss(Loss),
    /// The end.
    Summary(Box<Summary>),
    /// The end of this file; the next one goes on.
    Continued,
}

impl Redact for Frame {
    fn redact(&mut self, redactor: &mut Redactor) {
        match self {
            // Of the kernel's functions.
            Self::Symbol(_, _) | Self::Continued => {}
            Self::Fact(fact) => fact.redact(redactor),
            // Bytes that are no record are not shown either.
            Self::Record(bytes) => *bytes = redactor.record(bytes).map(Cow::into_owned).unwrap_or_default(),
            Self::Loss(loss) => loss.redact(redactor),
            Self::Summary(summary) => summary.redact(redactor),
        }
    }
}

/// A recording cannot be read, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a recording.
    #[error("not a tracer recording")]
    NotOne,
    /// Of another version.
    #[error("the recording has format {0}, this tracer reads format {ours}: use the version that wrote it", ours = MAGIC[7])]
    OtherVersion(u8),
    /// From a machine of the other byte order.
    #[error("the recording was made on a {0}-endian machine and can be read only on such a machine")]
    OtherEndian(String),
    /// The file ends too early.
    #[error(
        "the recording is cut off at byte {0} (the tracer was killed, or is still running): everything before is shown"
    )]
    CutOff(u64),
    /// The bytes make no sense.
    #[error("the recording is damaged at byte {0}: everything before is shown")]
    Damaged(u64),
    /// The file cannot be read.
    #[error("cannot read the recording")]
    Io(#[from] io::Error),
}

/// Writes a recording.
pub struct Writer<W: Write> {
    out: W,
    known: HashSet<u64>,
    /// What the next part needs, if there may be one.
    context: Option<Context>,
    /// Bytes of this part, and how many of them it began with.
    written: u64,
    inherited: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a recording.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn new(out: W, preamble: &Preamble) -> io::Result<Self> {
        let mut writer = Self { out, known: HashSet::new(), context: None, written: 0, inherited: 0 };
        writer.begin(preamble)?;
        writer.inherited = writer.written;
        Ok(writer)
    }

    /// Keeps from now on what another part needs, but not more than half of what a part is to have, in bytes.
    #[must_use]
    pub fn in_parts(self, part: Option<u64>) -> Self {
        Self { context: Some(Context::new(part)), ..self }
    }

    /// Bytes of this part so far, if it has more than it began with.
    pub fn written(&self) -> Option<u64> {
        (self.written > self.inherited).then_some(self.written)
    }

    /// Ends this part, and begins the next one, once `next_file` has changed the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn next_part(
        &mut self,
        preamble: &Preamble,
        next_file: impl FnOnce(&mut W) -> io::Result<()>,
    ) -> io::Result<()> {
        self.frame(CONTINUED, &[])?;
        next_file(&mut self.out)?;
        self.written = 0;
        self.begin(preamble)?;
        let context = self.context.take().unwrap_or_else(|| Context::new(None));
        self.known.clear();
        for (tag, bytes) in context.frames() {
            if let (SYMBOL, Some((address, _))) = (tag, bytes.split_first_chunk()) {
                self.known.insert(u64::from_le_bytes(*address));
            }
            self.frame(tag, bytes)?;
        }
        self.context = Some(context);
        self.inherited = self.written;
        Ok(())
    }

    fn begin(&mut self, preamble: &Preamble) -> io::Result<()> {
        self.out.write_all(MAGIC)?;
        self.written += MAGIC.len() as u64;
        self.frame(PREAMBLE, &serde_json::to_vec(preamble)?)
    }

    /// Adds the name of the function at an address, once.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn symbol(&mut self, address: u64, name: &str) -> io::Result<()> {
        if self.known.len() >= TOLD {
            self.known.clear();
        }
        if self.known.insert(address) {
            self.needed(SYMBOL, &[&address.to_le_bytes(), name.as_bytes()].concat())?;
        }
        Ok(())
    }

    /// Adds what a number is called here.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn fact(&mut self, fact: &Fact) -> io::Result<()> {
        let bytes = serde_json::to_vec(fact)?;
        match fact {
            // They are of one moment.
            Fact::Lost { .. } | Fact::Stopped { .. } | Fact::Listeners { .. } | Fact::Reader { .. } => {
                self.frame(FACT, &bytes)
            }
            _ => self.needed(FACT, &bytes),
        }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn record(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frame(RECORD, bytes)
    }

    /// Adds a record that later ones need: it tells of a process.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn record_of_process(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.needed(RECORD, bytes)
    }

    /// Passes on what was added so far.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Adds what was lost.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn loss(&mut self, loss: &Loss) -> io::Result<()> {
        self.frame(LOSS, &serde_json::to_vec(loss)?)
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(mut self, summary: &Summary) -> io::Result<()> {
        self.frame(SUMMARY, &serde_json::to_vec(summary)?)?;
        self.out.flush()
    }

    /// A frame that later parts need, too.
    fn needed(&mut self, tag: u8, bytes: &[u8]) -> io::Result<()> {
        if let Some(context) = &mut self.context {
            context.keep(tag, bytes);
        }
        self.frame(tag, bytes)
    }

    fn frame(&mut self, tag: u8, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.written += 1 + u64::from(u32::BITS / 8) + u64::from(length);
        self.out.write_all(&[tag])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(bytes)
    }
}

/// Reads a recording.
pub struct Reader<R: Read> {
    input: R,
    offset: u64,
}

impl<R: Read> Reader<R> {
    /// Opens a recording.
    ///
    /// # Errors
    /// If it is none, or none that can be read here.
    pub fn new(input: R) -> Result<(Self, Preamble), Error> {
        let mut reader = Self { input, offset: 0 };
        let mut magic = [0; MAGIC.len()];
        let there = reader.fill(&mut magic)?;
        let known = there.min(MAGIC.len() - 1);
        if magic[..known] != MAGIC[..known] {
            return Err(Error::NotOne);
        }
        if there < magic.len() {
            return Err(Error::CutOff(there as u64));
        }
        if magic[7] != MAGIC[7] {
            return Err(Error::OtherVersion(magic[7]));
        }
        let preamble = match reader.raw()? {
            Some((PREAMBLE, bytes)) => serde_json::from_slice::<Preamble>(&bytes).ok(),
            _ => None,
        };
        let preamble = preamble.ok_or(Error::Damaged(MAGIC.len() as u64))?;
        if preamble.endian != native_endian() {
            return Err(Error::OtherEndian(preamble.endian));
        }
        Ok((reader, preamble))
    }

    /// The next frame.
    ///
    /// # Errors
    /// If the file ends, which without a [`Frame::Summary`] before is [`Error::CutOff`], or is damaged.
    pub fn frame(&mut self) -> Result<Frame, Error> {
        let start = self.offset;
        let Some((tag, bytes)) = self.raw()? else { return Err(Error::CutOff(start)) };
        let frame = match tag {
            SYMBOL => bytes.split_first_chunk().and_then(|(address, name)| {
                let name = shortened(String::from_utf8(name.to_vec()).ok()?, LONGEST_NAME);
                Some(Frame::Symbol(u64::from_le_bytes(*address), name))
            }),
            FACT => serde_json::from_slice(&bytes).ok().map(Fact::shortened).map(Frame::Fact),
            RECORD => Some(Frame::Record(bytes)),
            LOSS => serde_json::from_slice(&bytes).ok().map(Frame::Loss),
            CONTINUED if bytes.is_empty() => Some(Frame::Continued),
            SUMMARY => serde_json::from_slice(&bytes).ok().map(Box::new).map(Frame::Summary),
            _ => None,
        };
        frame.ok_or(Error::Damaged(start))
    }

    /// Tag and bytes of the next frame, `None` at the end of the file.
    fn raw(&mut self) -> Result<Option<(u8, Vec<u8>)>, Error> {
        let start = self.offset;
        let mut head = [0; 5];
        match self.fill(&mut head)? {
            0 => return Ok(None),
            5 => {}
            _ => return Err(Error::CutOff(start)),
        }
        let [tag, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        if length > LONGEST {
            return Err(Error::Damaged(start));
        }
        let mut bytes = vec![0; length as usize];
        if self.fill(&mut bytes)? < bytes.len() {
            return Err(Error::CutOff(start));
        }
        Ok(Some((tag, bytes)))
    }

    /// Reads until `buffer` is full or the file ends; how much it was.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }
}

/// This machine's byte order, as the preamble names it.
pub fn native_endian() -> &'static str {
    if cfg!(target_endian = "little") { "little" } else { "big" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preamble() -> Preamble {
        let run = RunInfo {
            version: "0.1.0".into(),
            kernel: "6.12.0".into(),
            probes: BTreeMap::new(),
            degraded: vec![],
            room: crate::kernel::room::Room::default(),
            redacted: [].into(),
        };
        Preamble {
            endian: native_endian().into(),
            boot: Timestamp::UNIX_EPOCH,
            reasons: [].into(),
            drop_reasons: [].into(),
            sees_sent: true,
            attached_ns: 7,
            run,
        }
    }

    fn loss() -> Loss {
        let lost = crate::report::Lost { skipped: 3, ..Default::default() };
        Loss { time: Timestamp::UNIX_EPOCH, since: Timestamp::UNIX_EPOCH, mono_ns: 7, lost }
    }

    fn recording() -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, &preamble()).unwrap();
        writer.symbol(0x10, "tcp_close").unwrap();
        writer.symbol(0x10, "tcp_close").unwrap();
        writer.record(b"bytes").unwrap();
        writer.loss(&loss()).unwrap();
        writer.finish(&Summary::default()).unwrap();
        file
    }

    #[test]
    fn what_was_written_is_read() {
        let file = recording();
        let (mut reader, read) = Reader::new(&file[..]).unwrap();
        assert_eq!(read, preamble());
        assert_eq!(reader.frame().unwrap(), Frame::Symbol(0x10, "tcp_close".into()));
        assert_eq!(reader.frame().unwrap(), Frame::Record(b"bytes".to_vec()));
        assert_eq!(reader.frame().unwrap(), Frame::Loss(loss()));
        assert_eq!(reader.frame().unwrap(), Frame::Summary(Box::default()));
        assert!(matches!(reader.frame(), Err(Error::CutOff(at)) if at == file.len() as u64));
    }

    #[test]
    fn each_part_has_what_it_needs_of_those_before() {
        let mut files = vec![Vec::new()];
        let mut writer = Writer::new(Vec::new(), &preamble()).unwrap().in_parts(None);
        writer.symbol(0x10, "tcp_close").unwrap();
        writer.record_of_process(b"process").unwrap();
        writer.record(b"first").unwrap();
        writer.fact(&Fact::Stopped { mono_ns: 7 }).unwrap();
        let turn = |files: &mut Vec<Vec<u8>>, out: &mut Vec<u8>| {
            files.push(std::mem::take(out));
            Ok(())
        };
        writer.next_part(&preamble(), |out| turn(&mut files, out)).unwrap();
        assert_eq!(writer.written(), None, "what it has is of the first part");
        writer.symbol(0x10, "tcp_close").unwrap();
        writer.record(b"second").unwrap();
        let length = writer.written().expect("it has records");
        writer.next_part(&preamble(), |out| turn(&mut files, out)).unwrap();
        assert_eq!(files[2].len() as u64, length + 5, "what is counted is what is written");
        let frames = |file: &[u8]| {
            let (mut reader, read) = Reader::new(file).unwrap();
            assert_eq!(read, preamble());
            let mut frames = Vec::new();
            while frames.last() != Some(&Frame::Continued) {
                frames.push(reader.frame().unwrap());
            }
            frames
        };
        let needed = || [Frame::Symbol(0x10, "tcp_close".into()), Frame::Record(b"process".to_vec())];
        let stopped = Frame::Fact(Fact::Stopped { mono_ns: 7 });
        let first = needed().into_iter().chain([Frame::Record(b"first".to_vec()), stopped, Frame::Continued]);
        assert_eq!(frames(&files[1]), first.collect::<Vec<_>>());
        let second = needed().into_iter().chain([Frame::Record(b"second".to_vec()), Frame::Continued]);
        assert_eq!(frames(&files[2]), second.collect::<Vec<_>>());
    }

    #[test]
    fn what_no_kernel_calls_anything_is_cut_and_read_again_as_it_is() {
        for text in ["", "tcp_close", &"x".repeat(512)] {
            assert_eq!(shortened(text.to_owned(), 512), text);
        }
        let long = shortened("ä".repeat(300), 511);
        assert_eq!((long.len(), long.ends_with("ä…")), (513, true));
        assert_eq!(shortened(long.clone(), 511), long);

        let mut file = Vec::new();
        let huge = "x".repeat(1 << 19);
        let written = Preamble { reasons: [(1, huge.clone())].into(), ..preamble() };
        let mut writer = Writer::new(&mut file, &written).unwrap();
        writer.symbol(7, &huge).unwrap();
        writer.fact(&Fact::Cgroup { id: 1, path: huge.clone() }).unwrap();
        writer.fact(&Fact::CommandLine { pid: 1, line: huge }).unwrap();
        let (mut reader, preamble) = Reader::new(&file[..]).unwrap();
        assert!(preamble.reasons().reset[&1].len() < 600);
        assert!(matches!(reader.frame(), Ok(Frame::Symbol(7, name)) if name.len() < 600));
        assert!(matches!(reader.frame(), Ok(Frame::Fact(Fact::Cgroup { path, .. })) if path.len() < 5000));
        assert!(matches!(reader.frame(), Ok(Frame::Fact(Fact::CommandLine { line, .. })) if line.len() < 70_000));
    }

    /// Programs that come and go have ever new addresses.
    #[test]
    fn not_more_functions_are_known_to_be_told_than_there_is_room_for() {
        let mut writer = Writer::new(io::sink(), &preamble()).unwrap();
        for address in 0..3 * TOLD as u64 {
            writer.symbol(address, "f").unwrap();
            assert!(writer.known.len() <= TOLD);
        }
    }

    #[test]
    fn a_file_cut_anywhere_gives_its_beginning_and_says_where_it_ends() {
        let file = recording();
        for length in 0..file.len() {
            match Reader::new(&file[..length]) {
                Err(error) => assert!(matches!(error, Error::CutOff(_) | Error::Damaged(8)), "{error}"),
                Ok((mut reader, _)) => {
                    let error = loop {
                        match reader.frame() {
                            Ok(Frame::Summary(_)) => panic!("a summary in {length} bytes"),
                            Ok(_) => {}
                            Err(error) => break error,
                        }
                    };
                    assert!(matches!(error, Error::CutOff(at) if at <= length as u64), "{error}");
                }
            }
        }
    }

    #[test]
    fn other_files_are_refused_by_what_they_are() {
        assert!(matches!(Reader::new(&b"\x7fELF........"[..]), Err(Error::NotOne)));
        let mut later = recording();
        later[7] = 9;
        assert!(matches!(Reader::new(&later[..]), Err(Error::OtherVersion(9))));
        let mut damaged = recording();
        damaged[9..13].fill(0xff);
        assert!(matches!(Reader::new(&damaged[..]), Err(Error::Damaged(8))));
    }
}
