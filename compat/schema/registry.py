"""fbf with its schema registry, a raw client of it, and suites whose broker it is."""

import os
import re
import sys

from confluent_kafka.schema_registry import AsyncSchemaRegistryClient, SchemaRegistryClient, SchemaRegistryError

import broker as brokers
from api import Api, quoted
from server import HttpBroker
from suite import Suite, expect_equal

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


class RegistryBroker(HttpBroker):
    """Learns the registry's port from the banner of the first start and keeps it over restarts, as Fbf does with Kafka's."""

    def __init__(self, settings=None, data=None, config=""):
        super().__init__(settings, data, config)
        self.registry_port = 0

    def command(self):
        return [*super().command(), "--set", f"schema.listen=127.0.0.1:{self.registry_port}"]

    def is_ready(self):
        banner = re.search(r"^\s*schemas\s+http://\S+:(\d+)\s*\n", self.started_log(), re.MULTILINE)
        if banner:
            self.registry_port = int(banner[1])
        return banner is not None and super().is_ready()

    @property
    def registry_url(self):
        return f"http://127.0.0.1:{self.registry_port}"

    def registry(self):
        return Registry(self.registry_port)

    def client(self, **config):
        """Confluent's client, with empty caches."""
        return SchemaRegistryClient({"url": self.registry_url, **config})

    def async_client(self):
        return AsyncSchemaRegistryClient({"url": self.registry_url})


class Registry(Api):
    """The registry's HTTP API as it is; what a method gives is the answer's JSON, and any refusal raises api.Refused."""

    def headers(self, body, asked):
        return super().headers(body, {"Authorization": None, "Content-Type": None if body is None else CONTENT_TYPE, **(asked or {})})

    def put(self, path, body):
        return self.call("PUT", path, body).success()

    def register(self, subject, text, schema_type="AVRO", references=(), **more):
        """The schema's id."""
        return self.post(f"/subjects/{quoted(subject)}/versions", schema_body(text, schema_type, references, **more))["id"]

    def version(self, subject, version="latest"):
        return self.get(f"/subjects/{quoted(subject)}/versions/{version}")

    def versions(self, subject):
        return self.get(f"/subjects/{quoted(subject)}/versions")


def schema_body(text, schema_type="AVRO", references=(), **more):
    return {"schema": text, "schemaType": schema_type, "references": list(references), **more}


def status_of(code):
    """The HTTP status that belongs to one of the registry's error codes."""
    return code // 100 if code > 999 else code


def expect_refused(answer, code, *words, what="refusal"):
    """A raw answer that is this error, with a message for a person."""
    found = answer.json()
    expect_equal((answer.status, found.get("error_code")), (status_of(code), code), f"{what}, status and error_code of {answer.body[:200]}")
    expect_equal(answer.headers.get_content_type(), CONTENT_TYPE, f"{what}, content type")
    missing = [word for word in words if word not in found["message"]]
    if missing or not found["message"].strip():
        raise AssertionError(f"{what}: the message does not name {missing}: {found['message'][:200]}")


def expect_error(code, call, *arguments, **options):
    """A call of Confluent's client that is refused with this code."""
    try:
        found = call(*arguments, **options)
    except SchemaRegistryError as error:
        expect_equal((error.http_status_code, error.error_code), (status_of(code), code), f"status and code of “{error.error_message}”")
        if not error.error_message:
            raise AssertionError(f"{code} without a message") from None
        return
    raise AssertionError(f"{call.__name__}{arguments} gave {str(found)[:200]}, expected error {code}")


class RegistrySuite(Suite):
    """A suite that runs against a RegistryBroker."""

    def main(self):
        if os.environ.get("COMPAT_BROKER", "fbf") != "fbf":
            sys.exit(f"{self.name}: Apache Kafka has no schema registry; unset COMPAT_BROKER")
        # A suite asks the module which class of broker is chosen.
        brokers.chosen = lambda: RegistryBroker
        super().main()
