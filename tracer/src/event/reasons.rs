//! What a kernel calls the reasons that it gives.

use std::collections::BTreeMap;

/// What a kernel calls reasons, by its numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reasons {
    /// `enum sk_rst_reason`, empty before 6.10.
    pub reset: BTreeMap<u32, String>,
    /// `enum skb_drop_reason`, empty before 5.17.
    pub drop: BTreeMap<u32, String>,
}
