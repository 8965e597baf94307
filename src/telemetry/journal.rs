//! Lines on their way to where they are kept.
//!
//! Whoever has something to say only appends its line to a bounded buffer; a writer thread, started by the proxy, takes
//! the buffer and writes it out in batches. When the writer cannot keep up and the buffer is full, lines are dropped and
//! counted: a slow disk must not slow down requests, and must not be silent either.

mod identity;
mod output;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;

pub use identity::Identity;
pub use output::{Destination, Output};

/// The buffer between those who append lines and the writer.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    /// What it is called in the log of the process.
    name: &'static str,
    /// Whether lines are kept at all.
    on: AtomicBool,
    buffer: Mutex<Buffer>,
    changed: Condvar,
    dropped: IntCounter,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    /// What the writer has to do, and before which byte of `lines`.
    orders: Vec<(usize, Order)>,
    closed: bool,
}

/// What is asked of the writer beside writing.
enum Order {
    /// To open its file anew, because somebody has renamed it, unless it is one of these by now.
    Reopen(Vec<PathBuf>),
    /// To go on with another output.
    Turn(Output),
}

/// The most that waits to be written: about 30,000 lines.
const CAPACITY: usize = 16 << 20;

/// How long the writer collects lines before it writes them, so that a busy gateway makes few system calls.
const BATCH: Duration = Duration::from_millis(10);

