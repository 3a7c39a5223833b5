"""Requests to gemini-client and their results, with nats-py (2.7 or newer).

    nc = await nats.connect("nats://localhost:4222")
    client = Client(nc)
    request_id = await client.submit({"prompt": "Why is the sky blue?"})
    result = await client.result(request_id)
    print(result["content"])

The contract is events/README.md; this module is an example of it and has no other
dependency. With the accounts of deploy/nats/nats.conf connect with
inbox_prefix=b"_INBOX_backend" and give Client(nc, api_prefix="gemini.js").
"""

import asyncio
import json
import uuid

from nats.errors import TimeoutError as NATSTimeout
from nats.js.errors import NotFoundError

LOOK_AGAIN = 5.0  # seconds after which the stored result is looked for, though nothing was heard


class Failed(Exception):
    """A failed result. code and retryable are the result's error_code and retryable."""

    def __init__(self, result):
        super().__init__(f"{result['error_code']}: {result['error']}")
        self.result, self.code, self.retryable = result, result["error_code"], result["retryable"]


def checked(body):
    """The result, as a dict. Raises Failed."""
    result = json.loads(body)
    if result["status"] != "success":
        raise Failed(result)
    return result


class Client:
    """Speaks to the workers that listen on the default subjects. The connection is the caller's."""

    def __init__(self, nc, api_prefix="$JS.API"):
        self.nc, self.js = nc, nc.jetstream(prefix=api_prefix)

    async def submit(self, request, headers=None):
        """Puts a request into the queue and returns its id, a new UUID unless it has one.

        It is in the queue when this returns; js.publish raises why it is not. headers may
        carry traceparent. The same id again within two minutes adds nothing.
        """
        request = {"request_id": str(uuid.uuid4()), **request}
        request_id = request["request_id"]
        headers = {**(headers or {}), "Nats-Msg-Id": request_id}
        await self.js.publish("gemini.requests", json.dumps(request).encode(), headers=headers)
        return request_id

    async def result(self, request_id):
        """Waits for the result of a request, also one of an earlier process. Raises Failed.

        What is heard live is a hint only: what counts is stored. Bound it with
        asyncio.timeout.
        """
        subject = f"gemini.responses.*.{request_id.lower()}"
        heard = await self.nc.subscribe(subject)
        try:
            while True:
                try:
                    stored = await self.js.get_msg("GEMINI_RESPONSES", subject=subject, direct=True)
                    return checked(stored.data)
                except NotFoundError:
                    pass
                try:
                    await heard.next_msg(timeout=LOOK_AGAIN)
                except NATSTimeout:
                    pass
        finally:
            await heard.unsubscribe()

    async def deltas(self, request_id):
        """Listens, and returns an iterator over the pieces of an answer until it is done.

        Await it before submit, or the first ones are missed; the request needs "stream": true.
        A new run or attempt begins the answer again. Pieces may be lost, the last one too:
        bound the iteration with asyncio.timeout.
        """
        heard = await self.nc.subscribe(f"gemini.deltas.{request_id.lower()}")
        await self.nc.flush()

        async def pieces():
            try:
                async for m in heard.messages:
                    delta = json.loads(m.data)
                    yield delta
                    if delta["done"]:
                        return
            finally:
                await heard.unsubscribe()

        return pieces()

    async def results(self, durable, batch=100):
        """Iterates over all results with a durable reader (gemini-client provision --reader NAME).

        Each is acknowledged when the caller asks for the next one, so it comes again to
        who died meanwhile: be idempotent on the header ce-id. Failed results are not raised
        but returned like the others.
        """
        reader = await self.js.pull_subscribe_bind(consumer=durable, stream="GEMINI_RESPONSES")
        try:
            while True:
                try:
                    messages = await reader.fetch(batch, timeout=LOOK_AGAIN)
                except NATSTimeout:
                    continue
                for m in messages:
                    yield json.loads(m.data), m.headers
                    await m.ack()
        finally:
            await reader.unsubscribe()

    async def cancel(self, request_id):
        """Cancels a request. Its result is failed, cancelled, unless it was answered already."""
        await self.js.publish(f"gemini.cancels.{request_id.lower()}", b"")
