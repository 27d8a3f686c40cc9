//! Quotas that operators keep: who may, what is answered, how soon and how long it holds.

mod fairness;
mod follow;
mod hold;
mod keep;
mod usage;
mod weights;

use serde_json::{Value, json};

use crate::harness::{Answer, Client, TestApp, eventually, operator_token, send};

/// An operator who may change quotas.
pub fn operator(app: &TestApp) -> Client {
    app.client_with(Some(operator_token("ops", "quotas:admin")))
}

/// Path of something of an account.
pub fn path(account: &str, what: &str) -> String {
    format!("/v1/admin/accounts/{account}/{what}")
}

/// PUT of a quota under a version.
pub async fn put(operator: &Client, account: &str, if_match: Option<&str>, quota: Value) -> Answer {
    let request = operator.request("PUT", &path(account, "quota")).header("content-type", "application/json");
    let request = if let Some(tag) = if_match { request.header("if-match", tag) } else { request };
    send(request.body(json!({"reason": "a test", "quota": quota}).to_string())).await.expect("answer")
}

/// Sets a quota, whatever stands there.
pub async fn set(operator: &Client, account: &str, quota: Value) -> Answer {
    let standing = operator.get(&path(account, "quota")).await.expect(200);
    let tag = standing.header("etag").expect("ETag").to_owned();
    put(operator, account, Some(&tag), quota).await.expect(200)
}

/// What the account is told of a policy; null when it has no such policy.
pub async fn policy(client: &Client, name: &str) -> Value {
    let limits = client.get("/v1/limits").await.expect(200);
    let policies = limits.body["policies"].as_array().expect("policies");
    policies.iter().find(|policy| policy["name"] == name).cloned().unwrap_or(Value::Null)
}

/// Waits until an account is held to a limit.
pub async fn held_to(client: &Client, name: &str, limit: i64) {
    let what = format!("{name} to be {limit}");
    eventually(&what, || async { (policy(client, name).await["limit"] == limit).then_some(()) }).await;
}

/// One event.
pub fn event() -> Value {
    json!({"event_name": "n", "user_id": "u"})
}
