//! The probe plan: for each event a ranked list of ways to attach, with programs picked by the
//! prototypes in this kernel's BTF. Whether they work is for the kernel to say, see [`crate::kernel::loader`].

use std::path::Path;

mod owner;

use tracer_ebpf::programs;

use super::{Attachment, Candidate, Hook, Limitation, Mechanism, Probe};
use crate::kernel::btf::{KernelBtf, Parameter};

/// The ways to observe `probe`, best first.
pub fn candidates(probe: Probe, btf: &KernelBtf) -> Vec<Candidate> {
    match probe {
        Probe::State => state(btf),
        Probe::RstSentPassive => rst_sent_passive(btf),
        Probe::RstSentActive => rst_sent_active(btf),
        Probe::RstFirewall => rst_firewall(btf),
        Probe::RstReceived => rst_received(btf),
        Probe::RstStray => rst_stray(btf),
        Probe::AcceptQueue => accept_queue(btf),
        Probe::LookupEhash => lookup(btf, &EHASH),
        Probe::LookupListener => lookup(btf, &LISTENER),
        Probe::RawSend => raw_send(btf),
        Probe::Accept => owner::accept(btf),
        Probe::Existing => owner::existing(btf),
        Probe::Release => owner::release(),
        Probe::Descent => owner::descent(),
        Probe::End => owner::end(),
        Probe::Baseline => baseline(btf),
    }
}

/// What the ways need to know of this kernel, for a search of all at once.
pub const NAMES: [&str; 28] = [
    "btf_trace_inet_sock_set_state",
    STATE_STORE,
    STATE_SET,
    "btf_trace_tcp_send_reset",
    "tcp_v4_send_reset",
    "tcp_v6_send_reset",
    ACTIVE_RESET,
    "nf_send_reset",
    "nf_send_reset6",
    "btf_trace_tcp_receive_reset",
    "tcp_reset",
    "__inet_lookup_established",
    "__inet6_lookup_established",
    "__inet_lookup_listener",
    "inet6_lookup_listener",
    "btf_trace_net_dev_queue",
    "__dev_queue_xmit",
    "dev_queue_xmit",
    "inet_csk_accept",
    "bpf_iter_task_file",
    "sk_rst_reason",
    "btf_trace_kfree_skb",
    "btf_trace_tcp_retransmit_synack",
    "btf_trace_tcp_probe",
    "skb_drop_reason",
    "bpf_get_socket_ptr_cookie",
    "bpf_task_pt_regs",
    "tcp_done_with_error",
];

/// Whether `tcp:tcp_send_reset` names a reason. Where it does it also fires for every passive RST;
/// before, only for those with a full socket.
fn reset_tracepoint_is_complete(btf: &KernelBtf) -> bool {
    btf.tracepoint(SEND_RESET).is_some_and(|parameters| reason_position(&parameters).is_some())
}

/// Programs for the reset tracepoint that names a reason; the second is for what interrupts the first.
const SENT_WITH_REASON: [&str; 2] = [programs::SENT_TP_BTF_REASON, programs::SENT_TP_BTF_REASON_NESTED];
const SET_STATE: &str = "inet_sock_set_state";
const STATE_STORE: &str = "inet_sk_state_store";
const STATE_SET: &str = "inet_sk_set_state";
const SEND_RESET: &str = "tcp_send_reset";
const RECEIVE_RESET: &str = "tcp_receive_reset";
const DROP: &str = "kfree_skb";
const ACTIVE_RESET: &str = "tcp_send_active_reset";

