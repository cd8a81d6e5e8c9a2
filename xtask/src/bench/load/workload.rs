//! The kinds of load, and what there is to say of each.

/// What is done over and over again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    ChurnRst,
    ChurnFin,
    Refused,
    Bulk,
    Exchange,
}

impl Workload {
    pub(in crate::bench) const ALL: [Self; 5] =
        [Self::ChurnRst, Self::ChurnFin, Self::Refused, Self::Bulk, Self::Exchange];

    /// State changes of sockets in each operation, both ends together.
    pub(in crate::bench) fn changes(self) -> u64 {
        match self {
            // To SYN_SENT, ESTABLISHED and CLOSE; to SYN_RECV, ESTABLISHED and CLOSE.
            Self::ChurnRst => 6,
            // To SYN_SENT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2 and CLOSE; to SYN_RECV, ESTABLISHED, CLOSE_WAIT,
            // LAST_ACK and CLOSE.
            Self::ChurnFin => 10,
            // To SYN_SENT and CLOSE.
            Self::Refused => 2,
            Self::Bulk | Self::Exchange => 0,
        }
    }

    /// Its name on the command line.
    pub(in crate::bench) fn name(self) -> &'static str {
        match self {
            Self::ChurnRst => "churn-rst",
            Self::ChurnFin => "churn-fin",
            Self::Refused => "refused",
            Self::Bulk => "bulk",
            Self::Exchange => "exchange",
        }
    }

    /// What it does.
    pub(in crate::bench) fn about(self) -> &'static str {
        match self {
            Self::ChurnRst => "connect, accept, abort at the client's end",
            Self::ChurnFin => "connect, accept, close at both ends",
            Self::Refused => "connect to a port without a listener",
            Self::Bulk => "send 64 KiB over an open connection",
            Self::Exchange => "send 64 bytes over an open connection, and 64 bytes back",
        }
    }

    pub(in crate::bench) fn named(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| "there is no such workload".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_go_by_their_names() {
        for workload in Workload::ALL {
            assert_eq!(Workload::named(workload.name()), Ok(workload));
        }
        assert!(Workload::named("nothing").is_err());
    }
}
