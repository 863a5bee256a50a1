//! Measures contestants in alternating slices, so that other load on the machine affects all of
//! them.

use crate::gauge;
use crate::load::{Generator, Slice};
use crate::report::{Table, maybe, median, quantile};
use std::time::Duration;

/// The time before the first slice that counts.
const WARM_UP: Duration = Duration::from_millis(500);

pub struct Contestant {
    pub name: String,
    pub generator: Generator,
    /// The server's process, if known.
    pub pid: Option<u32>,
}

/// One slice with the CPU time that it cost the server.
pub struct Turn {
    pub slice: Slice,
    /// Microseconds per answer.
    pub cpu: Option<f64>,
}

/// The turns of one contestant.
pub struct Turns {
    pub name: String,
    pub turns: Vec<Turn>,
}

impl Turns {
    pub fn rates(&self) -> Vec<f64> {
        self.turns.iter().map(|turn| turn.slice.rate()).collect()
    }
    fn cpus(&self) -> Vec<f64> {
        self.turns.iter().filter_map(|turn| turn.cpu).collect()
    }
    /// The median over the rounds.
    pub fn cpu(&self) -> Option<f64> {
        Some(median(self.cpus())).filter(|cpu| cpu.is_finite())
    }
    /// Answers that were not good, and connections that broke.
    pub fn bad(&self) -> u64 {
        let bad = |turn: &Turn| turn.slice.refused + turn.slice.failed;
        self.turns.iter().map(bad).sum()
    }
}

impl Contestant {
    pub async fn turn(&mut self, time: Duration) -> anyhow::Result<Turn> {
        let before = self.pid.and_then(gauge::cpu);
        let slice = self.generator.slice(time).await?;
        let used = self.pid.and_then(gauge::cpu).zip(before);
        let answers = slice.answers().max(1) as f64;
        let cpu = used.map(|(after, before)| (after - before).as_micros() as f64 / answers);
        Ok(Turn { slice, cpu })
    }
}

/// Runs all in turn, round by round, until each had `time`.
///
/// # Errors
/// If answers are missing.
pub async fn alternate(
    mut contestants: Vec<Contestant>,
    time: Duration,
    slice: Duration,
) -> anyhow::Result<Vec<Turns>> {
    let slice = slice.min(time).max(Duration::from_millis(1));
    let rounds = (time.as_secs_f64() / slice.as_secs_f64()).round().max(1.0) as usize;
    for contestant in &mut contestants {
        contestant.turn(WARM_UP.min(slice)).await?;
    }
    let names = contestants.iter().map(|contestant| contestant.name.clone());
    let mut all: Vec<Turns> = names
        .map(|name| Turns {
            name,
            turns: Vec::with_capacity(rounds),
        })
        .collect();
    for _ in 0..rounds {
        for (contestant, turns) in contestants.iter_mut().zip(&mut all) {
            turns.turns.push(contestant.turn(slice).await?);
        }
    }
    Ok(all)
}

/// Medians over the rounds, one line per contestant.
pub fn table(all: &[Turns]) -> Table {
    let mut table = Table::new([
        "",
        "per second",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "CPU µs each",
        "good",
        "bad",
    ]);
    for turns in all {
        let mut whole = Slice::new();
        for turn in &turns.turns {
            // Histograms of the same bounds.
            let _ = whole.latency.add(&turn.slice.latency);
            whole.good += turn.slice.good;
        }
        table.row([
            turns.name.clone(),
            format!("{:.0}", median(turns.rates())),
            quantile(&whole.latency, 0.5),
            quantile(&whole.latency, 0.99),
            quantile(&whole.latency, 0.999),
            quantile(&whole.latency, 1.0),
            maybe(turns.cpu(), 1),
            whole.good.to_string(),
            turns.bad().to_string(),
        ]);
    }
    table
}

/// Ratios of the first contestant to the second, round by round: rate and CPU time.
pub fn ratios(all: &[Turns]) -> Option<(Table, f64, Option<f64>)> {
    let [one, two, ..] = all else { return None };
    let mut table = Table::new(["round", &one.name, &two.name, "ratio", "CPU ratio"]);
    let mut rates = Vec::new();
    let mut cpus = Vec::new();
    for (number, (a, b)) in one.turns.iter().zip(&two.turns).enumerate() {
        let ratio = a.slice.rate() / b.slice.rate();
        let cpu = a.cpu.zip(b.cpu).map(|(a, b)| a / b);
        rates.push(ratio);
        cpus.extend(cpu);
        table.row([
            (number + 1).to_string(),
            format!("{:.0}", a.slice.rate()),
            format!("{:.0}", b.slice.rate()),
            format!("{ratio:.2}"),
            maybe(cpu, 2),
        ]);
    }
    let cpu = Some(median(cpus)).filter(|cpu| cpu.is_finite());
    Some((table, median(rates), cpu))
}
