//! Well-formed inputs to begin with. `UPDATE_CORPUS=1 cargo test -p tracer-fuzz` writes them into the corpus.

use std::mem::offset_of;

use tracer_ebpf::record::Header;

use crate::{btf, golden, pipeline, proc};

/// Its name, and its bytes.
type Seed = (String, Vec<u8>);

/// Frames of the golden recording in one seed: small ones are soon changed, and played.
const FRAMES: usize = 8;

/// Each record of the golden recording that is unlike those before.
pub fn records() -> Vec<Seed> {
    let mut seen = Vec::new();
    let records = golden::frames().into_iter().filter(|(tag, bytes)| *tag == b'R' && is_new(&mut seen, bytes));
    named("record", records.map(|(_, bytes)| bytes.to_vec()))
}

/// A record's kind and size are none of those.
fn is_new(seen: &mut Vec<[u8; 4]>, record: &[u8]) -> bool {
    let at = offset_of!(Header, kind);
    let kind = *record[at..].first_chunk().expect("a header");
    let is_new = !seen.contains(&kind);
    if is_new {
        seen.push(kind);
    }
    is_new
}

/// Parts of the golden recording: its preamble, some frames, its summary.
pub fn recording() -> Vec<Seed> {
    let golden = golden::frames();
    let own: Vec<_> = own().collect();
    let parts = own.chunks(FRAMES).map(|some| {
        let whole = golden.first().into_iter().chain(some).chain(golden.last());
        golden::recording(whole.map(|(tag, bytes)| (*tag, *bytes)))
    });
    named("part", parts)
}

/// Frames that are neither the first nor the last.
fn own() -> impl Iterator<Item = (u8, &'static [u8])> {
    golden::frames().into_iter().filter(|(tag, _)| b"RSFL".contains(tag))
}

/// The same frames, with each of the options.
pub fn pipeline() -> Vec<Seed> {
    let own: Vec<_> = own().collect();
    let parts = own.chunks(FRAMES).zip(0..);
    named("part", parts.map(|(some, options)| pipeline::input_of(options, some.iter().copied())))
}

fn named(name: &str, seeds: impl Iterator<Item = Vec<u8>>) -> Vec<Seed> {
    seeds.enumerate().map(|(number, bytes)| (format!("{name}_{number:02}"), bytes)).collect()
}

