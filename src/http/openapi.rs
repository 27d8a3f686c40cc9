//! The document of the API. Invariant: it is made from the same types that serve, without anything running, and the same code
//! gives the same bytes.

use std::collections::HashSet;

use poem_openapi::{LicenseObject, OpenApiService, ServerObject};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::api::{PublicApi, public_api};
use crate::telemetry::health::Health;

const ABOUT: &str = "Multi-tenant event ingestion with per-account fairness. A 2xx on a post means that the log has the event on \
all in-sync replicas. Sending an event again with the same `event_id` is safe: it is stored once.";

/// The document as committed in `openapi/v1.yaml`.
pub fn document() -> String {
    serde_yaml_ng::to_string(&document_value()).unwrap_or_else(|error| {
        tracing::error!(%error, "the document cannot be written");
        String::new()
    })
}

/// The document as served to programs.
pub(super) fn document_json() -> String {
    document_value().to_string()
}

/// poem-openapi's service over the API; it documents, [`super::routes`] serve.
pub(super) fn service() -> OpenApiService<PublicApi, ()> {
    OpenApiService::new(public_api(Health::default()), "Weir", "1.0.0")
        .description(ABOUT)
        .license(LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"))
        .server(ServerObject::new("/").description("This deployment"))
}

fn document_value() -> Value {
    let mut document = read(&service().spec()).unwrap_or_else(|error| {
        tracing::error!(%error, "the document is not JSON");
        Value::Null
    });
    mend(&mut document);
    require_nullable(&mut document);
    add_request_id(&mut document);
    add_limits(&mut document);
    add_lane(&mut document);
    sorted(document)
}

/// poem-openapi writes a path once for each of our APIs that has operations on it, and a reader keeps only the last.
fn read(text: &str) -> serde_json::Result<Value> {
    #[derive(Deserialize)]
    struct Document {
        paths: Paths,
        #[serde(flatten)]
        rest: Map<String, Value>,
    }
    let Document { paths: Paths(paths), mut rest } = serde_json::from_str(text)?;
    rest.insert("paths".to_owned(), Value::Object(paths));
    Ok(Value::Object(rest))
}

/// Operations by path, those of a path that stands twice together.
struct Paths(Map<String, Value>);

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Together;
        impl<'de> Visitor<'de> for Together {
            type Value = Paths;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("paths")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Paths, A::Error> {
                let mut paths: Map<String, Value> = Map::new();
                while let Some((path, operations)) = access.next_entry::<String, Map<String, Value>>()? {
                    match paths.entry(path).or_insert_with(|| json!({})) {
                        Value::Object(known) => known.extend(operations),
                        other => *other = Value::Object(operations),
                    }
                }
                Ok(Paths(paths))
            }
        }
        deserializer.deserialize_map(Together)
    }
}

/// Every answer names its request.
fn add_request_id(document: &mut Value) {
    document["components"]["headers"]["RequestId"] = json!({
        "description": "Id of the request: yours when you sent one, else made here",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    });
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    let responses = operations.filter_map(|operation| operation["responses"].as_object_mut()).flat_map(Map::values_mut);
    for response in responses {
        response["headers"]["X-Request-Id"] = json!({"$ref": "#/components/headers/RequestId"});
    }
}

/// Every answer to an account tells its limits; a refusal before the account is known does not.
fn add_limits(document: &mut Value) {
    let header = |text: &str| json!({"description": text, "schema": {"type": "string"}});
    let headers = &mut document["components"]["headers"];
    headers["RateLimitPolicy"] = header("The account's policies (draft-ietf-httpapi-ratelimit-headers)");
    headers["RateLimit"] = header("Room in the tightest policy, or in the one that refused");
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    for operation in operations.filter(|operation| operation["security"].is_array()) {
        let responses = operation["responses"].as_object_mut().into_iter().flatten();
        for (_, response) in responses.filter(|(status, _)| *status != "401") {
            for (name, component) in [("RateLimit-Policy", "RateLimitPolicy"), ("RateLimit", "RateLimit")] {
                response["headers"][name] = json!({"$ref": format!("#/components/headers/{component}")});
            }
        }
    }
}

/// Every good answer to events tells the lane they took.
fn add_lane(document: &mut Value) {
    document["components"]["headers"]["Lane"] = json!({
        "description": "Lane that the events took, the last ones when it changed on the way: `bulk` while the account has a backlog",
        "schema": {"type": "string", "enum": ["standard", "bulk"]},
    });
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    for operation in operations.filter(|operation| operation["responses"]["202"].is_object()) {
        let responses = operation["responses"].as_object_mut().into_iter().flatten();
        for (_, response) in responses.filter(|(status, _)| status.starts_with('2')) {
            response["headers"]["X-Weir-Lane"] = json!({"$ref": "#/components/headers/Lane"});
        }
    }
}

/// Puts right what poem-openapi writes and linters or generators refuse.
fn mend(value: &mut Value) {
    match value {
        Value::Object(map) => {
            mend_object(map);
            map.values_mut().for_each(mend);
        }
        Value::Array(items) => items.iter_mut().for_each(mend),
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e15) {
                *value = json!(whole as i64);
            }
        }
        _ => {}
    }
}

