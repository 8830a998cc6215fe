// SPDX-License-Identifier: MIT OR Apache-2.0

//! Figures: samples by name, and what they come to.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Rounds that aren't counted, and those that are.
pub const WARM_UP: usize = 10;
pub const ROUNDS: usize = 20;

/// With what the names of figures of a profile begin.
pub const PROFILE: &str = "profile/";

/// With what those of the parts of a flow's memory begin.
pub const MEMORY_PART: &str = "memory-part/";

/// The figures of one boot.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Figures(pub BTreeMap<String, Vec<f64>>);

impl Figures {
    /// Adds a sample.
    pub fn push(&mut self, name: &str, sample: f64) {
        self.0.entry(name.to_owned()).or_default().push(sample);
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self)?;
        fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
    }

    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("no figures in {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} isn't JSON", path.display()))
    }
}

/// What samples come to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Summary {
    pub median: f64,
    /// One sample in ten is lower.
    pub low: f64,
    /// One in ten is higher.
    pub high: f64,
    pub samples: usize,
}

impl Summary {
    /// None without samples.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |share: f64| sorted[(share * last as f64).round() as usize];
        Some(Self {
            median: (sorted[last / 2] + sorted[last.div_ceil(2)]) / 2.0,
            low: at(0.1),
            high: at(0.9),
            samples: sorted.len(),
        })
    }

    /// How far samples are apart, as a share of the median.
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 {
            return 0.0;
        }
        (self.high - self.low) / self.median
    }
}

/// A figure of all boots.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Figure {
    #[serde(flatten)]
    pub summary: Summary,
    /// How far the medians of boots are apart, as a share; none if there was one boot.
    pub between_boots: Option<f64>,
}

/// The figures of the first boot, and how far those of the others are from them.
pub fn collect(boots: &[Figures]) -> BTreeMap<String, Figure> {
    let Some((first, rest)) = boots.split_first() else {
        return BTreeMap::new();
    };
    let figure = |(name, samples): (&String, &Vec<f64>)| {
        let summary = Summary::of(samples)?;
        let medians: Vec<f64> = rest
            .iter()
            .filter_map(|boot| Some(Summary::of(boot.0.get(name)?)?.median))
            .chain([summary.median])
            .collect();
        let high = medians.iter().copied().fold(f64::MIN, f64::max);
        let low = medians.iter().copied().fold(f64::MAX, f64::min);
        let between_boots = (medians.len() > 1 && low > 0.0).then(|| (high - low) / low);
        Some((
            name.clone(),
            Figure {
                summary,
                between_boots,
            },
        ))
    };
    first.0.iter().filter_map(figure).collect()
}

/// A number for people: no more digits than are of use.
pub fn number(value: Option<f64>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let places = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 3,
    };
    let text = format!("{value:.places$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    // Thousands are set apart.
    let mut out = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n) % 3 == 0 && !out.ends_with('-') {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let median = |samples: &[f64]| Summary::of(samples).unwrap().median;
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(Summary::of(&[]).is_none());
    }

    #[test]
    fn one_stray_sample_in_twenty_is_no_spread() {
        let mut samples = vec![10.0; 19];
        samples.push(1000.0);
        assert_eq!(Summary::of(&samples).unwrap().spread(), 0.0);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(Some(1.23456)), "1.235");
        assert_eq!(number(Some(12.345)), "12.3");
        assert_eq!(number(Some(1234567.8)), "1\u{202f}234\u{202f}568");
        assert_eq!(number(None), "");
    }
}
