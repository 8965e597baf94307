//! What a node of a Redis Cluster says about the others (`CLUSTER NODES`): whoever owns slots has to be followed, so an
//! answer is read whole or not at all, and a slot without an owner is noticed.

use portcullis::revocation::redis::cluster::nodes::{Line, first_uncovered, lines};

const SLOTS: usize = 16384;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let read = lines(text);
    let again: Option<Vec<Again<'_>>> =
        text.split(['\n']).filter(|line| !line.trim().is_empty()).map(Again::of).collect();
    assert_eq!(read.is_some(), again.is_some(), "whether it can be read: {text:?}");
    let (Some(read), Some(again)) = (read, again) else { return };
    assert_eq!(read.len(), again.len());
    let mut owned = vec![false; SLOTS];
    for (line, again) in read.iter().zip(again) {
        assert_eq!(slots(line), again.slots, "{text:?}");
        assert_eq!(line.targets, again.targets, "{text:?}");
        assert_eq!((line.id, line.flags), (again.id, again.flags));
        let socket = format!("{}:{}", line.address.ip, line.address.port);
        let sent = again.socket.rsplit_once(':').expect("a port");
        assert_eq!(socket, format!("{}:{}", sent.0, sent.1.parse::<u16>().expect("a port")));
        assert_eq!(line.address.hostname, again.hostname);
        for slot in again.slots {
            owned[slot] = true;
        }
    }
    let ranges = read.iter().flat_map(|line| line.slots.iter().copied());
    assert_eq!(first_uncovered(ranges).map(usize::from), owned.iter().position(|owned| !owned), "{text:?}");
}

fn slots(line: &Line<'_>) -> Vec<usize> {
    line.slots.iter().flat_map(|(first, last)| usize::from(*first)..=usize::from(*last)).collect()
}

/// The same line, by the columns that the documentation of Redis names.
struct Again<'a> {
    id: &'a str,
    socket: &'a str,
    hostname: &'a str,
    flags: &'a str,
    slots: Vec<usize>,
    targets: Vec<&'a str>,
}

impl<'a> Again<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let columns: Vec<&str> =
            line.split(|letter: char| letter.is_ascii_whitespace()).filter(|word| !word.is_empty()).collect();
        let [id, place, flags, _primary, _ping, _pong, epoch, _link, rest @ ..] = columns.as_slice() else {
            return None;
        };
        epoch.parse::<u64>().ok()?;
        let (mut slots, mut targets) = (Vec::new(), Vec::new());
        for word in rest {
            match (word.starts_with('['), word.ends_with(']')) {
                (true, true) => {
                    let moving = &word[1..word.len() - 1];
                    targets.extend(moving.find("->-").map(|at| &moving[at + 3..]));
                }
                (true, false) => return None,
                (false, _) => {
                    let ends: Vec<&str> = word.splitn(2, '-').collect();
                    let ends: Option<Vec<usize>> =
                        ends.iter().map(|end| end.parse::<u16>().ok().map(usize::from)).collect();
                    let ends = ends?;
                    let (first, last) = (*ends.first()?, *ends.last()?);
                    if first > last || last >= SLOTS {
                        return None;
                    }
                    slots.extend(first..=last);
                }
            }
        }
        let mut places = place.splitn(3, ',');
        let (socket, hostname) = (places.next()?, places.next().unwrap_or_default());
        let socket = socket.find('@').map_or(socket, |at| &socket[..at]);
        let (_, port) = socket.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        Some(Self { id, socket, hostname, flags, slots, targets })
    }
}
