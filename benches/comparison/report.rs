//! The table of a comparison.

use std::fmt::Write as _;
use std::time::Duration;

use super::contestant::Contestant;
use super::work::Work;

/// One measurement.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Of processor time, for a request.
    micros: f64,
    /// Part of a processor that was used.
    busy: f64,
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds are far below 2^53")]
    pub(crate) fn new(requests: u64, spent: Duration, time: Duration) -> Self {
        assert!(requests > 0, "nothing was answered");
        Self {
            micros: spent.as_secs_f64() * 1e6 / requests as f64,
            busy: spent.as_secs_f64() / time.as_secs_f64(),
        }
    }
}

/// By work, by contestant, in the order of the rounds.
pub(crate) struct Samples(Vec<Vec<Vec<Sample>>>);

impl Samples {
    pub(crate) fn new() -> Self {
        Self(vec![Vec::new(); Work::ALL.len()])
    }

    pub(crate) fn push(&mut self, work: Work, contestant: usize, sample: Sample) {
        let of_work = &mut self.0[work as usize];
        if of_work.len() <= contestant {
            of_work.resize(contestant + 1, Vec::new());
        }
        of_work[contestant].push(sample);
    }

    fn of(&self, work: Work, contestant: usize) -> impl Iterator<Item = Sample> {
        self.0[work as usize].get(contestant).into_iter().flatten().copied()
    }

    fn micros(&self, work: Work, contestant: usize) -> Vec<f64> {
        self.of(work, contestant).map(|sample| sample.micros).collect()
    }

    /// How much of a processor a contestant used, over all that it did.
    fn busy(&self, contestant: usize) -> f64 {
        let samples = Work::ALL.iter().flat_map(|work| self.of(*work, contestant));
        median(&samples.map(|sample| sample.busy).collect::<Vec<_>>())
    }
}

/// A Markdown table; the first contestant is compared with the best of the others.
pub(crate) fn table(contestants: &[Contestant], samples: &Samples, seconds: usize, rounds: usize) -> String {
    let mut table = String::from("| CPU µs per request |");
    for contestant in contestants {
        let _ = write!(table, " {} |", contestant.title());
    }
    table.push_str(" beside the best peer |\n|---|");
    table.push_str(&"--:|".repeat(contestants.len() + 1));
    let mut reasons: Vec<String> = Vec::new();
    for work in Work::ALL {
        let _ = write!(table, "\n| {} |", work.name());
        for (at, contestant) in contestants.iter().enumerate() {
            match contestant.does(work) {
                Ok(_) => {
                    let _ = write!(table, " {:.1} |", median(&samples.micros(work, at)));
                }
                Err(why) => {
                    let reason = format!("n/a for {}: {why}.", contestant.name);
                    if !reasons.contains(&reason) {
                        reasons.push(reason);
                    }
                    table.push_str(" n/a |");
                }
            }
        }
        let peers = (1..contestants.len()).map(|at| samples.micros(work, at)).filter(|own| !own.is_empty());
        match peers.min_by(|left, right| median(left).total_cmp(&median(right))) {
            None => table.push_str(" n/a |"),
            Some(best) => {
                // Each round is compared with itself: a machine that is slower in one of them is so for all.
                let ratios: Vec<f64> =
                    samples.micros(work, 0).iter().zip(&best).map(|(own, best)| own / best).collect();
                let _ = write!(table, " {:.2} × |", median(&ratios));
            }
        }
    }
    table.push_str("\n| share of a processor in use |");
    for at in 0..contestants.len() {
        let _ = write!(table, " {:.0} % |", samples.busy(at) * 100.0);
    }
    table.push_str(" |");
    let _ = writeln!(
        table,
        "\n\nOver TLS 1.3, one worker each, medians of {rounds} interleaved rounds of {seconds} s. \
         Portcullis alone writes an access log. {}",
        reasons.join(" ")
    );
    table
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