fn as_seeds<const COUNT: usize>(seeds: [(&str, Vec<u8>); COUNT]) -> Vec<Seed> {
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

/// Each filter, in words.
pub fn filters() -> Vec<Seed> {
    let lines = |line: &str| line.replace(' ', "\n").into_bytes();
    as_seeds([
        ("ends", lines("trace -P 80,8000-8999 -L 1-65535 -D 443 --addr 10.0.0.0/8,::1,::ffff:10.0.0.0/104 -4")),
        ("owner", lines("rst -p 1 -f -u root,7 --comm nginx --cgroup /system.slice -d 0.5 -c 3 -j")),
        ("place", lines("replay -e state,rst,open,close -6 --netns 4026531840 --opens self,passive --addr ::/0 file")),
        ("command", lines("trace -e raw,lookup --tasks --evidence --baseline -- curl -v http://localhost/")),
        ("others", lines("demo -46 self-connect --pcap /dev/null --ring-size 1024 --sockets 65536 --probes kprobe")),
    ])
}

/// Each file that is read.
pub fn proc() -> Vec<Seed> {
    let pair = |first: &[u8], second: &[u8]| [first, proc::APART, second].concat();
    let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-\
               pod7d4424e6_bb13_42f4_a47a_45a4828bf54d.slice/cri-containerd-";
    let id = "4f1c9b07d2aa4f1c9b07d2aa4f1c9b07d2aa4f1c9b07d2aa4f1c9b07d2aa4f1c";
    let cgroup = format!("4:memory:/docker/{id}\n0::{pod}{id}.scope\n");
    let mountinfo = b"25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n\
        30 24 0:26 /../.. /sys/fs/cgroup rw,nosuid,nodev shared:4 master:2 - cgroup2 cgroup2 rw,nsdelegate\n\
        36 25 0:32 / /home/eve/\xff rw - fuse.x eve rw\n";
    let fib_trie =
        b"Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.216.0.2\n        \
        /32 host LOCAL\n";
    as_seeds([
        ("cgroup", pair(cgroup.as_bytes(), mountinfo)),
        ("machine", b"0::/machine.slice/machine-lxc\\x2d7\\x2dweb.scope\n0::/lxc.payload.web/init.scope\n".to_vec()),
        ("addresses", pair(fib_trie, b"fe800000000000000000000000000001 02 40 20 80     eth0\n")),
        ("netstat", b"TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 12 13\n".to_vec()),
        ("stat", b"7 (a) (b)) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0 18446744073709551615\n".to_vec()),
        (
            "kallsyms",
            b"ffffffff81000000 T first\nffffffff81000200 t third\nffffffff81000100 D data\nffffffffc0000000 t x\t[mod]\n"
                .to_vec(),
        ),
        ("cmdline", b"sh\0-c\0echo 'it' \"is\"\0\0--x=y\0".to_vec()),
    ])
}

/// A small kernel: each kind of type that is walked through.
pub fn btf() -> Vec<Seed> {
    let mut kernel = Types::default();
    let int = kernel.add("int", INT, 0, 4, &[&[32]]);
    let number = kernel.add("__be32", TYPEDEF, 0, int, &[]);
    let constant = kernel.add("", CONST, 0, number, &[]);
    let inner = kernel.structure("", UNION, &[("skc_daddr", constant, 0), ("skc_v6_daddr", int, 0)]);
    let net = kernel.structure("", STRUCT, &[("net", int, 0)]);
    let possible = kernel.add("possible_net_t", TYPEDEF, 0, net, &[]);
    let common = [("", inner, 0), ("skc_family", int, 128), ("skc_net", possible, 192), ("skc_num", number, 224)];
    let common = kernel.structure("sock_common", STRUCT, &common);
    let sock = kernel.structure("sock", STRUCT, &[("__sk_common", common, 0), ("sk_err", int, 512)]);
    let tcp = kernel.bits("tcp_sock", &[("repair", int, 1 << 24 | 1001), ("rcv_nxt", number, 64)]);
    let pointer = kernel.add("", PTR, 0, sock, &[]);
    let values = [[kernel.name("SK_RST_REASON_NOT_SPECIFIED"), 0], [kernel.name("SK_RST_REASON_NO_SOCKET"), 1]];
    let reason = kernel.add(btf::ENUM, ENUM, 2, 4, &[&values[0], &values[1]]);
    let parameters = [[kernel.name("sk"), pointer], [kernel.name("reason"), reason], [0, tcp]];
    let prototype = kernel.add("", FUNC_PROTO, 3, 0, &[&parameters[0], &parameters[1], &parameters[2]]);
    for function in btf::FUNCTIONS {
        kernel.add(function, FUNC, 0, prototype, &[]);
    }
    let pointer = kernel.add("", PTR, 0, prototype, &[]);
    kernel.add(&format!("btf_trace_{}", btf::TRACEPOINT), TYPEDEF, 0, pointer, &[]);

    // What a kernel's compiler never writes.
    let mut circles = Types::default();
    circles.structure("sock_common", STRUCT, &[("", 1, 0)]);
    circles.add("", TYPEDEF, 0, 2, &[]);
    circles.structure("sock", STRUCT, &[("sk_err", 2, 0)]);
    circles.structure("tcp_sock", STRUCT, &[("rcv_nxt", 1, u32::MAX), ("repair", 2, 0)]);

    // Each struct has the next one twice, without a name.
    let mut wide = Types::default();
    for id in 1..40 {
        let name = if id == 1 { "sock" } else { "" };
        wide.structure(name, STRUCT, &[("", id + 1, 0), ("", id + 1, 0)]);
    }
    wide.structure("", STRUCT, &[("sk_err", 1, 0)]);
    as_seeds([("kernel", kernel.file()), ("circles", circles.file()), ("wide", wide.file())])
}

/// Kinds of types (include/uapi/linux/btf.h).
const INT: u32 = 1;
const PTR: u32 = 2;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;

/// Types and names of a BTF file.
struct Types {
    count: u32,
    types: Vec<u8>,
    names: Vec<u8>,
}

impl Default for Types {
    fn default() -> Self {
        Self { count: 0, types: Vec::new(), names: vec![0] }
    }
}

impl Types {
    /// Where a name is; an empty one is the first.
    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.names.len();
        self.names.extend(name.bytes().chain([0]));
        u32::try_from(at).expect("short")
    }

    /// Adds a type; its id.
    fn add(&mut self, name: &str, kind: u32, members: u32, size_or_type: u32, rest: &[&[u32]]) -> u32 {
        let words = [self.name(name), kind << 24 | members, size_or_type];
        let all = words.iter().chain(rest.iter().copied().flatten());
        self.types.extend(all.flat_map(|word| word.to_ne_bytes()));
        self.count += 1;
        self.count
    }

    /// Adds a struct or a union of members: name, type, offset in bits.
    fn structure(&mut self, name: &str, kind: u32, members: &[(&str, u32, u32)]) -> u32 {
        let members: Vec<_> = members.iter().map(|&(name, of, offset)| [self.name(name), of, offset]).collect();
        let words: Vec<&[u32]> = members.iter().map(|member| &member[..]).collect();
        self.add(name, kind, u32::try_from(words.len()).expect("few"), 64, &words)
    }

    /// Adds a struct whose members may be bit fields: their number of bits is in the high byte of an offset.
    fn bits(&mut self, name: &str, members: &[(&str, u32, u32)]) -> u32 {
        const HAS_BITS: u32 = 1 << 7;
        self.structure(name, HAS_BITS | STRUCT, members)
    }

    fn file(self) -> Vec<u8> {
        const HEADER: u32 = 24;
        let [types, names] = [&self.types, &self.names].map(|part| u32::try_from(part.len()).expect("short"));
        let words = [HEADER, 0, types, types, names];
        let header = 0xeb9f_u16.to_ne_bytes().into_iter().chain([1, 0]);
        header.chain(words.into_iter().flat_map(u32::to_ne_bytes)).chain(self.types).chain(self.names).collect()
    }
}
