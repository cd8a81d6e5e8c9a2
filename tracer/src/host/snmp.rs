//! `/proc/net/snmp`: pairs of lines, names and then values, each pair for one protocol.
//!
//! By name, and only what is asked for: the kernel adds counters (7.3 did), which parsers that know the
//! whole file by position or expect all of it do not survive.

/// The value of a counter, such as `OutRsts` of `Tcp`.
pub fn counter(snmp: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(':'));
    let (names, values) = (lines.next()?, lines.next()?);
    let position = names.split_ascii_whitespace().position(|it| it == name)?;
    values.split_ascii_whitespace().nth(position)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::counter;

    const SNMP: &str = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
        Tcp: RtoAlgorithm MaxConn OutSegs OutRsts InCsumErrors\nTcp: 1 -1 507 12 0\n\
        TcpExtra: OutRsts\nTcpExtra: 99\n";

    #[test]
    fn a_counter_is_found_by_its_name() {
        assert_eq!(counter(SNMP, "Tcp", "OutRsts"), Some(12));
        assert_eq!(counter(SNMP, "Ip", "DefaultTTL"), Some(64));
    }

    #[test]
    fn what_is_missing_or_no_count_is_none() {
        assert_eq!(counter(SNMP, "Tcp", "OutWonders"), None);
        assert_eq!(counter(SNMP, "Udp", "OutRsts"), None);
        assert_eq!(counter(SNMP, "Tcp", "MaxConn"), None);
        assert_eq!(counter("Tcp: OutRsts\n", "Tcp", "OutRsts"), None);
    }
}
