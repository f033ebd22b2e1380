"""The published Python package `fourbyfour`, each version with what it needs in a folder of its own: $FBF_CACHE/fourbyfour-VERSION."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

CONSTRAINTS = pathlib.Path(__file__).parent / "constraints.txt"
VERSIONS = ["0.1.0", "0.1.4", "0.2.1"]


def fetched(version):
    """The folder that has this version and what it needs; installs it when it is not there."""
    folder = pathlib.Path(os.environ["FBF_CACHE"]) / f"fourbyfour-{version}"
    stamp = hashlib.sha256((sys.version + CONSTRAINTS.read_text(encoding="utf-8")).encode()).hexdigest()
    stamped = folder / "stamp"
    if stamped.exists() and stamped.read_text() == stamp:
        return folder
    print(f"installing fourbyfour {version} to {folder}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--only-binary=:all:"]
    subprocess.run([*pip, "--target", str(folder), "-c", str(CONSTRAINTS), f"fourbyfour=={version}"], check=True, stdout=sys.stderr)
    stamped.write_text(stamp)
    return folder
