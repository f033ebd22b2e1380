"""The published Python package `fourbyfour`, three versions of it, each as it comes from the registry: every method of Hooks, with a local receiver.

0.1.0 asks at the root, the later ones below a project (compat/http/python_package.py has Stream's methods).
"""

import os
import pathlib
import subprocess
import sys

from published import VERSIONS, fetched
from webhooks import HookSuite

HERE = pathlib.Path(__file__).parent
CALL_SECONDS = 60
# Functions of hook_calls.py.
CHECKS = [
    "create_endpoint_gives_the_endpoint",
    "list_endpoints_gives_every_endpoint",
    "delete_endpoint_takes_it_away",
    "events_arrive_signed",
    "send_reaches_the_endpoints_that_it_names",
    "send_reaches_the_endpoints_that_ask_for_the_event",
    "get_deliveries_tells_what_became_of_them",
    "stats_count_deliveries",
    "errors_are_the_packages_own",
]

suite = HookSuite("webhooks of fourbyfour for Python")


def call(check, version, broker):
    """Runs one check in a process of its own; raises with what it had to say."""
    arguments = [check, version, f"http://127.0.0.1:{broker.http_port}", broker.bootstrap]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(fetched(version)), os.environ["PYTHONPATH"]])}
    command = [sys.executable, str(HERE / "hook_calls.py"), *arguments]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CALL_SECONDS)
    if found.returncode != 0:
        raise AssertionError(found.stderr.strip() or f"ended with status {found.returncode}")


def add(version, check):
    def test(broker):
        call(check, version, broker)

    test.__name__ = f"{check}_in_{version.replace('.', '_')}"
    suite.test(test)


for each in VERSIONS:
    for name in CHECKS:
        add(each, name)

if __name__ == "__main__":
    suite.main()
