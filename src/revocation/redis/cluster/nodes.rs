//! The answer to `CLUSTER NODES`: a line for each node, with where it is and which slots it owns.
//!
//! It is text of another program, so whatever is not as it should be makes all of it void: half an answer would leave
//! somebody out who holds entries.

use super::slot::SLOTS;

/// A line of `CLUSTER NODES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The node's name for the whole of its life.
    pub id: &'a str,
    /// Where it is.
    pub address: Address,
    /// What it is, and how it is, with commas between.
    pub flags: &'a str,
    /// How recent its claim to its slots is.
    pub epoch: u64,
    /// The ranges of slots that it owns, each by its first and its last one.
    pub slots: Vec<(u16, u16)>,
    /// To whom slots of it are on their way.
    pub targets: Vec<&'a str>,
}

/// How a node can be reached, as others know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Nothing where a node does not know its own.
    pub ip: String,
    /// For clients.
    pub port: u16,
    /// The name that somebody gave it, if any.
    pub hostname: String,
}

impl Line<'_> {
    /// Whether `flag` is one of its flags.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.split(',').any(|own| own == flag)
    }
}

/// Reads all lines; nothing when one of them is none.
pub fn lines(nodes: &str) -> Option<Vec<Line<'_>>> {
    nodes.lines().filter(|line| !line.trim().is_empty()).map(line).collect()
}

/// ```text
/// <id> <ip:port@cport[,hostname[,…]]> <flags> <primary> <ping> <pong> <epoch> <link> <slots> …
/// ```
fn line(text: &str) -> Option<Line<'_>> {
    let mut words = text.split_ascii_whitespace();
    let (id, place, flags) = (words.next()?, words.next()?, words.next()?);
    let epoch = words.nth(3)?.parse().ok()?;
    words.next()?;
    let (mut slots, mut targets) = (Vec::new(), Vec::new());
    for word in words {
        if let Some(moving) = word.strip_prefix('[') {
            let moving = moving.strip_suffix(']')?;
            if let Some((_, target)) = moving.split_once("->-") {
                targets.push(target);
            }
            continue;
        }
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= SLOTS {
            return None;
        }
        slots.push((first, last));
    }
    let mut parts = place.split(',');
    let socket = parts.next()?;
    let socket = socket.split_once('@').map_or(socket, |(socket, _)| socket);
    let (ip, port) = socket.rsplit_once(':')?;
    let hostname = parts.next().unwrap_or_default().to_owned();
    let address = Address { ip: ip.to_owned(), port: port.parse().ok()?, hostname };
    Some(Line { id, address, flags, epoch, slots, targets })
}

/// The first slot that lies in none of the ranges, each of which is given by its first and its last one.
pub fn first_uncovered(ranges: impl Iterator<Item = (u16, u16)>) -> Option<u16> {
    let mut ranges: Vec<(u16, u16)> = ranges.collect();
    ranges.sort_unstable();
    let mut next = 0;
    for (first, last) in ranges {
        if first > next {
            return Some(next);
        }
        next = next.max(last.saturating_add(1));
    }
    (next < SLOTS).then_some(next)
}
