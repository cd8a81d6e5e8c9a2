//! The only file that follows kernel pointers.

use core::{marker::PhantomData, mem::MaybeUninit, ptr};

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_probe_read_kernel};
use tracer_ebpf::layout::MISSING;
pub(crate) use tracer_ebpf::wanted::{Address, Identity, bytes, is_v4_mapped, v4_mapped};

use crate::offset::{self, Offset};

/// A way to read kernel memory, chosen by how the program got its pointer.
pub(crate) trait Access: Copy {
    /// Whether the verifier knows the pointer's type, so that helpers take it.
    const TYPED: bool;

    /// Whether a socket's members can be read beyond the `struct sock` that it begins with.
    const WHOLE: bool;

    /// Reads a `T` at `address`.
    ///
    /// # Safety
    /// `address` must come from a kernel object of the type that the offset belongs to. It need not
    /// be mapped: both ways give zero for an address that faults.
    unsafe fn read<T: Copy + Default>(address: *const u8) -> T;
}

/// Direct loads through a BTF-typed argument (tp_btf, fentry, fexit): no helper call. `T` is at most 8 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Typed;

/// Direct loads from a socket that the verifier knows as a `struct tcp_sock`, see [`crate::tcp::known`].
#[derive(Clone, Copy)]
pub(crate) struct Whole;

/// `bpf_probe_read_kernel`, for untyped pointers (kprobe, raw tracepoint, tracepoint).
#[derive(Clone, Copy)]
pub(crate) struct Probed;

impl Access for Typed {
    const TYPED: bool = true;
    const WHOLE: bool = false;

    #[inline(always)]
    unsafe fn read<T: Copy + Default>(address: *const u8) -> T {
        // SAFETY: the caller's address is a BTF-typed pointer plus a member's offset; the verifier
        // checks the access and the JIT gives it an exception entry. Volatile, so that the
        // compiler neither widens nor moves it before a null check.
        unsafe { ptr::read_volatile(address.cast::<T>()) }
    }
}

impl Access for Whole {
    const TYPED: bool = true;
    const WHOLE: bool = true;

    #[inline(always)]
    unsafe fn read<T: Copy + Default>(address: *const u8) -> T {
        // SAFETY: the caller's.
        unsafe { Typed::read(address) }
    }
}

impl Access for Probed {
    const TYPED: bool = false;
    const WHOLE: bool = true;

    #[inline(always)]
    unsafe fn read<T: Copy + Default>(address: *const u8) -> T {
        probe_read(address)
    }
}

/// Reads a `T`, zero if the address faults: the helper clears what it cannot read. Its result is not
/// looked at, because each branch here doubles what older verifiers (5.10) have to walk through.
#[inline(always)]
pub(crate) fn probe_read<T: Copy + Default>(address: *const u8) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes all of `value`, whatever the address is.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address.cast());
        value.assume_init()
    }
}

/// A pointer to a kernel object and the way to read it.
#[derive(Clone, Copy)]
pub(crate) struct Object<A> {
    address: *const u8,
    access: PhantomData<A>,
}

impl<A: Access> Object<A> {
    #[inline(always)]
    pub(crate) const fn new(address: *const u8) -> Self {
        Self { address, access: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.address.is_null()
    }

    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.address as u64
    }

    #[inline(always)]
    pub(crate) const fn as_ptr(self) -> *const u8 {
        self.address
    }

    /// This object, as one of a type that the verifier does not know.
    #[inline(always)]
    pub(crate) const fn untyped(self) -> Object<Probed> {
        Object::new(self.address)
    }

    /// The member at `offset`, if this kernel has it.
    #[inline(always)]
    pub(crate) fn get<T: Copy + Default>(self, offset: &Offset) -> Option<T> {
        let offset = offset.load();
        if offset == MISSING {
            return None;
        }
        // SAFETY: `offset` is that of a member of this object's type, from the kernel's own BTF.
        Some(unsafe { A::read(self.address.wrapping_add(offset as usize)) })
    }

    /// The object that the pointer member at `offset` refers to; null counts as none.
    #[inline(always)]
    pub(crate) fn follow(self, offset: &Offset) -> Option<Self> {
        let target: u64 = self.get(offset)?;
        (target != 0).then(|| Self::new(target as *const u8))
    }

    /// The 16-byte member at `offset`.
    #[inline(always)]
    pub(crate) fn get_pair(self, offset: &Offset) -> Address {
        let offset = offset.load();
        if offset == MISSING {
            return [0; 2];
        }
        let start = self.address.wrapping_add(offset as usize);
        // SAFETY: as in `get`; the member has 16 bytes.
        unsafe { [A::read(start), A::read(start.wrapping_add(8))] }
    }
}

/// Family, addresses and ports of a socket.
#[inline(always)]
pub(crate) fn identity<A: Access>(sk: Object<A>) -> Identity {
    let family = sk.get(&offset::SK_FAMILY).unwrap_or(0);
    let (local, remote) = if family == tracer_ebpf::record::AF_INET6 {
        (sk.get_pair(&offset::SK_V6_RCV_SADDR), sk.get_pair(&offset::SK_V6_DADDR))
    } else {
        let local: u32 = sk.get(&offset::SK_RCV_SADDR).unwrap_or(0);
        let remote: u32 = sk.get(&offset::SK_DADDR).unwrap_or(0);
        ([u64::from(local), 0], [u64::from(remote), 0])
    };
    Identity {
        family,
        local,
        remote,
        local_port: sk.get(&offset::SK_NUM).unwrap_or(0),
        remote_port: u16::from_be(sk.get(&offset::SK_DPORT).unwrap_or(0)),
    }
}

