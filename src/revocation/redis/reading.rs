//! Reads entries: their values and how long they still stand, many of them in one round trip.

use std::time::Duration;

use redis::{Pipeline, RedisResult, Value, pipe};

use super::cluster::Asking;
use super::connection::{Connection, Loss};
use super::lineage::epoch_in;
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
    /// The node of the cluster that was asked does not have the key, and another one may.
    Elsewhere,
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

    /// Hands what `answers` say about each key to `take`, and returns those that are elsewhere.
    fn take_from(
        &self,
        answers: &mut impl Iterator<Item = RedisResult<Value>>,
        take: &mut impl FnMut(Kind, &str, Found),
    ) -> Result<Self, Loss> {
        let mut elsewhere = Self::default();
        for (key, (kind, id)) in self.iter().zip(self.parsed()) {
            match found(kind, answers)? {
                Found::Elsewhere => elsewhere.named.push(key.to_vec()),
                found @ (Found::Absent | Found::Standing(..)) => take(kind, id, found),
            }
        }
        Ok(elsewhere)
    }

    fn parsed(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.iter().filter_map(parse_key)
    }
}

/// What became of the mark of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It says this, or is gone.
    Epoch(Option<String>),
    /// Its slot has left the node of the cluster.
    Elsewhere,
}

impl Mark {
    /// Reads an answer to `GET`.
    pub(super) fn of(answer: RedisResult<Value>) -> Result<Self, Loss> {
        match answer.map_err(Loss::from) {
            Ok(value) => Ok(Self::Epoch(epoch_in(value)?)),
            Err(Loss::Elsewhere(_)) => Ok(Self::Elsewhere),
            Err(loss) => Err(loss),
        }
    }
}

/// Reads what stands under `keys` and then the `mark`, and hands each finding to `take`.
pub(super) async fn announced(
    connection: &mut Connection,
    keys: &Keys,
    mark: Option<&str>,
    mut take: impl FnMut(Kind, &str, Found),
) -> Result<Mark, Loss> {
    if keys.is_empty() && mark.is_none() {
        return Ok(Mark::Epoch(None));
    }
    let mut commands = read_commands(keys, Asking::No);
    if let Some(mark) = mark {
        commands.cmd("GET").arg(mark);
    }
    let mut answers = connection.ask_all(&mut commands).await?.into_iter();
    let elsewhere = keys.take_from(&mut answers, &mut take)?;
    let mark = match mark {
        Some(_) => Mark::of(answers.next().unwrap_or(Ok(Value::Nil)))?,
        None => Mark::Epoch(None),
    };
    arriving(connection, &elsewhere, take).await?;
    Ok(mark)
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
    let mut commands = read_commands(keys, Asking::No);
    commands.cmd("SCAN").arg(cursor).arg("MATCH").arg(format!("{PREFIX}*")).arg("COUNT").arg(count);
    let mut answers = connection.ask_all(&mut commands).await?.into_iter();
    let elsewhere = keys.take_from(&mut answers, &mut take)?;
    let page = page(next(&mut answers, "SCAN")?)?;
    arriving(connection, &elsewhere, take).await?;
    Ok(page)
}

/// Reads keys that a node of a cluster did not want to be asked for. They may be in a slot that is on its way to it, and
/// then it answers when it is asked in another way. That such a key is absent says nothing: it may not have come yet.
async fn arriving(
    connection: &mut Connection,
    keys: &Keys,
    mut take: impl FnMut(Kind, &str, Found),
) -> Result<(), Loss> {
    if keys.is_empty() {
        return Ok(());
    }
    let answers = connection.ask_all(&mut read_commands(keys, Asking::Yes)).await?;
    let mut refused = None;
    // `ASKING` stands before each command.
    let mut answers = answers.into_iter().enumerate().filter_map(|(at, answer)| match (at % 2, answer) {
        (0, Err(error)) => {
            refused.get_or_insert(error);
            None
        }
        (0, Ok(_)) => None,
        (_, answer) => Some(answer),
    });
    keys.take_from(&mut answers, &mut |kind, id, found| {
        let found = if found == Found::Absent { Found::Elsewhere } else { found };
        take(kind, id, found);
    })?
    .parsed()
    .for_each(|(kind, id)| take(kind, id, Found::Elsewhere));
    drop(answers);
    refused.map_or(Ok(()), |error| Err(error.into()))
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
fn read_commands(keys: &Keys, asking: Asking) -> Pipeline {
    let mut commands = pipe();
    for (key, (kind, _)) in keys.iter().zip(keys.parsed()) {
        asking.precede(&mut commands).cmd("PTTL").arg(key);
        if carries_time(kind) {
            asking.precede(&mut commands).cmd("GETRANGE").arg(key).arg(0).arg(LONGEST_TIME - 1);
        }
    }
    commands
}

fn found(kind: Kind, answers: &mut impl Iterator<Item = RedisResult<Value>>) -> Result<Found, Loss> {
    let life = next(answers, "PTTL");
    let stamp = carries_time(kind).then(|| stamp(answers)).transpose();
    let (life, stamp) = match (life, stamp) {
        (Err(Loss::Elsewhere(_)), _) | (_, Err(Loss::Elsewhere(_))) => return Ok(Found::Elsewhere),
        (life, stamp) => (Life::of(&life?)?, stamp?),
    };
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
