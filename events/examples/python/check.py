"""Goes through everything geminiclient.py can do, against a running service.

    python check.py nats://localhost:4222 READER

The service must answer with the simulator, whose prompts know [sim:...]; READER is a durable
reader of its own. service/integration/python_test.go runs it.
"""

import asyncio
import sys
import uuid

import nats

from geminiclient import Client, Failed


async def ask(client):
    request_id = await client.submit({"prompt": "Why is the sky blue?", "metadata": {"chat": 7}})
    result = await client.result(request_id)
    assert result["request_id"] == request_id and result["content"], result
    assert result["metadata"] == {"chat": 7}, result
    assert await client.result(request_id) == result, "the stored result is the same for a second reader"
    return request_id


async def stream(client):
    request_id = str(uuid.uuid4())
    deltas = await client.deltas(request_id)
    await client.submit({"request_id": request_id, "prompt": "Why?", "stream": True})
    async with asyncio.timeout(30):
        text = "".join([delta["content"] async for delta in deltas])
    result = await client.result(request_id)
    assert text == result["content"], (text, result)
    return request_id


async def fail(client):
    request_id = await client.submit({"prompt": "Why?", "parameters": {"temperature": 9}})
    try:
        await client.result(request_id)
    except Failed as failed:
        assert failed.code == "invalid_request" and failed.retryable is False, failed.result
        return request_id
    raise AssertionError("a temperature of 9 was taken")


async def cancel(client):
    request_id = str(uuid.uuid4())
    await client.cancel(request_id)
    await client.submit({"request_id": request_id, "prompt": "Why?"})
    try:
        await client.result(request_id)
    except Failed as failed:
        assert failed.code == "cancelled", failed.result
        return request_id
    raise AssertionError("a cancelled request was answered")


async def read(client, reader, ids):
    left = set(ids)
    async for result, headers in client.results(reader):
        assert headers["ce-id"], headers
        left.discard(result["request_id"])
        if not left:
            return


async def main(url, reader):
    nc = await nats.connect(url)
    try:
        client = Client(nc)
        ids = [await ask(client), await stream(client), await fail(client), await cancel(client)]
        await asyncio.wait_for(read(client, reader, ids), 60)
    finally:
        await nc.close()
    print("everything works")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
