package org.apache.kafka.streams.integration.utils;

import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ExecutionException;

import external.Broker;
import external.OneNodeAdmin;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.server.common.MetadataVersion;
import org.apache.kafka.server.util.MockTime;
import org.apache.kafka.test.TestUtils;

/** Stands in the class path before Kafka's class of this name: the tests of Kafka Streams get one broker of its own process. */
public class EmbeddedKafkaCluster {
    private final Broker broker = new Broker();
    private final int brokers;
    public final MockTime time;

    public EmbeddedKafkaCluster(int brokers) {
        this(brokers, new Properties());
    }

    public EmbeddedKafkaCluster(int brokers, Properties settings) {
        this(brokers, settings, Map.of());
    }

    public EmbeddedKafkaCluster(int brokers, Properties settings, long mockTimeStart) {
        this(brokers, settings, Map.of(), mockTimeStart, System.nanoTime());
    }

    public EmbeddedKafkaCluster(int brokers, Properties settings, Map<Integer, Map<String, String>> overrides) {
        this(brokers, settings, overrides, System.currentTimeMillis(), System.nanoTime());
    }

    public EmbeddedKafkaCluster(int brokers, Properties settings, Map<Integer, Map<String, String>> overrides, long mockTimeStart, long mockNanoStart) {
        this.brokers = brokers;
        this.time = new MockTime(mockTimeStart, mockNanoStart);
        // The settings of Kafka's class.
        Map<String, String> all = new HashMap<>(Map.of(
            "group.streams.min.session.timeout.ms", "100", "group.streams.min.heartbeat.interval.ms", "100",
            "group.min.session.timeout.ms", "0", "group.initial.rebalance.delay.ms", "0",
            "offsets.topic.num.partitions", "5", "transaction.state.log.num.partitions", "5",
            "auto.create.topics.enable", "true", "delete.topic.enable", "true"));
        settings.forEach((name, value) -> all.put((String) name, value.toString()));
        all.putAll(overrides.getOrDefault(Broker.ID, Map.of()));
        broker.configure(broker.properties(all, "EXTERNAL", "PLAINTEXT", 1), MetadataVersion.latestTesting(), Map.of());
    }

    public void start() {
        broker.start("Kafka Streams");
        verifyClusterReadiness();
    }

    /** A topic can be created, written, and read by a group; both can be deleted. */
    public void verifyClusterReadiness() {
        String id = UUID.randomUUID().toString();
        String topic = "topic-warmup-" + id;
        createTopic(topic);
        produce(new HashMap<>(clientDefaultConfig()), topic, null, "key", "value");
        try (KafkaConsumer<byte[], byte[]> consumer = createConsumerAndSubscribeTo(Map.of("group.id", "group-warmup-" + id), topic)) {
            if (consumer.poll(Duration.ofMinutes(2)).isEmpty()) throw new AssertionError("nothing read from " + topic);
        }
        withAdmin(admin -> {
            admin.deleteConsumerGroups(Set.of("group-warmup-" + id)).all().get();
            return admin.deleteTopics(Set.of(topic)).all().get();
        });
    }

    public void stop() {
        broker.close();
    }

    public String bootstrapServers() {
        return "127.0.0.1:" + broker.port;
    }

    public boolean sslEnabled() {
        return false;
    }

    public void createTopics(String... topics) {
        for (String topic : topics) createTopic(topic);
    }

    public void createTopic(String topic) {
        createTopic(topic, 1);
    }

    public void createTopic(String topic, int partitions) {
        createTopic(topic, partitions, 1, Map.of());
    }

    // Callers catch what Kafka's declares.
    public void createTopic(String topic, int partitions, int replicas) throws InterruptedException {
        createTopic(topic, partitions, replicas, Map.of());
    }

