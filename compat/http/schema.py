"""Schemathesis asks the server what its own /openapi.json promises: thousands of requests, right and wrong, and each answer as documented.

Half of the requests for a topic, a group or a project name one that is there, so that not all of them end at 404. Streams have no end:
they are left out. The seed is printed, FBF_SEED repeats it, and Schemathesis prints each failing request as a curl command.
"""

import documented
import kafka_client as kafka
from server import HttpSuite
from suite import expect_equal, fresh

CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
LEFT_OUT = r"/stream$"
TOPICS, GROUP = ["schema.one", "schema.two", "schema.*"], "schema-readers"
# Where nobody listens.
ENDPOINT, URL = "schema-endpoint", "http://127.0.0.1:2/in"
# The one that may be deleted: the others stay, for the requests that come then.
DOOMED = "doomed"
CONFIG = f"""
request-timeout = 20.0
[dictionaries.topics]
values = {[*TOPICS, ENDPOINT]}
[dictionaries.groups]
values = ["{GROUP}"]
[dictionaries.projects]
values = ["some-project"]
[parameters]
"path.name" = {{ dictionary = "topics", probability = 0.5 }}
"path.group" = {{ dictionary = "groups", probability = 0.5 }}
"query.group" = {{ dictionary = "groups", probability = 0.5 }}
"path.project_id" = {{ dictionary = "projects", probability = 0.5 }}
[dictionaries.doomed]
values = ["{DOOMED}"]
[[operations]]
include-method = "DELETE"
[operations.parameters]
"path.name" = {{ dictionary = "doomed", probability = 0.5 }}
"""

# A poll that waits long is not what is asked about here.
suite = HttpSuite("http schema", settings={"http.wait_ms_max": 100, "hooks.allow_private_addresses": "true"})


@suite.test(seconds=documented.TEST_SECONDS)
def answers_are_as_the_served_document_says(broker):
    client = broker.api()

    def prepare():
        for topic in TOPICS[:2]:
            client.create(topic, partitions=2)
            client.produce_all(topic, [{"value": {"n": number}, "key": f"k{number}"} for number in range(20)])
        client.create(DOOMED)
        client.post("/webhooks/endpoints", {"name": ENDPOINT, "url": URL, "events": ["schema.**"]})

    options = ["--exclude-path-regex", LEFT_OUT, "--header", "Authorization: Bearer any-key", "--output-sanitize", "false"]
    documented.ask(f"http://127.0.0.1:{broker.http_port}", CONFIG, CHECKS, prepare, *options)


@suite.test
def the_broker_is_well_after_all_that(broker):
    expect_equal(broker.api().call("GET", "/healthz").status, 200, "health")
    kafka.topics(broker)
    topic = fresh("after")
    broker.api().create(topic, partitions=1)
    broker.api().produce(topic, 1)
    broker.kill()
    broker.start()
    expect_equal(broker.api().get(f"/topics/{topic}/stats")["total_events"], 1, "events after kill -9")


if __name__ == "__main__":
    suite.main()