fn state(btf: &KernelBtf) -> Vec<Candidate> {
    vec![
        Candidate {
            mechanism: Mechanism::TpBtf,
            attachments: tracepoints(btf, &[programs::STATE_TP_BTF, programs::STATE_TP_BTF_NESTED], SET_STATE),
            limitations: vec![],
        },
        Candidate {
            mechanism: Mechanism::RawTp,
            attachments: Ok([programs::STATE_RAW_TP, programs::STATE_RAW_TP_NESTED]
                .map(|program| Attachment { program, hook: Hook::RawTp(SET_STATE) })
                .to_vec()),
            limitations: vec![Limitation::Cookie],
        },
        Candidate {
            mechanism: Mechanism::Tracepoint,
            attachments: Ok(vec![Attachment {
                program: programs::STATE_TRACEPOINT,
                hook: Hook::Tracepoint("sock", SET_STATE),
            }]),
            limitations: vec![Limitation::Cookie, Limitation::CheapContext],
        },
        Candidate {
            mechanism: Mechanism::Fentry,
            attachments: functions(
                btf,
                &[
                    // A trampoline runs the last one first.
                    (programs::STATE_STORE_FENTRY_NESTED, STATE_STORE),
                    (programs::STATE_SET_FENTRY_NESTED, STATE_SET),
                    (programs::STATE_STORE_FENTRY, STATE_STORE),
                    (programs::STATE_SET_FENTRY, STATE_SET),
                ],
                Hook::Fentry,
            ),
            limitations: vec![],
        },
        Candidate {
            mechanism: Mechanism::Kprobe,
            attachments: functions(
                btf,
                &[(programs::STATE_KPROBE, STATE_STORE), (programs::STATE_KPROBE, STATE_SET)],
                Hook::Kprobe,
            ),
            limitations: vec![Limitation::Cookie],
        },
    ]
}

fn rst_sent_passive(btf: &KernelBtf) -> Vec<Candidate> {
    let tp_btf = if reset_tracepoint_is_complete(btf) {
        tracepoints(btf, &SENT_WITH_REASON, SEND_RESET)
    } else {
        Err("before 6.10 it fires only for full sockets and misses closed ports".into())
    };
    let reason = || answering(btf, "tcp_v4_send_reset").is_some_and(|args| reason_position(&args).is_some());
    let lost_reason = || if reason() { vec![] } else { vec![Limitation::Reason] };
    let programs = |plain: [&'static str; 2], with_reason: [&'static str; 2]| {
        let [v4, v6] = if reason() { with_reason } else { plain };
        [(v4, "tcp_v4_send_reset"), (v6, "tcp_v6_send_reset")]
    };
    let fentry = programs(
        [programs::PASSIVE4_FENTRY, programs::PASSIVE6_FENTRY],
        [programs::PASSIVE4_FENTRY_REASON, programs::PASSIVE6_FENTRY_REASON],
    );
    let kprobe = programs(
        [programs::PASSIVE4_KPROBE, programs::PASSIVE6_KPROBE],
        [programs::PASSIVE4_KPROBE_REASON, programs::PASSIVE6_KPROBE_REASON],
    );
    vec![
        Candidate { mechanism: Mechanism::TpBtf, attachments: tp_btf, limitations: vec![] },
        both_families(
            |name| btf.function(name).is_some(),
            Mechanism::Fentry,
            fentry,
            Hook::Fentry,
            [lost_reason(), vec![Limitation::Unsent]].concat(),
        ),
        both_families(
            |name| answering(btf, name).is_some(),
            Mechanism::Kprobe,
            kprobe,
            Hook::Kprobe,
            [lost_reason(), vec![Limitation::Unsent, Limitation::Cookie]].concat(),
        ),
    ]
}

/// The parameters of a function that answers by a RST. Where a kernel's BTF leaves static functions out (Debian's 5.10 for
/// arm64 does) they are those of the tracepoint in it, if its family is there.
fn answering(btf: &KernelBtf, name: &str) -> Option<Vec<Parameter>> {
    let lookup = if name == "tcp_v6_send_reset" { EHASH.functions[1] } else { EHASH.functions[0] };
    let inside = || btf.function(lookup).and_then(|_| btf.tracepoint(SEND_RESET));
    btf.function(name).or_else(inside)
}

