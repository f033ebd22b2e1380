"""The tour of the HTTP API in docs/http.md as a test: each block of shell between its marks, in order, against a fresh broker.

  curl_tour.py [part of a block's name]… [--list]

The marks are `<!-- curl tour -->` and `<!-- /curl tour -->`. A block is named by its first comment. Blocks run one after the other in a bash
of their own that stops at the first command that fails, with BASE in the environment. A line `# => text` says that what was printed since
the last such line has this text. CURL_TOUR names another file.
"""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from server import HttpSuite
from suite import fresh

HERE = pathlib.Path(__file__).parent
PAGE = pathlib.Path(os.environ.get("CURL_TOUR") or HERE.parent.parent / "docs" / "http.md")
TOUR = re.compile(r"<!-- curl tour -->\n(.*?)<!-- /curl tour -->", re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXPECTED = "# => "
BLOCK_SECONDS = 60

suite = HttpSuite("curl tour")


@dataclasses.dataclass
class Step:
    """Commands, and the texts that what they print must have."""

    commands: list
    expected: list


def blocks(text):
    """Name -> the steps of each block, in order."""
    tour = TOUR.search(text)
    if tour is None:
        sys.exit(f"{PAGE}: no <!-- curl tour --> … <!-- /curl tour -->")
    found = {}
    for block in BLOCK.findall(tour[1]):
        comments = [line for line in block.splitlines() if line.startswith("# ") and not line.startswith(EXPECTED)]
        name = "_".join(re.findall(r"[a-z0-9]+", comments[0].lower())) if comments else ""
        if not name or name in found:
            sys.exit(f"{PAGE}: a block of the curl tour needs a first comment of its own: {block[:100]!r}")
        found[name] = steps(block)
    return found


def steps(block):
    found = [Step([], [])]
    for line in block.splitlines():
        if line.startswith(EXPECTED):
            found[-1].expected.append(line.removeprefix(EXPECTED).strip())
            continue
        if found[-1].expected:
            found.append(Step([], []))
        found[-1].commands.append(line)
    return found


def script(block, folder, mark):
    """The block as it is printed, with what is printed up to each expectation between marks, and stopping where a command fails."""
    lines = ["set -euo pipefail", f"cd {folder}", """trap 'echo "line: $BASH_COMMAND" >&2' ERR"""]
    for step in block:
        lines += [*step.commands, f"echo; echo {mark}"]
    return "\n".join(lines)


def run(broker, block):
    mark = fresh("mark")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "BASE": f"http://127.0.0.1:{broker.http_port}"}
        bash = ["bash", "-c", script(block, folder, mark)]
        found = subprocess.run(bash, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BLOCK_SECONDS)
    if found.returncode != 0:
        raise AssertionError(f"ended with {found.returncode}: {found.stderr.strip()[-300:]}; printed: {found.stdout.strip()[-300:]}")
    for step, printed in zip(block, found.stdout.split(f"{mark}\n"), strict=False):
        for text in step.expected:
            if text not in printed:
                raise AssertionError(f"no {text!r} in what {step.commands[-1]!r} printed: {printed.strip()[:300]!r}")


def add_all():
    for name, block in blocks(PAGE.read_text(encoding="utf-8")).items():

        def test(broker, block=block):
            run(broker, block)

        test.__name__ = name
        suite.test(test)


if __name__ == "__main__":
    add_all()
    suite.main()
