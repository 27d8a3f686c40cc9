//! Keeping topic classes. Invariant: a class is kept only once its topic is there.

use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::super::super::admin::{Etag, Form, Operator, author, change, missing, name_of};
use super::super::super::answer::Reply;
use super::super::super::caller::TopicsAdmin;
use super::super::super::failure::{Change as ChangeFailure, Failure, Read, ReadOne};
use super::super::super::problem::{Code, Problem};
use super::super::Group;
use super::{Removed, page_length};
use crate::operators::{Change, Document, Kind};
use crate::topics::Class;

/// `/v1/admin/topics`.
pub(in crate::http) struct TopicsAdminApi;

/// A topic class as it is to be
#[derive(Object, Deserialize)]
#[oai(rename = "NewTopicClass")]
#[serde(deny_unknown_fields)]
struct NewClass {
    /// Why, for the audit
    #[oai(validator(min_length = 1, max_length = 500))]
    reason: String,
    /// Names of events, or beginnings of names followed by `*`; the exact name comes first, then the longest beginning
    #[oai(validator(min_items = 1, max_items = 100, min_length = 1, max_length = 255))]
    event_names: Vec<String>,
}

/// A topic class as it stands
#[derive(Object, Serialize)]
#[oai(rename = "TopicClass")]
struct ClassBody {
    /// Its name
    class: String,
    /// Topic of its events
    topic: String,
    /// Names of events, or beginnings of names followed by `*`
    event_names: Vec<String>,
}

/// Topic classes by name
#[derive(Object, Serialize)]
#[oai(rename = "TopicClasses")]
struct ClassesBody {
    /// The classes of this page
    data: Vec<ClassBody>,
    /// Ask with it for the next page; null at the end
    #[oai(nullable)]
    next_cursor: Option<String>,
}

