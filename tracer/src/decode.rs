//! Bytes to records. Total: any input gives a record or an error, none is trusted.

use tracer_ebpf::record::{
    Header, KIND_LOOKUP, KIND_RAW_SEND, KIND_RST, KIND_STATE, Lookup, RST_FRAMES, RawSend, Rst, STATE_FRAMES, State,
    StateWithStack,
};
use zerocopy::FromBytes;

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
    /// See [`Rst`]; boxed because it carries its stack.
    Rst(Box<Rst>),
    /// See [`Lookup`].
    Lookup(Lookup),
    /// See [`RawSend`].
    RawSend(RawSend),
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
pub fn decode(bytes: &[u8]) -> Result<Record, Error> {
    let truncated = |kind| Error::Truncated { kind, got: bytes.len() };
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| truncated(None))?;
    let kind = header.kind;
    let truncated = || truncated(Some(kind));
    if bytes.len() < usize::from(header.size) {
        return Err(truncated());
    }
    let bytes = &bytes[..usize::from(header.size)];
    Ok(match kind {
        KIND_STATE if bytes.len() > size_of::<State>() => {
            let (record, _) = StateWithStack::read_from_prefix(bytes).map_err(|_| truncated())?;
            let frames = STATE_FRAMES.min(record.state.frames as usize);
            Record { body: Body::State(record.state), stack: record.stack[..frames].to_vec() }
        }
        KIND_STATE => {
            let (record, _) = State::read_from_prefix(bytes).map_err(|_| truncated())?;
            Record { body: Body::State(record), stack: Vec::new() }
        }
        KIND_RST => {
            let (record, _) = Rst::read_from_prefix(bytes).map_err(|_| truncated())?;
            let frames = RST_FRAMES.min(record.frames as usize);
            Record { stack: record.stack[..frames].to_vec(), body: Body::Rst(Box::new(record)) }
        }
        KIND_LOOKUP => {
            let (record, _) = Lookup::read_from_prefix(bytes).map_err(|_| truncated())?;
            Record { body: Body::Lookup(record), stack: Vec::new() }
        }
        KIND_RAW_SEND => {
            let (record, _) = RawSend::read_from_prefix(bytes).map_err(|_| truncated())?;
            Record { body: Body::RawSend(record), stack: Vec::new() }
        }
        unknown => return Err(Error::UnknownKind(unknown)),
    })
}

impl Record {
    /// What every record starts with.
    pub fn header(&self) -> &Header {
        match &self.body {
            Body::State(record) => &record.header,
            Body::Rst(record) => &record.header,
            Body::Lookup(record) => &record.header,
            Body::RawSend(record) => &record.header,
        }
    }
}
