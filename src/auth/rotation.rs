//! Keys that come, overlap and go, and the verdicts that must go with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::domain::time::{SECOND, Timestamp};

use super::fixture::{IssuerKey, Running, config, running, running_at, write_set};
use super::refresh::Pace;
use super::source::Source;
use super::{Auth, AuthError, AuthStartError, reason};

const INVALID: AuthError = AuthError::Invalid(reason::INVALID);
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(5);

const QUIET: Pace =
    Pace { every: LONG, ask_every: Duration::ZERO, ask_patience: LONG, watch_every: LONG, retry_at_most: LONG };

/// Waits until the token is judged as wanted, and fails after five seconds.
async fn becomes(auth: &Auth, token: &str, wanted: bool) {
    let judged = async {
        while auth.verify(token).await.is_ok() != wanted {
            sleep(SHORT).await;
        }
    };
    timeout(Duration::from_secs(5), judged).await.expect("judged as wanted in time");
}

async fn from_file(keys: &[&IssuerKey], pace: Pace) -> (Running, tempfile::TempDir) {
    let home = tempfile::tempdir().expect("a directory");
    let set = home.path().join("jwks.json");
    write_set(&set, keys);
    (running_at(Source::File(set.clone()), set, pace).await, home)
}

#[tokio::test]
async fn keys_rotate_with_an_overlap_and_the_old_ones_tokens_end_with_it() {
    let (old, new) = (IssuerKey::ed25519("old"), IssuerKey::rsa("new"));
    let (running, _home) = from_file(&[&old], Pace { watch_every: SHORT, ask_every: LONG, ..QUIET }).await;
    let (of_old, of_new) = (old.token(json!({}), json!({})), new.token(json!({}), json!({})));
    assert!(running.auth.verify(&of_old).await.is_ok());
    assert_eq!(running.auth.verify(&of_new).await, Err(INVALID));

    write_set(&running.set, &[&old, &new]);
    becomes(&running.auth, &of_new, true).await;
    assert!(running.auth.verify(&of_old).await.is_ok(), "both during the overlap");

    write_set(&running.set, &[&new]);
    becomes(&running.auth, &of_old, false).await;
    assert!(running.auth.verify(&of_new).await.is_ok());
}

#[tokio::test]
async fn a_bad_key_set_leaves_the_good_one_in_use() {
    let key = IssuerKey::ed25519("k");
    let (running, _home) = from_file(&[&key], QUIET).await;
    for bad in ["", "{}", r#"{"keys":[]}"#, &" ".repeat(256 * 1024 + 1)] {
        std::fs::write(&running.set, bad).expect("written");
        assert_eq!(running.auth.verify(&key.token(json!({"kid": "other"}), json!({}))).await, Err(INVALID));
        assert!(running.auth.verify(&key.token(json!({}), json!({}))).await.is_ok(), "{bad:.20}");
    }
    std::fs::remove_file(&running.set).expect("removed");
    assert!(running.auth.verify(&key.token(json!({}), json!({}))).await.is_ok());
    assert_eq!(running.auth.probe(), Ok(()));
}

#[tokio::test]
async fn a_verdict_ends_with_exp_and_with_its_minute() {
    let key = IssuerKey::ed25519("k");
    let running = running(&[&key], None).await;
    let now = Timestamp::now();
    let at = |seconds| now.saturating_add_micros(seconds * SECOND);
    let token = key.token(json!({}), json!({"exp": now.unix_seconds() + 100}));
    let first = running.auth.verify_at(&token, now).await.expect("sound");
    let second = running.auth.verify_at(&token, at(59)).await.expect("kept");
    let third = running.auth.verify_at(&token, at(60)).await.expect("judged again");
    assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&second, &third));
    // Within the leeway a token is still good, but only by a fresh look at it.
    let late = running.auth.verify_at(&token, at(110)).await.expect("leeway");
    let later = running.auth.verify_at(&token, at(111)).await.expect("leeway");
    assert!(!Arc::ptr_eq(&third, &late) && !Arc::ptr_eq(&late, &later));
    assert_eq!(running.auth.verify_at(&token, at(131)).await, Err(AuthError::Invalid(reason::EXPIRED)));
}

