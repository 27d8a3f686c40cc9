//! What operators are given beside the service: rules, dashboards, runbook. Invariant: rules load and fire as their unit tests
//! say, every query parses, every metric named is documented, and every alert has its section in the runbook.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

/// Files of a folder with that ending, relative to the root.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).expect(folder);
    let names = entries.map(|entry| entry.expect("entry").file_name().into_string().expect("name"));
    let found: Vec<_> = names.filter(|name| name.ends_with(ending)).map(|name| format!("{folder}/{name}")).collect();
    assert!(!found.is_empty(), "no {ending} in {folder}");
    found
}

fn promtool(words: &[&str]) {
    let output = Command::new("sh")
        .current_dir(root())
        .arg("deploy/prometheus/promtool.sh")
        .args(words)
        .output()
        .expect("promtool.sh");
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "promtool {words:?}\n{}", String::from_utf8_lossy(&said));
}

fn rules() -> Vec<Value> {
    let texts = files("deploy/prometheus/rules", ".yaml").into_iter().map(|path| read(&path));
    let groups = texts.flat_map(|text| {
        let file: Value = serde_yaml_ng::from_str(&text).expect("YAML");
        file["groups"].as_array().expect("groups").clone()
    });
    groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

/// Title and query of each panel.
fn queries() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in files("deploy/grafana", ".json") {
        let board: Value = serde_json::from_str(&read(&path)).expect("JSON");
        for panel in board["panels"].as_array().expect("panels") {
            let title = format!("{path}: {}", panel["title"].as_str().expect("title"));
            assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title} says not what to do");
            for target in panel["targets"].as_array().expect("targets") {
                let query = target["expr"].as_str().expect("expr").replace("$__rate_interval", "1m");
                found.push((title.clone(), query));
            }
        }
    }
    found
}

/// Names in a query that look like metrics of ours or records of the objectives.
fn metrics_in(query: &str) -> BTreeSet<String> {
    let words = query.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'));
    words
        .filter(|word| ["weir_", "http_request", "events_", "slo:"].iter().any(|start| word.starts_with(start)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_configuration_loads_and_alerts_fire_as_they_should() {
    promtool(&["check", "config", "deploy/prometheus/prometheus.yml"]);
    let tests = files("deploy/prometheus/tests", ".yaml");
    let words: Vec<_> = ["test", "rules"].into_iter().chain(tests.iter().map(String::as_str)).collect();
    promtool(&words);
}

#[test]
fn every_panel_has_a_query_that_parses() {
    let rules: Vec<_> = queries()
        .into_iter()
        .enumerate()
        .map(|(index, (_, query))| serde_json::json!({"record": format!("panel:{index}"), "expr": query}))
        .collect();
    let file = tempfile::NamedTempFile::new().expect("file");
    let document = serde_json::json!({"groups": [{"name": "panels", "rules": rules}]});
    std::fs::write(file.path(), serde_yaml_ng::to_string(&document).expect("YAML")).expect("write");
    promtool(&["check", "rules", file.path().to_str().expect("path")]);
}

#[test]
fn every_metric_that_is_asked_for_exists() {
    let documented = read("docs/metrics.md");
    let rules = rules();
    let recorded: BTreeSet<_> = rules.iter().filter_map(|rule| rule["record"].as_str()).collect();
    let of_rules = rules.iter().map(|rule| ("a rule".to_owned(), rule["expr"].as_str().expect("expr").to_owned()));
    for (place, query) in of_rules.chain(queries()) {
        for name in metrics_in(&query) {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            let known = recorded.contains(name.as_str()) || documented.contains(&format!("| `{family}` |"));
            assert!(known, "{place} asks for {name}, which is neither in docs/metrics.md nor recorded: {query}");
        }
    }
}

#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let rules = rules();
    let alerts: BTreeSet<_> = rules.iter().filter_map(|rule| rule["alert"].as_str()).collect();
    let sections: BTreeSet<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(alerts, sections);
    for rule in rules.iter().filter(|rule| rule["alert"].is_string()) {
        let name = rule["alert"].as_str().expect("name");
        let link = format!("docs/runbook.md#{}", name.to_ascii_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], link.as_str(), "{name}");
        for field in ["summary", "description"] {
            assert!(rule["annotations"][field].as_str().is_some_and(|text| text.len() > 10), "{name} lacks {field}");
        }
    }
    for section in runbook.split("\n## ").skip(1) {
        for part in ["**Means.**", "**Callers see.**", "**Check.**", "**Mend.**", "**Followed.**"] {
            assert!(section.contains(part), "{} lacks {part}", section.lines().next().unwrap_or_default());
        }
    }
}
