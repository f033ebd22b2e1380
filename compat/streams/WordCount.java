import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;

import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Counts the words of a topic of lines: one record, word and count so far, for each word that comes.
 *
 * <p>Arguments: the topic of lines, the topic of counts, then Streams' settings, {@code name=value}. Each change of state is a
 * line. SIGTERM closes the application, and a line says how that went; an error that Streams cannot live with ends it with
 * status 1.
 */
public final class WordCount {
    private static final Duration CLOSE_TIME = Duration.ofSeconds(20);

    public static void main(String[] arguments) throws InterruptedException {
        Properties settings = new Properties();
        for (String argument : List.of(arguments).subList(2, arguments.length)) {
            String[] setting = argument.split("=", 2);
            settings.setProperty(setting[0], setting[1]);
        }
        KafkaStreams streams = new KafkaStreams(topology(arguments[0], arguments[1]), settings);
        CountDownLatch ended = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            System.out.println("state " + now);
            if (now == KafkaStreams.State.ERROR) {
                ended.countDown();
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() ->
            System.out.println(streams.close(CLOSE_TIME) ? "closed" : "not closed within " + CLOSE_TIME)));
        streams.start();
        // Streams' default for an error that nothing else has handled: the whole client stops, and is in state ERROR.
        ended.await();
        System.exit(1);
    }

    private static Topology topology(String lines, String counts) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(lines, Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((number, word) -> word, Grouped.with("words", Serdes.String(), Serdes.String()))
            .count(Materialized.as("counts"))
            .toStream()
            .to(counts, Produced.with(Serdes.String(), Serdes.Long()));
        return builder.build();
    }
}
