"""librdkafka's own performance tool, rdkafka_performance, as `compat/setup.sh librdkafka` has built it in $LIBRDKAFKA."""

import os
import pathlib
import re
import subprocess

SECONDS = 600


class Unavailable(Exception):
    """The tool is not there."""


def path():
    return pathlib.Path(os.environ["LIBRDKAFKA"], "examples", "rdkafka_performance")


def librdkafka_tool(*arguments, settings=()):
    """Runs it to its end and returns what it printed. What went wrong stands in that as well: a summary that is short, or none."""
    if not path().exists():
        raise Unavailable("rdkafka_performance is not built; compat/setup.sh librdkafka builds it")
    options = [word for setting in settings for word in ("-X", setting)]
    # -q: a line for the whole, none for each second.
    command = [str(path()), *map(str, arguments), "-q", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"rdkafka_performance was not done after {SECONDS} s") from None
    return done.stdout + done.stderr


def version():
    """Which librdkafka it was built with, or None; it says so when it is told nothing."""
    if not path().exists():
        return None
    said = subprocess.run([str(path())], capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
    found = re.search(r"librdkafka version (\S+)", said.stdout + said.stderr)
    return found[1] if found else None
