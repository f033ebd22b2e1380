"""fbf with its HTTP listener, and suites whose broker it is."""

import contextlib
import os
import re
import sys

import api
import broker as brokers
from suite import Suite


class HttpBroker(brokers.Fbf):
    """Learns the HTTP port from the banner of the first start and keeps it over restarts, as Fbf does with Kafka's."""

    def __init__(self, settings=None, data=None, config=""):
        """`config`: TOML for what --set cannot say, such as projects."""
        super().__init__(settings, data)
        self.config = config
        self.http_port = 0

    def command(self):
        command = [*super().command(), "--set", f"http.listen=127.0.0.1:{self.http_port}"]
        if self.config:
            file = self.home / "config.toml"
            file.write_text(self.config, encoding="utf-8")
            command += ["--config", str(file)]
        return command

    def is_ready(self):
        banner = re.search(r"^\s*http\s+http://\S+:(\d+)\s*\n", self.started_log(), re.MULTILINE)
        if banner:
            self.http_port = int(banner[1])
        return banner is not None and super().is_ready()

    def api(self, root="", **options):
        return api.Api(self.http_port, root, **options)


class HttpSuite(Suite):
    """A suite that runs against an HttpBroker."""

    def __init__(self, name, settings=None, config=""):
        super().__init__(name, settings=settings)
        self.config = config

    def main(self):
        if os.environ.get("COMPAT_BROKER", "fbf") != "fbf":
            sys.exit(f"{self.name}: Apache Kafka has no HTTP API; unset COMPAT_BROKER")
        # A suite asks the module which class of broker is chosen.
        brokers.chosen = lambda: lambda settings: HttpBroker(settings, config=self.config)
        super().main()


@contextlib.contextmanager
def started(settings=None, config=""):
    """A broker besides the suite's, for a test with settings of its own."""
    broker = HttpBroker(settings, config=config)
    try:
        yield broker.start()
    finally:
        broker.close()
