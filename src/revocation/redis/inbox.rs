//! What Redis announced and the gateway has not looked at yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc;

use super::connection::PushSink;

/// Announcements of one connection, in the order they came in.
pub(super) struct Inbox {
    announced: mpsc::Receiver<Vec<Value>>,
    alarms: Arc<Alarms>,
}

/// What makes single announcements worthless.
#[derive(Default)]
struct Alarms {
    emptied: AtomicBool,
    overflowed: AtomicBool,
}

/// What makes the whole list worth reading again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Redis dropped all keys, or a replica loaded others.
    Emptied,
    /// More was announced than could be kept.
    Overflowed,
}

/// How many announcements wait at most. Each is about everything that changed in one turn of Redis.
const ROOM: usize = 1 << 16;

impl Inbox {
    /// An empty inbox, and what fills it.
    pub(super) fn new() -> (Self, PushSink) {
        let (sender, announced) = mpsc::channel(ROOM);
        let alarms = Arc::new(Alarms::default());
        let raised = alarms.clone();
        let sink = move |push: PushInfo| {
            let PushInfo { kind: PushKind::Invalidate, mut data } = push else { return };
            match data.pop() {
                Some(Value::Array(keys)) => {
                    if sender.try_send(keys).is_err() {
                        raised.overflowed.store(true, Ordering::Release);
                    }
                }
                // `FLUSHALL` and the like are announced with nothing in place of keys.
                Some(_) | None => raised.emptied.store(true, Ordering::Release),
            }
        };
        (Self { announced, alarms }, Arc::new(sink))
    }

    /// Waits for an announcement. Pending for ever once the connection is gone.
    pub(super) async fn next(&mut self) -> Vec<Value> {
        match self.announced.recv().await {
            Some(keys) => keys,
            None => std::future::pending().await,
        }
    }

    /// An announcement that is already here.
    pub(super) fn ready(&mut self) -> Option<Vec<Value>> {
        self.announced.try_recv().ok()
    }

    /// How many announcements are here.
    pub(super) fn len(&self) -> usize {
        self.announced.len()
    }

    /// What has been raised; emptied outweighs overflowed, since it says less about what is absent.
    pub(super) fn alarm(&self) -> Option<Alarm> {
        if self.alarms.emptied.load(Ordering::Acquire) {
            Some(Alarm::Emptied)
        } else if self.alarms.overflowed.load(Ordering::Acquire) {
            Some(Alarm::Overflowed)
        } else {
            None
        }
    }

    /// Forgets what was raised and announced, before the whole list is read.
    pub(super) fn reset(&mut self) {
        self.alarms.emptied.store(false, Ordering::Release);
        self.alarms.overflowed.store(false, Ordering::Release);
        while self.ready().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(kind: PushKind, data: Vec<Value>) -> PushInfo {
        PushInfo { kind, data }
    }

    fn keys(names: &[&str]) -> Value {
        Value::Array(names.iter().map(|name| Value::BulkString(name.as_bytes().to_vec())).collect())
    }

    #[test]
    fn announcements_come_out_in_order_and_alarms_stay() {
        let (mut inbox, sink) = Inbox::new();
        sink(push(PushKind::Invalidate, vec![keys(&["a", "b"])]));
        sink(push(PushKind::Message, vec![keys(&["x"])]));
        sink(push(PushKind::Invalidate, vec![keys(&["c"])]));
        assert_eq!((inbox.len(), inbox.alarm()), (2, None));
        assert_eq!(inbox.ready().map(Value::Array), Some(keys(&["a", "b"])));
        sink(push(PushKind::Invalidate, vec![Value::Nil]));
        assert_eq!(inbox.alarm(), Some(Alarm::Emptied));
        assert_eq!(inbox.ready().map(Value::Array), Some(keys(&["c"])));
        assert_eq!(inbox.alarm(), Some(Alarm::Emptied));
        inbox.reset();
        assert_eq!((inbox.len(), inbox.alarm()), (0, None));
    }

    #[test]
    fn a_flood_is_an_alarm_and_takes_no_more_room() {
        let (mut inbox, sink) = Inbox::new();
        for _ in 0..ROOM {
            sink(push(PushKind::Invalidate, vec![keys(&["a"])]));
        }
        assert_eq!(inbox.alarm(), None);
        sink(push(PushKind::Invalidate, vec![keys(&["b"])]));
        assert_eq!((inbox.len(), inbox.alarm()), (ROOM, Some(Alarm::Overflowed)));
        sink(push(PushKind::Invalidate, vec![Value::Nil]));
        assert_eq!(inbox.alarm(), Some(Alarm::Emptied));
        inbox.reset();
        assert_eq!((inbox.len(), inbox.alarm()), (0, None));
    }
}
