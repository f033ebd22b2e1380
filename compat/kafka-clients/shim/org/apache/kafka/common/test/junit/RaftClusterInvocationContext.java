package org.apache.kafka.common.test.junit;

import java.util.List;

import external.CaseListener;
import external.Cluster;

import org.apache.kafka.common.test.api.ClusterConfig;

import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.AfterTestExecutionCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.Extension;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.LifecycleMethodExecutionExceptionHandler;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;
import org.junit.jupiter.api.extension.TestTemplateInvocationContext;
import org.opentest4j.TestAbortedException;

/** Stands in the class path before Kafka's class of this name: a @ClusterTest gets a broker of its own process. */
public final class RaftClusterInvocationContext implements TestTemplateInvocationContext {
    private final String test;
    private final ClusterConfig config;
    private final boolean isCombined;

    public RaftClusterInvocationContext(String test, ClusterConfig config, boolean isCombined) {
        this.test = test;
        this.config = config;
        this.isCombined = isCombined;
    }

    @Override
    public String getDisplayName(int index) {
        return test + " [" + index + "] " + String.join(",", config.displayTags());
    }

    @Override
    public List<Extension> getAdditionalExtensions() {
        Cluster cluster = new Cluster(test, config, isCombined);
        // One process is broker and controller or only a broker: from outside there is no difference, so it runs once.
        ExecutionCondition once = context -> !isCombined && config.clusterTypes().size() > 1
            ? ConditionEvaluationResult.disabled(CaseListener.DUPLICATE) : ConditionEvaluationResult.enabled("");
        BeforeEachCallback start = context -> {
            if (config.isAutoStart()) cluster.start();
        };
        AfterTestExecutionCallback stop = context -> cluster.stop();
        // The test is not executed when its own preparation fails.
        AfterEachCallback stopAnyway = context -> cluster.stop();
        return List.of(once, start, stop, stopAnyway, new Verdict(cluster), new ClusterInstanceParameterResolver(cluster));
    }

    /** What fails after it asked for the inside of a broker is not applicable. */
    private record Verdict(Cluster cluster) implements TestExecutionExceptionHandler, LifecycleMethodExecutionExceptionHandler {
        @Override
        public void handleTestExecutionException(ExtensionContext context, Throwable failure) throws Throwable {
            String reason = cluster.notApplicable(failure);
            if (reason != null) throw new TestAbortedException(reason, failure);
            throw failure;
        }

        @Override
        public void handleBeforeEachMethodExecutionException(ExtensionContext context, Throwable failure) throws Throwable {
            handleTestExecutionException(context, failure);
        }

        @Override
        public void handleAfterEachMethodExecutionException(ExtensionContext context, Throwable failure) throws Throwable {
            handleTestExecutionException(context, failure);
        }
    }
}