fn rst_sent_active(btf: &KernelBtf) -> Vec<Candidate> {
    let complete = reset_tracepoint_is_complete(btf);
    let programs = if complete { SENT_WITH_REASON } else { [programs::SENT_TP_BTF, programs::SENT_TP_BTF_NESTED] };
    let position = btf.function(ACTIVE_RESET).map(|parameters| reason_position(&parameters));
    let (fentry, kprobe) = match position.flatten() {
        Some(1) => (programs::ACTIVE_FENTRY_REASON1, programs::ACTIVE_KPROBE_REASON1),
        Some(2) => (programs::ACTIVE_FENTRY_REASON2, programs::ACTIVE_KPROBE_REASON2),
        _ => (programs::ACTIVE_FENTRY, programs::ACTIVE_KPROBE),
    };
    let lost_reason = |named: bool| if named { vec![] } else { vec![Limitation::Reason] };
    let named = position.flatten().is_some();
    vec![
        Candidate {
            mechanism: Mechanism::TpBtf,
            attachments: tracepoints(btf, &programs, SEND_RESET),
            limitations: lost_reason(complete),
        },
        Candidate {
            mechanism: Mechanism::Fentry,
            attachments: function(btf, fentry, ACTIVE_RESET, Hook::Fentry),
            limitations: [lost_reason(named), vec![Limitation::Unsent]].concat(),
        },
        Candidate {
            mechanism: Mechanism::Kprobe,
            attachments: function(btf, kprobe, ACTIVE_RESET, Hook::Kprobe),
            limitations: [lost_reason(named), vec![Limitation::Unsent, Limitation::Cookie]].concat(),
        },
    ]
}

fn rst_received(btf: &KernelBtf) -> Vec<Candidate> {
    let segment = btf.function("tcp_reset").is_some_and(|args| args.get(1).is_some_and(|p| p.type_name == "sk_buff"));
    let (fentry, kprobe) = if segment {
        (programs::RECEIVED_FENTRY_SKB, programs::RECEIVED_KPROBE_SKB)
    } else {
        (programs::RECEIVED_FENTRY, programs::RECEIVED_KPROBE)
    };
    let lost_segment = || if segment { vec![] } else { vec![Limitation::Segment] };
    vec![
        Candidate {
            mechanism: Mechanism::Fentry,
            attachments: function(btf, fentry, "tcp_reset", Hook::Fentry),
            limitations: lost_segment(),
        },
        Candidate {
            mechanism: Mechanism::Kprobe,
            attachments: function(btf, kprobe, "tcp_reset", Hook::Kprobe),
            limitations: [lost_segment(), vec![Limitation::Cookie]].concat(),
        },
        Candidate {
            mechanism: Mechanism::TpBtf,
            attachments: tracepoints(
                btf,
                &[programs::RECEIVED_TP_BTF, programs::RECEIVED_TP_BTF_NESTED],
                RECEIVE_RESET,
            ),
            limitations: vec![Limitation::Segment],
        },
    ]
}

fn baseline(btf: &KernelBtf) -> Vec<Candidate> {
    let attachments = tracepoint(btf, programs::BASELINE_TP_BTF, "tcp_probe");
    vec![Candidate { mechanism: Mechanism::TpBtf, attachments, limitations: vec![] }]
}

fn rst_firewall(btf: &KernelBtf) -> Vec<Candidate> {
    const FUNCTIONS: [(&str, &str); 2] = [("nf_send_reset", "nf_reject_ipv4"), ("nf_send_reset6", "nf_reject_ipv6")];
    let attachment = |(function, module): (&'static str, &'static str)| {
        let parameters = btf.function_of(function, module)?;
        let skb = parameters.iter().position(|parameter| parameter.type_name == "sk_buff");
        let program = match skb {
            Some(1) => programs::FIREWALL_KPROBE_SKB1,
            Some(2) => programs::FIREWALL_KPROBE_SKB2,
            _ => return None,
        };
        Some(Attachment { program, hook: Hook::Kprobe(function) })
    };
    let attachments: Vec<_> = FUNCTIONS.into_iter().filter_map(attachment).collect();
    let limitations = if attachments.len() < FUNCTIONS.len() { vec![Limitation::Unloaded] } else { vec![] };
    let attachments = if attachments.is_empty() {
        let is_loaded = FUNCTIONS.iter().any(|(_, module)| Path::new("/sys/module").join(module).exists());
        Err(if is_loaded {
            "nf_reject_ipv4 and nf_reject_ipv6 have no BTF (modules have it since 5.11), so their arguments are unknown"
                .to_owned()
        } else {
            "modules nf_reject_ipv4 and nf_reject_ipv6 are not loaded: load them before tracing".to_owned()
        })
    } else {
        Ok(attachments)
    };
    vec![Candidate { mechanism: Mechanism::Kprobe, attachments, limitations }]
}

