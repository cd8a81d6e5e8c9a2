//! Kernel addresses to function names, from `/proc/kallsyms`.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader},
    sync::{Arc, OnceLock},
    thread,
};

use crate::host::malloc;

/// Where names come from.
pub enum Symbols {
    /// The running kernel, read ahead or when the first address is asked for. Reading needs `CAP_SYSLOG`, unless
    /// kptr_restrict is 0.
    Kernel(Box<Kernel>),
    /// A recording.
    Recorded(HashMap<u64, String>),
}

/// The running kernel's functions, and those that were asked for.
#[derive(Default)]
pub struct Kernel {
    table: Arc<OnceLock<Table>>,
    /// Names by address: stacks are the same over and over, and the table is too large for a processor's cache.
    found: RefCell<HashMap<u64, Box<str>>>,
}

/// Names that are kept: more than there are places in the kernel from which a RST is sent.
const KEPT: usize = 4096;

impl Kernel {
    fn table(&self) -> &Table {
        self.table.get_or_init(of_running_kernel)
    }

    fn name(&self, address: u64) -> String {
        let mut found = self.found.borrow_mut();
        if let Some(name) = found.get(&address) {
            return name.as_ref().to_owned();
        }
        let name = or_address(self.table().find(address), address);
        if found.len() >= KEPT {
            found.clear();
        }
        found.insert(address, name.as_str().into());
        name
    }
}

fn or_address(name: Option<&str>, address: u64) -> String {
    name.map_or_else(|| format!("{address:#x}"), str::to_owned)
}

/// Functions by address. One string holds all names: a `String` for each of some hundred thousand
/// symbols would take more memory than the rest of the tracer.
#[derive(Debug, Default)]
pub struct Table {
    names: String,
    /// (address, where the name starts in `names`, or [`NO_FUNCTION`]), by address.
    starts: Vec<(u64, u32)>,
}

/// What begins there is data, or the end of the kernel: a function before it does not reach further.
const NO_FUNCTION: u32 = u32::MAX;

impl Symbols {
    /// The running kernel's.
    pub fn of_kernel() -> Self {
        Self::Kernel(Box::default())
    }

    /// Reads those of the running kernel now, and not when the first address is asked for.
    pub fn read(&self) {
        if let Self::Kernel(kernel) = self {
            kernel.table();
        }
    }

    /// Reads those of the running kernel in a thread of its own, so that they are there when the first address is asked
    /// for. It takes a quarter of a second, in which a flood of events would fill the ring buffer.
    pub fn read_ahead(&self) {
        if let Self::Kernel(kernel) = self {
            let table = Arc::clone(&kernel.table);
            malloc::share();
            // Without a thread they are read when they are asked for.
            let _ = thread::Builder::new().name("symbols".to_owned()).spawn(move || {
                table.get_or_init(of_running_kernel);
            });
        }
    }

    /// Names an address of a recording; the running kernel needs no telling.
    pub fn add(&mut self, address: u64, name: String) {
        if let Self::Recorded(names) = self {
            names.insert(address, name);
        }
    }

    /// The function that `address` lies in, or the address in hex if it is in none that is known.
    pub fn name(&self, address: u64) -> String {
        match self {
            Self::Kernel(kernel) => kernel.name(address),
            Self::Recorded(names) => or_address(names.get(&address).map(String::as_str), address),
        }
    }
}

fn of_running_kernel() -> Table {
    let table = File::open("/proc/kallsyms").and_then(|file| Table::read(BufReader::new(file)));
    malloc::give_back();
    // Without names the addresses are shown as they are.
    table.unwrap_or_default()
}

impl Table {
    /// The functions of such a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(input: impl BufRead) -> io::Result<Self> {
        let mut table = Self::default();
        let mut line = Vec::new();
        let mut input = input;
        while input.read_until(b'\n', &mut line)? != 0 {
            table.add(std::str::from_utf8(&line).unwrap_or_default());
            line.clear();
        }
        // A function and a mark at the same place: the function.
        table.starts.sort_unstable_by_key(|&(address, start)| (address, start != NO_FUNCTION));
        table.starts.dedup_by(|next, previous| next.1 == NO_FUNCTION && previous.1 == NO_FUNCTION);
        table.starts.shrink_to_fit();
        table.names.shrink_to_fit();
        Ok(table)
    }

    /// `ADDRESS KIND NAME [MODULE]`; the names of functions only. An address of zero is one that is hidden
    /// from us.
    fn add(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else { return };
        let (Ok(address), Ok(start)) = (u64::from_str_radix(address, 16), u32::try_from(self.names.len())) else {
            return;
        };
        if address == 0 {
            return;
        }
        if !matches!(kind, "t" | "T" | "w" | "W") {
            self.starts.push((address, NO_FUNCTION));
            return;
        }
        self.starts.push((address, start));
        self.names.push_str(name);
        self.names.push('\n');
    }

    /// The function that `address` lies in, if it is in one that is known.
    pub fn find(&self, address: u64) -> Option<&str> {
        let index = self.starts.partition_point(|&(start, _)| start <= address).checked_sub(1)?;
        let (_, start) = self.starts[index];
        (start != NO_FUNCTION).then(|| self.names[start as usize..].lines().next()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Kernel, Table};

    const KALLSYMS: &[u8] = b"ffffffff81000000 T first\nffffffff81000200 t third\nffffffff81000100 D data\n\
        ffffffff81000100 T second\n0000000000000000 T hidden\nffffffff82000000 B _end\n\
        ffffffff81900000 D more\nffffffffc0000000 t fourth\t[module]\n";

    #[test]
    fn finds_the_function_around_an_address() {
        let table = Table::read(KALLSYMS).unwrap();
        assert_eq!(table.find(0xffff_ffff_8100_0000), Some("first"));
        assert_eq!(table.find(0xffff_ffff_8100_01ff), Some("second"));
        assert_eq!(table.find(0xffff_ffff_8100_0200), Some("third"));
        assert_eq!(table.find(0xffff_ffff_c000_0042), Some("fourth"));
    }

    #[test]
    fn the_last_function_ends_where_data_begins() {
        let table = Table::read(KALLSYMS).unwrap();
        assert_eq!(table.find(0xffff_ffff_818f_ffff), Some("third"));
        assert_eq!(table.find(0xffff_ffff_8190_0000), None);
        assert_eq!(table.find(0xffff_ffff_a000_0000), None, "a program that was loaded since");
    }

    #[test]
    fn names_of_ever_other_addresses_are_not_all_kept() {
        let kernel = Kernel::default();
        kernel.table.set(Table::read(KALLSYMS).unwrap()).unwrap();
        for address in 0..3 * KEPT as u64 {
            assert_eq!(kernel.name(0xffff_ffff_8100_0200 + address), "third");
            assert!(kernel.found.borrow().len() <= KEPT);
        }
    }

    #[test]
    fn an_address_before_all_functions_has_none() {
        assert_eq!(Table::read(KALLSYMS).unwrap().find(0x1000), None);
        assert_eq!(Table::read(&b""[..]).unwrap().find(0x1000), None);
    }
}
