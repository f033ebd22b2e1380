"""Puts the official tests of JSON Schema in place, which come with jsonschema's source distribution, and prints the folder with the drafts:
`draft7/*.json` in it, what they refer to in `../remotes`. For the Rust test that reads FBF_JSON_SCHEMA_SUITE.

  json_suite.py [FOLDER]   FOLDER: where to, instead of $FBF_CACHE
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

VERSION = "4.26.0"
SHA256 = "0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326"
NAME = f"jsonschema-{VERSION}"


def fetched(cache):
    """The folder with the drafts; downloads it when it is not there."""
    folder = pathlib.Path(cache) / NAME
    if not folder.exists():
        print(f"fetching the tests of JSON Schema to {folder}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=cache) as partial:
            download(pathlib.Path(partial))
            # All or nothing: a folder that is there is whole.
            shutil.move(pathlib.Path(partial) / NAME / "json", folder)
    return folder / "tests"


def download(folder):
    pinned = folder / "requirements.txt"
    pinned.write_text(f"jsonschema=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps", "--no-binary=jsonschema"]
    subprocess.run([*pip, "--require-hashes", "--dest", str(folder), "-r", str(pinned)], check=True, stdout=sys.stderr)
    with tarfile.open(folder / f"{NAME}.tar.gz") as archive:
        for member in archive:
            if member.isfile() and member.name.startswith((f"{NAME}/json/tests/", f"{NAME}/json/remotes/")):
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.extractfile(member).read())


if __name__ == "__main__":
    cache = sys.argv[1] if len(sys.argv) > 1 else os.environ["FBF_CACHE"]
    pathlib.Path(cache).mkdir(parents=True, exist_ok=True)
    print(fetched(cache))
