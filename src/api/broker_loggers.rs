//! Levels of the broker's loggers, changed by IncrementalAlterConfigs (KIP-412). As in Kafka they are not kept over a restart,
//! and the older AlterConfigs does not know them.
//!
//! Source: RuntimeLoggerManager and LogLevelConfig; the messages are Kafka's.

use super::Context;
use super::errors::ResponseError;
use super::incremental_alter_configs::{APPEND, DELETE, Refusal, SET, SUBTRACT, check_values, invalid};
use crate::telemetry;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use tracing::info;

/// LogLevelConfig.VALID_LOG_LEVELS.
const LEVELS: [&str; 6] = ["DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"];

/// A logger, and the level that it gets; `None`: that of the logger above it.
type Change = (String, Option<String>);

/// Changes levels, all or none.
pub(super) fn alter(context: &Context, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let (name, node) = (resource.resource_name.as_str(), context.broker.config.server.node_id);
    match name.parse::<i32>() {
        Ok(id) if id == node => {}
        Ok(_) => return invalid(&format!("Unexpected node id. Expected {node}, but received {name}")),
        Err(_) => return invalid(&format!("Node id must be an integer, but it is: {name}")),
    }
    check_values(&resource.configs)?;
    let changes = resource.configs.iter().map(|config| change(config, telemetry::has_logger)).collect::<Result<Vec<_>, _>>()?;
    if validate_only {
        return Ok(());
    }
    telemetry::change_levels(&changes).or_else(|why| invalid(&why))?;
    info!(?changes, "levels of loggers changed");
    Ok(())
}

fn change(config: &AlterableConfig, exists: impl Fn(&str) -> bool) -> Result<Change, Refusal> {
    let logger = config.name.to_string();
    let refused = |why: String| Err((ResponseError::InvalidConfig, why));
    match config.config_operation {
        SET | DELETE if !exists(&logger) => refused(format!("Logger {logger} does not exist!")),
        SET => {
            let level = config.value.as_ref().map(ToString::to_string).unwrap_or_default();
            if !LEVELS.contains(&level.as_str()) {
                return refused(format!(
                    "Cannot set the log level of {logger} to {level} as it is not a supported log level. Valid log levels are {}",
                    LEVELS.join(", ")
                ));
            }
            Ok((logger, Some(level)))
        }
        DELETE if logger == telemetry::ROOT => invalid("Removing the log level of the root logger is not allowed"),
        DELETE => Ok((logger, None)),
        APPEND => invalid("APPEND operation is not allowed for the BROKER_LOGGER resource"),
        SUBTRACT => invalid("SUBTRACT operation is not allowed for the BROKER_LOGGER resource"),
        other => invalid(&format!("Unknown operation type {other} is not allowed for the BROKER_LOGGER resource")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::protocol::StrBytes;

    #[test]
    fn only_loggers_that_exist_get_levels_that_exist() {
        let asked = |name: &'static str, operation: i8, value: &'static str| {
            let config = AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_config_operation(operation)
                .with_value(Some(StrBytes::from_static_str(value)));
            change(&config, |name| name == "here" || name == "root")
        };
        let why = |name, operation, value| asked(name, operation, value).expect_err("refused");
        assert_eq!(why("there", SET, "INFO"), (ResponseError::InvalidConfig, "Logger there does not exist!".to_owned()));
        assert_eq!(why("there", DELETE, "").0, ResponseError::InvalidConfig);
        for level in ["OFF", "info", "", "LOUD"] {
            let (error, why) = why("here", SET, level);
            assert_eq!(error, ResponseError::InvalidConfig);
            assert!(why.ends_with("Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN"), "{why}");
        }
        assert_eq!(why("root", DELETE, "").0, ResponseError::InvalidRequest);
        for operation in [APPEND, SUBTRACT, 9] {
            assert_eq!(why("here", operation, "INFO").0, ResponseError::InvalidRequest);
        }
        assert_eq!(asked("here", SET, "TRACE").expect("taken"), ("here".to_owned(), Some("TRACE".to_owned())));
        assert_eq!(asked("here", DELETE, "").expect("taken"), ("here".to_owned(), None));
    }
}
