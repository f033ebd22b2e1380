"""A raw client of the HTTP API: one connection kept alive, time-outs, JSON, and live streams as SSE or NDJSON.

`Api.call` gives whatever was answered, `get`, `post` and `delete` the JSON of an answer that must be a success. Nothing is ever sent twice: a
connection that breaks raises, and the next call opens another. One thread at a time uses an Api.

This folder has the name of a package of Python's own, which it must not hide: it may have no `__init__.py`.
"""

import contextlib
import dataclasses
import datetime
import http.client
import json
import time
import types
import urllib.parse

SECONDS = 30
# Of all that all_of() found.
SHOWN = 8
# What an error says besides its status (the contract's table, and the statuses beyond it).
CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMIT_EXCEEDED",
    501: "NOT_IMPLEMENTED",
    503: "UNAVAILABLE",
}
SSE, NDJSON = "text/event-stream", "application/x-ndjson"
# What a stream's entries() gives for a heart-beat.
HEARTBEAT = "heart-beat"


class Refused(AssertionError):
    """An answer that is no success where one was expected."""

    def __init__(self, answer):
        super().__init__(f"status {answer.status}: {answer.body[:300].decode(errors='replace')}")
        self.answer = answer


@dataclasses.dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise AssertionError(f"status {self.status}, and a body that is no JSON: {self.body[:200]}") from None

    def success(self):
        """The JSON of a 2xx answer, None of a 204."""
        if not 200 <= self.status < 300:
            raise Refused(self)
        return None if self.status == 204 else self.json()


class Api:
    def __init__(self, port, root="", key="any-key", seconds=SECONDS, keeps_after_errors=False):
        """`root`: "" or "/projects/NAME". `key`: None sends no Authorization. `seconds`: of silence on the connection, then TimeoutError.
        `keeps_after_errors`: goes on with a connection after an error, unless the answer says that it ends."""
        self.port, self.root, self.key, self.seconds, self.keeps_after_errors = port, root, key, seconds, keeps_after_errors
        self.connection = None

    def call(self, method, path, body=None, headers=None, query=None):
        """`path`: below the root. `body`: bytes as they are, a generator of bytes in chunks, anything else as JSON. `headers`: over the usual
        ones, None leaves one out."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.seconds)
        try:
            if self.connection.sock is None:
                # Not left to request(): a reset while connecting leaves no answer to be read, so that it must be raised.
                self.connection.connect()
            # A server may answer before it has read all, and close; what it said can be read all the same.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.connection.request(method, self.root + with_query(path, query), body_bytes(body), self.headers(body, headers))
            answer = self.connection.getresponse()
            found = Answer(answer.status, answer.headers, answer.read())
        except BaseException:
            self.close()
            raise
        if found.status >= 400 and not self.keeps_after_errors:
            self.close()
        return found

    def headers(self, body, asked):
        usual = {"Authorization": self.key and f"Bearer {self.key}", "Content-Type": None if body is None else "application/json"}
        return {name: value for name, value in {**usual, **(asked or {})}.items() if value is not None}

    def get(self, path, **query):
        return self.call("GET", path, query=query).success()

    def post(self, path, body, headers=None):
        return self.call("POST", path, body, headers).success()

    def delete(self, path):
        return self.call("DELETE", path).success()

    def create(self, name, **settings):
        return self.post("/topics", {"name": name, **settings})

    def produce(self, topic, value, idempotency_key=None, **record):
        return self.post(f"{topic_path(topic)}/produce", {"value": value, **record}, {"Idempotency-Key": idempotency_key})

    def produce_all(self, topic, records, idempotency_key=None):
        return self.post(f"{topic_path(topic)}/records", {"records": records}, {"Idempotency-Key": idempotency_key})["results"]

    def consume(self, topic, **query):
        return self.get(f"{topic_path(topic)}/consume", **query)

    def commit(self, topic, group, partition, offset, **more):
        return self.post(f"{topic_path(topic)}/offsets", {"group": group, "partition": partition, "offset": offset, **more})

    def reset(self, topic, group, to, **more):
        return self.post(f"{topic_path(topic)}/groups/{quoted(group)}/reset", {"to": to, **more})["offsets"]

    def stream(self, topic, accept=SSE, last_id=None, **query):
        """A live stream on a connection of its own."""
        return Stream(self, f"{topic_path(topic)}/stream", accept, last_id, query)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Stream:
    """One connection to a live stream; raises Refused unless it is answered with 200."""

    def __init__(self, api, path, accept, last_id, query):
        self.last_id = last_id
        self.connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=api.seconds)
        headers = api.headers(None, {"Accept": accept, "Last-Event-ID": last_id})
        self.connection.request("GET", api.root + with_query(path, query), headers=headers)
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            raise Refused(Answer(self.answer.status, self.answer.headers, self.answer.read()))
        self.content_type = self.answer.headers.get_content_type()

    def entries(self):
        """Records and heart-beats until the connection ends; `last_id` is that of the record given last. Raises what a broken connection does."""
        yield from self.events() if self.content_type == SSE else self.lines()

    def events(self):
        event_id, data = None, []
        for line in self.whole_lines():
            name, _, value = line.partition(":")
            if line == "":
                if data:
                    self.last_id = event_id or self.last_id
                    yield json.loads("\n".join(data))
                event_id, data = None, []
            elif name == "":
                yield HEARTBEAT
            elif name == "id":
                event_id = value.removeprefix(" ")
            elif name == "data":
                data.append(value.removeprefix(" "))

    def lines(self):
        for line in self.whole_lines():
            if line == "":
                yield HEARTBEAT
                continue
            record = json.loads(line)
            self.last_id = record.pop("id", self.last_id)
            yield record

    def whole_lines(self):
        """A line that the end of the connection has cut is no line."""
        while (line := self.answer.readline()).endswith(b"\n"):
            yield line.decode().rstrip("\r\n")

    def take(self, count, seconds=SECONDS):
        """The next `count` records. Heart-beats come in between, so that there is always a line that ends in time."""
        records, deadline = [], time.monotonic() + seconds
        if count == 0:
            return records
        for entry in self.entries():
            if entry != HEARTBEAT:
                records.append(entry)
            if len(records) == count:
                return records
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(records)} of {count} records in {seconds} s")
        raise AssertionError(f"the stream ended after {len(records)} of {count} records")

    def close(self):
        # Both: the answer holds the socket, too.
        self.answer.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def until_answered(call, seconds=SECONDS):
    """What the call gives, tried again while the server is away or says that it is (503)."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except (OSError, http.client.HTTPException, Refused) as error:
            if (isinstance(error, Refused) and error.answer.status != 503) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def quoted(name):
    return urllib.parse.quote(name, safe="")


