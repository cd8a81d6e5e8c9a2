//! Records, member by member.

use std::mem::offset_of;

use tracer_ebpf::record::{
    AF_INET6, ARGUMENTS, Circumstances, Close, Closing, Header, KIND_CLOSE, KIND_END, KIND_LOOKUP, KIND_OPEN,
    KIND_PROCESS, KIND_QUEUE, KIND_RAW_SEND, KIND_RST, KIND_STATE, KIND_STRAY, Lookup, Numbers, Open, Opening, Other,
    Owner, Past, Process, ProcessEnd, Queue, RawSend, Rst, Segment, SegmentStats, State, StateWithClose, StateWithOpen,
    StateWithStack,
};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::{Redact, Redactor};

/// A record without what is to be masked; `None` for bytes that are none, as the decoder has it. Of the bytes of one only
/// those come out that its kind has.
pub(super) fn masked(bytes: &[u8], redactor: &mut Redactor) -> Option<Vec<u8>> {
    let (header, _) = Header::read_from_prefix(bytes).ok()?;
    let bytes = bytes.get(..usize::from(header.size))?;
    match header.kind {
        KIND_STATE => match bytes.len() {
            length if length == size_of::<StateWithOpen>() => of::<StateWithOpen>(bytes, redactor),
            length if length == size_of::<StateWithClose>() => of::<StateWithClose>(bytes, redactor),
            length if length == size_of::<StateWithStack>() => of::<StateWithStack>(bytes, redactor),
            _ => of::<State>(bytes, redactor),
        },
        KIND_RST | KIND_STRAY => rst(bytes, redactor),
        KIND_LOOKUP => of::<Lookup>(bytes, redactor),
        KIND_RAW_SEND => of::<RawSend>(bytes, redactor),
        KIND_OPEN => of::<Open>(bytes, redactor),
        KIND_CLOSE => of::<Close>(bytes, redactor),
        KIND_QUEUE => of::<Queue>(bytes, redactor),
        KIND_PROCESS => of::<Process>(bytes, redactor),
        KIND_END => of::<ProcessEnd>(bytes, redactor),
        _ => None,
    }
}

fn of<T: FromBytes + IntoBytes + Immutable + KnownLayout + Redact>(
    bytes: &[u8],
    redactor: &mut Redactor,
) -> Option<Vec<u8>> {
    let (mut record, _) = T::read_from_prefix(bytes).ok()?;
    record.redact(redactor);
    Some(sized(record.as_bytes().to_vec()))
}

/// A RST, of which the end may be left out.
fn rst(bytes: &[u8], redactor: &mut Redactor) -> Option<Vec<u8>> {
    if ![Rst::BARE, Rst::WITH_PAST, Rst::WHOLE].contains(&bytes.len()) {
        return None;
    }
    let mut record = Rst::new_zeroed();
    record.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    record.redact(redactor);
    Some(record.as_bytes()[..bytes.len()].to_vec())
}

/// A record that says its size.
fn sized(mut record: Vec<u8>) -> Vec<u8> {
    let at = offset_of!(Header, size);
    let size = (record.len() as u16).to_ne_bytes();
    record[at..at + size.len()].copy_from_slice(&size);
    record
}

impl Redact for Owner {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { cgroup: _, pid: _, tid: _, uid, known: _, comm: _ } = self;
        *uid = redactor.uid(*uid);
    }
}

impl Redact for Header {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self {
            mono_ns: _,
            cookie: _,
            sock: _,
            kind: _,
            size: _,
            netns: _,
            pid: _,
            tid: _,
            comm: _,
            owner,
            local_addr,
            remote_addr,
            local_port: _,
            remote_port: _,
            family,
            context: _,
            opened: _,
        } = self;
        owner.redact(redactor);
        let is_v4 = *family != AF_INET6;
        redactor.address_bytes(local_addr, is_v4);
        redactor.address_bytes(remote_addr, is_v4);
    }
}

impl Redact for State {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { header, hash, mask, old: _, new: _, hashed: _, time_wait: _, frames: _, reserved: _ } = self;
        header.redact(redactor);
        if redactor.hides_addresses() {
            // The hash is made of both ends and 32 bits that are the same for all connections of a namespace: one whose
            // ends are known, such as that over loopback, gives these away, and then each hash the host parts of its ends.
            (*hash, *mask) = (0, 0);
        }
    }
}

impl Redact for StateWithStack {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { state, stack: _ } = self;
        state.redact(redactor);
    }
}

impl Redact for Opening {
    fn redact(&mut self, _: &mut Redactor) {
        let Self { handshake_ns: _, rtt_us: _, retransmits: _, port_range: _, reserved: _ } = self;
    }
}