#[derive(ApiResponse)]
enum Found {
    /// The class
    #[oai(status = 200)]
    Found(
        Reply<ClassBody>,
        /// Its version, for If-Match
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Put {
    /// It was replaced
    #[oai(status = 200)]
    Replaced(
        Reply<ClassBody>,
        /// Its version, for If-Match
        #[oai(header = "ETag")]
        String,
    ),
    /// It was created, and its topic where that was missing
    #[oai(status = 201)]
    Created(
        Reply<ClassBody>,
        /// Its version, for If-Match
        #[oai(header = "ETag")]
        String,
    ),
}

#[OpenApi(tag = "Group::Admin")]
impl TopicsAdminApi {
    /// List the topic classes
    ///
    /// Needs `role: operator` and the scope `topics:admin`.
    #[oai(path = "/v1/admin/topics", method = "get", operation_id = "listTopicClasses")]
    async fn list(
        &self,
        operator: Operator<TopicsAdmin>,
        /// Most classes of the page
        #[oai(default = "page_length", validator(minimum(value = "1"), maximum(value = "250")))]
        limit: Query<u16>,
        /// Where the page starts: `next_cursor` of the page before
        cursor: Query<Option<String>>,
    ) -> Result<Reply<ClassesBody>, Failure<Read>> {
        let page = operator.components.operators.page(Kind::Topic, cursor.0.as_deref(), limit.0).await;
        let page = page.map_err(Problem::from)?;
        let data = page.documents.iter().map(|document| body(&operator, document)).collect::<Result<_, Problem>>()?;
        Ok(Reply(ClassesBody { data, next_cursor: page.next_cursor }))
    }

    /// Read a topic class
    ///
    /// Needs `role: operator` and the scope `topics:admin`.
    #[oai(path = "/v1/admin/topics/:class", method = "get", operation_id = "getTopicClass")]
    async fn one(
        &self,
        operator: Operator<TopicsAdmin>,
        /// Its name
        #[oai(validator(max_length = 64, pattern = r"^[a-z0-9][a-z0-9_-]*$"))]
        class: Path<String>,
    ) -> Result<Found, Failure<ReadOne>> {
        let name = name_of("class", class.0)?;
        let found = operator.components.operators.document(Kind::Topic, &name).await.map_err(Problem::from)?;
        let found = found.ok_or_else(|| missing(Kind::Topic))?;
        Ok(Found::Found(Reply(body(&operator, &found)?), Etag::from(&found).header()))
    }

    /// Create or replace a topic class
    ///
    /// Needs `role: operator` and the scope `topics:admin`. To replace one, send its ETag as `If-Match`. The topic is made first, with
    /// the configured partitions and replication; within 10 seconds events of these names take it and workers read it.
    #[oai(path = "/v1/admin/topics/:class", method = "put", operation_id = "putTopicClass")]
    async fn put(
        &self,
        operator: Operator<TopicsAdmin>,
        /// Its name
        #[oai(validator(max_length = 64, pattern = r"^[a-z0-9][a-z0-9_-]*$"))]
        class: Path<String>,
        /// ETag of what is to be replaced; absent to create
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        new: Form<NewClass>,
    ) -> Result<Put, Failure<ChangeFailure>> {
        let (name, Form(new)) = (name_of("class", class.0)?, new);
        let author = author(&operator, &new.reason)?;
        let expected = Etag::expected(if_match.0.as_deref());
        let class = Class { event_names: new.event_names };
        let faults = class.check();
        if !faults.is_empty() {
            return Err(Problem::new(Code::InvalidRequest, "these are no names of events").with_faults(faults).into());
        }
        let topics = &operator.components.topics;
        if let Some(rival) = topics.rival(&name, &class.event_names) {
            return Err(Problem::new(Code::Conflict, format!("the class {rival} has one of these names")).into());
        }
        topics.make(&name).await.map_err(Problem::from)?;
        let text = serde_json::to_string(&class).map_err(|_| Problem::new(Code::Internal, ""))?;
        let content = Some((text, None));
        let asked = Change { kind: Kind::Topic, name: name.clone(), expected, content, account_id: None, author };
        let etag = change(&operator, &asked).await?.header();
        let reply = Reply(ClassBody { topic: topics.topic(&name), class: name, event_names: class.event_names });
        Ok(if expected.is_some() { Put::Replaced(reply, etag) } else { Put::Created(reply, etag) })
    }

    /// Remove a topic class
    ///
    /// Needs `role: operator` and the scope `topics:admin`, and its ETag as `If-Match`. Events of its names take the default topic
    /// again; the topic and what is in it stay, and workers read it to its end.
    #[oai(path = "/v1/admin/topics/:class", method = "delete", operation_id = "deleteTopicClass")]
    async fn remove(
        &self,
        operator: Operator<TopicsAdmin>,
        /// Its name
        #[oai(validator(max_length = 64, pattern = r"^[a-z0-9][a-z0-9_-]*$"))]
        class: Path<String>,
        /// Why, for the audit
        #[oai(validator(min_length = 1, max_length = 500))]
        reason: Query<String>,
        /// ETag of what is to be removed
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Removed, Failure<ChangeFailure>> {
        let name = name_of("class", class.0)?;
        let author = author(&operator, &reason.0)?;
        let expected = Etag::expected(if_match.0.as_deref());
        let asked = Change { kind: Kind::Topic, name, expected, content: None, account_id: None, author };
        change(&operator, &asked).await?;
        Ok(Removed::Removed)
    }
}

fn body(operator: &Operator<TopicsAdmin>, document: &Document) -> Result<ClassBody, Problem> {
    let class: Class = serde_json::from_str(&document.text).map_err(|error| {
        tracing::error!(class = document.name, %error, "a stored topic class cannot be read");
        Problem::new(Code::Internal, "")
    })?;
    let topic = operator.components.topics.topic(&document.name);
    Ok(ClassBody { class: document.name.clone(), topic, event_names: class.event_names })
}