def topic_path(name):
    return f"/topics/{quoted(name)}"


def with_query(path, query):
    pairs = {name: str(value).lower() if isinstance(value, bool) else value for name, value in (query or {}).items() if value is not None}
    return f"{path}?{urllib.parse.urlencode(pairs)}" if pairs else path


def body_bytes(body):
    return body if body is None or isinstance(body, bytes | types.GeneratorType) else json.dumps(body).encode()


def expect_error(answer, status, *words, what="error"):
    """The status, the code that belongs to it, and a message for a person that has these words."""
    if answer.status != status:
        raise AssertionError(f"{what}: status {answer.status}, expected {status}: {answer.body[:200].decode(errors='replace')}")
    error = answer.json().get("error") if isinstance(answer.json(), dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str) or not error["message"].strip():
        raise AssertionError(f'{what}: no {{"error": {{"code", "message"}}}} but {answer.body[:200].decode(errors="replace")}')
    if answer.headers.get_content_type() != "application/json":
        raise AssertionError(f"{what}: content type {answer.headers.get_content_type()}, expected application/json")
    if status in CODES and error.get("code") != CODES[status]:
        raise AssertionError(f"{what}: code {error.get('code')}, expected {CODES[status]}")
    for word in words:
        if word not in error["message"]:
            raise AssertionError(f"{what}: the message does not name {word}: {error['message'][:200]}")


@contextlib.contextmanager
def all_of():
    """For tables of cases: gives a function that calls another one, and at the end raises all that was wrong at once."""
    wrong = []

    def check(call, *arguments, **options):
        try:
            call(*arguments, **options)
        except AssertionError as error:
            wrong.append(str(error))

    yield check
    if wrong:
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise AssertionError(f"{len(wrong)} wrong: " + "; ".join(wrong[:SHOWN]) + more)


def moment(text):
    """The time that an RFC 3339 text in UTC names."""
    found = datetime.datetime.fromisoformat(text)
    if found.utcoffset() != datetime.timedelta(0):
        raise AssertionError(f"{text} is not in UTC")
    return found


def milliseconds(text):
    """The same as Kafka counts it."""
    return round(moment(text).timestamp() * 1000)


def now():
    return datetime.datetime.now(datetime.UTC)