    public void createTopic(String topic, int partitions, int replicas, Map<String, String> configs) {
        withAdmin(admin -> {
            try {
                admin.createTopics(List.of(new NewTopic(topic, partitions, (short) replicas).configs(configs))).all().get();
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof TopicExistsException)) throw e;
            }
            TestUtils.waitForCondition(() -> admin.listTopics().names().get().contains(topic), "topic " + topic + " was not created");
            return null;
        });
    }

    public void deleteTopics(String... topics) {
        for (String topic : topics) deleteTopic(topic);
    }

    public void deleteTopic(String topic) {
        delete(Set.of(topic));
    }

    public void deleteAllTopics() {
        delete(getAllTopicsInCluster());
    }

    private void delete(Set<String> topics) {
        withAdmin(admin -> {
            try {
                admin.deleteTopics(topics).all().get();
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof UnknownTopicOrPartitionException)) throw e;
            }
            return null;
        });
    }

    public void produce(Map<String, Object> settings, String topic, Integer partition, String key, String value) {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>(topic, partition, key, value)).get();
        } catch (InterruptedException | ExecutionException e) {
            throw new IllegalStateException(e);
        }
    }

    public Admin createAdminClient() {
        return new OneNodeAdmin(new HashMap<>(clientDefaultConfig()), brokers);
    }

    public Map<String, String> clientDefaultConfig() {
        return new HashMap<>(Map.of("bootstrap.servers", bootstrapServers()));
    }

    public KafkaConsumer<byte[], byte[]> createConsumer(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(clientDefaultConfig());
        all.putAll(settings);
        all.putIfAbsent("group.id", UUID.randomUUID().toString());
        all.putIfAbsent("enable.auto.commit", "false");
        all.putIfAbsent("auto.offset.reset", "earliest");
        all.putIfAbsent("key.deserializer", ByteArrayDeserializer.class.getName());
        all.putIfAbsent("value.deserializer", ByteArrayDeserializer.class.getName());
        return new KafkaConsumer<>(all);
    }

    public KafkaConsumer<byte[], byte[]> createConsumerAndSubscribeTo(Map<String, Object> settings, String... topics) {
        return createConsumerAndSubscribeTo(settings, null, topics);
    }

    public KafkaConsumer<byte[], byte[]> createConsumerAndSubscribeTo(Map<String, Object> settings, ConsumerRebalanceListener listener, String... topics) {
        KafkaConsumer<byte[], byte[]> consumer = createConsumer(settings);
        if (listener == null) consumer.subscribe(Arrays.asList(topics));
        else consumer.subscribe(Arrays.asList(topics), listener);
        return consumer;
    }

    public void waitForRemainingTopics(long timeoutMs, String... topics) throws InterruptedException {
        Set<String> wanted = new HashSet<>(Arrays.asList(topics));
        TestUtils.waitForCondition(() -> getAllTopicsInCluster().equals(wanted), timeoutMs, "topics are not " + wanted);
    }

    public Set<String> getAllTopicsInCluster() {
        return withAdmin(admin -> admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get());
    }

    public Properties getLogConfig(String topic) {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return withAdmin(admin -> {
            Properties given = new Properties();
            admin.describeConfigs(Set.of(resource)).values().get(resource).get().entries().stream()
                .filter(entry -> entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG)
                .forEach(entry -> given.put(entry.name(), entry.value()));
            return given;
        });
    }

    public void setGroupSessionTimeout(String group, int ms) {
        setGroup(group, "streams.session.timeout.ms", ms);
    }

    public void setGroupHeartbeatTimeout(String group, int ms) {
        setGroup(group, "streams.heartbeat.interval.ms", ms);
    }

    public void setGroupStandbyReplicas(String group, int replicas) {
        setGroup(group, "streams.num.standby.replicas", replicas);
    }

    public void setGroupStreamsInitialRebalanceDelay(String group, int ms) {
        setGroup(group, "streams.initial.rebalance.delay.ms", ms);
    }

    private void setGroup(String group, String name, int value) {
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry(name, String.valueOf(value)), AlterConfigOp.OpType.SET);
        withAdmin(admin -> admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, group), List.of(set))).all().get());
    }

    private interface Use<T> {
        T with(Admin admin) throws Exception;
    }

    private <T> T withAdmin(Use<T> use) {
        try (Admin admin = createAdminClient()) {
            return use.with(admin);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}
