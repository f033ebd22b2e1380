package org.apache.kafka.controller;

/**
 * Of the class of this name in the tests of Kafka's metadata module, what tests of brokers use. Our stand-in of a controller does not ask who
 * asks.
 */
public final class ControllerRequestContextUtil {
    public static final ControllerRequestContext ANONYMOUS_CONTEXT = null;

    private ControllerRequestContextUtil() {
    }
}
