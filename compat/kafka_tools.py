"""Apache Kafka's command-line tools, each in its own JVM, from the jars in $KAFKA_LIBS."""

import subprocess

from broker import kafka_classpath

TOOLS = "org.apache.kafka.tools"
CLASSES = {
    "topics": f"{TOOLS}.TopicCommand",
    "producer-perf": f"{TOOLS}.ProducerPerformance",
    "consumer-perf": f"{TOOLS}.ConsumerPerformance",
    "end-to-end": f"{TOOLS}.EndToEndLatency",
    "verifiable-producer": f"{TOOLS}.VerifiableProducer",
    "verifiable-consumer": f"{TOOLS}.VerifiableConsumer",
    "console-producer": f"{TOOLS}.ConsoleProducer",
    "console-consumer": f"{TOOLS}.consumer.ConsoleConsumer",
    "groups": f"{TOOLS}.consumer.group.ConsumerGroupCommand",
    "offsets": f"{TOOLS}.GetOffsetShell",
    "transactions": f"{TOOLS}.TransactionsCommand",
}
# Kafka's scripts without their .sh, and what they start (bin/ of its distribution).
SCRIPTS = {
    "kafka-broker-api-versions": f"{TOOLS}.BrokerApiVersionsCommand",
    "kafka-client-metrics": f"{TOOLS}.ClientMetricsCommand",
    "kafka-cluster": f"{TOOLS}.ClusterTool",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-consumer": CLASSES["console-consumer"],
    "kafka-console-producer": CLASSES["console-producer"],
    "kafka-consumer-groups": CLASSES["groups"],
    "kafka-delete-records": f"{TOOLS}.DeleteRecordsCommand",
    "kafka-features": f"{TOOLS}.FeatureCommand",
    "kafka-get-offsets": CLASSES["offsets"],
    "kafka-groups": f"{TOOLS}.GroupsCommand",
    "kafka-leader-election": f"{TOOLS}.LeaderElectionCommand",
    "kafka-log-dirs": f"{TOOLS}.LogDirsCommand",
    "kafka-metadata-quorum": f"{TOOLS}.MetadataQuorumCommand",
    "kafka-reassign-partitions": f"{TOOLS}.reassign.ReassignPartitionsCommand",
    "kafka-topics": CLASSES["topics"],
    "kafka-transactions": CLASSES["transactions"],
}


class ToolFailed(Exception):
    """A tool ended with an error; the message holds the end of what it printed."""


def command(tool, *arguments, heap="1g"):
    return ["java", f"-Xmx{heap}", "-cp", kafka_classpath(), CLASSES[tool], *map(str, arguments)]


def run(tool, *arguments, stdin=None, seconds=120, heap="1g"):
    """Runs a tool to its end and returns its standard output; raises ToolFailed when it ends with an error."""
    done = subprocess.run(
        command(tool, *arguments, heap=heap), input=stdin, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode != 0:
        raise ToolFailed(f"{tool} ended with {done.returncode}: {(done.stdout + done.stderr)[-600:]}")
    return done.stdout


def start(tool, *arguments, output):
    """A tool that goes on running; what it prints goes to the file `output`."""
    with open(output, "wb") as file:
        return subprocess.Popen(command(tool, *arguments, heap="256m"), stdin=subprocess.DEVNULL, stdout=file, stderr=file)
