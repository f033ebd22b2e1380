package external;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.UniqueId;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;

/**
 * Appends lines to the file -Dcases: outcome, name, seconds and reason, with tabs between them.
 *
 * An outcome is STARTED, then PASSED, FAILED or SKIPPED, or NOT_APPLICABLE; a test that passes without any broker says nothing of
 * one, and is not written. A name is `Class.method`, and of a test that runs several times with other parameters `Class.method[n]`.
 */
public final class CaseListener implements TestExecutionListener {
    /** The reason of a run that is none of the counted ones. */
    public static final String DUPLICATE = "the same for another kind of cluster";
    private static final int REASON_LENGTH = 300;

    private final Path file = Path.of(System.getProperty("cases"));
    private final Map<UniqueId, String> names = new ConcurrentHashMap<>();
    private final Map<UniqueId, Long> starts = new ConcurrentHashMap<>();
    /** `Class.method` -> how many times it ran or was skipped. JUnit's own numbers count duplicates, whose order is by chance. */
    private final Map<String, Integer> runs = new ConcurrentHashMap<>();

    @Override
    public void executionStarted(TestIdentifier test) {
        starts.put(test.getUniqueIdObject(), System.nanoTime());
        if (test.isTest()) write("STARTED", test, null);
    }

    @Override
    public void executionSkipped(TestIdentifier test, String reason) {
        if (!reason.equals(DUPLICATE)) write("SKIPPED", test, reason);
    }

    @Override
    public void executionFinished(TestIdentifier test, TestExecutionResult result) {
        String reason = result.getThrowable().map(Throwable::toString).orElse(null);
        switch (result.getStatus()) {
            case SUCCESSFUL -> {
                if (test.isTest()) write(Broker.ranSince(starts.get(test.getUniqueIdObject())) ? "PASSED" : "WITHOUT_BROKER", test, null);
            }
            case ABORTED -> write(reason != null && reason.contains(NotApplicable.PREFIX) ? "NOT_APPLICABLE" : "SKIPPED", test, reason);
            case FAILED -> write("FAILED", test, reason);
        }
    }

    private synchronized void write(String outcome, TestIdentifier test, String reason) {
        Long start = starts.get(test.getUniqueIdObject());
        double seconds = start == null ? 0 : (System.nanoTime() - start) / 1e9;
        String words = reason == null ? "" : reason.replaceAll("\\s+", " ").strip();
        String line = String.join("\t", outcome, name(test), String.format(Locale.ROOT, "%.1f", seconds),
            words.substring(0, Math.min(words.length(), REASON_LENGTH)));
        Broker.unchecked(() -> Files.writeString(file, line + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND));
    }

    private String name(TestIdentifier test) {
        return names.computeIfAbsent(test.getUniqueIdObject(), id -> {
            if (!(test.getSource().orElse(null) instanceof MethodSource source)) {
                // All of a class failed, or was skipped.
                return test.getSource().map(whole -> simple(((ClassSource) whole).getClassName())).orElse("all");
            }
            String method = simple(source.getClassName()) + "." + source.getMethodName();
            boolean isOneOfSeveral = id.getLastSegment().getType().equals("test-template-invocation");
            return isOneOfSeveral ? method + "[" + runs.merge(method, 1, Integer::sum) + "]" : method;
        });
    }

    private static String simple(String className) {
        return className.substring(className.lastIndexOf('.') + 1);
    }
}
