//! Are these all RSTs? The kernel counts those that it sends in each network namespace, whoever reports them.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::MetadataExt as _,
};

use crate::{
    event::{Body, Direction, Event, RstKind},
    filter::Criteria,
    report::Unaccounted,
    snmp,
};

/// The counters at the start, and what was reported since.
pub(super) struct Accounts {
    /// OutRsts by namespace; none where a filter leaves RSTs out, and nothing can be compared.
    start: Option<BTreeMap<u32, u64>>,
    end: BTreeMap<u32, u64>,
    reported: HashMap<u32, u64>,
}

impl Accounts {
    /// Reads the counters; all must be observed by now. `is_whole`: all RSTs of the namespaces are reported.
    pub(super) fn open(is_whole: bool) -> Self {
        Self { start: is_whole.then(out_rsts), end: BTreeMap::new(), reported: HashMap::new() }
    }

    /// Whether `criteria` let all RSTs of a namespace pass.
    pub(super) fn are_whole(criteria: &Criteria) -> bool {
        criteria.ends == 0 && criteria.owner == 0 && criteria.opens == 0 && criteria.netns.is_none()
    }

    /// A RST that is reported.
    pub(super) fn saw(&mut self, event: &Event) {
        // A packet filter's are no segments of TCP's.
        if let Body::Rst(rst) = &event.body
            && rst.direction == Direction::Sent
            && rst.kind != RstKind::Firewall
            && let Some(netns) = event.netns
        {
            *self.reported.entry(netns).or_default() += 1;
        }
    }

    /// Reads the counters again. Until then all must be observed: what comes later is reported, and not counted.
    pub(super) fn stop(&mut self) {
        if self.start.is_some() {
            self.end = out_rsts();
        }
    }

    /// What the kernel has counted and nobody reported.
    pub(super) fn close(self) -> Vec<Unaccounted> {
        let Some(start) = self.start else { return Vec::new() };
        let difference = |(netns, counted): (u32, u64)| {
            // A namespace that is newer than the trace started from 0.
            let counted = counted.saturating_sub(start.get(&netns).copied().unwrap_or(0));
            let reported = self.reported.get(&netns).copied().unwrap_or(0);
            (counted > reported).then_some(Unaccounted { netns, counted, reported })
        };
        self.end.into_iter().filter_map(difference).collect()
    }
}

/// OutRsts (RFC 4022) of each namespace that a process is in.
fn out_rsts() -> BTreeMap<u32, u64> {
    let mut all = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = process.path();
        // Whatever is no process has no such file.
        let Ok(netns) = fs::metadata(path.join("ns/net")) else { continue };
        let Ok(inode) = u32::try_from(netns.ino()) else { continue };
        if all.contains_key(&inode) {
            continue;
        }
        let count = fs::read_to_string(path.join("net/snmp")).ok();
        if let Some(count) = count.and_then(|snmp| snmp::counter(&snmp, "Tcp", "OutRsts")) {
            all.insert(inode, count);
        }
    }
    all
}
