package external;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

import org.apache.kafka.server.common.Feature;
import org.apache.kafka.server.common.MetadataVersion;

/**
 * One broker in its own process, with a directory and ports of its own, which it keeps when it is started again.
 *
 * It gets a server.properties as one writes it for a single node of Apache Kafka; broker.sh starts it.
 */
public final class Broker {
    public static final int ID = 0;
    private static final long START_SECONDS = 60;
    private static final long STOP_SECONDS = 15;
    /** Settings that cannot exceed the number of brokers. */
    private static final List<String> ONE = List.of("offsets.topic.replication.factor", "transaction.state.log.replication.factor",
        "transaction.state.log.min.isr", "share.coordinator.state.topic.replication.factor", "share.coordinator.state.topic.min.isr",
        "default.replication.factor");
    /** Starts all processes: the kernel kills them (setpriv) when the thread that started them is gone, and this one lives as long as the JVM. */
    private static final ExecutorService STARTER = Executors.newSingleThreadExecutor(task -> {
        Thread thread = new Thread(task, "process reaper of brokers");
        thread.setDaemon(true);
        return thread;
    });

    /** Guarded by the class; see {@link #ranSince}. */
    private static int running;
    private static long lastEnd;

    public final int port = freePort(0);
    private final int controllerPort = freePort(port);
    private final Path folder;
    private Process process;

    public Broker() {
        folder = unchecked(() -> Files.createTempDirectory("kafka-clients-"));
    }

    public synchronized boolean isAlive() {
        return process != null && process.isAlive();
    }

    /** The settings of a test with what one node and this place ask for; `disks`: how many log.dirs. */
    public Map<String, String> properties(Map<String, String> settings, String listener, String protocol, int disks) {
        Map<String, String> all = new TreeMap<>(settings);
        ONE.forEach(name -> all.put(name, "1"));
        List<String> directories = new ArrayList<>();
        for (int disk = 0; disk < disks; disk++) directories.add(folder.resolve("disk-" + disk).toString());
        all.put("process.roles", "broker,controller");
        all.put("node.id", "" + ID);
        all.put("controller.quorum.voters", ID + "@127.0.0.1:" + controllerPort);
        all.put("controller.listener.names", "CONTROLLER");
        all.put("log.dirs", String.join(",", directories));
        all.putIfAbsent("advertised.listeners", all.getOrDefault("listeners", listener + "://127.0.0.1:" + port));
        all.put("listeners", all.getOrDefault("listeners", listener + "://127.0.0.1:" + port) + ",CONTROLLER://127.0.0.1:" + controllerPort);
        all.merge("listener.security.protocol.map", listener + ":" + protocol + ",CONTROLLER:PLAINTEXT", (given, ours) -> given + ",CONTROLLER:PLAINTEXT");
        all.putIfAbsent("inter.broker.listener.name", listener);
        // As Kafka's own test kit has them: a small buffer, and what is still being developed.
        all.putIfAbsent("log.cleaner.dedupe.buffer.size", "2097152");
        all.putIfAbsent("unstable.feature.versions.enable", "true");
        all.putIfAbsent("unstable.api.versions.enable", "true");
        return all;
    }

    /**
     * Writes the server.properties. The levels of features stand in it as feature.NAME: fbf reads them there, and for Kafka, which ignores
     * them, broker.sh formats the directory with them. What `levels` does not name has the level of Kafka's test kit.
     */
    public void configure(Map<String, String> properties, MetadataVersion version, Map<Feature, Short> levels) {
        StringBuilder text = new StringBuilder();
        properties.forEach((name, value) -> text.append(name).append('=').append(value.replace("\\", "\\\\").replace("\n", "\\n")).append('\n'));
        for (Feature feature : Feature.PRODUCTION_FEATURES) {
            short level = levels.getOrDefault(feature, feature.defaultLevel(version));
            text.append("feature.").append(feature.featureName()).append('=').append(level).append('\n');
        }
        text.append("feature.").append(MetadataVersion.FEATURE_NAME).append('=').append(version.featureLevel()).append('\n');
        unchecked(() -> Files.writeString(file(), text));
    }

    private Path file() {
        return folder.resolve("server.properties");
    }

    /** Starts the process and waits until its port takes connections. `label`: for its log. */
    public synchronized void start(String label) {
        if (isAlive()) return;
        process = unchecked(() -> STARTER.submit(() -> startProcess(label)).get());
        count(1);
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (!takesConnections()) {
            if (!process.isAlive()) throw new IllegalStateException("the broker ended with " + process.exitValue() + " before it took connections");
            if (System.nanoTime() > end) throw new IllegalStateException("the broker took no connections within " + START_SECONDS + " s");
            sleep(10);
        }
    }

    private Process startProcess(String label) throws IOException {
        Path log = Path.of(System.getProperty("broker.log"));
        Files.writeString(log, "=== " + label + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        return new ProcessBuilder("setpriv", "--pdeathsig", "KILL", System.getProperty("broker.start"), file().toString())
            .redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile())).start();
    }

    private boolean takesConnections() {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 500);
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** SIGTERM; SIGKILL when that does not end the process in time. */
    public synchronized void stop() {
        if (process == null) return;
        process.destroy();
        try {
            if (!process.waitFor(STOP_SECONDS, TimeUnit.SECONDS)) process.destroyForcibly().waitFor();
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
        process = null;
        count(-1);
    }

    /** Stops the process for good and removes what it has written. */
    public void close() {
        stop();
        try (Stream<Path> files = Files.walk(folder)) {
            files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
        } catch (IOException | UncheckedIOException e) {
            // It is a temporary directory; whoever cleans those up will take it.
        }
    }

    private static synchronized void count(int change) {
        running += change;
        lastEnd = System.nanoTime();
    }

    /** Whether there was a broker at any time after `then`, a System.nanoTime(). */
    static synchronized boolean ranSince(long then) {
        return running > 0 || lastEnd > then;
    }

    /** A free port other than {@code taken}, below those that the kernel gives to outgoing connections, so that it is still free after a stop. */
    private static int freePort(int taken) {
        for (int attempt = 0; attempt < 200; attempt++) {
            int port = ThreadLocalRandom.current().nextInt(21000, 31000);
            if (port == taken) {
                continue;
            }
            try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                return socket.getLocalPort();
            } catch (IOException e) {
                // The next one may be free.
            }
        }
        throw new IllegalStateException("no free port");
    }

    static void sleep(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    /** What a call gives, whose checked exceptions nobody here can do anything about. */
    static <T> T unchecked(Callable<T> call) {
        try {
            return call.call();
        } catch (ExecutionException e) {
            throw new IllegalStateException(e.getCause());
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}
