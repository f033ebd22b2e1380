package external;

import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.ForwardingAdmin;
import org.apache.kafka.clients.admin.NewTopic;

/**
 * The admin client of the tests. Where a test was written for N brokers and asks for up to N replicas, the topic gets one replica on
 * the one broker; a replication factor above N is an error that the test expects, and goes through as it is.
 */
public final class OneNodeAdmin extends ForwardingAdmin {
    private final int brokers;

    public OneNodeAdmin(Map<String, Object> configs, int brokers) {
        super(configs);
        this.brokers = brokers;
    }

    @Override
    public CreateTopicsResult createTopics(Collection<NewTopic> topics, CreateTopicsOptions options) {
        return super.createTopics(topics.stream().map(this::onOneNode).toList(), options);
    }

    private NewTopic onOneNode(NewTopic topic) {
        NewTopic adapted = topic;
        if (topic.replicasAssignments() != null) {
            Map<Integer, List<Integer>> assignments = new HashMap<>();
            topic.replicasAssignments().forEach((partition, replicas) -> assignments.put(partition, onOneNode(replicas)));
            adapted = new NewTopic(topic.name(), assignments);
        } else if (topic.replicationFactor() > 1 && topic.replicationFactor() <= brokers) {
            Optional<Integer> partitions = Optional.of(topic.numPartitions()).filter(number -> number > 0);
            adapted = new NewTopic(topic.name(), partitions, Optional.of((short) 1));
        }
        return adapted == topic || topic.configs() == null ? adapted : adapted.configs(topic.configs());
    }

    /** A list of brokers that the test's cluster has becomes the one broker; an empty or a wrong list stays. */
    private List<Integer> onOneNode(List<Integer> replicas) {
        boolean allThere = !replicas.isEmpty() && replicas.stream().allMatch(id -> id >= 0 && id < brokers);
        return allThere ? List.of(Broker.ID) : replicas;
    }
}
