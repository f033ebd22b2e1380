"""Schemathesis asks the registry what its own /openapi.json promises: thousands of requests, right and wrong, and none of them breaks it.

Half of the requests for a subject, a version or an id name one that is there, so that not all of them end at 404. Confluent's API, not the
document, says what the answers are, so only what must never be is looked for. The seed is printed, FBF_SEED repeats it, and Schemathesis
prints each failing request as a curl command.
"""

import importlib.util
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

from api import Refused
from orders import FORMATS
from registry import RegistrySuite
from suite import expect_equal, fresh

CHECKS = ["not_a_server_error"]
# Requests of each operation, besides the borders that the document itself has. Together about a minute.
EXAMPLES = 80
SECONDS = 110
SUBJECTS = [f"openapi-{kind.type.lower()}" for kind in FORMATS]
CONFIG = f"""
request-timeout = 10.0
[dictionaries.subjects]
values = {SUBJECTS}
[dictionaries.versions]
values = ["1", "2", "latest"]
[dictionaries.ids]
values = [1, 2, 3]
[dictionaries.projects]
values = ["some-project"]
[parameters]
"path.subject" = {{ dictionary = "subjects", probability = 0.5 }}
"path.version" = {{ dictionary = "versions", probability = 0.5 }}
"path.id" = {{ dictionary = "ids", probability = 0.5 }}
"path.project_id" = {{ dictionary = "projects", probability = 0.5 }}
"""

suite = RegistrySuite("registry's OpenAPI")


@suite.test
def no_request_of_the_document_is_answered_with_5xx(broker):
    if importlib.util.find_spec("schemathesis") is None:
        raise AssertionError("schemathesis is not installed; compat/setup.sh test does it, from compat/http/requirements.txt")
    seed = int(os.environ.get("FBF_SEED") or random.randrange(1_000_000))
    registry = broker.registry()
    for subject, kind in zip(SUBJECTS, FORMATS, strict=True):
        registry.register(subject, kind.first, kind.type)
        registry.register(subject, kind.second, kind.type)
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "schemathesis.toml"
        config.write_text(CONFIG, encoding="utf-8")
        command = [
            *[sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{broker.registry_url}/openapi.json"],
            *["--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS), "--url", broker.registry_url],
            *["--max-examples", str(EXAMPLES), "--seed", str(seed), "--no-color", "--warnings", "off", "--continue-on-failure"],
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


@suite.test
def the_registry_is_well_after_all_that(broker):
    registry, subject = broker.registry(), fresh("after")
    # Among all that was asked may have been a mode in which nothing is registered.
    registry.put("/mode?force=true", {"mode": "READWRITE"})
    schema_id = registry.register(subject, FORMATS[0].first)
    subjects = registry.get("/subjects")
    broker.kill()
    broker.start()
    registry.close()
    expect_equal((registry.version(subject)["id"], registry.get("/subjects")), (schema_id, subjects), "the schema and the subjects after kill -9")
    for each in subjects:
        try:
            registry.version(each)
        except Refused as refused:
            expect_equal(refused.answer.status, 404, f"the latest version of {each}")


if __name__ == "__main__":
    suite.main()
