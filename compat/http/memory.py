"""A broker whose budget for requests under way (`http.memory_bytes`) is small, and used up."""

import contextlib
import json
import socket

from api import topic_path
from suite import eventually, fresh

MIB = 1 << 20
SETTINGS = {"http.request_bytes": MIB, "http.memory_bytes": 4 * MIB}
SECONDS = 30


@contextlib.contextmanager
def used_up(broker):
    """Holds requests that lack their last byte, as many as it takes. Gives a Probe, once it was refused."""
    probe = Probe(broker)
    with contextlib.ExitStack() as held:

        def is_refused():
            # Some of them are refused themselves while the probe is under way.
            held.enter_context(unfinished_request(broker, probe.path, probe.body))
            return probe.answer().status != 200

        eventually(is_refused, what="a refusal")
        yield probe


class Probe:
    """Asks for as much as one of the unfinished requests has."""

    def __init__(self, broker):
        self.client, self.topic = broker.api(), fresh("budget")
        self.client.create(self.topic, partitions=1)
        self.path = f"{topic_path(self.topic)}/produce"
        self.body = json.dumps({"value": "x" * 900_000}).encode()

    def answer(self):
        return self.client.call("POST", self.path, self.body)


@contextlib.contextmanager
def unfinished_request(broker, path, body):
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", broker.http_port), SECONDS) as connection:
        # A request that is refused at once may be answered, and closed, before all is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head.encode() + body[:-1])
        yield