impl Redact for Closing {
    fn redact(&mut self, _: &mut Redactor) {
        let Self {
            began_ns: _,
            opened_ns: _,
            bytes_received: _,
            bytes_sent: _,
            rtt_us: _,
            retransmits: _,
            error: _,
            old: _,
            first_fin: _,
            resets: _,
            time_wait: _,
            jiffies: _,
            user_timeout: _,
            last_ack: _,
            window: _,
            unacked: _,
            unsent: _,
            unanswered: _,
            probes_out: _,
            signal: _,
            reserved: _,
        } = self;
    }
}

impl Redact for StateWithOpen {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { state, opening } = self;
        state.redact(redactor);
        opening.redact(redactor);
    }
}

impl Redact for StateWithClose {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { state, closing } = self;
        state.redact(redactor);
        closing.redact(redactor);
    }
}

impl Redact for Open {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { header, opening } = self;
        header.redact(redactor);
        opening.redact(redactor);
    }
}

impl Redact for Close {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { header, closing } = self;
        header.redact(redactor);
        closing.redact(redactor);
    }
}

impl Redact for Segment {
    fn redact(&mut self, _: &mut Redactor) {
        // The kernel chooses first sequence numbers by a function that gives nothing away (secure_tcp_seq).
        let Self { seq: _, ack: _, len: _, flags: _, window: _, ttl: _, ip_version: _, ip_id: _ } = self;
    }
}

impl Redact for Lookup {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { header, table: _, hit: _, state: _, reserved: _ } = self;
        header.redact(redactor);
    }
}

impl Redact for RawSend {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { header, segment, via: _, reserved: _ } = self;
        header.redact(redactor);
        segment.redact(redactor);
    }
}

impl Redact for Queue {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self {
            header,
            backlog: _,
            max_backlog: _,
            overflows: _,
            drops: _,
            listeners: _,
            dropped: _,
            counted: _,
            reserved: _,
        } = self;
        header.redact(redactor);
    }
}

impl Redact for Process {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { header, ancestors: _, length, reserved: _, arguments } = self;
        header.redact(redactor);
        if redactor.hides_arguments() {
            let there = (*length as usize).min(arguments.len());
            let masked = redactor.arguments(&arguments[..there]).into_owned();
            *arguments = [0; ARGUMENTS];
            // Of a single argument that fills all of the room, the end gives way.
            let fitting = masked.len().min(arguments.len());
            arguments[..fitting].copy_from_slice(&masked[..fitting]);
            *length = fitting as u32;
        }
    }
}

impl Redact for ProcessEnd {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { header, exit_code: _, oom: _, is_sent: _, reserved: _, sender_pid: _, sender_uid, sender_comm: _ } =
            self;
        header.redact(redactor);
        *sender_uid = redactor.uid(*sender_uid);
    }
}

impl Redact for Numbers {
    fn redact(&mut self, _: &mut Redactor) {
        let Self { snd_first: _, snd_next: _, rcv_first: _, rcv_next: _ } = self;
    }
}

impl Redact for Other {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self { owner, local, remote, netns: _, local_port: _, remote_port: _ } = self;
        owner.redact(redactor);
        redactor.address_bytes(local, false);
        redactor.address_bytes(remote, false);
    }
}

impl Redact for Past {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self {
            owner,
            closed_ns: _,
            opened_ns: _,
            began_ns: _,
            unread: _,
            error: _,
            closed_from: _,
            first_fin: _,
            resets: _,
            known: _,
            idle: _,
            numbers,
            other,
            signal: _,
            reserved: _,
        } = self;
        owner.redact(redactor);
        numbers.redact(redactor);
        other.redact(redactor);
    }
}

impl Redact for Circumstances {
    fn redact(&mut self, _: &mut Redactor) {
        let Self {
            jiffies: _,
            last_ack: _,
            rcv_nxt: _,
            unread: _,
            unacked: _,
            backlog: _,
            max_backlog: _,
            linger_time: _,
            linger2: _,
            user_timeout: _,
            exit_code: _,
            error: _,
            snd_nxt: _,
            snd_wnd: _,
            probes_out: _,
            retransmits: _,
            flags: _,
            reserved: _,
        } = self;
    }
}

impl Redact for SegmentStats {
    fn redact(&mut self, _: &mut Redactor) {
        let Self {
            segments: _,
            ttl_low: _,
            ttl_high: _,
            ip_id: _,
            window_low: _,
            window_high: _,
            ip_version: _,
            reserved: _,
        } = self;
    }
}

impl Redact for Rst {
    fn redact(&mut self, redactor: &mut Redactor) {
        let Self {
            header,
            segment,
            reason: _,
            direction: _,
            socket_state: _,
            closed_from: _,
            has_circumstances: _,
            frames: _,
            circumstances,
            heard,
            past,
            stack: _,
        } = self;
        header.redact(redactor);
        segment.redact(redactor);
        circumstances.redact(redactor);
        heard.redact(redactor);
        past.redact(redactor);
    }
}
