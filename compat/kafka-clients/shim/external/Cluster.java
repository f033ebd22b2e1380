package external;

import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

import kafka.server.ControllerServer;
import kafka.server.KafkaBroker;

import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.GroupProtocol;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.network.ListenerName;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.test.ClusterInstance;
import org.apache.kafka.common.test.JaasUtils;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.apache.kafka.common.test.api.Type;
import org.apache.kafka.server.authorizer.Authorizer;
import org.apache.kafka.server.common.Feature;
import org.apache.kafka.server.fault.FaultHandlerException;

/**
 * Kafka's ClusterInstance over one broker in its own process, reached by its port only. What asks for the inside of a broker throws
 * {@link NotApplicable}, or gets a stand-in of {@link Inside}.
 */
public final class Cluster implements ClusterInstance {
    private static final long WAIT_SECONDS = 60;

    private final String test;
    private final ClusterConfig config;
    private final boolean isCombined;
    private final KafkaBroker stub = Inside.broker(this);
    private Broker process;
    private Admin own;
    private boolean isStarted;
    private boolean isStopped;
    /** What the test has asked for that is not there, and whether what it got may break later. */
    private volatile String unsupported;
    private volatile boolean hasAskedForControllers;
    private volatile boolean hasAskedForLogs;

    public Cluster(String test, ClusterConfig config, boolean isCombined) {
        this.test = test;
        this.config = config;
        this.isCombined = isCombined;
    }

    synchronized Broker process() {
        if (process == null) {
            process = new Broker();
            process.configure(properties(), config.metadataVersion(), config.features());
        }
        return process;
    }

    synchronized Map<String, String> properties() {
        Map<String, String> settings = new HashMap<>(config.serverProperties());
        settings.putAll(config.perServerOverrideProperties().getOrDefault(Broker.ID, Map.of()));
        if (config.numBrokers() > 1) settings.replace("min.insync.replicas", "1");
        String listener = config.brokerListenerName().value();
        SecurityProtocol protocol = config.brokerSecurityProtocol();
        if (protocol == SecurityProtocol.SASL_PLAINTEXT) {
            settings.putIfAbsent("sasl.enabled.mechanisms", "PLAIN");
            settings.putIfAbsent("sasl.mechanism.inter.broker.protocol", "PLAIN");
            settings.putIfAbsent("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer");
            settings.putIfAbsent("allow.everyone.if.no.acl.found", "false");
            // Kafka reaches its controller on a listener without SASL: the anonymous user is the broker itself.
            settings.merge("super.users", "User:" + JaasUtils.KAFKA_PLAIN_ADMIN + ";User:ANONYMOUS", (given, ours) -> given + ";User:ANONYMOUS");
            settings.putIfAbsent("listener.name." + listener.toLowerCase() + ".plain.sasl.jaas.config",
                String.format("org.apache.kafka.common.security.plain.PlainLoginModule required username=\"%1$s\" password=\"%2$s\" "
                        + "user_%1$s=\"%2$s\" user_%3$s=\"%4$s\";", JaasUtils.KAFKA_PLAIN_ADMIN, JaasUtils.KAFKA_PLAIN_ADMIN_PASSWORD,
                    JaasUtils.KAFKA_PLAIN_USER1, JaasUtils.KAFKA_PLAIN_USER1_PASSWORD));
        }
        return process.properties(settings, listener, protocol.name, config.numDisksPerBroker());
    }

    // Life.

    @Override
    public void start() {
        process().start(test);
        isStarted = true;
        waitForReadyBrokers();
    }

    @Override
    public boolean started() {
        return isStarted;
    }

    @Override
    public void stop() {
        if (isStopped) return;
        isStopped = true;
        if (own != null) own.close(Duration.ZERO);
        if (process != null) process.close();
    }

    @Override
    public boolean stopped() {
        return isStopped;
    }

    @Override
    public void shutdownBroker(int id) {
        expectOnly(id);
        process().stop();
    }

    @Override
    public void startBroker(int id) {
        expectOnly(id);
        process().start(test + ", again");
        waitForReadyBrokers();
    }

    private void expectOnly(int id) {
        if (id != Broker.ID) throw unsupported("broker " + id + " of a cluster of several");
    }

    @Override
    public void waitForReadyBrokers() {
        await("the broker answers a client", () -> own().describeCluster().nodes().get(5, TimeUnit.SECONDS).size() == 1);
    }

    // Who and where.

    @Override
    public Type type() {
        return isCombined ? Type.CO_KRAFT : Type.KRAFT;
    }

    @Override
    public ClusterConfig config() {
        return config;
    }

    @Override
    public Map<Integer, KafkaBroker> brokers() {
        return Map.of(Broker.ID, stub);
    }

    @Override
    public Map<Integer, KafkaBroker> aliveBrokers() {
        return process().isAlive() ? brokers() : Map.of();
    }

    @Override
    public Set<Integer> brokerIds() {
        return Set.of(Broker.ID);
    }

    @Override
    public Map<Integer, ControllerServer> controllers() {
        hasAskedForControllers = true;
        return Inside.controllers(this);
    }

    @Override
    public Set<Integer> controllerIds() {
        return Set.of(Broker.ID);
    }

    @Override
    public ListenerName clientListener() {
        return config.brokerListenerName();
    }

