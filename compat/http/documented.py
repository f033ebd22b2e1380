"""Schemathesis against a server and the OpenAPI document that it serves: one run, its seed, and what it found."""

import importlib.util
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

# Requests of each operation, besides the borders that the document itself has. Together about a minute; two and a half where cores are slow and shared.
EXAMPLES = 40
SECONDS = 300
# What a test that asks may take, with its preparation.
TEST_SECONDS = SECONDS + 20


def ask(url, config, checks, prepare, *options):
    """Asks all that `url`/openapi.json describes and fails with what Schemathesis says; FBF_SEED repeats a run. `config` is its schemathesis.toml,
    `prepare` is called before the first request."""
    if importlib.util.find_spec("schemathesis") is None:
        raise AssertionError("schemathesis is not installed; compat/setup.sh test does it, from compat/http/requirements.txt")
    seed = int(os.environ.get("FBF_SEED") or random.randrange(1_000_000))
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "schemathesis.toml"
        file.write_text(config, encoding="utf-8")
        command = [
            *[sys.executable, "-m", "schemathesis.cli", "--config-file", str(file), "run", f"{url}/openapi.json", "--url", url],
            *["--phases", "examples,coverage,fuzzing", "--checks", ",".join(checks)],
            *["--max-examples", str(EXAMPLES), "--seed", str(seed), "--no-color", "--warnings", "off", "--continue-on-failure", *options],
        ]
        found = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    said = found.stdout + found.stderr
    if found.returncode != 0:
        print(said, flush=True)
        raise AssertionError(f"schemathesis ended with {found.returncode}, seed {seed}: {summary(said)}")
    print(f"seed {seed}: {summary(said)}", flush=True)


def summary(said):
    """What stands under its last heading."""
    parts = re.split(r"^=+ SUMMARY =+$", said, flags=re.MULTILINE)
    return " ".join(parts[-1].split())[:400]
