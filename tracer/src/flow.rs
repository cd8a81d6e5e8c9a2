//! What is known of a connection from its earlier events.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::event::{Body, Context, Event, RstKind, Task, TcpState};

/// Connections remembered. The one unused for longest goes first, and with it the name of its owner.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// Sockets by their kernel address, with what their events told.
pub struct Flows {
    by_sock: LruCache<u64, Flow>,
}

#[derive(Default)]
struct Flow {
    /// The task that last worked on the socket on its own behalf, by a system call.
    owner: Option<Task>,
    /// The state before the last change, if that was to CLOSE.
    closed_from: Option<TcpState>,
}

impl Default for Flows {
    fn default() -> Self {
        Self { by_sock: LruCache::new(REMEMBERED) }
    }
}

impl Flows {
    /// Learns from an event, and adds to it what earlier ones told.
    pub fn follow(&mut self, event: &mut Event) {
        let own = event.context == Context::Process && !matches!(event.body, Body::Lookup(_));
        if event.sock == 0 {
            event.owner = own.then(|| event.task.clone());
            return;
        }
        let flow = self.by_sock.get_or_insert_mut(event.sock, Flow::default);
        if own {
            flow.owner = Some(event.task.clone());
        }
        event.owner.clone_from(&flow.owner);
        match &mut event.body {
            Body::State(state) => {
                flow.closed_from = (state.new == TcpState::CLOSE).then_some(state.old);
                if state.old == TcpState::CLOSE || state.old == TcpState::LISTEN && !own {
                    // A new connection. The address may have been another socket's before.
                    *flow = Flow { owner: own.then(|| event.task.clone()), closed_from: None };
                    event.owner.clone_from(&flow.owner);
                }
            }
            Body::Rst(rst) if rst.kind == RstKind::Active => rst.closed_from = flow.closed_from,
            Body::Rst(_) | Body::Lookup(_) | Body::RawSend(_) => {}
        }
    }
}