/// [`identity`] of a full socket: one that is closed has no `skc_num` any more, but keeps its `inet_sport`.
#[inline(always)]
pub(crate) fn full_identity<A: Access>(sk: Object<A>) -> Identity {
    let mut ends = identity(sk);
    if ends.local_port == 0 {
        let port = if A::WHOLE { sk.get(&offset::INET_SPORT) } else { sk.untyped().get(&offset::INET_SPORT) };
        ends.local_port = u16::from_be(port.unwrap_or(0));
    }
    ends
}

/// The socket belongs to a file descriptor. The kernel's own (it answers through raw ones) do not.
#[inline(always)]
pub(crate) fn is_of_user<A: Access>(sk: Object<A>) -> bool {
    sk.follow(&offset::SK_SOCKET).and_then(|socket| socket.get::<u64>(&offset::SOCKET_FILE)).unwrap_or(0) != 0
}

/// Inode of the namespace that a `struct net` is, 0 if unknown.
#[inline(always)]
pub(crate) fn inode<A: Access>(net: Option<Object<A>>) -> u32 {
    net.and_then(|net| net.get(&offset::NET_INUM)).unwrap_or(0)
}

/// Inode of a socket's network namespace, 0 if unknown.
#[inline(always)]
pub(crate) fn netns<A: Access>(sk: Object<A>) -> u32 {
    inode(sk.follow(&offset::SK_NET))
}

/// Inode of the namespace that a received or outgoing packet is in, by its device; 0 if unknown.
#[inline(always)]
pub(crate) fn skb_netns<A: Access>(skb: Object<A>) -> u32 {
    inode(skb.follow(&offset::SKB_DEV).and_then(|dev| dev.follow(&offset::DEV_NET)))
}

/// Network namespace of a packet that TCP has taken from its device, by its route (net/ipv4/tcp_ipv4.c).
#[inline(always)]
pub(crate) fn skb_route_netns<A: Access>(skb: Object<A>) -> u32 {
    /// `SKB_DST_PTRMASK` (include/linux/skbuff.h).
    const DST: u64 = !7;
    let dst = skb.get::<u64>(&offset::SKB_DST).unwrap_or(0) & DST;
    if dst == 0 {
        return 0;
    }
    let dst = Object::<Probed>::new(dst as *const u8);
    inode(dst.follow(&offset::DST_DEV).and_then(|dev| dev.follow(&offset::DEV_NET)))
}

/// Lowest and highest port that the socket's namespace gives to clients, 0 if unknown.
#[inline(always)]
pub(crate) fn local_port_range<A: Access>(sk: Object<A>) -> [u16; 2] {
    let range: Option<u64> = sk.follow(&offset::SK_NET).and_then(|net| net.untyped().get(&offset::NET_LOCAL_PORTS));
    let range = range.unwrap_or(0);
    let first = range as u32;
    // One number with the highest port in its upper half (6.8 and later), or two numbers. The highest
    // port is never 0, so that tells them apart.
    let highest = if first > 0xffff { first >> 16 } else { (range >> 32) as u32 };
    [first as u16, highest as u16]
}

/// Address and mask of the established hash that a socket belongs to.
#[inline(always)]
pub(crate) fn ehash<A: Access>(sk: Object<A>) -> Option<(u64, u32)> {
    let hashinfo = sk.follow(&offset::SK_NET).and_then(|net| net.follow(&offset::NET_HASHINFO))?;
    Some((hashinfo.get(&offset::EHASH_TABLE)?, hashinfo.get(&offset::EHASH_MASK)?))
}

/// The `ehash_mask` of the table that a socket belongs to, 0 if unknown.
#[inline(always)]
pub(crate) fn ehash_mask<A: Access>(sk: Object<A>) -> u32 {
    sk.follow(&offset::SK_NET)
        .and_then(|net| net.follow(&offset::NET_HASHINFO))
        .and_then(|hashinfo| hashinfo.get(&offset::EHASH_MASK))
        .unwrap_or(0)
}

/// A socket's cookie; made now if it has none, where a helper can (5.12+, typed pointers only).
#[inline(always)]
pub(crate) fn cookie<A: Access>(sk: Object<A>) -> u64 {
    let cookie = sk.get(&offset::SK_COOKIE).unwrap_or(0);
    if cookie == 0 && A::TYPED && crate::features::COOKIE_HELPER.load() != 0 {
        // SAFETY: the pointer is a BTF-typed `struct sock`; the helper accepts minisockets and null.
        return unsafe { bpf_get_socket_cookie(sk.address.cast_mut().cast()) };
    }
    cookie
}

/// Whether that bit of the struct at an address is set, if this kernel has it.
#[inline(always)]
pub(crate) fn is_set(bit: &offset::Bit, address: u64) -> bool {
    let bit = bit.load();
    if bit == MISSING {
        return false;
    }
    let byte: u8 = probe_read((address + u64::from(bit / 8)) as *const u8);
    byte >> (bit % 8) & 1 != 0
}
