//! What Redis announced and the gateway has not looked at yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc;

use super::connection::PushSink;

/// Announcements of one connection, in the order they came in.
pub(super) struct Inbox {
    announced: mpsc::Receiver<Vec<Value>>,
    alarms: Arc<Alarms>,
    /// How many keys the announcements name.
    waiting: Arc<AtomicUsize>,
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

/// How many keys they may name, all of them together.
const MOST_KEYS: usize = 1 << 17;

impl Inbox {
    /// An empty inbox, and what fills it.
    pub(super) fn new() -> (Self, PushSink) {
        let (sender, announced) = mpsc::channel(ROOM);
        let alarms = Arc::new(Alarms::default());
        let waiting = Arc::<AtomicUsize>::default();
        let (raised, counted) = (alarms.clone(), waiting.clone());
        let sink = move |push: PushInfo| {
            let PushInfo { kind: PushKind::Invalidate, mut data } = push else { return };
            match data.pop() {
                Some(Value::Array(keys)) => {
                    let count = keys.len();
                    // Nobody else adds to it, so what is read here can only become less.
                    let fits = counted.load(Ordering::Acquire) + count <= MOST_KEYS;
                    counted.fetch_add(count, Ordering::AcqRel);
                    if !fits || sender.try_send(keys).is_err() {
                        counted.fetch_sub(count, Ordering::AcqRel);
                        raised.overflowed.store(true, Ordering::Release);
                    }
                }
                // `FLUSHALL` and the like are announced with nothing in place of keys.
                Some(_) | None => raised.emptied.store(true, Ordering::Release),
            }
        };
        (Self { announced, alarms, waiting }, Arc::new(sink))
    }

    /// Waits for an announcement. Pending for ever once the connection is gone.
    pub(super) async fn next(&mut self) -> Vec<Value> {
        match self.announced.recv().await {
            Some(keys) => self.taken(keys),
            None => std::future::pending().await,
        }
    }

    /// An announcement that is already here.
    pub(super) fn ready(&mut self) -> Option<Vec<Value>> {
        let keys = self.announced.try_recv().ok()?;
        Some(self.taken(keys))
    }

    fn taken(&self, keys: Vec<Value>) -> Vec<Value> {
        self.waiting.fetch_sub(keys.len(), Ordering::AcqRel);
        keys
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

    #[test]
    fn what_names_too_many_keys_is_an_alarm_and_takes_no_more_room() {
        let (mut inbox, sink) = Inbox::new();
        let many = vec!["a"; MOST_KEYS / 2];
        sink(push(PushKind::Invalidate, vec![keys(&many)]));
        sink(push(PushKind::Invalidate, vec![keys(&many)]));
        assert_eq!((inbox.len(), inbox.alarm()), (2, None));
        sink(push(PushKind::Invalidate, vec![keys(&["b"])]));
        assert_eq!((inbox.len(), inbox.alarm()), (2, Some(Alarm::Overflowed)));
        assert!(inbox.ready().is_some());
        inbox.reset();
        sink(push(PushKind::Invalidate, vec![keys(&many)]));
        sink(push(PushKind::Invalidate, vec![keys(&many)]));
        assert_eq!((inbox.len(), inbox.alarm()), (2, None));
    }
}
