"""The body of a single and an item of a batch, with Weir's rules but for the depth of the metadata."""

import uuid
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, StrictFloat, StrictInt, StringConstraints

MAX_AHEAD = timedelta(seconds=300)
MAX_AGE = timedelta(days=1825)


def within_bounds(given: int | datetime) -> datetime:
    """Whole Unix seconds or an RFC 3339 time, not too far ahead or back."""
    at = datetime.fromtimestamp(given, timezone.utc) if isinstance(given, int) else given
    age = datetime.now(timezone.utc) - at
    if not -MAX_AHEAD <= age <= MAX_AGE:
        raise ValueError("lies too far ahead or back")
    return at


Id = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
Named = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"\S")]
Short = Annotated[str, StringConstraints(max_length=255)]
Moment = Annotated[StrictInt | AwareDatetime, AfterValidator(within_bounds)]


class Event(BaseModel):
    event_id: Id = Field(default_factory=lambda: str(uuid.uuid4()))
    event_name: Named
    user_id: Named
    channel: Literal["web", "mobile", "api", "email", "push"] = "api"
    source: Short | None = None
    campaign_id: Short | None = None
    timestamp: Moment | None = None
    tags: Annotated[list[Short], Field(max_length=32)] = []
    value: StrictInt | StrictFloat | None = None
    schema_version: Literal[1] = 1
    metadata: dict[str, Any] | None = None


class Record(Event):
    """What the log gets."""

    account_id: str
    received_at: datetime

    @classmethod
    def of(cls, event: Event, account: str, now: datetime) -> bytes:
        """The event's bytes; what passed once is not judged again."""
        fields = event.__dict__ | {"timestamp": event.timestamp or now, "account_id": account, "received_at": now}
        return cls.model_construct(**fields).model_dump_json().encode()