impl Journal {
    /// A journal that keeps nothing until it is turned to an output. Lines that are lost are counted in `dropped`.
    pub fn new(name: &'static str, dropped: IntCounter) -> Self {
        let (buffer, changed) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { name, on: AtomicBool::new(false), buffer, changed, dropped }))
    }

    /// Whether lines are kept at all: nothing needs to be made of what is not.
    pub fn is_on(&self) -> bool {
        self.0.on.load(Ordering::Relaxed)
    }

    /// Appends what `write` writes, which is one whole line with its end.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.is_on() {
            return;
        }
        let mut buffer = self.buffer();
        if buffer.lines.len() >= CAPACITY {
            drop(buffer);
            self.0.dropped.inc();
            return;
        }
        let was_empty = buffer.lines.is_empty();
        write(&mut buffer.lines);
        drop(buffer);
        if was_empty {
            self.0.changed.notify_one();
        }
    }

    /// Sends the lines that are appended from now on to `output`.
    pub fn turn_to(&self, output: Output) {
        let mut buffer = self.buffer();
        self.0.on.store(!output.is_off(), Ordering::Relaxed);
        buffer.order(Order::Turn(output));
        drop(buffer);
        self.0.changed.notify_one();
    }

    /// Opens the file that is written to anew, by its name: lines that are appended from now on go there. The old one goes
    /// on if it is one of those that are `taken`.
    pub fn reopen(&self, taken: Vec<PathBuf>) {
        self.buffer().order(Order::Reopen(taken));
        self.0.changed.notify_one();
    }

    /// Makes [`Journal::write_out`] return once everything is written.
    pub fn close(&self) {
        self.buffer().closed = true;
        self.0.changed.notify_all();
    }

    /// Writes lines until [`Journal::close`] was called and everything is out. Blocks; runs on a thread of its own.
    pub fn write_out(&self) {
        let mut output = Output::off();
        let mut batch = Buffer::default();
        loop {
            self.take(&mut batch);
            let mut from = 0;
            for (until, order) in batch.orders.drain(..) {
                self.write(&mut output, batch.lines.get(from..until));
                from = until;
                self.obey(order, &mut output);
            }
            self.write(&mut output, batch.lines.get(from..));
            batch.lines.clear();
            if batch.closed && self.buffer().is_empty() {
                return;
            }
        }
    }

    /// Waits for something to do, and takes all of it.
    fn take(&self, batch: &mut Buffer) {
        let mut buffer = self.buffer();
        while buffer.is_empty() && !buffer.closed {
            buffer = self.0.changed.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        // An order is carried out at once: somebody waits for it.
        let more = |buffer: &mut Buffer| buffer.orders.is_empty() && !buffer.closed;
        (buffer, _) =
            self.0.changed.wait_timeout_while(buffer, BATCH, more).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut batch.lines, &mut buffer.lines);
        std::mem::swap(&mut batch.orders, &mut buffer.orders);
        batch.closed = buffer.closed;
    }

    fn write(&self, output: &mut Output, lines: Option<&[u8]>) {
        self.0.dropped.inc_by(output.write(lines.unwrap_or_default()));
    }

    fn obey(&self, order: Order, output: &mut Output) {
        match order {
            Order::Reopen(taken) => match output.reopen(&taken) {
                Ok(Some(path)) => log::info!("{}: reopened {}", self.0.name, path.display()),
                Ok(None) => {}
                Err(error) => {
                    log::error!("{}: cannot be reopened, the old file goes on: {error}", self.0.name);
                }
            },
            Order::Turn(other) => *output = other,
        }
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn order(&mut self, order: Order) {
        self.orders.push((self.lines.len(), order));
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.orders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn journal(to: &Destination) -> Journal {
        let journal = Journal::new("test", IntCounter::new("dropped", "dropped").unwrap());
        journal.turn_to(to.open().unwrap());
        journal
    }

    fn say(journal: &Journal, line: &str) {
        journal.append(|out| out.extend_from_slice(format!("{line}\n").as_bytes()));
    }

    #[test]
    fn a_full_buffer_drops_and_counts() {
        let journal = journal(&Destination::StandardOutput);
        for _ in 0..20 {
            say(&journal, &"x".repeat(1 << 20));
        }
        assert_eq!(journal.0.dropped.get(), 4);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let journal = journal(&Destination::File("/dev/full".into()));
        say(&journal, "one");
        say(&journal, "two");
        journal.close();
        journal.write_out();
        assert_eq!(journal.0.dropped.get(), 2);
    }

    #[test]
    fn nothing_is_made_for_a_journal_that_is_off() {
        let journal = journal(&Destination::Off);
        journal.append(|_| panic!("a line was made"));
        journal.close();
        journal.write_out();
        assert_eq!(journal.0.dropped.get(), 0);
    }

    /// Each line is where it belongs by the time of its being appended, however late it is written.
    #[test]
    fn lines_go_where_they_belong_when_the_output_changes() {
        let folder = tempfile::tempdir().unwrap();
        let [first, renamed, second] = ["first", "renamed", "second"].map(|name| folder.path().join(name));
        let journal = journal(&Destination::File(first.clone()));
        say(&journal, "1");
        journal.turn_to(Destination::Off.open().unwrap());
        say(&journal, "nowhere");
        journal.turn_to(Destination::File(first.clone()).open().unwrap());
        say(&journal, "2");
        fs::rename(&first, &renamed).unwrap();
        say(&journal, "3");
        journal.reopen(Vec::new());
        say(&journal, "4");
        journal.turn_to(Destination::File(second.clone()).open().unwrap());
        say(&journal, "5");
        journal.close();
        journal.write_out();
        let read = |path| fs::read_to_string(path).unwrap();
        assert_eq!(
            (read(&renamed), read(&first), read(&second)),
            ("1\n2\n3\n".into(), "4\n".into(), "5\n".into())
        );
    }

    #[test]
    fn a_file_that_cannot_be_reopened_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let journal = journal(&Destination::File(path.clone()));
        let renamed = folder.path().join("renamed");
        fs::rename(&path, &renamed).unwrap();
        fs::create_dir(&path).unwrap();
        journal.reopen(Vec::new());
        say(&journal, "still here");
        journal.close();
        journal.write_out();
        assert_eq!(fs::read_to_string(renamed).unwrap(), "still here\n");
    }

    /// By whatever name, and whether it is there or would be made.
    #[test]
    fn a_file_that_is_taken_is_not_written_to() {
        for (there, link) in [(true, false), (true, true), (false, true)] {
            let folder = tempfile::tempdir().unwrap();
            let [path, renamed, taken] = ["log", "renamed", "taken"].map(|name| folder.path().join(name));
            let journal = journal(&Destination::File(path.clone()));
            fs::rename(&path, &renamed).unwrap();
            if there {
                fs::write(&taken, "theirs").unwrap();
            }
            if link {
                std::os::unix::fs::symlink("taken", &path).unwrap();
            } else {
                fs::hard_link(&taken, &path).unwrap();
            }
            journal.reopen(vec![folder.path().join("other"), taken.clone()]);
            say(&journal, "still here");
            journal.close();
            journal.write_out();
            assert_eq!(fs::read_to_string(renamed).unwrap(), "still here\n");
            assert_eq!(fs::read_to_string(&taken).ok(), there.then(|| "theirs".to_owned()));
        }
    }
}
