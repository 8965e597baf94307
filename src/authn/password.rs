//! Password hashes: which forms are accepted, and verifying them on threads of their own.
//!
//! A verification is meant to be slow, so it never runs on a thread that serves requests. It is a job for a small,
//! bounded pool ([`HashingPool`]); when the pool's queue is full, the answer is "overloaded" and not a longer queue.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// A password hash in a form that is accepted.
#[derive(Clone)]
pub struct StoredHash {
    text: Arc<str>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Argon2id,
    Bcrypt,
}

/// The most memory, in KiB, and the most passes that a hash may ask for: more would let a line of a file stop the gateway.
const MOST_MEMORY_KIB: u32 = 1 << 20;
const MOST_PASSES: u32 = 32;
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=16;

/// bcrypt reads 72 bytes and ignores the rest, so that a longer password would match by its beginning.
const LONGEST_BCRYPT_PASSWORD: usize = 72;

/// KiB times passes: the least of the pairs that are recommended, 7 MiB with five passes.
const LEAST_ARGON2_WORK: u64 = 7 * 1024 * 5;
const LEAST_BCRYPT_COST: u32 = 10;

/// How many jobs may wait for the pool.
const QUEUE: usize = 256;

impl StoredHash {
    /// Reads a hash. The error says what is wrong without repeating the text.
    ///
    /// # Errors
    /// A sentence for the user: the form is refused, or its parameters are out of bounds.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let form = if text.starts_with("$argon2id$") {
            let hash = PasswordHash::new(text).map_err(|_| "this argon2id hash is not well formed")?;
            let params = Params::try_from(&hash).map_err(|_| "this argon2id hash has unusable parameters")?;
            if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_PASSES || hash.hash.is_none() {
                return Err("this argon2id hash asks for more than 1 GiB of memory or 32 passes");
            }
            Form::Argon2id
        } else if ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix)) {
            let parts: bcrypt::HashParts = text.parse().map_err(|_| "this bcrypt hash is not well formed")?;
            if !BCRYPT_COSTS.contains(&parts.get_cost()) {
                return Err("this bcrypt hash has a cost outside 4 to 16");
            }
            Form::Bcrypt
        } else {
            return Err(refused_form(text));
        };
        Ok(Self { text: text.into(), form })
    }

    /// Whether `password` is the one, in tens of milliseconds.
    fn verify(&self, password: &str) -> bool {
        match self.form {
            Form::Argon2id => PasswordHash::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()),
            Form::Bcrypt => {
                let verified = bcrypt::verify(password, &self.text).unwrap_or(false);
                verified && password.len() <= LONGEST_BCRYPT_PASSWORD
            }
        }
    }

    /// What makes the hash cheaper to guess at than it should be, by the parameters that OWASP's Password Storage Cheat
    /// Sheet gives at least.
    pub fn weakness(&self) -> Option<String> {
        match self.form {
            Form::Argon2id => {
                let hash = PasswordHash::new(&self.text).ok()?;
                let params = Params::try_from(&hash).ok()?;
                let (memory, passes) = (params.m_cost(), params.t_cost());
                let work = u64::from(memory) * u64::from(passes);
                (work < LEAST_ARGON2_WORK)
                    .then(|| format!("argon2id m={memory},t={passes} (less than m=19456,t=2)"))
            }
            Form::Bcrypt => {
                let parts: bcrypt::HashParts = self.text.parse().ok()?;
                let cost = parts.get_cost();
                (cost < LEAST_BCRYPT_COST)
                    .then(|| format!("bcrypt cost {cost} (less than {LEAST_BCRYPT_COST})"))
            }
        }
    }

    /// The text of the hash, to tell whether it changed. It is not a password, but no one needs to see it either.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for StoredHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}([redacted])", self.form)
    }
}

/// Names the forms that htpasswd files contain and that are no longer good enough.
fn refused_form(text: &str) -> &'static str {
    if text.starts_with("{SHA}") {
        "`{SHA}` is an unsalted SHA-1 and is not accepted"
    } else if text.starts_with("$apr1$") || text.starts_with("$1$") {
        "MD5-crypt (`$apr1$`, `$1$`) is not accepted"
    } else if text.starts_with("$5$") || text.starts_with("$6$") {
        "SHA-crypt (`$5$`, `$6$`) is not accepted"
    } else if text.starts_with("$argon2i$") || text.starts_with("$argon2d$") {
        "only the argon2id variant of Argon2 is accepted"
    } else {
        "a plain-text or unknown form of password is not accepted"
    }
}

