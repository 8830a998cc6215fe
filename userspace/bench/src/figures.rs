// SPDX-License-Identifier: MIT OR Apache-2.0

//! Figures: samples by name, and what they come to.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

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
}
