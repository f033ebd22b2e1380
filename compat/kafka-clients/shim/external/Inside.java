package external;

import java.lang.reflect.Field;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.AbstractMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

import kafka.cluster.Partition;
import kafka.log.LogManager;
import kafka.network.ConnectionQuotas;
import kafka.network.SocketServer;
import kafka.server.ControllerServer;
import kafka.server.KafkaBroker;
import kafka.server.KafkaConfig;
import kafka.server.ReplicaManager;

import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TopicListing;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.network.ListenerName;
import org.apache.kafka.controller.Controller;
import org.apache.kafka.coordinator.group.GroupCoordinator;
import org.apache.kafka.metadata.BrokerState;
import org.apache.kafka.metadata.LeaderAndIsr;
import org.apache.kafka.metadata.LeaderRecoveryState;
import org.apache.kafka.metadata.MetadataCache;
import org.apache.kafka.storage.internals.log.LogCleaner;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.UnifiedLog;

import scala.Option;
import scala.Some;

/**
 * Stand-ins for the parts of a broker that many tests ask one question each, before and beside what they are about: its port, its
 * settings, whether a topic is there yet. They answer over the wire; all else is not applicable.
 */
final class Inside {
    private Inside() {
    }

    static KafkaBroker broker(Cluster cluster) {
        return stub(KafkaBroker.class, (self, method, arguments) -> switch (method.getName()) {
            case "config" -> {
                cluster.process();
                yield new KafkaConfig(cluster.properties(), false);
            }
            case "clusterId" -> cluster.clusterId();
            case "boundPort" -> cluster.process().port;
            case "isShutdown" -> !cluster.process().isAlive();
            case "brokerState" -> cluster.process().isAlive() ? BrokerState.RUNNING : BrokerState.NOT_RUNNING;
            case "startup" -> {
                cluster.startBroker(Broker.ID);
                yield null;
            }
            case "shutdown" -> {
                cluster.shutdownBroker(Broker.ID);
                yield null;
            }
            case "awaitShutdown" -> null;
            case "metadataCache" -> metadataCache(cluster);
            case "groupCoordinator" -> groupCoordinator(cluster);
            case "socketServer" -> bare(Sockets.class, cluster);
            case "logManager" -> bare(Logs.class, cluster);
            case "replicaManager" -> bare(Replicas.class, cluster);
            default -> throw cluster.unsupported("KafkaBroker." + method.getName() + "()");
        });
    }

    private static MetadataCache metadataCache(Cluster cluster) {
        return stub(MetadataCache.class, (self, method, arguments) -> switch (method.getName()) {
            case "getAllTopics" -> cluster.own().listTopics().names().get();
            case "numPartitions" -> cluster.describe((String) arguments[0]).map(topic -> topic.partitions().size());
            case "hasAliveBroker" -> (int) arguments[0] == Broker.ID && cluster.process().isAlive();
            case "getAliveBrokerNodes" -> cluster.process().isAlive() ? List.of(new Node(Broker.ID, "localhost", cluster.process().port)) : List.of();
            case "getTopicId" -> cluster.describe((String) arguments[0]).map(TopicDescription::topicId).orElse(Uuid.ZERO_UUID);
            case "getLeaderAndIsr" -> partition(cluster, (String) arguments[0], (int) arguments[1])
                .filter(partition -> partition.leader() != null).map(Inside::leaderAndIsr);
            case "contains" -> {
                if (!(arguments[0] instanceof String topic)) throw cluster.unsupported("MetadataCache.contains(TopicPartition)");
                yield cluster.describe(topic).isPresent();
            }
            default -> throw cluster.unsupported("MetadataCache." + method.getName() + "()");
        });
    }

    private static Optional<TopicPartitionInfo> partition(Cluster cluster, String topic, int number) throws Exception {
        return cluster.describe(topic).flatMap(seen -> seen.partitions().stream().filter(one -> one.partition() == number).findFirst());
    }

    private static LeaderAndIsr leaderAndIsr(TopicPartitionInfo partition) {
        return new LeaderAndIsr(partition.leader().id(), 0, partition.isr().stream().map(Node::id).toList(), LeaderRecoveryState.RECOVERED, 0);
    }

    /** Tests create __consumer_offsets themselves, with the settings that it gives. */
    private static GroupCoordinator groupCoordinator(Cluster cluster) {
        return stub(GroupCoordinator.class, (self, method, arguments) -> {
            if (!method.getName().equals("groupMetadataTopicConfigs")) throw cluster.unsupported("GroupCoordinator." + method.getName() + "()");
            Properties settings = new Properties();
            settings.put("cleanup.policy", "compact");
            settings.put("compression.type", "producer");
            settings.put("segment.bytes", cluster.config().serverProperties().getOrDefault("offsets.topic.segment.bytes", "104857600"));
            return settings;
        });
    }