/// Hands verifications to the pool.
#[derive(Clone)]
pub struct HashingPool {
    queue: SyncSender<Job>,
}

struct Job {
    hash: StoredHash,
    password: Zeroizing<String>,
    reply: oneshot::Sender<bool>,
}

/// What a worker thread of the pool runs.
#[derive(Clone)]
pub struct HashingWorker {
    jobs: Arc<Mutex<Receiver<Job>>>,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

impl HashingPool {
    /// A pool without threads; whoever may spawn gives each thread a clone of the worker.
    pub fn new() -> (Self, HashingWorker) {
        let (queue, jobs) = sync_channel(QUEUE);
        (Self { queue }, HashingWorker { jobs: Arc::new(Mutex::new(jobs)) })
    }

    /// Whether `password` fits `hash`.
    ///
    /// # Errors
    /// [`Overloaded`] when too many verifications are waiting, or the pool is gone because the process is ending.
    pub async fn verify(&self, hash: StoredHash, password: Zeroizing<String>) -> Result<bool, Overloaded> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Job { hash, password, reply }).map_err(|_| Overloaded)?;
        answer.await.map_err(|_| Overloaded)
    }
}

impl HashingWorker {
    /// Works until the last [`HashingPool`] is gone. Blocks.
    pub fn run(&self) {
        loop {
            let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Job { hash, password, reply }) = job else { return };
            // Nobody waits any more when the client has hung up: its work is not worth doing.
            if !reply.is_closed() {
                let _ = reply.send(hash.verify(&password));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, expect) in [
            ("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$c2l4dGVlbiBieXRlcyEhISEhISE", Ok(Form::Argon2id)),
            ("$2y$04$abcdefghijklmnopqrstuu5LmuHCfJ7O0fXFhEjZ1ZCUqOhyvXaG2", Ok(Form::Bcrypt)),
            (
                "$argon2id$v=19$m=2097152,t=1,p=1$c29tZXNhbHQ$c2l4dGVlbiBieXRlcyEhISEhISE",
                Err("this argon2id hash asks for more than 1 GiB of memory or 32 passes"),
            ),
            (
                "$argon2id$v=19$m=64,t=99,p=1$c29tZXNhbHQ$c2l4dGVlbiBieXRlcyEhISEhISE",
                Err("this argon2id hash asks for more than 1 GiB of memory or 32 passes"),
            ),
            ("$argon2id$nonsense", Err("this argon2id hash is not well formed")),
            (
                "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$c2l4dGVlbiBieXRlcyEhISEhISE",
                Err("only the argon2id variant of Argon2 is accepted"),
            ),
            (
                "$2y$31$abcdefghijklmnopqrstuu5LmuHCfJ7O0fXFhEjZ1ZCUqOhyvXaG2",
                Err("this bcrypt hash has a cost outside 4 to 16"),
            ),
            ("$2y$04$short", Err("this bcrypt hash is not well formed")),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", Err("`{SHA}` is an unsalted SHA-1 and is not accepted")),
            ("$apr1$x$y", Err("MD5-crypt (`$apr1$`, `$1$`) is not accepted")),
            ("$6$x$y", Err("SHA-crypt (`$5$`, `$6$`) is not accepted")),
            ("hunter2", Err("a plain-text or unknown form of password is not accepted")),
            ("", Err("a plain-text or unknown form of password is not accepted")),
        ] {
            assert_eq!(StoredHash::parse(text).map(|hash| hash.form), expect, "{text}");
        }
    }

    #[test]
    fn bcrypt_does_not_match_by_the_beginning_of_a_password() {
        let long = "x".repeat(73);
        let hash = StoredHash::parse(&bcrypt::hash(&long[..72], 4).unwrap()).unwrap();
        assert!(hash.verify(&long[..72]));
        assert!(!hash.verify(&long));
    }

    #[test]
    fn a_full_queue_says_so() {
        let (pool, _worker) = HashingPool::new();
        let hash = StoredHash::parse(&bcrypt::hash("x", 4).unwrap()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut waiting = Vec::new();
            for _ in 0..QUEUE {
                let (reply, answer) = oneshot::channel();
                pool.queue
                    .try_send(Job { hash: hash.clone(), password: Zeroizing::default(), reply })
                    .unwrap();
                waiting.push(answer);
            }
            assert_eq!(pool.verify(hash.clone(), Zeroizing::default()).await, Err(Overloaded));
        });
    }
}
