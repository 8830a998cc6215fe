// SPDX-License-Identifier: MIT OR Apache-2.0

//! Model and kernel side by side.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::generate::Generator;
use crate::model::Model;
use crate::op::{At, Op, Outcome, NAMESPACES, SLOTS};

/// What the model is compared with.
pub trait Target {
    /// Does what can be done. An error is something that no operation may lead to.
    fn apply(&mut self, op: &Op, expected: Outcome) -> Result<Outcome>;
    /// What was said to the last refusal.
    fn said(&self) -> &str;
    /// The filters of a list; reads their counters.
    fn see_filters(&mut self, at: At) -> Result<Vec<String>>;
    /// Everything; reads the counters of all filters.
    fn see(&mut self) -> Result<Vec<String>>;
}

/// The model and the kernel differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// After which operation, counted from 1.
    pub step: usize,
    /// In what: lines with `-` in front are expected and those with `+` seen.
    pub difference: Vec<String>,
}

/// What a file of operations begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Where they come from.
    pub seed: u64,
    /// After how many of them everything is compared.
    pub check_every: usize,
}

/// Model, target, and what was done so far.
pub struct Run<'a> {
    pub model: Model,
    target: &'a mut dyn Target,
    check_every: usize,
    pub history: Vec<Op>,
    /// How often operations ended how, and how long that took.
    pub counts: BTreeMap<(String, String), (usize, Duration)>,
}

/// Two sorted lists, as a difference; empty if there is none.
fn compare(expected: &[String], seen: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
    for line in expected {
        *counts.entry(line).or_default() -= 1;
    }
    for line in seen {
        *counts.entry(line).or_default() += 1;
    }
    let mut difference = Vec::new();
    for (line, n) in counts {
        let sign = if n < 0 { '-' } else { '+' };
        difference.extend((0..n.abs()).map(|_| format!("{sign} {line}")));
    }
    difference
}

