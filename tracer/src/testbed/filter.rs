//! Packet filters of a host: one drops the RSTs that it sends, as
//! `iptables -A OUTPUT -p tcp --tcp-flags RST RST -j DROP` would; one refuses what comes in, as
//! `iptables -A INPUT -p tcp ! --tcp-flags RST RST -j REJECT --reject-with tcp-reset` would.
//!
//! One nf_tables table, set by netlink in the calling thread's namespace; it goes away with that.

use std::{ffi::CStr, io};

use anyhow::{Context as _, anyhow};
use netlink_bindings::{
    nftables::{
        BitwiseOps, Chained, CmpOps, ExprAttrs, ExprOps, MetaKeys, Nfgenmsg, OpGetruleDump, PayloadBase,
        PushExprListAttrs, Registers, RejectTypes, Request, VerdictCode,
    },
    traits::Pusher,
};
use netlink_packet_core::NLMSG_DONE;
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::event::Flags;
use crate::testbed::netlink;

const TABLE: &CStr = c"tracer";
const CHAIN: &CStr = c"filter";
/// `NFPROTO_INET`: IPv4 and IPv6.
const FAMILY: u8 = libc::NFPROTO_INET as u8;
/// Offset of the control bits in the TCP header (RFC 9293 section 3.1).
const CONTROL_BITS_OFFSET: u32 = 13;
/// Where one expression leaves its value for the next.
const REGISTER: u32 = Registers::Reg1 as u32;

/// What to do with which segments.
#[derive(Clone, Copy)]
enum Filter {
    /// Outgoing segments with RST are counted and dropped.
    DropOutgoingRst,
    /// Incoming segments without RST are answered with a RST.
    RejectIncoming,
}

/// Drops from now on every TCP segment with RST that the calling thread's namespace sends.
///
/// # Errors
/// The kernel has no nf_tables, or refuses the rule.
pub fn drop_outgoing_rst() -> anyhow::Result<()> {
    put_in_force(Filter::DropOutgoingRst).context("cannot filter outgoing RSTs")
}

/// Answers from now on every TCP segment that comes to the calling thread's namespace with a RST.
///
/// # Errors
/// The kernel has no nf_tables or nft_reject, or refuses the rule.
pub fn reject_incoming() -> anyhow::Result<()> {
    put_in_force(Filter::RejectIncoming).context("cannot reject incoming segments")
}

fn put_in_force(filter: Filter) -> anyhow::Result<()> {
    // One transaction: the kernel acknowledges each request once all are in force.
    let Batch { bytes, last } = rule(filter);
    let put_in_force = || {
        let socket = netlink::send(NETLINK_NETFILTER, &bytes)?;
        netlink::receive(&socket, |message| {
            message.outcome().transpose()?;
            Ok((message.sequence == last).then_some(()))
        })
    };
    put_in_force().map_err(explain)
}

/// How many segments the rule of [`drop_outgoing_rst`] has dropped in the calling thread's namespace.
///
/// # Errors
/// There is no such rule, or the kernel does not answer.
pub fn dropped() -> anyhow::Result<u64> {
    let mut request = Request::new().op_getrule_dump(&header(0));
    drop(request.encode().push_table(TABLE).push_chain(CHAIN));
    let (protocol, message) = netlink::message(&request, 0);
    let mut packets = None;
    netlink::receive(&netlink::send(protocol, &message)?, |message| {
        message.outcome().transpose()?;
        packets = packets.or_else(|| counter(message.payload));
        Ok((message.kind == NLMSG_DONE).then_some(()))
    })
    .context("cannot read the filter's counter")?;
    packets.context("the filter's rule has no counter")
}

/// Requests as they go to the kernel, and the sequence number of the last one it acknowledges.
struct Batch {
    bytes: Vec<u8>,
    last: u32,
}

