"""An endpoint that sends deltas at a pace, each with the time at which it was sent.

    python -m tests.bench.paced PORT

The last message says what to send: `deltas=500 gap=0.02` are 500 deltas, one each 0.02 seconds. Each has its number and
the microseconds of the machine's monotonic clock, ` w7@123`, so that a reader knows how old it is when it comes.
"""

import asyncio
import json
import re
import sys
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WANTED = re.compile(r"deltas=(\d+) gap=([\d.]+)")


def wanted(deltas: int, gap: float) -> str:
    """The question for this many deltas."""
    return f"deltas={deltas} gap={gap}"


def _event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {"id": "bench", "object": "chat.completion.chunk", "created": 0, "model": "bench", "choices": [choice]}
    return _framed(b"data: %b\n\n" % json.dumps(chunk).encode())


def _framed(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b"{}"
            found = WANTED.search(json.loads(body)["messages"][-1]["content"])
            deltas, gap = (int(found[1]), float(found[2])) if found else (1, 0.0)
            writer.write(HEAD + _event({"role": "assistant", "content": ""}))
            for number in range(deltas):
                await asyncio.sleep(gap)
                writer.write(_event({"content": f" w{number}@{time.monotonic_ns() // 1000}"}))
            writer.write(_event({}, "stop") + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