fn mend_object(map: &mut Map<String, Value>) {
    // OpenAPI knows no unsigned formats.
    if map.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        map.insert("format".into(), "int64".into());
        map.entry("minimum").or_insert_with(|| 0.into());
    }
    if map.get("deprecated") == Some(&Value::Bool(false)) {
        map.remove("deprecated");
    }
    // `allOf` of a reference and of nothing but its description says the description twice.
    if let Some([_, extra]) = map.get("allOf").and_then(Value::as_array).map(Vec::as_slice)
        && extra.as_object().is_some_and(|extra| extra.keys().all(|key| key == "description"))
        && let Some(all) = map.get_mut("allOf").and_then(Value::as_array_mut)
    {
        all.truncate(1);
    }
    if let Some(headers) = map.get_mut("headers").and_then(Value::as_object_mut) {
        *headers = std::mem::take(headers).into_iter().map(|(name, header)| (header_case(&name), header)).collect();
    }
}

/// In an answer whatever may be null is always written; in a request it may be left out.
fn require_nullable(document: &mut Value) {
    let mut asked = HashSet::new();
    for operation in document["paths"].as_object().into_iter().flat_map(Map::values).filter_map(Value::as_object) {
        operation.values().for_each(|operation| references(&operation["requestBody"], &mut asked));
    }
    let schemas = document["components"]["schemas"].as_object_mut().into_iter().flatten();
    schemas.filter(|(name, _)| !asked.contains(*name)).for_each(|(_, schema)| require_in(schema));
}

/// Names of the components a value refers to itself.
fn references(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
            found.extend(name.map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn require_in(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let properties = map.get("properties").and_then(Value::as_object);
            let nullable = properties.into_iter().flatten().filter(|(_, schema)| schema["nullable"] == true);
            let nullable: Vec<Value> = nullable.map(|(name, _)| name.as_str().into()).collect();
            if !nullable.is_empty()
                && let Some(required) = map.entry("required").or_insert_with(|| json!([])).as_array_mut()
            {
                let missing = nullable.into_iter().filter(|name| !required.contains(name)).collect::<Vec<_>>();
                required.extend(missing);
            }
            map.values_mut().for_each(require_in);
        }
        Value::Array(items) => items.iter_mut().for_each(require_in),
        _ => {}
    }
}

fn header_case(name: &str) -> String {
    if name == "WWW-Authenticate" {
        return name.to_owned();
    }
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|letter| letter.to_ascii_lowercase())).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

/// Keys in order, whatever map serde_json was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use poem_openapi::OpenApi;

    use super::*;

    fn operations(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
        let paths = document["paths"].as_object().into_iter().flat_map(Map::values);
        paths.filter_map(Value::as_object).flat_map(Map::iter)
    }

    #[test]
    fn it_is_the_same_every_time_and_reads_back() {
        assert_eq!(document(), document());
        let read: Value = serde_yaml_ng::from_str(&document()).expect("YAML");
        assert_eq!(read["openapi"], "3.0.0");
    }

    #[test]
    fn no_operation_is_lost() {
        let document = document_value();
        let written = operations(&document).count();
        let paths = <PublicApi as OpenApi>::meta().into_iter().flat_map(|api| api.paths);
        assert_eq!(written, paths.map(|path| path.operations.len()).sum::<usize>());
        assert_eq!(document["paths"]["/v1/events"]["post"]["operationId"], "postEvent");
    }

    #[test]
    fn every_operation_is_named_grouped_and_names_its_problems() {
        let document = document_value();
        let mut ids = std::collections::HashSet::new();
        for (method, operation) in operations(&document) {
            let id = operation["operationId"].as_str().expect("id");
            assert!(ids.insert(id), "{id} twice");
            assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{id}");
            let responses = operation["responses"].as_object().expect("responses");
            if operation["security"].is_array() {
                for status in ["400", "401", "403", "500", "503", "504"] {
                    let schema = &responses[status]["content"]["application/problem+json"]["schema"];
                    assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{id} {status}");
                }
            }
            assert!(method != "post" || responses.contains_key("413"), "{id}");
            assert!(responses.values().all(|response| response["description"] != ""), "{id}");
        }
    }

    #[test]
    fn nothing_is_left_that_linters_refuse() {
        let text = document_json();
        for bad in ["uint32", "uint64", "uint16", "RETRY-AFTER", "charset=utf-8", "\"deprecated\":false"] {
            assert!(!text.contains(bad), "{bad}");
        }
    }

    #[test]
    fn header_names_are_written_as_people_write_them() {
        assert_eq!(header_case("RETRY-AFTER"), "Retry-After");
        assert_eq!(header_case("WWW-Authenticate"), "WWW-Authenticate");
    }

    #[test]
    fn what_may_be_null_is_required_of_answers_once_and_of_requests_never() {
        let document = document_value();
        let incident = &document["components"]["schemas"]["NewIncident"];
        assert_eq!(incident["required"], json!(["title", "started_at", "impact"]));
        let summary = document["components"]["schemas"]["Summary"]["required"].as_array().expect("required");
        assert!(summary.contains(&json!("data_as_of")));
        fn walk(value: &Value) {
            if let Some(required) = value["required"].as_array() {
                let names: HashSet<String> = required.iter().map(Value::to_string).collect();
                assert_eq!(names.len(), required.len(), "{required:?}");
            }
            value.as_object().into_iter().flat_map(Map::values).for_each(walk);
            value.as_array().into_iter().flatten().for_each(walk);
        }
        walk(&document);
    }
}
