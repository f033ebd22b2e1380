"""A receiver of webhooks: HTTP/1.1 with kept connections on a free port of 127.0.0.1, in a thread of its own, that answers as it is told.

    with Receiver(lambda request: Reply(503) if request.attempt == 1 else Reply()) as receiver:
        ...
        [first] = receiver.wait(1)

What `answer` gives may be late, never come, break off, or be larger than anybody wants to read. Every request that came in whole is kept in
`requests`, in the order in which they came, before it is answered.
"""

import asyncio
import collections
import contextlib
import dataclasses
import datetime
import json
import pathlib
import socket
import ssl
import struct
import tempfile
import threading
import time

from suite import eventually

REASONS = {200: "OK", 204: "No Content", 302: "Found", 410: "Gone", 429: "Too Many Requests", 500: "Internal Server Error"}
WITHOUT_BODY = (204, 304)
CHUNK = b"x" * (1 << 16)
HEAD_BYTES_MAX = 1 << 16
# What ends an answer in another way than being complete.
HANG, RESET, CUT = "hang", "reset", "cut"


@dataclasses.dataclass(frozen=True)
class Request:
    """`headers`: by their names in small letters. `attempt`: 1 for the first request with this webhook-id, and so on. `at`: time.monotonic()."""

    method: str
    path: str
    headers: dict
    body: bytes
    attempt: int
    at: float

    @property
    def id(self):
        return self.headers.get("webhook-id", "")

    def json(self):
        return json.loads(self.body)


@dataclasses.dataclass(frozen=True)
class Reply:
    """`seconds`: before anything is answered. `size`: bytes of body beyond `body`, sent as long as somebody reads them.
    `end`: HANG answers nothing until the other side gives up, RESET breaks the connection instead of answering, CUT in the middle of it."""

    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0
    size: int = 0
    end: str = ""

    @property
    def is_success(self):
        return 200 <= self.status < 300 and not self.end


class Receiver:
    def __init__(self, answer=lambda request: Reply(), tls=None):
        """`answer`: from a Request to a Reply, called in the receiver's thread; it must not wait. `tls`: an ssl.SSLContext."""
        self.answer, self.tls = answer, tls
        self.requests, self.connections = [], 0
        self.attempts = collections.Counter()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.loop = asyncio.new_event_loop()
        self.tasks = set()
        self.ended = None
        self.is_serving = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        if not self.is_serving.wait(30):
            raise RuntimeError("the receiver did not start")

    def url(self, path="/in", host="127.0.0.1"):
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def wait(self, count, seconds=30, where=lambda request: True):
        """The requests, as soon as there are so many; those that `where` holds for."""

        def found():
            requests = [request for request in list(self.requests) if where(request)]
            return requests if len(requests) >= count else None

        return eventually(found, seconds, f"{count} requests (there were {len(self.requests)} in all)")

    def close(self):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self):
        self.loop.run_until_complete(self.serve())
        self.loop.close()

    async def serve(self):
        self.ended = asyncio.Event()
        server = await asyncio.start_server(self.connected, sock=self.listener, ssl=self.tls, backlog=1024, limit=HEAD_BYTES_MAX)
        self.is_serving.set()
        await self.ended.wait()
        server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def connected(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        self.connections += 1
        try:
            while await self.one_request(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, asyncio.CancelledError):
            # The other side is gone, or was killed in the middle of a request.
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def one_request(self, reader, writer):
        """Whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        method, path, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        body = await body_of(reader, headers)
        self.attempts[headers.get("webhook-id")] += 1
        request = Request(method, path, headers, body, self.attempts[headers.get("webhook-id")], time.monotonic())
        self.requests.append(request)
        reply = self.answer(request)
        if reply.seconds:
            await asyncio.sleep(reply.seconds)
        if reply.end == HANG:
            await reader.read(1)
            return False
        if reply.end == RESET:
            reset(writer)
            return False
        writer.write(head_of(reply))
        if reply.end == CUT:
            writer.write(reply.body[: len(reply.body) // 2])
            await writer.drain()
            return False
        if reply.status not in WITHOUT_BODY:
            writer.write(reply.body)
        for _ in range(reply.size // len(CHUNK)):
            writer.write(CHUNK)
            await writer.drain()
        await writer.drain()
        return True


async def body_of(reader, headers):
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


def head_of(reply):
    length = len(reply.body) + reply.size // len(CHUNK) * len(CHUNK)
    # A connection that is cut has promised more than comes.
    promised = {} if reply.status in WITHOUT_BODY else {"content-length": length + (10 if reply.end == CUT else 0)}
    lines = [f"{name}: {value}\r\n" for name, value in {**promised, **reply.headers}.items()]
    return f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Status')}\r\n{''.join(lines)}\r\n".encode()


def reset(writer):
    """Ends the connection with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def wrong_certificate():
    """An ssl.SSLContext of a server whose certificate nobody has signed, and which is another host's."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    plain = [serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "both.pem"
        file.write_bytes(key.private_bytes(*plain) + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(file)
    return context
