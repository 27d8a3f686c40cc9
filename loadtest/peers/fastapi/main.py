"""The same door as Weir's by the usual means of Python: FastAPI with pydantic, PyJWT and aiokafka, served by uvicorn on uvloop and
httptools. It runs as one would run it: no line a request, acks=all, idempotent, the linger and compression of Weir, one process as
in a container of its own."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Annotated, Any

import uvicorn
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from event import Event, Record
from token_check import Account

TOPIC = os.environ["PEER_TOPIC"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["PEER_KAFKA"], acks="all", enable_idempotence=True, linger_ms=5, compression_type="lz4",
        request_timeout_ms=10_000,
    )
    await producer.start()
    app.state.producer = producer
    try:
        yield
    finally:
        await producer.stop()


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None)


class Batch(BaseModel):
    # Judged one by one below: a model here would refuse the batch for one of them.
    events: Annotated[list[Any], Field(min_length=1, max_length=1_000)]


async def publish(event: Event, account: str, now: datetime) -> asyncio.Future:
    return await app.state.producer.send(TOPIC, key=account.encode(), value=Record.of(event, account, now))


def accepted(event: Event, placed: Any) -> dict:
    return {
        "status": "accepted", "event_id": event.event_id, "partition": placed.partition, "offset": placed.offset,
        "receipt": f"{placed.topic}/{placed.partition}/{placed.offset}",
    }


@app.post("/v1/events", status_code=202)
async def single(event: Event, account: Account) -> JSONResponse:
    try:
        placed = await (await publish(event, account, datetime.now(timezone.utc)))
    except KafkaError as error:
        raise HTTPException(503, "the log did not take it") from error
    return JSONResponse(accepted(event, placed), 202)


@app.post("/v1/events/batch", status_code=202)
async def batch(body: Batch, account: Account) -> JSONResponse:
    now, results, pending = datetime.now(timezone.utc), [{}] * len(body.events), []
    for place, item in enumerate(body.events):
        try:
            event = Event.model_validate(item)
            pending.append((place, event, await publish(event, account, now)))
        except ValidationError as error:
            results[place] = {"status": "rejected", "errors": error.errors(include_input=False, include_url=False, include_context=False)}
    placed = await asyncio.gather(*(future for _, _, future in pending), return_exceptions=True)
    for (place, event, _), outcome in zip(pending, placed):
        failed = isinstance(outcome, BaseException)
        results[place] = {"status": "retry", "event_id": event.event_id} if failed else accepted(event, outcome)
    whole = all(result["status"] == "accepted" for result in results)
    return JSONResponse({"results": results}, 202 if whole else 207)


if __name__ == "__main__":
    host, port = os.environ["PEER_LISTEN"].split(":")
    uvicorn.run(
        app, host=host, port=int(port), loop="uvloop", http="httptools", access_log=False, log_level="warning",
        timeout_keep_alive=60,
    )
