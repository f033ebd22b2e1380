"""Suites that need Node: run where it is, and otherwise failed, or skipped with FBF_WITHOUT_NODE=1."""

import os
import shutil
import subprocess
import sys

from suite import Results

NODE_MAJOR_MIN = 18


def missing():
    """What has to be installed; None when all is there."""
    needed = f"install Node {NODE_MAJOR_MIN} or newer with npm (Debian: apt-get install nodejs npm)"
    if not shutil.which("node") or not shutil.which("npm"):
        return f"node or npm is missing; {needed}"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"node is {version}; {needed}" if int(version.removeprefix("v").split(".")[0]) < NODE_MAJOR_MIN else None


def run(suite):
    reason = missing()
    if reason is None or "--list" in sys.argv:
        suite.main()
        return
    results = Results("/nonexistent")
    for test in suite.tests:
        if os.environ.get("FBF_WITHOUT_NODE") == "1":
            results.add_skip(test.__name__, reason)
        else:
            results.add_failure(test.__name__, f"{reason}, or set FBF_WITHOUT_NODE=1 to skip this")
    results.finish()
    sys.exit(1 if results.failed else 0)
