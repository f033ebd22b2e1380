"""The brokers that are held beside each other: fbf under each policy of syncing, and Kafka."""

import dataclasses

import broker as brokers
import rows

KAFKA, KAFKA_SYNCED, FBF = "kafka", "kafka synced", "fbf"
POLICIES = ("commit", "interval", "os")
DEFAULT_POLICY = "commit"


@dataclasses.dataclass
class Side:
    """`is_full`: it runs every workload. The others run those that syncing matters for."""

    name: str
    broker: brokers.Broker
    is_full: bool

    def runs(self, workload):
        return self.is_full or workload in rows.OF_EACH_SYNC.values()

    def keeps(self, row):
        return self.is_full or row in rows.OF_EACH_SYNC


def chosen(names, policies, is_kafka_synced, fbf_settings, kafka_settings):
    """The sides, in order. `policies`: the first one's fbf runs every workload."""
    sides = []
    for name in names:
        if name == KAFKA:
            sides.append(Side(KAFKA, brokers.Kafka(kafka_settings), is_full=True))
        else:
            sides.append(fbf(policies[0], fbf_settings, is_full=True))
    if FBF in names:
        sides += [fbf(policy, fbf_settings, is_full=False) for policy in policies[1:]]
    if is_kafka_synced:
        synced = {**kafka_settings, "log.flush.interval.messages": 1}
        sides.append(Side(KAFKA_SYNCED, brokers.Kafka(synced), is_full=False))
    return sides


def fbf(policy, settings, is_full):
    return Side(fbf_name(policy), brokers.Fbf({**settings, "storage.sync": policy}), is_full)


def fbf_name(policy):
    return FBF if policy == DEFAULT_POLICY else f"{FBF} sync={policy}"