#[tokio::test]
async fn a_missing_or_unusable_file_refuses_to_start() {
    let home = tempfile::tempdir().expect("a directory");
    let set = home.path().join("jwks.json");
    for content in [None, Some(""), Some(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#)] {
        if let Some(content) = content {
            std::fs::write(&set, content).expect("written");
        }
        let config = crate::config::AuthConfig { jwt_jwks: Some(set.display().to_string()), ..config() };
        let started = Auth::start(&config, &Default::default(), &Default::default()).await;
        assert!(matches!(started, Err(AuthStartError::KeySet { .. })), "{content:?}");
    }
}

/// An identity provider that counts requests and answers with `status` and `body`.
async fn provider(status: &'static str, body: String) -> (reqwest::Url, Arc<AtomicUsize>, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/jwks", listener.local_addr().expect("an address")).parse().expect("a URL");
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let serve = async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 1024];
            let head = format!("HTTP/1.1 {status}\r\nlocation: /elsewhere\r\nconnection: close\r\n\r\n");
            // A client that has read enough may hang up first.
            let answered = async {
                let _read = socket.read(&mut request).await?;
                socket.write_all(head.as_bytes()).await?;
                socket.write_all(body.as_bytes()).await?;
                socket.shutdown().await
            };
            answered.await.unwrap_or_default();
        }
    };
    let tracker = tokio_util::task::TaskTracker::new();
    (url, asked, AbortOnDropHandle::new(tracker.spawn(serve)))
}

async fn from_url(url: reqwest::Url, pace: Pace) -> Running {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
    running_at(Source::Url(client.expect("a client"), url), Default::default(), pace).await
}

#[tokio::test]
async fn a_url_is_loaded_in_the_background_and_strangers_cannot_make_us_ask_often() {
    let key = IssuerKey::p256("k");
    let (url, asked, _provider) = provider("200 OK", json!({"keys": [key.jwk]}).to_string()).await;
    let running = from_url(url, Pace { ask_every: LONG, ..QUIET }).await;
    let token = key.token(json!({}), json!({}));
    assert_eq!(running.auth.verify(&token).await, Err(super::KEYS_UNAVAILABLE), "nothing is loaded yet");
    assert!(running.auth.probe().is_err());
    assert_eq!(running.auth.verify("garbage").await, Err(AuthError::Invalid(reason::MALFORMED)));
    becomes(&running.auth, &token, true).await;
    assert_eq!(running.auth.probe(), Ok(()));
    for i in 0..200 {
        let stranger = key.token(json!({"kid": format!("unknown {i}")}), json!({}));
        assert_eq!(running.auth.verify(&stranger).await, Err(INVALID));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn many_callers_with_a_new_key_share_one_load() {
    let (old, new) = (IssuerKey::ed25519("old"), IssuerKey::ed25519("new"));
    let (running, _home) = from_file(&[&old], QUIET).await;
    write_set(&running.set, &[&old, &new]);
    let tokens: Vec<_> = (0..50).map(|i| new.token(json!({}), json!({ "jti": i }))).collect();
    let verdicts = futures_util::future::join_all(tokens.iter().map(|token| running.auth.verify(token))).await;
    let refused: Vec<_> = verdicts.iter().filter(|verdict| verdict.is_err()).collect();
    assert!(refused.is_empty(), "all waited for the one load: {refused:?}");
}

#[tokio::test]
async fn answers_that_are_no_key_set_are_not_believed() {
    let key = IssuerKey::ed25519("k");
    let set = json!({"keys": [key.jwk]}).to_string();
    let oversized = format!("{}{set}", " ".repeat(256 * 1024));
    for (status, body) in
        [("302 Found", &set), ("500 Oops", &set), ("200 OK", &oversized), ("200 OK", &"<html>".to_owned())]
    {
        let (url, asked, _provider) = provider(status, body.clone()).await;
        let running = from_url(url, Pace { retry_at_most: SHORT, ..QUIET }).await;
        let tried = async {
            while asked.load(Ordering::SeqCst) < 2 {
                sleep(SHORT).await;
            }
        };
        assert!(timeout(Duration::from_secs(5), tried).await.is_ok(), "no second try after {status} {body:.10}");
        let verdict = running.auth.verify(&key.token(json!({}), json!({}))).await;
        assert_eq!(verdict, Err(super::KEYS_UNAVAILABLE), "{status}");
    }
}

#[test]
fn only_https_is_fetched() {
    let Ok(Source::Url(client, _)) = Source::parse("https://issuer.example/jwks") else { panic!("an https URL") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(client.get("http://127.0.0.1:1/").send());
    assert!(answer.expect_err("refused").is_builder(), "plain HTTP is refused before anything is sent");
    assert!(matches!(Source::parse("/etc/weir/jwks.json"), Ok(Source::File(_))));
}
