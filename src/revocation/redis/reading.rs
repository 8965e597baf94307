//! Reads entries: their values and how long they still stand, many of them in one round trip.

use std::time::Duration;

use redis::{Pipeline, RedisResult, Value, pipe};

use super::connection::{Connection, Loss};
use super::lineage::{EPOCH, epoch_in};
use crate::authn::revocable::Kind;
use crate::revocation::cutoff::{Cutoff, LONGEST_TIME, Stamp, carries_time};
use crate::revocation::entry::{PREFIX, parse_key};
use crate::revocation::mirror::Term;

/// How many keys are read in one go, announced or scanned.
pub(super) const BATCH: usize = 1000;

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Absent,
    /// An entry; the stamp is that of the kinds that carry a time.
    Standing(Term, Option<Stamp>),
}

/// Keys that name credentials, taken out of what Redis sent.
#[derive(Default)]
pub(super) struct Keys {
    named: Vec<Vec<u8>>,
    /// One of those that name nothing, for the log.
    foreign: Option<Vec<u8>>,
}

impl Keys {
    /// Takes keys over, leaving out what names no credential.
    pub(super) fn extend(&mut self, keys: impl IntoIterator<Item = Value>) {
        for key in keys {
            let Value::BulkString(key) = key else { continue };
            if parse_key(&key).is_some() {
                self.named.push(key);
            } else {
                self.foreign = Some(key);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.named.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.named.iter().map(Vec::as_slice)
    }

    /// A key that names no credential and so revokes nothing, if there was one.
    pub(super) fn take_foreign(&mut self) -> Option<Vec<u8>> {
        self.foreign.take()
    }

    fn parsed(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.iter().filter_map(parse_key)
    }
}

/// Reads what stands under `keys` and then the epoch, and hands each finding to `take`.
pub(super) async fn announced(
    connection: &mut Connection,
    keys: &Keys,
    mut take: impl FnMut(Kind, &str, Found),
) -> Result<Option<String>, Loss> {
    let mut commands = read_commands(keys);
    commands.cmd("GET").arg(EPOCH);
    let mut answers = connection.ask_all(&mut commands).await?.into_iter();
    for (kind, id) in keys.parsed() {
        take(kind, id, found(kind, &mut answers)?);
    }
    epoch_in(next(&mut answers, "GET")?)
}

/// Reads what stands under `keys`, hands each finding to `take`, and goes one step further with a scan: from `cursor`,
/// over about `count` keys of the database. Returns the next cursor and the keys found.
pub(super) async fn scanned(
    connection: &mut Connection,
    keys: &Keys,
    cursor: u64,
    count: usize,
    mut take: impl FnMut(Kind, &str, Found),
) -> Result<(u64, Keys), Loss> {
    let mut commands = read_commands(keys);
    commands.cmd("SCAN").arg(cursor).arg("MATCH").arg(format!("{PREFIX}*")).arg("COUNT").arg(count);
    let mut answers = connection.ask_all(&mut commands).await?.into_iter();
    for (kind, id) in keys.parsed() {
        take(kind, id, found(kind, &mut answers)?);
    }
    page(next(&mut answers, "SCAN")?)
}

/// The cursor and the keys in an answer to `SCAN`.
pub(super) fn page(answer: Value) -> Result<(u64, Keys), Loss> {
    let (cursor, found): (u64, Vec<Value>) =
        redis::from_redis_value(answer).map_err(|_| Loss::Nonsense("SCAN"))?;
    let mut keys = Keys::default();
    keys.extend(found);
    Ok((cursor, keys))
}

/// What `PTTL` says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It stands until it is removed.
    Endless,
    /// It is not there.
    None,
    /// It stands for so long.
    Remaining(Duration),
}

impl Life {
    /// Reads an answer to `PTTL`.
    pub(super) fn of(answer: &Value) -> Result<Self, Loss> {
        match answer {
            Value::Int(-2) => Ok(Self::None),
            Value::Int(-1) => Ok(Self::Endless),
            Value::Int(millis) => u64::try_from(*millis)
                .map(|millis| Self::Remaining(Duration::from_millis(millis)))
                .map_err(|_| Loss::Nonsense("PTTL")),
            _ => Err(Loss::Nonsense("PTTL")),
        }
    }
}

/// `GETRANGE` and not `GET`: a value may be half a gigabyte, and the time stands at its beginning.
fn read_commands(keys: &Keys) -> Pipeline {
    let mut commands = pipe();
    for (key, (kind, _)) in keys.iter().zip(keys.parsed()) {
        commands.cmd("PTTL").arg(key);
        if carries_time(kind) {
            commands.cmd("GETRANGE").arg(key).arg(0).arg(LONGEST_TIME - 1);
        }
    }
    commands
}

fn found(kind: Kind, answers: &mut impl Iterator<Item = RedisResult<Value>>) -> Result<Found, Loss> {
    let life = Life::of(&next(answers, "PTTL")?)?;
    let stamp = if carries_time(kind) { Some(stamp(answers)?) } else { None };
    let remaining = match life {
        Life::None => return Ok(Found::Absent),
        Life::Endless => None,
        Life::Remaining(remaining) => Some(remaining),
    };
    let cutoff = stamp.map_or(Cutoff::EVERYTHING, |stamp| stamp.cutoff);
    Ok(Found::Standing(Term { remaining, cutoff }, stamp))
}

fn stamp(answers: &mut impl Iterator<Item = RedisResult<Value>>) -> Result<Stamp, Loss> {
    match answers.next() {
        Some(Ok(Value::BulkString(value))) => Ok(Stamp::read(&value)),
        // A list or a hash under the key of an entry is no time, but someone meant to revoke.
        Some(Err(error)) if error.code() == Some("WRONGTYPE") => Ok(Stamp::UNREADABLE),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(_)) | None => Err(Loss::Nonsense("GETRANGE")),
    }
}

fn next(
    answers: &mut impl Iterator<Item = RedisResult<Value>>,
    command: &'static str,
) -> Result<Value, Loss> {
    match answers.next() {
        Some(answer) => Ok(answer?),
        None => Err(Loss::Nonsense(command)),
    }
}
