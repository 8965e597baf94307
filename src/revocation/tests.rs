//! What a list says about a credential, at every age of the view.

use super::*;
use crate::revocation::cutoff::Cutoff;
use crate::revocation::mirror::Term;

fn revocations(on_outage: OnOutage) -> Revocations {
    let policy = Policy { max_stale: Duration::from_secs(1), on_outage };
    Revocations { mirror: Arc::new(Mirror::new()), policy }
}

#[test]
fn standing_by_age() {
    let revocations = revocations(OnOutage::Deny);
    let now = Instant::now();
    let (alice, bob) = (Revocable::new("alice", Some(5)), Revocable::new("bob", Some(5)));
    let after = |millis| now + Duration::from_millis(millis);
    let standing = |at| (revocations.standing_at(&alice, at), revocations.standing_at(&bob, at));
    assert_eq!(standing(now), (Standing::Unknown, Standing::Unknown), "never read");
    let term = Term { remaining: None, cutoff: Cutoff::at(5) };
    revocations.mirror.put(Kind::Sub, Kind::Sub.fingerprint("alice"), term, now);
    assert_eq!(standing(now), (Standing::Revoked, Standing::Unknown), "never completely read");
    revocations.mirror.is_complete_as_of(now);
    for (millis, expect) in [
        (0, Standing::Good),
        (999, Standing::Good),
        (1_000, Standing::Good),
        (1_001, Standing::Unknown),
        (1_000_000, Standing::Unknown),
    ] {
        assert_eq!(standing(after(millis)), (Standing::Revoked, expect), "{millis}");
    }
    revocations.mirror.is_complete_as_of(after(5_000));
    assert_eq!(standing(after(5_500)), (Standing::Revoked, Standing::Good));
}

#[test]
fn what_not_knowing_means_is_the_policy() {
    for (on_outage, unknown) in
        [(OnOutage::Deny, Err(Reason::RevocationUnavailable)), (OnOutage::Allow, Ok(()))]
    {
        let revocations = revocations(on_outage);
        let (alice, bob) = (Revocable::new("alice", None), Revocable::new("bob", None));
        let term = Term { remaining: None, cutoff: Cutoff::EVERYTHING };
        revocations.mirror.put(Kind::Sub, Kind::Sub.fingerprint("alice"), term, Instant::now());
        assert_eq!(revocations.on_outage(), on_outage);
        assert_eq!(revocations.confirm(&bob), unknown, "{on_outage:?}");
        assert_eq!(revocations.confirm(&alice), Err(Reason::Revoked), "{on_outage:?}");
        assert!(!revocations.is_in_touch());
        revocations.mirror.is_always_complete();
        assert!(revocations.is_in_touch());
        assert_eq!(revocations.confirm(&bob), Ok(()), "{on_outage:?}");
        assert_eq!(revocations.confirm(&alice), Err(Reason::Revoked), "{on_outage:?}");
    }
}

/// A list in memory is known from the first moment, and every policy sees the same one.
#[tokio::test]
async fn a_list_in_memory() {
    use crate::revocation::entry::{Entry, Issuer, Lifetime, Name};
    let list = List::new(Backing::Memory, Clock::manual(1_000));
    let name = Name::new(Kind::User, "bob", Issuer::Any).unwrap();
    let bob = Revocable::new("bob", None).with(Kind::User, "bob");
    let before = list.under(Policy::default());
    assert_eq!(before.standing(&bob), Standing::Good);
    list.store().add(&Entry::new(name.clone(), Lifetime::Endless, "", 1_000).unwrap()).await.unwrap();
    let after = list.under(Policy { on_outage: OnOutage::Allow, ..Policy::default() });
    assert_eq!((before.standing(&bob), after.standing(&bob)), (Standing::Revoked, Standing::Revoked));
    assert!(list.store().remove(&name).await.unwrap());
    assert_eq!((before.standing(&bob), after.standing(&bob)), (Standing::Good, Standing::Good));
}

/// What a server's task may hold across its own waiting.
#[test]
fn everything_can_be_awaited_in_a_task() {
    use crate::revocation::entry::{Entry, Issuer, Lifetime, Name};
    use crate::revocation::store::Cursor;
    fn sends<T: Send>(_: &T) {}
    let list = List::new(Backing::Memory, Clock::system());
    let metrics = Metrics::new("test", "test").unwrap();
    let name = Name::new(Kind::User, "bob", Issuer::Any).unwrap();
    let entry = Entry::new(name.clone(), Lifetime::Endless, "", 0).unwrap();
    let (store, cursor) = (list.store(), Cursor::default());
    sends(&list.follow(&metrics, &Audit::silent()));
    sends(&store.add(&entry));
    sends(&store.remove(&name));
    sends(&store.list(None, &cursor, 1));
}
