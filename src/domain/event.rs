//! An event between the door and the database. Invariant: an [`Event`] has passed every rule of `ingest::check` or was read
//! from a record that had; texts are borrowed from the bytes they came in wherever that is possible.

use std::borrow::Cow;

use super::id::{AccountId, EventId};
use super::time::Timestamp;

/// Most characters of a name, an id of the tenant's or a tag.
pub const MAX_TEXT_CHARS: usize = 255;

/// Most tags of an event.
pub const MAX_TAGS: usize = 32;

/// How an event reached the tenant's system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// A web page.
    Web,
    /// A mobile application.
    Mobile,
    /// A server calling an API; what an event without a channel gets.
    Api,
    /// An e-mail.
    Email,
    /// A push notification.
    Push,
}

impl Channel {
    /// Every channel, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Web, Self::Mobile, Self::Api, Self::Email, Self::Push];

    /// The name on the wire and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Mobile => "mobile",
            Self::Api => "api",
            Self::Email => "email",
            Self::Push => "push",
        }
    }

    /// The channel of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str() == text)
    }
}

/// One validated event. `metadata` is the tenant's JSON object byte for byte; `value` is its number literal, at most 1,000
/// digits when written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Unique within the account; a UUIDv7 of ours when the tenant sent none.
    pub event_id: EventId,
    /// From the token, never from the body.
    pub account_id: AccountId,
    /// 1 to 255 characters, not blank.
    pub event_name: Cow<'a, str>,
    /// 1 to 255 characters, not blank.
    pub user_id: Cow<'a, str>,
    /// `api` when absent.
    pub channel: Channel,
    /// Where the tenant's system got it from.
    pub source: Option<Cow<'a, str>>,
    /// Campaign it belongs to.
    pub campaign_id: Option<Cow<'a, str>>,
    /// When it happened; the received time when absent.
    pub timestamp: Timestamp,
    /// At most 32.
    pub tags: Vec<Cow<'a, str>>,
    /// What windows sum and average.
    pub value: Option<Cow<'a, str>>,
    /// Among the configured versions; 1 when absent.
    pub schema_version: i32,
    /// Free JSON object.
    pub metadata: Option<Cow<'a, str>>,
    /// When the door had read it.
    pub received_at: Timestamp,
}

impl Event<'_> {
    /// The same event, owning all its texts.
    pub fn into_owned(self) -> Event<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        Event {
            event_id: self.event_id,
            account_id: self.account_id,
            event_name: own(self.event_name),
            user_id: own(self.user_id),
            channel: self.channel,
            source: self.source.map(own),
            campaign_id: self.campaign_id.map(own),
            timestamp: self.timestamp,
            tags: self.tags.into_iter().map(own).collect(),
            value: self.value.map(own),
            schema_version: self.schema_version,
            metadata: self.metadata.map(own),
            received_at: self.received_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_round_trip() {
        for channel in Channel::ALL {
            assert_eq!(Channel::parse(channel.as_str()), Some(channel));
        }
        assert_eq!(Channel::parse("Web"), None);
    }
}
