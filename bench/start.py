"""How long a broker takes from its process to its first answer, in an empty directory."""

import time

from broker import free_port

TIMES = 5
PAUSE_SECONDS = 0.0005


def milliseconds(broker):
    """Of a new broker like `broker`, which goes on running. What is made ready before the process, Kafka's formatted directory, is not counted."""
    new = type(broker)(broker.settings)
    try:
        new.prepare()
        # Asked before its log is: so the port must be known.
        new.port = new.port or free_port()
        began = time.monotonic()
        new.spawn()
        new.wait(new.is_answering, PAUSE_SECONDS)
        return (time.monotonic() - began) * 1000
    finally:
        new.close()
