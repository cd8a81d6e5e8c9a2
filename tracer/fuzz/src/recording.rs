//! Recordings as files.

use tracer::{
    recording::{Frame, Preamble, Reader, Writer},
    sink::foreign::Printable,
};

use crate::{limit::Limit, plain::assert_plain};

/// One frame at a time, of 1 MiB at most whatever its length says, and JSON that is made of it.
const LIMIT: Limit = Limit { fixed: 4 << 20, per_byte: 64 };

/// Any file is a recording up to some place, and what is read of it can be written and read again.
pub fn check(bytes: &[u8]) {
    LIMIT.hold(bytes.len(), || {
        let error = match Reader::new(bytes) {
            Ok((mut reader, preamble)) => loop {
                match reader.frame() {
                    Ok(frame) => assert_eq!(again(&preamble, &frame), (preamble.clone(), frame)),
                    Err(error) => break error,
                }
            },
            Err(error) => error,
        };
        assert_plain(&format!("{}", Printable(error)), "the error");
    });
}

/// Written, and read.
fn again(preamble: &Preamble, frame: &Frame) -> (Preamble, Frame) {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, preamble).expect("memory takes all");
    let written = match frame {
        Frame::Symbol(address, name) => writer.symbol(*address, name),
        Frame::Fact(fact) => writer.fact(fact),
        Frame::Record(bytes) => writer.record(bytes),
        Frame::Loss(loss) => writer.loss(loss),
        Frame::Summary(summary) => writer.finish(summary),
        Frame::Continued => writer.next_part(preamble, |_| Ok(())),
    };
    written.expect("memory takes all");
    let (mut reader, preamble) = Reader::new(&file[..]).expect("a recording");
    (preamble, reader.frame().expect("a frame"))
}
