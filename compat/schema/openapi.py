"""Schemathesis asks the registry what its own /openapi.json promises: thousands of requests, right and wrong, and none of them breaks it.

Half of the requests for a subject, a version or an id name one that is there, so that not all of them end at 404. Confluent's API, not the
document, says what the answers are, so only what must never be is looked for. The seed is printed, FBF_SEED repeats it, and Schemathesis
prints each failing request as a curl command.
"""

import documented
from api import Refused
from orders import FORMATS
from registry import RegistrySuite
from suite import expect_equal, fresh

CHECKS = ["not_a_server_error"]
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


@suite.test(seconds=documented.TEST_SECONDS)
def no_request_of_the_document_is_answered_with_5xx(broker):
    registry = broker.registry()

    def prepare():
        for subject, kind in zip(SUBJECTS, FORMATS, strict=True):
            registry.register(subject, kind.first, kind.type)
            registry.register(subject, kind.second, kind.type)

    documented.ask(broker.registry_url, CONFIG, CHECKS, prepare)


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
