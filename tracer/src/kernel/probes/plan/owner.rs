//! Ways to know whose a socket is.

use tracer_ebpf::programs;

use super::{
    super::{Attachment, Candidate, Hook, Limitation, Mechanism},
    function, missing,
};
use crate::kernel::btf::KernelBtf;

const ACCEPT: &str = "inet_csk_accept";

pub(super) fn accept(btf: &KernelBtf) -> Vec<Candidate> {
    // The result comes behind the arguments, so their number matters, and nothing else of them.
    let program = btf.function(ACCEPT).and_then(|parameters| match parameters.len() {
        2 => Some(programs::ACCEPTED2_FEXIT),
        3 => Some(programs::ACCEPTED3_FEXIT),
        4 => Some(programs::ACCEPTED4_FEXIT),
        _ => None,
    });
    let fexit = match program {
        Some(program) => Ok(vec![Attachment { program, hook: Hook::Fexit(ACCEPT) }]),
        None => Err(missing(&format!("function {ACCEPT} with the arguments known"))),
    };
    vec![
        Candidate { mechanism: Mechanism::Fexit, attachments: fexit, limitations: vec![] },
        Candidate {
            mechanism: Mechanism::KprobeKretprobe,
            attachments: function(btf, programs::ACCEPTED_KRETPROBE, ACCEPT, Hook::Kretprobe),
            limitations: vec![],
        },
        Candidate {
            mechanism: Mechanism::RawTp,
            attachments: Ok(vec![Attachment {
                program: programs::FIRST_READ,
                hook: Hook::RawTp("tcp_rcv_space_adjust"),
            }]),
            limitations: vec![Limitation::Unread],
        },
    ]
}

pub(super) fn existing(btf: &KernelBtf) -> Vec<Candidate> {
    // The function that has the iterator's prototype (kernel/bpf/task_iter.c).
    let attachments = match btf.function("bpf_iter_task_file") {
        Some(_) => Ok(vec![Attachment { program: programs::EXISTING_SOCKETS, hook: Hook::Iter("task_file") }]),
        None => Err(missing("iterator over descriptors")),
    };
    vec![Candidate { mechanism: Mechanism::Iter, attachments, limitations: vec![] }]
}

pub(super) fn release() -> Vec<Candidate> {
    by_raw_tracepoints(&[
        (programs::SOCKET_DESTROYED, "tcp_destroy_sock"),
        (programs::SOCKET_DESTROYED_AGAIN, "tcp_destroy_sock"),
    ])
}

pub(super) fn descent() -> Vec<Candidate> {
    by_raw_tracepoints(&[
        (programs::PROCESS_FORKED, "sched_process_fork"),
        (programs::PROCESS_EXITED, "sched_process_exit"),
    ])
}

pub(super) fn end() -> Vec<Candidate> {
    by_raw_tracepoints(&[(programs::PROCESS_ENDS, "sched_process_exit"), (programs::SIGNAL_SENT, "signal_generate")])
}

fn by_raw_tracepoints(programs: &[(&'static str, &'static str)]) -> Vec<Candidate> {
    let attachments = programs.iter().map(|&(program, target)| Attachment { program, hook: Hook::RawTp(target) });
    vec![Candidate { mechanism: Mechanism::RawTp, attachments: Ok(attachments.collect()), limitations: vec![] }]
}
