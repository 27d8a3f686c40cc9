//! The documented form of reports and incidents. Invariant: what is named here is in every report of its kind; a test of the whole
//! path compares.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use serde_json::json;

use super::schema::{described, free_object, inline, text, time};
use crate::domain::incident::{MAX_ACCOUNTS, MAX_TEXT, MAX_TITLE};

/// Component name of a report.
pub(super) const REPORT: &str = "SloReport";

/// Component name of an incident on its way in.
pub(super) const NEW_INCIDENT: &str = "NewIncident";

/// Registers the report.
pub(super) fn register_report(registry: &mut Registry) {
    registry.schemas.entry(REPORT.to_owned()).or_insert_with(report);
}

/// Registers the incident.
pub(super) fn register_incident(registry: &mut Registry) {
    registry.schemas.entry(NEW_INCIDENT.to_owned()).or_insert_with(new_incident);
}

fn object(
    description: &'static str,
    required: &[&'static str],
    properties: Vec<(&'static str, MetaSchema)>,
) -> MetaSchema {
    MetaSchema {
        description: Some(description),
        required: required.to_vec(),
        properties: properties.into_iter().map(|(name, schema)| (name, inline(schema))).collect(),
        ..MetaSchema::new("object")
    }
}

fn list(description: &'static str, items: MetaSchema) -> MetaSchema {
    MetaSchema {
        description: Some(description),
        items: Some(Box::new(MetaSchemaRef::Inline(Box::new(items)))),
        ..MetaSchema::new("array")
    }
}

fn words(description: &'static str, names: &[&'static str]) -> MetaSchema {
    MetaSchema { enum_items: names.iter().map(|name| json!(name)).collect(), ..described("string", description) }
}

fn nullable(schema: MetaSchema) -> MetaSchema {
    MetaSchema { nullable: true, ..schema }
}

fn moment(description: &'static str) -> MetaSchema {
    MetaSchema { format: Some("date-time"), ..described("string", description) }
}

fn report() -> MetaSchema {
    let properties = vec![
        ("audience", words("For whom it is made", &["operator", "account", "executive"])),
        ("account_id", nullable(described("string", "Whose numbers; null for the whole service"))),
        ("period", words("How long the period is", &["weekly", "monthly"])),
        ("title", described("string", "What people call the period")),
        ("from", moment("First second of the period")),
        ("to", moment("First second behind it")),
        ("running", described("boolean", "Whether it still runs")),
        ("generated_at", moment("When the report was made")),
        ("summary", described("string", "All of it in a few sentences")),
        ("objectives", list("The promises", objective())),
        ("incidents", list("What people know about bad times", free_object())),
        ("silent_minutes", described("integer", "Minutes in which no instance served")),
        ("monthly_quota", monthly_quota()),
        ("operations", list("By operation; absent for executives", free_object())),
        ("accounts", list("The accounts with most failures; for operators", free_object())),
    ];
    let sometimes = ["monthly_quota", "operations", "accounts"];
    let required: Vec<_> = properties.iter().map(|(name, _)| *name).filter(|name| !sometimes.contains(name)).collect();
    object("Promises and what became of them", &required, properties)
}

fn objective() -> MetaSchema {
    let properties = vec![
        ("name", described("string", "Stable name")),
        ("title", described("string", "In words")),
        ("measure", words("What is counted", &["availability", "latency", "visibility"])),
        ("target_percent", described("number", "Least share of good ones")),
        ("milliseconds", nullable(described("integer", "What a good answer takes at most"))),
        ("from", moment("From when on it is judged")),
        ("days", described("integer", "Over how many days")),
        ("status", words("What became of it", &["kept", "at_risk", "broken", "no_data"])),
        ("actual_percent", nullable(described("number", "Share of good ones; null when nothing was asked"))),
        ("total", described("integer", "All that count; mistakes of the callers (4xx) do not")),
        ("bad", described("integer", "Of these, the bad ones: 5xx and timeouts, or late ones")),
        ("lost", described("integer", "Of the bad ones, those that would have come while no instance served")),
        ("client", described("integer", "Mistakes of the callers")),
        ("latency_ms", nullable(free_object())),
        ("budget", budget()),
        ("daily", list("Each day of the period", free_object())),
        ("trend", list("The three periods before and this one", free_object())),
        ("breaches", list("Days in a row on which it was not kept, with the causes", free_object())),
    ];
    let required: Vec<_> = properties.iter().map(|(name, _)| *name).collect();
    object("One promise", &required, properties)
}

fn monthly_quota() -> MetaSchema {
    let properties = vec![
        ("limit", described("integer", "Events the account may send in the running month")),
        ("used", described("integer", "Events of the month so far")),
        ("used_percent", described("number", "Share of the limit that is used")),
        ("per_day", described("integer", "Events a day at the pace of the last day")),
        ("resets_at", moment("When the month ends")),
        ("reached_at", nullable(moment("When nothing is left at this pace; null when the month ends before"))),
        ("forecast", described("string", "The same in a sentence")),
    ];
    let required: Vec<_> = properties.iter().map(|(name, _)| *name).collect();
    object("The monthly quota at the time of the report; absent where the account has none", &required, properties)
}

fn budget() -> MetaSchema {
    let properties = vec![
        ("allowed", described("number", "How many may be bad")),
        ("used_percent", described("number", "Share of that already used")),
        ("left_percent", described("number", "What is left; below zero when overspent")),
        ("burn_rate", described("number", "How many times faster than evenly it went")),
        ("band", words("How fast it goes", &["calm", "watch", "act", "stop"])),
        ("action", described("string", "What to do about it")),
        ("ends_at", nullable(moment("When nothing is left at the pace of the last day, where that is soon"))),
    ];
    let required: Vec<_> = properties.iter().map(|(name, _)| *name).collect();
    object("The error budget", &required, properties)
}

fn new_incident() -> MetaSchema {
    let accounts = MetaSchema {
        max_items: Some(MAX_ACCOUNTS),
        ..list("Whom it concerned; nobody named means everybody", MetaSchema::new("string"))
    };
    let properties = vec![
        ("title", text("What happened, in a few words", 1, MAX_TITLE)),
        ("started_at", time("When it began: Unix seconds in digits or RFC 3339")),
        ("ended_at", nullable(time("When it ended; absent or null while it lasts"))),
        ("impact", text("What callers saw", 1, MAX_TEXT)),
        ("root_cause", nullable(text("Why, once that is known", 0, MAX_TEXT))),
        ("mended_by", nullable(text("What was done, and what keeps it from happening again", 0, MAX_TEXT))),
        ("accounts", accounts),
        ("public", described("boolean", "Whether the status page shows it")),
    ];
    object("What people know about a bad time", &["title", "started_at", "impact"], properties)
}
