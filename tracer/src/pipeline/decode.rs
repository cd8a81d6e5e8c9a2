//! Bytes to records. Total: any input gives a record or an error, none is trusted.

use tracer_ebpf::record::{
    Close, Header, KIND_CLOSE, KIND_END, KIND_LOOKUP, KIND_OPEN, KIND_PROCESS, KIND_QUEUE, KIND_RAW_SEND, KIND_RST,
    KIND_STATE, KIND_STRAY, Lookup, Open, Process, ProcessEnd, Queue, RST_FRAMES, RawSend, Rst, STATE_FRAMES, State,
    StateWithClose, StateWithOpen, StateWithStack,
};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// What a record's bytes hold: one record or two of one moment.
#[derive(Debug)]
pub struct Decoded {
    /// The record.
    pub record: Record,
    /// A state change may be an opening or the end of a connection, too.
    pub also: Option<Record>,
}

/// A record and its kernel stack, if it has one.
#[derive(Debug)]
pub struct Record {
    /// What happened.
    pub body: Body,
    /// Return addresses, innermost first.
    pub stack: Vec<u64>,
}

/// The kinds of records.
#[derive(Debug)]
pub enum Body {
    /// See [`State`].
    State(State),
    /// See [`Rst`], stray ones included; boxed because it carries its stack.
    Rst(Box<Rst>),
    /// See [`Lookup`].
    Lookup(Lookup),
    /// See [`RawSend`].
    RawSend(RawSend),
    /// See [`Open`].
    Open(Open),
    /// See [`Close`].
    Close(Close),
    /// See [`Queue`].
    Queue(Queue),
    /// See [`Process`]; boxed because it carries its arguments.
    Process(Box<Process>),
    /// See [`ProcessEnd`].
    End(ProcessEnd),
}

/// Bytes that are no record.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than its kind, or than it says itself.
    #[error("a record of kind {kind:?} has {got} bytes")]
    Truncated {
        /// The kind that the header names, if there is a header.
        kind: Option<u16>,
        /// Bytes there are.
        got: usize,
    },
    /// A kind from a later version.
    #[error("unknown record kind {0}")]
    UnknownKind(u16),
}

/// Decodes one record.
///
/// # Errors
/// If the bytes are too few or the kind is unknown.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Error> {
    let truncated = |kind| Error::Truncated { kind, got: bytes.len() };
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| truncated(None))?;
    let kind = header.kind;
    let truncated = || truncated(Some(kind));
    if bytes.len() < usize::from(header.size) {
        return Err(truncated());
    }
    let bytes = &bytes[..usize::from(header.size)];
    let record = match kind {
        KIND_STATE => return state(bytes).ok_or_else(truncated),
        KIND_RST | KIND_STRAY => rst(bytes).ok_or_else(truncated)?,
        KIND_LOOKUP => read(bytes).map(Body::Lookup).ok_or_else(truncated)?.into(),
        KIND_RAW_SEND => read(bytes).map(Body::RawSend).ok_or_else(truncated)?.into(),
        KIND_OPEN => read(bytes).map(Body::Open).ok_or_else(truncated)?.into(),
        KIND_CLOSE => read(bytes).map(Body::Close).ok_or_else(truncated)?.into(),
        KIND_QUEUE => read(bytes).map(Body::Queue).ok_or_else(truncated)?.into(),
        KIND_PROCESS => read(bytes).map(|process| Body::Process(Box::new(process))).ok_or_else(truncated)?.into(),
        KIND_END => read(bytes).map(Body::End).ok_or_else(truncated)?.into(),
        unknown => return Err(Error::UnknownKind(unknown)),
    };
    Ok(record.into())
}

/// A state change and what comes with it, which its size tells.
fn state(bytes: &[u8]) -> Option<Decoded> {
    const WITH_OPEN: usize = size_of::<StateWithOpen>();
    const WITH_CLOSE: usize = size_of::<StateWithClose>();
    const WITH_STACK: usize = size_of::<StateWithStack>();
    Some(match bytes.len() {
        WITH_OPEN => {
            let StateWithOpen { state, opening } = read(bytes)?;
            let header = Header { kind: KIND_OPEN, size: size_of::<Open>() as u16, ..state.header };
            Decoded { record: Body::State(state).into(), also: Some(Body::Open(Open { header, opening }).into()) }
        }
        WITH_CLOSE => {
            let StateWithClose { state, closing } = read(bytes)?;
            let header = Header { kind: KIND_CLOSE, size: size_of::<Close>() as u16, ..state.header };
            Decoded { record: Body::State(state).into(), also: Some(Body::Close(Close { header, closing }).into()) }
        }
        WITH_STACK => {
            let StateWithStack { state, stack } = read(bytes)?;
            let frames = STATE_FRAMES.min(state.frames.into());
            Record { body: Body::State(state), stack: stack[..frames].to_vec() }.into()
        }
        _ => Record::from(Body::State(read(bytes)?)).into(),
    })
}

