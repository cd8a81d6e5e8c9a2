//! How much stack the programs need. The verifier allows 512 bytes for all functions that call one another
//! (`check_max_stack_depth_subprog` in kernel/bpf/verifier.c); from 6.13 on most programs may have more, so that a kernel
//! which takes a program says nothing of the older ones.

use std::collections::{BTreeMap, HashMap};

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SymbolKind};

/// `MAX_BPF_STACK`.
const MOST: u64 = 512;
/// What the stack of each function is rounded up to before 6.7.
const STEP: u64 = 32;
/// `MAX_CALL_FRAMES`.
const FRAMES: usize = 8;

/// A function by its section and its address there.
type FunctionAt = (usize, u64);

/// Bytes of the stack that it uses, and what it calls.
#[derive(Default)]
struct Function {
    name: String,
    stack: u64,
    calls: Vec<FunctionAt>,
}

/// An instruction (`struct bpf_insn` in include/uapi/linux/bpf.h).
struct Instruction {
    code: u8,
    to: u8,
    from: u8,
    offset: i16,
    number: i32,
}

impl Instruction {
    const FRAME_POINTER: u8 = 10;

    fn of(bytes: &[u8]) -> Self {
        Self {
            code: bytes[0],
            to: bytes[1] & 15,
            from: bytes[1] >> 4,
            offset: i16::from_le_bytes([bytes[2], bytes[3]]),
            number: i32::from_le_bytes(bytes[4..8].try_into().unwrap()),
        }
    }

    /// The load, or the store, is of the stack: how deep it reaches.
    fn access(&self) -> Option<u64> {
        const LDX: u8 = 1;
        const ST: u8 = 2;
        const STX: u8 = 3;
        let base = match self.code & 7 {
            LDX => self.from,
            ST | STX => self.to,
            _ => return None,
        };
        (base == Self::FRAME_POINTER && self.offset < 0).then(|| u64::from(self.offset.unsigned_abs()))
    }

    /// A number is added to a copy of the frame pointer, which `before` made: how deep it reaches then.
    fn address(&self, before: &Self) -> Option<u64> {
        const MOV64: u8 = 0xbf;
        const ADD64_NUMBER: u8 = 0x07;
        let is_copy = before.code == MOV64 && before.from == Self::FRAME_POINTER && before.to == self.to;
        (is_copy && self.code == ADD64_NUMBER && self.number < 0).then(|| u64::from(self.number.unsigned_abs()))
    }

    /// A call of another function of the program's, not of a helper's.
    const fn is_call(&self) -> bool {
        const CALL: u8 = 0x85;
        const PSEUDO_CALL: u8 = 1;
        self.code == CALL && self.from == PSEUDO_CALL
    }
}

/// The functions of the object, by where they begin.
fn functions(file: &object::File<'_>) -> BTreeMap<FunctionAt, Function> {
    let mut functions = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
        let relocations: HashMap<_, _> = section.relocations().collect();
        let (start, end) = (symbol.address() as usize, (symbol.address() + symbol.size()) as usize);
        let code = &section.data().unwrap()[start..end];
        let mut function = Function { name: symbol.name().unwrap().to_owned(), ..Function::default() };
        let mut before = Instruction::of(&[0; 8]);
        for (index, bytes) in code.chunks_exact(8).enumerate() {
            let instruction = Instruction::of(bytes);
            let depth = instruction.access().into_iter().chain(instruction.address(&before)).max();
            function.stack = function.stack.max(depth.unwrap_or(0));
            if instruction.is_call() {
                let at = (start + 8 * index) as u64;
                let target = relocations.get(&at).map(object::Relocation::target);
                function.calls.push(called(file, (section.index().0, at), &instruction, target));
            }
            before = instruction;
        }
        functions.insert((section.index().0, symbol.address()), function);
    }
    functions
}

/// What is called there: the relocation's symbol, or as many instructions on as the number says.
fn called(file: &object::File<'_>, at: FunctionAt, call: &Instruction, target: Option<RelocationTarget>) -> FunctionAt {
    let onwards = |from: u64| from.wrapping_add_signed(8 * (i64::from(call.number) + 1));
    match target {
        Some(RelocationTarget::Symbol(symbol)) => {
            let symbol = file.symbol_by_index(symbol).unwrap();
            let section = symbol.section_index().unwrap().0;
            let is_section = symbol.kind() == SymbolKind::Section;
            (section, if is_section { onwards(0) } else { symbol.address() })
        }
        _ => (at.0, onwards(at.1)),
    }
}

/// The chain of calls that needs the most stack, the caller first, and how much that is.
fn deepest(
    functions: &BTreeMap<FunctionAt, Function>,
    place: FunctionAt,
    known: &mut HashMap<FunctionAt, (u64, Vec<FunctionAt>)>,
) {
    if known.contains_key(&place) {
        return;
    }
    let function = &functions[&place];
    let mut most = (0, Vec::new());
    for &call in &function.calls {
        deepest(functions, call, known);
        if known[&call].0 > most.0 {
            most = known[&call].clone();
        }
    }
    let own = function.stack.max(1).next_multiple_of(STEP);
    most.1.insert(0, place);
    known.insert(place, (own + most.0, most.1));
}

#[test]
fn every_kernel_has_the_stack_that_the_programs_need() {
    let Some(file) = super::contract::object() else { return };
    let functions = functions(&file);
    let text = file.section_by_name(".text").unwrap().index().0;
    let mut known = HashMap::new();
    let mut seen = 0;
    for (&place, function) in functions.iter().filter(|((section, _), _)| *section != text) {
        deepest(&functions, place, &mut known);
        let (depth, chain) = &known[&place];
        let chain: Vec<_> =
            chain.iter().map(|place| format!("{} ({})", functions[place].name, functions[place].stack)).collect();
        assert!(
            *depth <= MOST && chain.len() <= FRAMES,
            "{} needs {depth} bytes: {}",
            function.name,
            chain.join(" > ")
        );
        seen = seen.max(*depth);
    }
    // Else this test would see nothing.
    assert!(seen > MOST / 2, "the deepest is {seen}");
}