    @Override
    public ListenerName controllerListenerName() {
        return config.controllerListenerName() != null ? config.controllerListenerName() : new ListenerName("CONTROLLER");
    }

    @Override
    public String bootstrapServers() {
        return "127.0.0.1:" + process().port;
    }

    @Override
    public String bootstrapControllers() {
        throw unsupported("bootstrapControllers()");
    }

    @Override
    public List<Integer> controllerBoundPorts() {
        throw unsupported("controllerBoundPorts()");
    }

    @Override
    public List<Integer> brokerBoundPorts() {
        return List.of(process().port);
    }

    @Override
    public String clusterId() {
        return Broker.unchecked(() -> own().describeCluster().clusterId().get());
    }

    @Override
    public Set<GroupProtocol> supportedGroupProtocols() {
        boolean isOff = !config.serverProperties().getOrDefault("group.coordinator.rebalance.protocols", "consumer").contains("consumer")
            || Short.valueOf((short) 0).equals(config.features().get(Feature.GROUP_VERSION));
        return isOff ? Set.of(GroupProtocol.CLASSIC) : Set.of(GroupProtocol.CLASSIC, GroupProtocol.CONSUMER);
    }

    @Override
    public Optional<FaultHandlerException> firstFatalException() {
        return Optional.empty();
    }

    @Override
    public Optional<FaultHandlerException> firstNonFatalException() {
        return Optional.empty();
    }

    // Clients, and what they see.

    @Override
    public Admin admin(Map<String, Object> configs, boolean usingBootstrapControllers) {
        if (usingBootstrapControllers) throw unsupported("an admin client of the controller");
        Map<String, Object> all = new HashMap<>(configs);
        all.putIfAbsent(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, bootstrapServers());
        return new OneNodeAdmin(setClientSaslConfig(all), config.numBrokers());
    }

    /** The cluster's own client, which no test closes. */
    synchronized Admin own() {
        if (own == null) own = admin(Map.of(), false);
        return own;
    }

    @Override
    public void createTopic(String topic, int partitions, short replicas, Map<String, String> configs) {
        create(new NewTopic(topic, partitions, replicas).configs(configs));
        waitTopicCreation(topic, partitions);
    }

    @Override
    public void createTopicWithAssignment(String topic, Map<Integer, List<Integer>> assignment) {
        create(new NewTopic(topic, assignment));
        waitTopicCreation(topic, assignment.size());
    }

    private void create(NewTopic topic) {
        try {
            own().createTopics(List.of(topic)).all().get();
        } catch (ExecutionException e) {
            if (!(e.getCause() instanceof TopicExistsException)) throw new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void waitTopicCreation(String topic, int partitions) {
        await("topic " + topic + " has " + partitions + " partitions with a leader", () -> describe(topic)
            .filter(seen -> seen.partitions().size() == partitions)
            .filter(seen -> seen.partitions().stream().allMatch(partition -> partition.leader() != null && !partition.leader().isEmpty()))
            .isPresent());
    }

    @Override
    public void waitTopicDeletion(String topic) {
        await("topic " + topic + " is gone", () -> !own().listTopics().names().get().contains(topic) && describe(topic).isEmpty());
    }

    @Override
    public void ensureConsistentMetadata() {
        // Nothing in the protocol says that an answered change is also in effect.
        Broker.sleep(500);
    }

    @Override
    public void ensureConsistentMetadata(Collection<KafkaBroker> brokers, Collection<ControllerServer> controllers) {
        ensureConsistentMetadata();
    }

    @Override
    public List<Authorizer> authorizers() {
        throw unsupported("authorizers()");
    }

    @Override
    public void waitAcls(AclBindingFilter filter, Collection<AccessControlEntry> entries) {
        Set<AccessControlEntry> wanted = Set.copyOf(entries);
        await("ACLs " + wanted, () -> own().describeAcls(filter).values().get().stream().map(AclBinding::entry).collect(Collectors.toSet()).equals(wanted));
    }

    Optional<TopicDescription> describe(String topic) throws Exception {
        try {
            return Optional.of(own().describeTopics(List.of(topic)).allTopicNames().get().get(topic));
        } catch (ExecutionException e) {
            if (e.getCause() instanceof UnknownTopicOrPartitionException) return Optional.empty();
            throw e;
        }
    }

    private static void await(String what, Callable<Boolean> condition) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS);
        Exception last = null;
        while (System.nanoTime() < end) {
            try {
                if (condition.call()) return;
            } catch (NotApplicable | InterruptedException e) {
                throw new IllegalStateException(e);
            } catch (Exception e) {
                last = e;
            }
            Broker.sleep(20);
        }
        throw new AssertionError("not within " + WAIT_SECONDS + " s: " + what, last);
    }

    // Verdicts.

    NotApplicable unsupported(String what) {
        NotApplicable exception = new NotApplicable(what);
        if (unsupported == null) unsupported = exception.getMessage();
        return exception;
    }

    void logAsked() {
        hasAskedForLogs = true;
    }

    /** Why a failure says nothing about the broker; null when it does say something. */
    public String notApplicable(Throwable failure) {
        if (unsupported != null) return unsupported;
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (hasAskedForControllers && cause instanceof NoSuchElementException) return NotApplicable.PREFIX + "controllers()";
            if (hasAskedForLogs && cause instanceof NullPointerException) return NotApplicable.PREFIX + "a partition's log";
        }
        return null;
    }
}
