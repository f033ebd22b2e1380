"""One worker of a group over HTTP, for failures.py: writes what it got to a file, and only then commits it.

  worker.py HTTP_PORT TOPIC GROUP NAME FILE [--hold]

A line per record: `partition TAB offset TAB value`. --hold: never commits, and ends only when it is killed, its pages in its hands.
"""

import contextlib
import http.client
import sys
import time

from api import Api, Refused, until_answered

LIMIT = 20
WAIT_MS = 500
SECONDS = 60


def main():
    port, topic, group, name, path = sys.argv[1:6]
    client = Api(int(port))
    with open(path, "a", encoding="utf-8", buffering=1) as file:
        while True:
            page = until_answered(lambda: client.consume(topic, group=group, worker=name, limit=LIMIT, wait_ms=WAIT_MS), SECONDS)
            file.writelines(f"{record['partition']}\t{record['offset']}\t{record['value']}\n" for record in page["records"])
            if "--hold" in sys.argv and page["records"]:
                time.sleep(SECONDS)
            for partition, offset in page["next_offsets"].get(topic, {}).items():
                commit(client, topic, group, int(partition), offset, name)


def commit(client, topic, group, partition, offset, name):
    # A commit that is lost with the broker is nothing to worry about: what it was for comes again.
    with contextlib.suppress(OSError, http.client.HTTPException, Refused):
        client.commit(topic, group, partition, offset, worker=name)


if __name__ == "__main__":
    main()