/// `add table`, `add chain` at the filter's hook, `add rule`: TCP, RST set or not, what to do.
fn rule(filter: Filter) -> Batch {
    let (hook, rst_is_set) = match filter {
        Filter::DropOutgoingRst => (libc::NF_INET_LOCAL_OUT, CmpOps::Neq),
        Filter::RejectIncoming => (libc::NF_INET_LOCAL_IN, CmpOps::Eq),
    };
    const FIRST: u32 = 1;
    let subsystem = header(libc::NFNL_SUBSYS_NFTABLES as u16);
    let mut chained = Chained::new(FIRST);
    drop(chained.request().op_batch_begin_do(&subsystem));
    drop(chained.request().set_create().op_newtable_do(&header(0)).encode().push_name(TABLE));
    chained
        .request()
        .set_create()
        .op_newchain_do(&header(0))
        .encode()
        .push_table(TABLE)
        .push_name(CHAIN)
        .push_type(c"filter")
        .nested_hook()
        .push_num(hook as u32)
        .push_priority(libc::NF_IP_PRI_FILTER);
    {
        let mut rule = chained.request().set_create().op_newrule_do(&header(0));
        let expressions = rule.encode().push_table(TABLE).push_chain(CHAIN).nested_expressions();
        let protocol = load_protocol(expressions);
        let tcp = compare(protocol, CmpOps::Eq, libc::IPPROTO_TCP as u8);
        let rst = load_control_bit(tcp, Flags::RST.0 as u8);
        let matched = compare(rst, rst_is_set, 0);
        match filter {
            Filter::DropOutgoingRst => count_and_drop(matched),
            Filter::RejectIncoming => {
                drop(matched.nested_elem().nested_data_reject().push_type(RejectTypes::TcpRst as u32));
            }
        }
    }
    drop(chained.request().op_batch_end_do(&subsystem));
    // Begin, table, chain, rule, end: kernels before 6.10 acknowledge neither begin nor end.
    Batch { bytes: chained.finalize().buf().clone(), last: FIRST + 3 }
}

/// `meta l4proto`, to the register.
fn load_protocol<P: Pusher>(rule: PushExprListAttrs<P>) -> PushExprListAttrs<P> {
    let meta = rule.nested_elem().nested_data_meta();
    meta.push_key(MetaKeys::L4Proto as u32).push_dreg(REGISTER).end_nested().end_nested()
}

/// `tcp flags & bit`, to the register.
fn load_control_bit<P: Pusher>(rule: PushExprListAttrs<P>, bit: u8) -> PushExprListAttrs<P> {
    let payload = rule.nested_elem().nested_data_payload();
    let loaded = payload
        .push_dreg(REGISTER)
        .push_base(PayloadBase::TransportHeader as u32)
        .push_offset(CONTROL_BITS_OFFSET)
        .push_len(1)
        .end_nested()
        .end_nested();
    let bitwise = loaded.nested_elem().nested_data_bitwise();
    let masked = bitwise
        .push_sreg(REGISTER)
        .push_dreg(REGISTER)
        .push_len(1)
        .push_op(BitwiseOps::MaskXor as u32)
        .nested_mask()
        .push_value(&[bit])
        .end_nested();
    masked.nested_xor().push_value(&[0]).end_nested().end_nested().end_nested()
}

/// Goes on with the rule only if the register compares so with `value`.
fn compare<P: Pusher>(rule: PushExprListAttrs<P>, op: CmpOps, value: u8) -> PushExprListAttrs<P> {
    let compare = rule.nested_elem().nested_data_cmp().push_sreg(REGISTER).push_op(op as u32);
    compare.nested_data().push_value(&[value]).end_nested().end_nested().end_nested()
}

/// `counter drop`.
fn count_and_drop<P: Pusher>(rule: PushExprListAttrs<P>) {
    let counted = rule.nested_elem().nested_data_counter().end_nested().end_nested();
    let verdict = counted.nested_elem().nested_data_immediate().push_dreg(Registers::RegVerdict as u32);
    drop(verdict.nested_data().nested_verdict().push_code(VerdictCode::Drop as u32));
}

fn header(res_id: u16) -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.nfgen_family = FAMILY;
    header.set_res_id(res_id);
    header
}

fn explain(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
        Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL | libc::ENOENT) => {
            anyhow!("this kernel cannot filter by nf_tables ({error}): load it (modprobe nf_tables)")
        }
        _ => error,
    }
}

/// The packets that a rule's counter expression has counted.
fn counter(payload: &[u8]) -> Option<u64> {
    let (_, rule) = OpGetruleDump::decode_request(payload);
    rule.get_expressions().ok()?.get_elem().find_map(|expression| {
        let data = expression.flatten().find_map(|attribute| match attribute {
            ExprAttrs::Data(data) => Some(data),
            ExprAttrs::Name(_) => None,
        });
        match data? {
            ExprOps::Counter(counter) => counter.get_packets().ok(),
            _ => None,
        }
    })
}
