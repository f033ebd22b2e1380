"""Receivers that cost as little as Python allows: keep-alive HTTP/1.1, no look at headers but the length, one process for all of them.

  receiver.py PORTS FILE

Takes events whose body has `#NNNNNNNN#`, their number. Standard output says the ports. A line on standard input with a count answers, once so many
requests have come (or none for ten seconds), with the number of requests, and begins anew: FILE has, per request, the event's number and the time
in nanoseconds of the machine's monotonic clock, 8 bytes each.
"""

import array
import asyncio
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
# Requests that have not come after so long do not come.
QUIET_SECONDS = 10


class Seen:
    def __init__(self):
        self.entries = array.array("q")
        self.last = time.monotonic()

    def take(self):
        entries, self.entries = self.entries, array.array("q")
        return entries


class Receiver(asyncio.Protocol):
    def __init__(self, seen):
        self.seen, self.buffer = seen, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        buffer = self.buffer + data if self.buffer else data
        answers = 0
        while (head := buffer.find(b"\r\n\r\n")) >= 0:
            at = buffer.lower().find(b"content-length:", 0, head)
            if at < 0:
                raise ValueError(f"no content-length: {buffer[:head]}")
            end = head + 4 + int(buffer[at + 15 : buffer.find(b"\r\n", at)])
            if len(buffer) < end:
                break
            number = buffer.find(b"#", head, end) + 1
            self.seen.entries.extend((int(buffer[number : number + 8]), time.monotonic_ns()))
            answers += 1
            buffer = buffer[end:]
        self.buffer = buffer
        if answers:
            self.transport.write(ANSWER * answers)
            self.seen.last = time.monotonic()


async def main():
    loop, seen = asyncio.get_running_loop(), Seen()
    servers = [await loop.create_server(lambda: Receiver(seen), "127.0.0.1", 0, backlog=1024) for _ in range(int(sys.argv[1]))]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        count, seen.last = int(line), max(seen.last, time.monotonic())
        while len(seen.entries) < 2 * count and time.monotonic() - seen.last < QUIET_SECONDS:
            await asyncio.sleep(0.02)
        entries = seen.take()
        with open(sys.argv[2], "wb") as file:
            entries.tofile(file)
        print(len(entries) // 2, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