/// One of the two tables: its functions and their programs, each without and with `hashinfo`.
struct LookupTable {
    functions: [&'static str; 2],
    fexit: [[&'static str; 2]; 2],
    kprobe: [[&'static str; 2]; 2],
}

const EHASH: LookupTable = LookupTable {
    functions: ["__inet_lookup_established", "__inet6_lookup_established"],
    fexit: [
        [programs::EHASH4_FEXIT, programs::EHASH4_FEXIT_HASHINFO],
        [programs::EHASH6_FEXIT, programs::EHASH6_FEXIT_HASHINFO],
    ],
    kprobe: [
        [programs::EHASH4_KPROBE, programs::EHASH4_KPROBE_HASHINFO],
        [programs::EHASH6_KPROBE, programs::EHASH6_KPROBE_HASHINFO],
    ],
};

const LISTENER: LookupTable = LookupTable {
    functions: ["__inet_lookup_listener", "inet6_lookup_listener"],
    fexit: [
        [programs::LISTENER4_FEXIT, programs::LISTENER4_FEXIT_HASHINFO],
        [programs::LISTENER6_FEXIT, programs::LISTENER6_FEXIT_HASHINFO],
    ],
    kprobe: [
        [programs::LISTENER4_KPROBE, programs::LISTENER4_KPROBE_HASHINFO],
        [programs::LISTENER6_KPROBE, programs::LISTENER6_KPROBE_HASHINFO],
    ],
};

fn lookup(btf: &KernelBtf, table: &LookupTable) -> Vec<Candidate> {
    let attach = |programs: &[[&'static str; 2]; 2], hooks: &dyn Fn(&'static str, &'static str) -> Vec<Attachment>| {
        let mut all = Vec::new();
        for (function, [plain, hashinfo]) in table.functions.iter().zip(programs) {
            let Some(parameters) = btf.function(function) else {
                return Err(missing(function));
            };
            let has_hashinfo = parameters.iter().any(|parameter| parameter.type_name == "inet_hashinfo");
            all.extend(hooks(if has_hashinfo { hashinfo } else { plain }, function));
        }
        Ok(all)
    };
    vec![
        Candidate {
            mechanism: Mechanism::Fexit,
            attachments: attach(&table.fexit, &|program, function| {
                vec![Attachment { program, hook: Hook::Fexit(function) }]
            }),
            limitations: vec![],
        },
        Candidate {
            mechanism: Mechanism::KprobeKretprobe,
            attachments: attach(&table.kprobe, &|program, function| {
                vec![
                    Attachment { program: programs::LOOKUP_KRETPROBE, hook: Hook::Kretprobe(function) },
                    Attachment { program, hook: Hook::Kprobe(function) },
                ]
            }),
            limitations: vec![],
        },
        Candidate { mechanism: Mechanism::SockDiag, attachments: Ok(vec![]), limitations: vec![Limitation::Lookup] },
    ]
}

fn raw_send(btf: &KernelBtf) -> Vec<Candidate> {
    const TRANSMIT: &str = "__dev_queue_xmit";
    const TRANSMIT_AROUND: &str = "dev_queue_xmit";
    vec![
        Candidate {
            mechanism: Mechanism::TpBtf,
            attachments: tracepoint(btf, programs::RAW_SEND_TP_BTF, "net_dev_queue"),
            limitations: vec![Limitation::Bypass],
        },
        Candidate {
            mechanism: Mechanism::Fentry,
            attachments: function(btf, programs::RAW_SEND_FENTRY, TRANSMIT, Hook::Fentry),
            limitations: vec![Limitation::Bypass],
        },
        Candidate {
            mechanism: Mechanism::Kprobe,
            attachments: function(btf, programs::RAW_SEND_KPROBE, TRANSMIT, Hook::Kprobe).or_else(|missing| {
                // As in `answering`: where it is static, this one calls it, and is not.
                let around = btf.function(TRANSMIT_AROUND).ok_or(missing);
                around.map(|_| vec![Attachment { program: programs::RAW_SEND_KPROBE, hook: Hook::Kprobe(TRANSMIT) }])
            }),
            limitations: vec![Limitation::Bypass],
        },
    ]
}

fn rst_stray(btf: &KernelBtf) -> Vec<Candidate> {
    let parameters = btf.tracepoint(DROP);
    let type_at = |position: usize| {
        parameters.as_ref().and_then(|all| all.get(position)).map_or("", |parameter| parameter.type_name.as_str())
    };
    let (program, limitations) = match (type_at(2), type_at(3)) {
        ("skb_drop_reason", "sock") => (programs::STRAY_RAW_TP_SK, vec![]),
        ("skb_drop_reason", _) => (programs::STRAY_RAW_TP_REASON, vec![Limitation::StraySocket]),
        _ => (programs::STRAY_RAW_TP, vec![Limitation::StraySocket, Limitation::Untraced]),
    };
    let attachments = match parameters {
        Some(_) => Ok(vec![Attachment { program, hook: Hook::RawTp(DROP) }]),
        None => Err(missing(&format!("tracepoint {DROP}"))),
    };
    vec![Candidate { mechanism: Mechanism::RawTp, attachments, limitations }]
}

fn accept_queue(btf: &KernelBtf) -> Vec<Candidate> {
    const AGAIN: &str = "tcp_retransmit_synack";
    let attachments = match btf.tracepoint(AGAIN) {
        Some(_) => Ok(vec![Attachment { program: programs::SYNACK_AGAIN, hook: Hook::RawTp(AGAIN) }]),
        None => Err(missing(&format!("tracepoint {AGAIN}"))),
    };
    vec![Candidate { mechanism: Mechanism::RawTp, attachments, limitations: vec![] }]
}

/// The position of the `enum sk_rst_reason` among the parameters.
fn reason_position(parameters: &[Parameter]) -> Option<usize> {
    parameters.iter().position(|parameter| parameter.type_name == "sk_rst_reason")
}

fn missing(what: &str) -> String {
    format!("this kernel has no {what}")
}

fn tracepoint(btf: &KernelBtf, program: &'static str, name: &'static str) -> Result<Vec<Attachment>, String> {
    tracepoints(btf, &[program], name)
}

/// Several programs on one tracepoint.
fn tracepoints(btf: &KernelBtf, programs: &[&'static str], name: &'static str) -> Result<Vec<Attachment>, String> {
    match btf.tracepoint(name) {
        Some(_) => Ok(programs.iter().map(|&program| Attachment { program, hook: Hook::TpBtf(name) }).collect()),
        None => Err(missing(&format!("tracepoint {name}"))),
    }
}

fn function(
    btf: &KernelBtf,
    program: &'static str,
    name: &'static str,
    hook: fn(&'static str) -> Hook,
) -> Result<Vec<Attachment>, String> {
    match btf.function(name) {
        Some(_) => Ok(vec![Attachment { program, hook: hook(name) }]),
        None => Err(missing(&format!("function {name}"))),
    }
}

/// All of them, or none.
fn functions(
    btf: &KernelBtf,
    all: &[(&'static str, &'static str)],
    hook: fn(&'static str) -> Hook,
) -> Result<Vec<Attachment>, String> {
    let attachments: Result<Vec<_>, _> =
        all.iter().map(|&(program, name)| function(btf, program, name, hook)).collect();
    Ok(attachments?.concat())
}

/// A candidate on a function and its IPv6 twin; a kernel without the twin (no IPv6) works without it.
fn both_families(
    is_there: impl Fn(&str) -> bool,
    mechanism: Mechanism,
    [v4, v6]: [(&'static str, &'static str); 2],
    hook: fn(&'static str) -> Hook,
    mut limitations: Vec<Limitation>,
) -> Candidate {
    let attachment = |(program, name)| Attachment { program, hook: hook(name) };
    let attachments = if !is_there(v4.1) {
        Err(missing(&format!("function {}", v4.1)))
    } else if is_there(v6.1) {
        Ok([v4, v6].map(attachment).to_vec())
    } else {
        limitations.push(Limitation::Ipv6);
        Ok(vec![attachment(v4)])
    };
    Candidate { mechanism, attachments, limitations }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_asked_for_is_named() {
        let btf = match KernelBtf::load(Path::new(crate::kernel::btf::VMLINUX)) {
            Ok(btf) => btf,
            Err(error) => return println!("not tested: {error}"),
        };
        for probe in Probe::ALL {
            candidates(probe, &btf);
        }
        for name in btf.asked_for() {
            assert!(NAMES.contains(&name.as_str()), "{name}");
        }
    }
}
