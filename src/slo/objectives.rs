//! What is promised, read from one file. Invariant: whoever holds [`Objectives`] holds checked ones: names are unique, targets
//! leave a budget, and thresholds are bounds of the histograms that measure them.

use std::path::Path;

use serde::Deserialize;

use crate::domain::sli::LATENCY_BOUNDS_MS;

/// The defaults: requirements points 92 to 94.
const EMBEDDED: &str = include_str!("objectives.yaml");

/// Every promise.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// In the order of the file, which is the order of reports.
    pub objectives: Vec<Objective>,
}

/// One promise.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// Stable name, a label of alerts.
    pub name: String,
    /// In words a customer reads.
    pub title: String,
    /// What is counted.
    pub measure: Measure,
    /// Upper bound of a good answer's time; of latency and visibility.
    #[serde(default)]
    pub milliseconds: Option<u32>,
    /// Operation ids; none means all that tenants call.
    #[serde(default)]
    pub operations: Vec<String>,
    /// Least share of good ones, in percent.
    pub target_percent: f64,
    /// Days over which the share is taken.
    pub days: u32,
}

/// What an objective counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Answers that are not 5xx.
    Availability,
    /// Good answers in time.
    Latency,
    /// Events readable in time.
    Visibility,
}

/// Why a file is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ObjectivesError {
    /// It cannot be read.
    #[error("WEIR_SLO_FILE cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// It is not of the documented form.
    #[error("the objectives are not of the documented form")]
    Malformed(#[source] serde_yaml_ng::Error),
    /// It says something that cannot be kept.
    #[error("objective {0}: {1}")]
    Unsound(String, &'static str),
}

impl Objectives {
    /// The objectives of a file, or the embedded ones.
    ///
    /// # Errors
    /// [`ObjectivesError`] says what is wrong with the file.
    pub fn load(file: Option<&Path>) -> Result<Self, ObjectivesError> {
        match file {
            Some(path) => Self::parse(&std::fs::read_to_string(path).map_err(ObjectivesError::Unreadable)?),
            None => Self::parse(EMBEDDED),
        }
    }

    fn parse(text: &str) -> Result<Self, ObjectivesError> {
        let read: Self = serde_yaml_ng::from_str(text).map_err(ObjectivesError::Malformed)?;
        for (index, objective) in read.objectives.iter().enumerate() {
            let twice = read.objectives[..index].iter().any(|other| other.name == objective.name);
            if let Some(fault) = if twice { Some("stands there twice") } else { objective.fault() } {
                return Err(ObjectivesError::Unsound(objective.name.clone(), fault));
            }
        }
        Ok(read)
    }
}

impl Objective {
    /// The share of bad ones that may be, in 0..1.
    pub fn allowed(&self) -> f64 {
        (100.0 - self.target_percent) / 100.0
    }

    /// The period in seconds.
    pub fn period_seconds(&self) -> i64 {
        i64::from(self.days) * 86_400
    }

    fn fault(&self) -> Option<&'static str> {
        let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !word(&self.name) || !self.operations.iter().all(|operation| word(operation)) {
            return Some("names are letters, digits and hyphens");
        }
        if !(50.0..=99.999).contains(&self.target_percent) {
            return Some("target_percent must be 50 to 99.999");
        }
        if !(1..=90).contains(&self.days) {
            return Some("days must be 1 to 90");
        }
        match (self.measure, self.milliseconds) {
            (Measure::Availability, None) => None,
            (Measure::Availability, Some(_)) => Some("an availability has no milliseconds"),
            (_, Some(bound)) if LATENCY_BOUNDS_MS.contains(&bound) => None,
            _ => Some(
                "milliseconds must be a bound of the histograms: 10, 25, 50, 100, 250, 500, 1000, 2500, 5000 or 10000",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_objectives_are_points_92_to_94() {
        let objectives = Objectives::load(None).expect("sound").objectives;
        let told: Vec<_> = objectives.iter().map(|one| (one.name.as_str(), one.target_percent, one.days)).collect();
        assert_eq!(
            told,
            [
                ("ingest-availability", 99.9, 30),
                ("ingest-latency", 99.0, 7),
                ("summary-availability", 99.9, 30),
                ("summary-latency", 99.0, 7),
                ("visibility", 95.0, 1),
                ("overall-availability", 99.9, 30),
            ]
        );
        assert!((objectives[0].allowed() - 0.001).abs() < 1e-12);
    }

    #[test]
    fn an_unsound_file_says_why() {
        let one = |fields: &str| format!("objectives: [{{name: a, title: t, {fields}}}]");
        for (fields, word) in [
            ("measure: availability, target_percent: 100, days: 30", "target_percent"),
            ("measure: availability, target_percent: 99, days: 0", "days"),
            ("measure: latency, target_percent: 99, days: 1", "milliseconds"),
            ("measure: latency, milliseconds: 501, target_percent: 99, days: 1", "bound"),
            ("measure: availability, milliseconds: 500, target_percent: 99, days: 1", "no milliseconds"),
            ("measure: availability, operations: ['x\"y'], target_percent: 99, days: 1", "letters"),
        ] {
            let error = Objectives::parse(&one(fields)).expect_err(fields).to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(Objectives::parse("objectives: 1").is_err());
    }
}
