package external;

/** A test asked for something that only a broker inside the test's own process has. */
public final class NotApplicable extends UnsupportedOperationException {
    public static final String PREFIX = "not applicable: ";

    public NotApplicable(String what) {
        super(PREFIX + what + " is inside the broker's process");
    }
}
