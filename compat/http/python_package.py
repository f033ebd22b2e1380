"""The published Python package `fourbyfour`, three versions of it, each as it comes from the registry: every method of Stream.

  python_package.py           runs the checks of package_calls.py for every version
  python_package.py --fetch   only puts the packages in place, in $FBF_CACHE/fourbyfour-VERSION

0.1.0 asks at the root, the later ones below a project. In 0.2.1 the classes are in the package but not on its client any more.
"""

import os
import pathlib
import subprocess
import sys

import memory
import projects
from published import VERSIONS, fetched
from server import HttpSuite, started

HERE = pathlib.Path(__file__).parent
CALL_SECONDS = 60
# Functions of package_calls.py.
CHECKS = [
    "errors_are_the_packages_own",
    "webhooks_are_made_listed_and_deleted",
    "create_gives_the_topic",
    "list_gives_every_topic",
    "get_gives_the_topic",
    "delete_takes_it_away",
    "produce_says_where_and_when",
    "consume_gives_records_and_goes_on",
    "commit_offset_commits_for_kafka_too",
    "stats_count_events",
]

suite = HttpSuite("fourbyfour for Python")


def call(check, version, broker, key="any-key", project="some-project", topic=""):
    """Runs one check in a process of its own; raises with what it had to say."""
    arguments = [check, version, f"http://127.0.0.1:{broker.http_port}", broker.bootstrap, key, project, topic]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(fetched(version)), os.environ["PYTHONPATH"]])}
    command = [sys.executable, str(HERE / "package_calls.py"), *arguments]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CALL_SECONDS)
    if found.returncode != 0:
        raise AssertionError(found.stderr.strip() or f"ended with status {found.returncode}")


def add(version, check, test):
    test.__name__ = f"{check}_in_{version.replace('.', '_')}"
    suite.test(test)


def add_all(version):
    for check in CHECKS:
        add(version, check, lambda broker, check=check: call(check, version, broker))

    def without_a_right(broker):
        del broker
        with started(config=projects.CONFIG) as guarded:
            call("an_unknown_key_raises_authentication_error", version, guarded, "nobodys-key", "shop")
            # At the root, where 0.1.0 asks, a key of several projects means none.
            key, project = (projects.BOTH, "") if version == "0.1.0" else (projects.SHOP, "lab")
            call("a_project_of_others_raises_forbidden", version, guarded, key, project)

    def without_room(broker):
        del broker
        with started(memory.SETTINGS) as small, memory.used_up(small) as probe:
            call("a_full_server_raises_rate_limit_error", version, small, topic=probe.topic)

    add(version, "keys_are_refused_with_the_packages_own_errors", without_a_right)
    add(version, "a_full_server_raises_rate_limit_error", without_room)


for each in VERSIONS:
    add_all(each)

if __name__ == "__main__":
    if sys.argv[1:] == ["--fetch"]:
        for each in VERSIONS:
            fetched(each)
    else:
        suite.main()