/// A RST, of which the end may be left out.
fn rst(bytes: &[u8]) -> Option<Record> {
    if ![Rst::BARE, Rst::WITH_PAST, Rst::WHOLE].contains(&bytes.len()) {
        return None;
    }
    let mut record = Box::new(Rst::new_zeroed());
    record.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    let frames = if bytes.len() == Rst::WHOLE { RST_FRAMES.min(record.frames as usize) } else { 0 };
    Some(Record { stack: record.stack[..frames].to_vec(), body: Body::Rst(record) })
}

fn read<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Option<T> {
    T::read_from_prefix(bytes).ok().map(|(record, _)| record)
}

impl From<Body> for Record {
    /// A record without a stack.
    fn from(body: Body) -> Self {
        Self { body, stack: Vec::new() }
    }
}

impl From<Record> for Decoded {
    /// A record alone.
    fn from(record: Record) -> Self {
        Self { record, also: None }
    }
}

impl Record {
    /// What every record starts with.
    pub fn header(&self) -> &Header {
        match &self.body {
            Body::State(record) => &record.header,
            Body::Rst(record) => &record.header,
            Body::Lookup(record) => &record.header,
            Body::RawSend(record) => &record.header,
            Body::Open(record) => &record.header,
            Body::Close(record) => &record.header,
            Body::Queue(record) => &record.header,
            Body::Process(record) => &record.header,
            Body::End(record) => &record.header,
        }
    }
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::record::{RST_RECEIVED, TABLE_LISTENER, VIA_PACKET};

    use super::*;
    use crate::redact::{Key, Redactor, Secret};

    fn header<T>(kind: u16) -> Header {
        let mut header = Header::new_zeroed();
        header.kind = kind;
        header.size = size_of::<T>() as u16;
        header.mono_ns = 42;
        header
    }

    /// One record of each kind and size.
    fn records() -> Vec<Vec<u8>> {
        let mut state = State::new_zeroed();
        state.header = header::<State>(KIND_STATE);
        let mut with_stack = StateWithStack::new_zeroed();
        with_stack.state.header = header::<StateWithStack>(KIND_STATE);
        with_stack.state.frames = 2;
        with_stack.stack[..2].copy_from_slice(&[7, 8]);
        let mut rst = Rst::new_zeroed();
        rst.header = header::<Rst>(KIND_RST);
        rst.direction = RST_RECEIVED;
        rst.frames = RST_FRAMES as u32;
        let mut lookup = Lookup::new_zeroed();
        lookup.header = header::<Lookup>(KIND_LOOKUP);
        lookup.table = TABLE_LISTENER;
        let mut raw = RawSend::new_zeroed();
        raw.header = header::<RawSend>(KIND_RAW_SEND);
        raw.via = VIA_PACKET;
        let mut open = Open::new_zeroed();
        open.header = header::<Open>(KIND_OPEN);
        let mut close = Close::new_zeroed();
        close.header = header::<Close>(KIND_CLOSE);
        let mut process = Process::new_zeroed();
        process.header = header::<Process>(KIND_PROCESS);
        let mut end = ProcessEnd::new_zeroed();
        end.header = header::<ProcessEnd>(KIND_END);
        end.exit_code = 9;
        let mut queue = Queue::new_zeroed();
        queue.header = header::<Queue>(KIND_QUEUE);
        let mut with_open = StateWithOpen::new_zeroed();
        with_open.state.header = header::<StateWithOpen>(KIND_STATE);
        with_open.opening.rtt_us = 7;
        let mut with_close = StateWithClose::new_zeroed();
        with_close.state.header = header::<StateWithClose>(KIND_STATE);
        with_close.closing.bytes_sent = 9;
        let mut bare = Rst::new_zeroed();
        bare.header = Header { size: Rst::BARE as u16, ..header::<Rst>(KIND_STRAY) };
        bare.frames = 3;
        bare.reason = 5;
        vec![
            state.as_bytes().to_vec(),
            with_stack.as_bytes().to_vec(),
            rst.as_bytes().to_vec(),
            lookup.as_bytes().to_vec(),
            raw.as_bytes().to_vec(),
            open.as_bytes().to_vec(),
            close.as_bytes().to_vec(),
            process.as_bytes().to_vec(),
            with_open.as_bytes().to_vec(),
            with_close.as_bytes().to_vec(),
            bare.as_bytes()[..Rst::BARE].to_vec(),
            end.as_bytes().to_vec(),
            queue.as_bytes().to_vec(),
        ]
    }