impl<'a> Run<'a> {
    pub fn new(model: Model, target: &'a mut dyn Target, check_every: usize) -> Self {
        Self {
            model,
            target,
            check_every,
            history: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// One operation.
    pub fn step(&mut self, op: Op) -> Result<(), Mismatch> {
        let result = self.step_in_earnest(&op);
        self.history.push(op);
        let step = self.history.len();
        let difference = match result {
            Ok(difference) if difference.is_empty() => return Ok(()),
            Ok(difference) => difference,
            Err(error) => vec![format!("+ {error:#}")],
        };
        Err(Mismatch { step, difference })
    }

    fn step_in_earnest(&mut self, op: &Op) -> Result<Vec<String>> {
        let expected = self.model.apply(op);
        let counts = self.counts.entry((kind(op), expected.to_string()));
        let counts = counts.or_default();
        counts.0 += 1;
        if expected != Outcome::Skipped {
            let start = Instant::now();
            let seen = self.target.apply(op, expected)?;
            counts.1 += start.elapsed();
            if seen != expected {
                return Ok(vec![
                    format!("- {op:?}: {expected}"),
                    format!("+ {op:?}: {seen} {}", self.target.said()),
                ]);
            }
        }
        if let (Op::Dump { at }, Outcome::Done) = (op, expected) {
            let difference = compare(&self.model.see_filters(*at), &self.target.see_filters(*at)?);
            if !difference.is_empty() {
                return Ok(difference);
            }
        }
        if (self.history.len() + 1) % self.check_every == 0 {
            return self.check();
        }
        Ok(Vec::new())
    }

    /// Compares everything.
    fn check(&mut self) -> Result<Vec<String>> {
        for at in self.model.lists() {
            self.model.dump(at);
        }
        Ok(compare(&self.model.see(), &self.target.see()?))
    }

    /// Random operations, and then [`Self::tear_down`].
    pub fn random(
        &mut self,
        mut generator: Generator,
        steps: usize,
        mut progress: impl FnMut(usize, &Op),
    ) -> Result<(), Mismatch> {
        for n in 0..steps {
            let op = generator.next(&self.model);
            progress(n, &op);
            self.step(op)?;
        }
        self.tear_down()
    }

    /// Operations that are known, and then [`Self::tear_down`].
    pub fn replay(&mut self, ops: &[Op]) -> Result<(), Mismatch> {
        for op in ops {
            self.step(op.clone())?;
        }
        self.tear_down()
    }

    /// Takes everything away: nothing may be left then, and nothing keep the module.
    fn tear_down(&mut self) -> Result<(), Mismatch> {
        let done = self.history.len();
        let slots = || 0..SLOTS;
        let mut ops: Vec<Op> = slots().map(|slot| Op::Unload { slot }).collect();
        ops.extend(slots().map(|slot| Op::DelDevice { slot }));
        ops.extend((1..NAMESPACES).map(|ns| Op::DelNetns { ns }));
        for op in ops {
            self.step(op)?;
        }
        let check = |run: &mut Self| {
            let step = run.history.len();
            let difference = run
                .check()
                .unwrap_or_else(|error| vec![format!("+ {error:#}")]);
            if difference.is_empty() {
                Ok(())
            } else {
                Err(Mismatch { step, difference })
            }
        };
        check(self)?;
        self.step(Op::Rmmod)?;
        check(self)?;
        // It is no part of what was asked for.
        self.history.truncate(done);
        Ok(())
    }
}

/// What kind of operation it is.
fn kind(op: &Op) -> String {
    let text = format!("{op:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// Writes operations to a file, one a line.
pub fn write(path: &Path, head: &Head, ops: &[Op]) -> Result<()> {
    let mut text = serde_json::to_string(head)? + "\n";
    for op in ops {
        text += &serde_json::to_string(op)?;
        text.push('\n');
    }
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

/// Reads them.
pub fn read(path: &Path) -> Result<(Head, Vec<Op>)> {
    let text =
        fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    let mut lines = text.lines();
    let what = |n: usize| format!("{}, line {n}", path.display());
    let head = serde_json::from_str(lines.next().unwrap_or_default()).with_context(|| what(1))?;
    let ops = lines
        .enumerate()
        .map(|(n, line)| serde_json::from_str(line).with_context(|| what(n + 2)))
        .collect::<Result<_>>()?;
    Ok((head, ops))
}

/// The fewest operations that still fail, as far as leaving out goes (delta debugging).
pub fn shrink(mut ops: Vec<Op>, mut fails: impl FnMut(&[Op]) -> Option<Mismatch>) -> Vec<Op> {
    let mut size = ops.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        let mut removed = false;
        while start < ops.len() {
            let end = (start + size).min(ops.len());
            let rest = [&ops[..start], &ops[end..]].concat();
            match fails(&rest) {
                Some(mismatch) => {
                    ops = rest;
                    // What came after isn't needed.
                    ops.truncate(mismatch.step);
                    removed = true;
                }
                None => start = end,
            }
        }
        if size == 1 && !removed {
            break;
        }
        size = if size == 1 { 1 } else { size.div_ceil(2) };
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mistake;

    /// A model in the place of the kernel.
    struct Double(Model);

    impl Target for Double {
        fn apply(&mut self, op: &Op, _expected: Outcome) -> Result<Outcome> {
            // What reads counters is called apart.
            Ok(match op {
                Op::Dump { .. } => Outcome::Done,
                op => self.0.apply(op),
            })
        }

        fn said(&self) -> &str {
            ""
        }

        fn see_filters(&mut self, at: At) -> Result<Vec<String>> {
            self.0.dump(at);
            Ok(self.0.see_filters(at))
        }

        fn see(&mut self) -> Result<Vec<String>> {
            for at in self.0.lists() {
                self.0.dump(at);
            }
            Ok(self.0.see())
        }
    }

    fn try_seed(seed: u64, mistake: Option<Mistake>) -> (Result<(), Mismatch>, Vec<Op>) {
        let mut double = Double(Model::new(None));
        let mut run = Run::new(Model::new(mistake), &mut double, 10);
        let result = run.random(Generator::new(seed, true), 2000, |_, _| ());
        (result, run.history)
    }

    fn replay(ops: &[Op], mistake: Mistake) -> Option<Mismatch> {
        let mut double = Double(Model::new(None));
        let mut run = Run::new(Model::new(Some(mistake)), &mut double, 1);
        run.replay(ops).err()
    }

    #[test]
    fn the_same_model_agrees_with_itself_and_a_seed_says_all() {
        for seed in 0..20 {
            let (result, history) = try_seed(seed, None);
            assert_eq!(result, Ok(()));
            assert_eq!(history.len(), 2000);
            assert_eq!(try_seed(seed, None).1, history);
        }
        assert_ne!(try_seed(1, None).1, try_seed(2, None).1);
    }

    #[test]
    fn each_mistake_of_a_model_is_found_and_shrunk_to_few_operations() {
        for (mistake, few) in [
            (Mistake::KeepsRefused, 4),
            (Mistake::ForgetsWithdrawal, 6),
            (Mistake::Miscounts, 7),
            (Mistake::LoadsTwice, 3),
        ] {
            let (result, history) = try_seed(1, Some(mistake));
            assert!(result.is_err(), "{mistake:?}");
            let ops = shrink(history, |ops| replay(ops, mistake));
            assert!(replay(&ops, mistake).is_some(), "{mistake:?}");
            assert!(ops.len() <= few, "{mistake:?}: {ops:#?}");
        }
    }

    #[test]
    fn random_operations_reach_both_success_and_failure() {
        let mut counts = BTreeMap::new();
        for seed in 0..10 {
            let mut double = Double(Model::new(None));
            let mut run = Run::new(Model::new(None), &mut double, 50);
            run.random(Generator::new(seed, true), 2000, |_, _| ())
                .unwrap();
            for (key, (n, _)) in run.counts {
                *counts.entry(key).or_default() += n;
            }
        }
        let n = |op: &str, outcome: &str| {
            let key = (op.to_owned(), outcome.to_owned());
            counts.get(&key).copied().unwrap_or(0)
        };
        for (op, outcome, least) in [
            ("AddDevice", "success", 50),
            ("AddDevice", "EEXIST", 5),
            ("Move", "success", 5),
            ("DelNetns", "success", 3),
            ("AddClsact", "success", 50),
            ("AddClsact", "EBUSY", 2),
            ("AddClsact", "EOPNOTSUPP", 2),
            ("SetFilter", "success", 500),
            ("SetFilter", "EOPNOTSUPP", 50),
            ("SetFilter", "ENOSPC", 3),
            ("SetFilter", "EEXIST", 5),
            ("SetFilter", "EINVAL", 50),
            ("DelFilter", "success", 100),
            ("AddChain", "success", 20),
            ("DelChain", "success", 10),
            ("Load", "success", 50),
            ("Load", "EOPNOTSUPP", 2),
            ("Load", "ENODEV", 1),
            ("Swap", "success", 20),
            ("Rmmod", "success", 5),
            ("Rmmod", "EAGAIN", 2),
        ] {
            assert!(n(op, outcome) >= least, "{op} {outcome}: {counts:#?}");
        }
    }

    #[test]
    fn a_file_holds_all_of_an_operation() {
        let (_, history) = try_seed(3, None);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history");
        let head = Head {
            seed: 3,
            check_every: 10,
        };
        write(&path, &head, &history).unwrap();
        assert_eq!(read(&path).unwrap(), (head, history));
        fs::write(&path, "{}\n").unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("line 1"));
    }

    #[test]
    fn a_difference_has_both_sides() {
        let lines = |lines: &[&str]| lines.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        let difference = compare(&lines(&["a", "b", "b"]), &lines(&["b", "c"]));
        assert_eq!(difference, ["- a", "- b", "+ c"]);
        assert!(compare(&lines(&["a"]), &lines(&["a"])).is_empty());
    }
}
