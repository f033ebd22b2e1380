import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;

import com.fasterxml.jackson.databind.ObjectMapper;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Exit;
import org.slf4j.LoggerFactory;

/**
 * Runs Kafka's command-line tools one after the other in one JVM, since starting a JVM takes longer than what a tool does.
 *
 * Reads one JSON array a line, of two arrays: a class and its arguments, and the lines of standard input. Answers each with an array: the
 * exit status and what was printed, standard output and standard error as they came. `member`, `leave`, `transaction` and `end` are no
 * tools: they are clients that go on while tools look at them.
 */
public final class Session {
    private static final long STEP_SECONDS = 60;

    private static final Map<String, Member> MEMBERS = new HashMap<>();
    private static final Map<String, KafkaProducer<String, String>> PRODUCERS = new HashMap<>();
    /** Of the tool whose thread it is. */
    private static final InheritableThreadLocal<CompletableFuture<Integer>> STATUS = new InheritableThreadLocal<>();
    private static final List<Runnable> HOOKS = new ArrayList<>();

    public static void main(String[] none) throws Exception {
        // slf4j complains, once, that nobody listens to it.
        LoggerFactory.getLogger(Session.class);
        Exit.setExitProcedure((code, message) -> end(code));
        Exit.setHaltProcedure((code, message) -> end(code));
        Exit.setShutdownHookAdder((name, hook) -> HOOKS.add(hook));
        PrintStream answers = System.out;
        ObjectMapper json = new ObjectMapper();
        BufferedReader steps = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = steps.readLine(); line != null; line = steps.readLine()) {
            String[][] step = json.readValue(line, String[][].class);
            ByteArrayOutputStream printed = new ByteArrayOutputStream();
            PrintStream capture = new PrintStream(printed, true, StandardCharsets.UTF_8);
            System.setOut(capture);
            System.setErr(capture);
            System.setIn(new ByteArrayInputStream((String.join("\n", step[1]) + "\n").getBytes(StandardCharsets.UTF_8)));
            int code = run(step[0][0], Arrays.copyOfRange(step[0], 1, step[0].length));
            capture.flush();
            answers.println(json.writeValueAsString(List.of(code, printed.toString(StandardCharsets.UTF_8))));
            answers.flush();
        }
        // What tools have left running ends with the JVM.
        Runtime.getRuntime().halt(0);
    }

    /** As System.exit: nothing behind the call happens in this thread, neither `catch` nor `finally`. */
    private static void end(int code) {
        STATUS.get().complete(code);
        while (true) LockSupport.park();
    }

    private static int run(String name, String[] arguments) {
        CompletableFuture<Integer> ended = new CompletableFuture<>();
        Thread tool = new Thread(() -> {
            STATUS.set(ended);
            try {
                call(name, arguments);
                ended.complete(0);
            } catch (InvocationTargetException e) {
                // As the JVM reports what main throws.
                System.err.print("Exception in thread \"main\" ");
                e.getCause().printStackTrace();
                ended.complete(1);
            } catch (Exception e) {
                e.printStackTrace();
                ended.complete(1);
            }
        }, "main");
        tool.setDaemon(true);
        tool.start();
        try {
            int code = ended.get(STEP_SECONDS, TimeUnit.SECONDS);
            // As the JVM does at its end.
            for (Runnable hook : HOOKS) hook.run();
            HOOKS.clear();
            return code;
        } catch (TimeoutException e) {
            System.err.println("not done after " + STEP_SECONDS + " s");
            return -1;
        } catch (InterruptedException | ExecutionException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void call(String name, String[] arguments) throws Exception {
        switch (name) {
            case "member" -> join(arguments);
            case "leave" -> MEMBERS.remove(arguments[0]).leave();
            case "transaction" -> begin(arguments);
            case "end" -> {
                KafkaProducer<String, String> producer = PRODUCERS.remove(arguments[0]);
                producer.commitTransaction();
                producer.close();
            }
            default -> Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
        }
    }

    /** member BOOTSTRAP NAME GROUP PROTOCOL TOPIC…: joins a group, reads and commits to the end, and says what partitions it got. */
    private static void join(String[] arguments) throws InterruptedException {
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments[0], "client.id", arguments[1], "group.id", arguments[2],
            "group.protocol", arguments[3], "auto.offset.reset", "earliest", "enable.auto.commit", "false");
        Member member = new Member(settings, Arrays.asList(arguments).subList(4, arguments.length));
        MEMBERS.put(arguments[1], member);
        member.start();
        member.assigned.await(STEP_SECONDS, TimeUnit.SECONDS);
        System.out.println("assigned: " + member.partitions);
    }

    private static final class Member extends Thread {
        private final KafkaConsumer<String, String> consumer;
        private final CountDownLatch assigned = new CountDownLatch(1);
        private volatile TreeSet<String> partitions = new TreeSet<>();

        private Member(Map<String, Object> settings, List<String> topics) {
            consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(topics);
            setDaemon(true);
        }

        @Override
        public void run() {
            try {
                while (true) {
                    consumer.poll(Duration.ofMillis(100));
                    consumer.commitSync();
                    if (consumer.assignment().isEmpty() || !isAtEnd()) continue;
                    TreeSet<String> seen = new TreeSet<>();
                    consumer.assignment().forEach(partition -> seen.add(partition.toString()));
                    partitions = seen;
                    assigned.countDown();
                }
            } catch (WakeupException e) {
                consumer.close();
            }
        }

        private boolean isAtEnd() {
            return consumer.endOffsets(consumer.assignment()).entrySet().stream()
                .allMatch(end -> consumer.position(end.getKey()) >= end.getValue());
        }

        private void leave() throws InterruptedException {
            consumer.wakeup();
            join();
        }
    }

    /** transaction BOOTSTRAP ID TOPIC: writes a record in a transaction, which stays open. */
    private static void begin(String[] arguments) {
        KafkaProducer<String, String> producer = new KafkaProducer<>(Map.of("bootstrap.servers", arguments[0], "transactional.id", arguments[1]),
            new StringSerializer(), new StringSerializer());
        PRODUCERS.put(arguments[1], producer);
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(arguments[2], "open"));
        producer.flush();
    }
}
