//! The names of the programs in the object: one table for the plan that attaches them and for the tests that hold it
//! against the object. Each is a function of `hooks/`, named `EVENT_MECHANISM`.

macro_rules! programs {
    ($($name:ident = $text:literal;)*) => {
        $(
            #[doc = concat!("The program `", $text, "`.")]
            pub const $name: &str = $text;
        )*

        /// All of them, with the names of their constants.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $text)),*];
    };
}

programs! {
    // hooks/state.rs
    STATE_KPROBE = "state_kprobe";
    STATE_RAW_TP = "state_raw_tp";
    STATE_RAW_TP_NESTED = "state_raw_tp_nested";
    STATE_SET_FENTRY = "state_set_fentry";
    STATE_SET_FENTRY_NESTED = "state_set_fentry_nested";
    STATE_STORE_FENTRY = "state_store_fentry";
    STATE_STORE_FENTRY_NESTED = "state_store_fentry_nested";
    STATE_TP_BTF = "state_tp_btf";
    STATE_TP_BTF_NESTED = "state_tp_btf_nested";
    STATE_TRACEPOINT = "state_tracepoint";
    // hooks/reset.rs
    ACTIVE_FENTRY = "active_fentry";
    ACTIVE_FENTRY_REASON1 = "active_fentry_reason1";
    ACTIVE_FENTRY_REASON2 = "active_fentry_reason2";
    ACTIVE_KPROBE = "active_kprobe";
    ACTIVE_KPROBE_REASON1 = "active_kprobe_reason1";
    ACTIVE_KPROBE_REASON2 = "active_kprobe_reason2";
    PASSIVE4_FENTRY = "passive4_fentry";
    PASSIVE4_FENTRY_REASON = "passive4_fentry_reason";
    PASSIVE4_KPROBE = "passive4_kprobe";
    PASSIVE4_KPROBE_REASON = "passive4_kprobe_reason";
    PASSIVE6_FENTRY = "passive6_fentry";
    PASSIVE6_FENTRY_REASON = "passive6_fentry_reason";
    PASSIVE6_KPROBE = "passive6_kprobe";
    PASSIVE6_KPROBE_REASON = "passive6_kprobe_reason";
    RECEIVED_FENTRY = "received_fentry";
    RECEIVED_FENTRY_SKB = "received_fentry_skb";
    RECEIVED_KPROBE = "received_kprobe";
    RECEIVED_KPROBE_SKB = "received_kprobe_skb";
    RECEIVED_TP_BTF = "received_tp_btf";
    RECEIVED_TP_BTF_NESTED = "received_tp_btf_nested";
    SENT_TP_BTF = "sent_tp_btf";
    SENT_TP_BTF_NESTED = "sent_tp_btf_nested";
    SENT_TP_BTF_REASON = "sent_tp_btf_reason";
    SENT_TP_BTF_REASON_NESTED = "sent_tp_btf_reason_nested";
    // hooks/stray.rs
    STRAY_RAW_TP = "stray_raw_tp";
    STRAY_RAW_TP_REASON = "stray_raw_tp_reason";
    STRAY_RAW_TP_SK = "stray_raw_tp_sk";
    // hooks/firewall.rs
    FIREWALL_KPROBE_SKB1 = "firewall_kprobe_skb1";
    FIREWALL_KPROBE_SKB2 = "firewall_kprobe_skb2";
    // hooks/lookup.rs
    EHASH4_FEXIT = "ehash4_fexit";
    EHASH4_FEXIT_HASHINFO = "ehash4_fexit_hashinfo";
    EHASH4_KPROBE = "ehash4_kprobe";
    EHASH4_KPROBE_HASHINFO = "ehash4_kprobe_hashinfo";
    EHASH6_FEXIT = "ehash6_fexit";
    EHASH6_FEXIT_HASHINFO = "ehash6_fexit_hashinfo";
    EHASH6_KPROBE = "ehash6_kprobe";
    EHASH6_KPROBE_HASHINFO = "ehash6_kprobe_hashinfo";
    LISTENER4_FEXIT = "listener4_fexit";
    LISTENER4_FEXIT_HASHINFO = "listener4_fexit_hashinfo";
    LISTENER4_KPROBE = "listener4_kprobe";
    LISTENER4_KPROBE_HASHINFO = "listener4_kprobe_hashinfo";
    LISTENER6_FEXIT = "listener6_fexit";
    LISTENER6_FEXIT_HASHINFO = "listener6_fexit_hashinfo";
    LISTENER6_KPROBE = "listener6_kprobe";
    LISTENER6_KPROBE_HASHINFO = "listener6_kprobe_hashinfo";
    LOOKUP_KRETPROBE = "lookup_kretprobe";
    // hooks/raw_send.rs
    RAW_SEND_FENTRY = "raw_send_fentry";
    RAW_SEND_KPROBE = "raw_send_kprobe";
    RAW_SEND_TP_BTF = "raw_send_tp_btf";
    // hooks/owner.rs
    ACCEPTED2_FEXIT = "accepted2_fexit";
    ACCEPTED3_FEXIT = "accepted3_fexit";
    ACCEPTED4_FEXIT = "accepted4_fexit";
    ACCEPTED_KRETPROBE = "accepted_kretprobe";
    FIRST_READ = "first_read";
    OWN_PID_NAMESPACE = "own_pid_namespace";
    PROCESS_EXITED = "process_exited";
    PROCESS_FORKED = "process_forked";
    SOCKET_DESTROYED = "socket_destroyed";
    SOCKET_DESTROYED_AGAIN = "socket_destroyed_again";
    // hooks/existing.rs
    EXISTING_SOCKETS = "existing_sockets";
    // hooks/end.rs
    PROCESS_ENDS = "process_ends";
    SIGNAL_SENT = "signal_sent";
    // hooks/baseline.rs
    BASELINE_TP_BTF = "baseline_tp_btf";
    // hooks/synack.rs
    SYNACK_AGAIN = "synack_again";
}