    #[test]
    fn each_kind_is_decoded() {
        let (decoded, also): (Vec<Record>, Vec<Option<Record>>) = records()
            .iter()
            .map(|bytes| {
                let Decoded { record, also } = decode(bytes).unwrap();
                (record, also)
            })
            .unzip();
        assert!(decoded.iter().all(|record| record.header().mono_ns == 42));
        assert!(matches!(decoded[0].body, Body::State(_)) && decoded[0].stack.is_empty());
        assert!(matches!(decoded[1].body, Body::State(_)));
        assert_eq!(decoded[1].stack, [7, 8]);
        assert!(matches!(&decoded[2].body, Body::Rst(rst) if rst.direction == RST_RECEIVED));
        assert_eq!(decoded[2].stack.len(), RST_FRAMES);
        assert!(matches!(&decoded[3].body, Body::Lookup(lookup) if lookup.table == TABLE_LISTENER));
        assert!(matches!(&decoded[4].body, Body::RawSend(raw) if raw.via == VIA_PACKET));
        assert!(matches!(&decoded[5].body, Body::Open(_)));
        assert!(matches!(&decoded[6].body, Body::Close(_)));
        assert!(matches!(&decoded[7].body, Body::Process(_)));
        assert!(matches!(&decoded[8].body, Body::State(_)));
        assert!(matches!(&decoded[9].body, Body::State(_)));
        assert!(matches!(&decoded[10].body, Body::Rst(rst) if rst.reason == 5 && rst.past.known == 0));
        assert!(decoded[10].stack.is_empty(), "it has no stack, whatever it says");
        assert!(matches!(&decoded[11].body, Body::End(end) if end.exit_code == 9));
        let [also_open, also_close] = [&also[8], &also[9]].map(|also| also.as_ref().unwrap());
        assert!(matches!(&also_open.body, Body::Open(open) if open.opening.rtt_us == 7));
        assert!(matches!(&also_close.body, Body::Close(close) if close.closing.bytes_sent == 9));
        assert_eq!((also_open.header().mono_ns, also_close.header().mono_ns), (42, 42));
        assert_eq!(also.iter().flatten().count(), 2);
    }

    #[test]
    fn what_is_decoded_can_be_redacted_and_is_of_its_kind_and_size_then() {
        let mut redactor = Redactor::new(&[Secret::Cmdline, Secret::User, Secret::Address].into(), Key::of([0; 16]));
        for bytes in records() {
            let masked = redactor.record(&bytes).expect("it is a record").into_owned();
            let [(before, _), (after, _)] = [&bytes, &masked].map(|bytes| Header::read_from_prefix(bytes).unwrap());
            assert_eq!((after.kind, after.size, masked.len()), (before.kind, before.size, bytes.len()));
            assert!(decode(&masked).is_ok());
            assert!((0..bytes.len()).all(|length| redactor.record(&bytes[..length]).is_none()));
        }
        assert_eq!(redactor.record(header::<Header>(99).as_bytes()), None, "an unknown kind");
    }

    #[test]
    fn bytes_that_are_too_few_are_an_error_and_those_after_the_record_do_not_matter() {
        for bytes in records() {
            for length in 0..bytes.len() {
                assert!(matches!(decode(&bytes[..length]), Err(Error::Truncated { got, .. }) if got == length));
            }
            assert!(decode(&[bytes, vec![0xff; 9]].concat()).is_ok());
        }
    }

    #[test]
    fn a_size_that_does_not_fit_the_kind_is_an_error() {
        let mut state = State::new_zeroed();
        state.header = header::<Header>(KIND_RST);
        assert!(matches!(decode(state.as_bytes()), Err(Error::Truncated { kind: Some(KIND_RST), .. })));
    }

    #[test]
    fn an_unknown_kind_is_named() {
        assert_eq!(decode(header::<Header>(99).as_bytes()).unwrap_err(), Error::UnknownKind(99));
    }

    #[test]
    fn more_frames_than_there_is_room_for_are_not_believed() {
        let mut rst = Rst::new_zeroed();
        rst.header = header::<Rst>(KIND_RST);
        rst.frames = u32::MAX;
        assert_eq!(decode(rst.as_bytes()).unwrap().record.stack.len(), RST_FRAMES);
    }
}
