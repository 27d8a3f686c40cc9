//! Tables that were kept, read back: two runs held against each other, and the rows the README shows. Invariant: what is shown is
//! what a run wrote, never typed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

/// One ratio of a kept table.
#[derive(Debug, Deserialize)]
struct Kept {
    what: String,
    value: f64,
    spread: [f64; 2],
    goal: KeptGoal,
    verdict: String,
}

#[derive(Debug, Deserialize)]
struct KeptGoal {
    floor: f64,
    aim: f64,
    at_least: bool,
}

/// A table as a run wrote it, by the ratios' numbers.
#[derive(Debug)]
pub struct KeptTable(BTreeMap<String, Kept>);

impl KeptTable {
    /// Reads what `ratios` wrote.
    ///
    /// # Errors
    /// When the file is not such a table.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no table of ratios", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut members: BTreeMap<String, serde_json::Value> = serde_json::from_str(text)?;
        members.remove("machine");
        let entries = members.into_iter().map(|(id, value)| Ok((id, serde_json::from_value(value)?)));
        entries.collect::<anyhow::Result<_>>().map(Self)
    }

    /// The rows as Markdown: number, ratio, median, spread, floor, aim, verdict.
    pub fn rows(&self) -> Vec<String> {
        self.0.iter().map(|(id, kept)| kept.row(id)).collect()
    }

    /// Holds two runs of the same ratios against each other.
    pub fn beside(&self, other: &Self) -> Agreement {
        let both = self.0.iter().filter_map(|(id, one)| Some((id, one, other.0.get(id)?)));
        let line = |(id, one, two): (&String, &Kept, &Kept)| Line {
            id: id.clone(),
            medians: [one.value, two.value],
            agree: two.holds(one.value) && one.holds(two.value),
        };
        Agreement(both.map(line).collect())
    }
}

impl Kept {
    fn holds(&self, median: f64) -> bool {
        (self.spread[0]..=self.spread[1]).contains(&median)
    }

    fn row(&self, id: &str) -> String {
        let Self { what, value, spread: [least, most], goal, verdict } = self;
        let sign = if goal.at_least { '≥' } else { '≤' };
        format!(
            "| {id} | {what} | {value:.3} | {least:.3} to {most:.3} | {sign} {} | {} | {verdict} |",
            goal.floor, goal.aim
        )
    }
}

/// Whether each median of one run lies within the least and the most of the other.
#[derive(Debug)]
pub struct Agreement(Vec<Line>);

#[derive(Debug)]
struct Line {
    id: String,
    medians: [f64; 2],
    agree: bool,
}

impl Agreement {
    /// Whether all do.
    pub fn all(&self) -> bool {
        self.0.iter().all(|line| line.agree)
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { id, medians: [one, two], agree } in &self.0 {
            writeln!(out, "{id:<5}{one:>8.3}{two:>8.3}  {}", if *agree { "agree" } else { "apart" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(value: f64, spread: [f64; 2]) -> KeptTable {
        let goal = serde_json::json!({"floor": 0.6, "aim": 0.7, "at_least": true});
        let entry = serde_json::json!({"what": "a ÷ b", "value": value, "spread": spread, "arms": {}, "goal": goal, "verdict": "missed"});
        KeptTable::parse(&serde_json::json!({"machine": {"cores": 2}, "R1": entry}).to_string()).expect("table")
    }

    #[test]
    fn runs_agree_when_each_holds_the_others_median() {
        let one = table(0.5, [0.4, 0.6]);
        assert!(one.beside(&table(0.55, [0.45, 0.6])).all());
        assert!(!one.beside(&table(0.55, [0.52, 0.6])).all(), "the second does not hold the first's");
        assert!(!one.beside(&table(0.7, [0.45, 0.8])).all());
        assert_eq!(one.rows(), ["| R1 | a ÷ b | 0.500 | 0.400 to 0.600 | ≥ 0.6 | 0.7 | missed |"]);
    }

    #[test]
    fn the_readme_shows_what_was_kept() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let readme = std::fs::read_to_string(root.join("../README.md")).expect("README");
        for kept in ["ratios.json", "whale.json", "peers.json"] {
            let rows = KeptTable::read(&root.join("results").join(kept)).expect("kept").rows();
            let missing: Vec<_> = rows.iter().filter(|row| !readme.contains(row.as_str())).collect();
            assert!(missing.is_empty(), "README lacks rows of {kept}:\n{missing:#?}");
        }
    }
}
