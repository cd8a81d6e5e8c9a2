//! Ways to know whose a socket is.

use super::{
    super::{Attachment, Blind, Candidate, Hook, Mechanism},
    function, missing,
};
use crate::btf::KernelBtf;

const ACCEPT: &str = "inet_csk_accept";

pub(super) fn accept(btf: &KernelBtf) -> Vec<Candidate> {
    // The result comes behind the arguments, so their number matters, and nothing else of them.
    let program = btf.function(ACCEPT).and_then(|parameters| match parameters.len() {
        2 => Some("accepted2_fexit"),
        3 => Some("accepted3_fexit"),
        4 => Some("accepted4_fexit"),
        _ => None,
    });
    let fexit = match program {
        Some(program) => Ok(vec![Attachment { program, hook: Hook::Fexit(ACCEPT) }]),
        None => Err(missing(&format!("function {ACCEPT} with the arguments known"))),
    };
    vec![
        Candidate { mechanism: Mechanism::Fexit, attachments: fexit, blind: vec![] },
        Candidate {
            mechanism: Mechanism::KprobeKretprobe,
            attachments: function(btf, "accepted_kretprobe", ACCEPT, Hook::Kretprobe),
            blind: vec![],
        },
        Candidate {
            mechanism: Mechanism::RawTp,
            attachments: Ok(vec![Attachment { program: "first_read", hook: Hook::RawTp("tcp_rcv_space_adjust") }]),
            blind: vec![Blind::Unread],
        },
    ]
}

pub(super) fn existing(btf: &KernelBtf) -> Vec<Candidate> {
    // The function that has the iterator's prototype (kernel/bpf/task_iter.c).
    let attachments = match btf.function("bpf_iter_task_file") {
        Some(_) => Ok(vec![Attachment { program: "existing_sockets", hook: Hook::Iter("task_file") }]),
        None => Err(missing("iterator over descriptors")),
    };
    vec![Candidate { mechanism: Mechanism::Iter, attachments, blind: vec![] }]
}

pub(super) fn release() -> Vec<Candidate> {
    by_raw_tracepoints(&[("socket_destroyed", "tcp_destroy_sock"), ("socket_destroyed_again", "tcp_destroy_sock")])
}

pub(super) fn descent() -> Vec<Candidate> {
    by_raw_tracepoints(&[("process_forked", "sched_process_fork"), ("process_exited", "sched_process_exit")])
}

pub(super) fn end() -> Vec<Candidate> {
    by_raw_tracepoints(&[("process_ends", "sched_process_exit"), ("signal_sent", "signal_generate")])
}

fn by_raw_tracepoints(programs: &[(&'static str, &'static str)]) -> Vec<Candidate> {
    let attachments = programs.iter().map(|&(program, target)| Attachment { program, hook: Hook::RawTp(target) });
    vec![Candidate { mechanism: Mechanism::RawTp, attachments: Ok(attachments.collect()), blind: vec![] }]
}