    private static <T> T stub(Class<T> type, InvocationHandler handler) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> switch (method.getName()) {
            case "toString" -> "external " + type.getSimpleName();
            case "hashCode" -> System.identityHashCode(self);
            case "equals" -> self == arguments[0];
            default -> handler.invoke(self, method, arguments);
        }));
    }

    /**
     * A controller for who asks for it by its id. There is none in the list, because what is done to each of them means to look into it.
     */
    static Map<Integer, ControllerServer> controllers(Cluster cluster) {
        return new AbstractMap<>() {
            @Override
            public ControllerServer get(Object id) {
                return Broker.unchecked(() -> bare(Controllers.class, cluster));
            }

            @Override
            public Set<Entry<Integer, ControllerServer>> entrySet() {
                return Set.of();
            }
        };
    }

    private static Controller controller(Cluster cluster) {
        return stub(Controller.class, (self, method, arguments) -> {
            if (!method.getName().equals("findAllTopicIds")) throw cluster.unsupported("Controller." + method.getName() + "()");
            Map<String, Uuid> ids = new HashMap<>();
            for (TopicListing topic : cluster.own().listTopics(new ListTopicsOptions().listInternal(true)).listings().get()) {
                ids.put(topic.name(), topic.topicId());
            }
            return CompletableFuture.completedFuture(ids);
        });
    }

    // Classes, which no proxy can stand for: they are made without running a constructor.

    private static <T> T bare(Class<T> type, Cluster cluster) throws ReflectiveOperationException {
        Field unsafe = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
        unsafe.setAccessible(true);
        T made = type.cast(((sun.misc.Unsafe) unsafe.get(null)).allocateInstance(type));
        Field field = type.getDeclaredField("cluster");
        field.setAccessible(true);
        field.set(made, cluster);
        return made;
    }

    /** Whether the partition is there is all that can be said: a test that looks inside meets null. */
    private static <T> Option<T> ifThere(Cluster cluster, TopicPartition partition) {
        cluster.logAsked();
        return Broker.unchecked(() -> partition(cluster, partition.topic(), partition.partition())).isPresent() ? new Some<>(null) : Option.empty();
    }

    private static final class Controllers extends ControllerServer {
        private Cluster cluster;

        private Controllers() {
            super(null, null, null);
        }

        @Override
        public Controller controller() {
            return Inside.controller(cluster);
        }
    }

    private static final class Sockets extends SocketServer {
        private Cluster cluster;

        private Sockets() {
            super(null, null, null, null, null, null, null);
        }

        @Override
        public int boundPort(ListenerName listener) {
            return cluster.process().port;
        }

        @Override
        public ConnectionQuotas connectionQuotas() {
            throw cluster.unsupported("SocketServer.connectionQuotas()");
        }
    }

    private static final class Logs extends LogManager {
        private Cluster cluster;

        private Logs() {
            super(null, null, null, null, null, 0, 0, 0, 0, 0, 0, null, 0, null, null, null, null, false, 0, null);
        }

        @Override
        public Option<UnifiedLog> getLog(TopicPartition partition, boolean isFuture) {
            return ifThere(cluster, partition);
        }

        @Override
        public LogCleaner cleaner() {
            throw cluster.unsupported("LogManager.cleaner()");
        }

        @Override
        public ProducerStateManagerConfig producerStateManagerConfig() {
            throw cluster.unsupported("LogManager.producerStateManagerConfig()");
        }

        @Override
        public scala.collection.immutable.Seq<java.io.File> liveLogDirs() {
            throw cluster.unsupported("LogManager.liveLogDirs()");
        }
    }

    private static final class Replicas extends ReplicaManager {
        private Cluster cluster;

        private Replicas() {
            super(null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
        }

        @Override
        public Option<Partition> onlinePartition(TopicPartition partition) {
            return ifThere(cluster, partition).isEmpty() ? Option.empty() : new Some<>(Broker.unchecked(() -> bare(Leader.class, cluster)));
        }
    }

    /** A partition whose leader is the one broker. */
    private static final class Leader extends Partition {
        private Cluster cluster;

        private Leader() {
            super(null, 0, 0, null, null, null, null, null, null, null, null);
        }

        @Override
        public Option<Object> leaderIdIfLocal() {
            return new Some<>(Broker.ID);
        }
    }
}
