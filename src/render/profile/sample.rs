//! A sample of numbers, to see how they are spread.

use std::cell::OnceCell;

/// Keeps some of many numbers, chosen by their place alone, so that the same plan has the same sample.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Numbers with what decides whether they stay.
    kept: Vec<(u64, f64)>,
    /// The numbers that are kept, in order, once somebody asked.
    sorted: OnceCell<Vec<f64>>,
    seen: u64,
}

/// How many are kept.
const KEPT: usize = 512;
/// From so many on, something is said of how they are spread.
pub const ENOUGH: u64 = 20;

impl Sample {
    /// Takes one more.
    pub fn add(&mut self, number: f64) {
        self.seen += 1;
        self.sorted.take();
        let draw = mixed(self.seen);
        if self.kept.len() < KEPT {
            self.kept.push((draw, number));
            self.kept.sort_unstable_by_key(|(draw, _)| *draw);
        } else if self.kept.last().is_some_and(|(last, _)| draw < *last) {
            let at = self.kept.partition_point(|(d, _)| *d < draw);
            self.kept.insert(at, (draw, number));
            self.kept.pop();
        }
    }

    /// How many were taken.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The number below which a part (0 to 1) of them lies; `None` of few.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let sorted = self.sorted();
        let at = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
        let number = sorted.get(at)?;
        (self.seen >= ENOUGH).then_some(*number)
    }

    fn sorted(&self) -> &[f64] {
        self.sorted.get_or_init(|| {
            let mut numbers: Vec<f64> = self.kept.iter().map(|(_, n)| *n).collect();
            numbers.sort_unstable_by(f64::total_cmp);
            numbers
        })
    }

    /// How the numbers are spread between `least` and `most`, as a row of bars.
    pub fn bars(&self, least: f64, most: f64) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let mut bins = [0_usize; 8];
        for (_, n) in &self.kept {
            let part = (n - least) / (most - least);
            bins[((part * 8.0) as usize).min(7)] += 1;
        }
        let highest = bins.iter().copied().max().unwrap_or(0).max(1);
        let bar = |n: &usize| match n {
            0 => ' ',
            n => BARS[(n * 8).div_ceil(highest) - 1],
        };
        bins.iter().map(bar).collect()
    }
}

/// A number that looks like a random one (SplitMix64: Steele, Lea and Flood, 2014).
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_as_all_are() {
        let mut sample = Sample::default();
        (0..19).for_each(|n| sample.add(f64::from(n)));
        assert_eq!(sample.quantile(0.5), None);
        (19..100_000).for_each(|n| sample.add(f64::from(n)));
        assert_eq!(sample.kept.len(), KEPT);
        let middle = sample.quantile(0.5).unwrap();
        assert!((40_000.0..60_000.0).contains(&middle), "{middle}");
        assert_eq!(sample.bars(0.0, 100_000.0).chars().count(), 8);
    }
}
