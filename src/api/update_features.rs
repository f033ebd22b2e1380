//! UpdateFeatures, key 57, versions 0-2.
//!
//! Behaviour: levels of features are settings here, so a request that leaves every feature where it stands is taken, and one that
//! would change a level is INVALID_UPDATE_VERSION with a message that names the setting. What Kafka refuses is refused before
//! that, in its words. The first feature that is refused refuses them all. kraft.version is a feature of a quorum of controllers:
//! unknown. metadata.version says which Kafka this speaks as, and has one level.
//!
//! Version notes: 0 has a flag for downgrades, 1 (KIP-778) kinds of upgrades, and validation without change; 2 (KIP-1022) has no
//! results by feature any more.
//! Not implemented: nothing.

use super::errors::catalog::message;
use super::errors::{NONE, ResponseError};
use super::features::{self, Feature};
use super::{Answer, Context, Handler};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use std::ops::RangeInclusive;

/// FeatureUpdate.UpgradeType.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// The last version with results by feature.
const RESULTS: i16 = 1;

pub struct UpdateFeatures;

impl Handler for UpdateFeatures {
    type Request = UpdateFeaturesRequest;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    async fn handle(context: Context, request: UpdateFeaturesRequest) -> Answer<UpdateFeaturesResponse> {
        let config = &context.broker.config;
        let known = features::all(&config.kafka);
        let refused = request.feature_updates.iter().find_map(|update| {
            let why = check(update, &known, config.server.node_id).err()?;
            Some(format!("Invalid update version {} for feature {}. {why}", update.max_version_level, update.feature.as_str()))
        });
        let response = UpdateFeaturesResponse::default();
        if let Some(why) = refused {
            let why = format!("The update failed for all features since the following feature had an error: {why}");
            let error = ResponseError::InvalidUpdateVersion.code();
            return Answer::Now(response.with_error_code(error).with_error_message(Some(message(&why))));
        }
        let result = |update: FeatureUpdateKey| {
            UpdatableFeatureResult::default().with_feature(update.feature).with_error_code(NONE).with_error_message(None)
        };
        let results = match context.version {
            ..=RESULTS => request.feature_updates.into_iter().map(result).collect(),
            _ => Vec::new(),
        };
        Answer::Now(response.with_error_code(NONE).with_error_message(None).with_results(results))
    }

    fn unsupported() -> UpdateFeaturesResponse {
        UpdateFeaturesResponse::default().with_error_code(ResponseError::UnsupportedVersion.code())
    }
}

/// Whether a feature may be told to go to a level: only to where it stands. Source: FeatureControlManager.updateFeature,
/// QuorumFeatures.
fn check(update: &FeatureUpdateKey, known: &[Feature], node: i32) -> Result<(), String> {
    let level = update.max_version_level;
    // Version 0 says "downgrades are allowed" instead.
    let kind = if update.allow_downgrade { SAFE_DOWNGRADE } else { update.upgrade_type };
    if !(UPGRADE..=UNSAFE_DOWNGRADE).contains(&kind) {
        return Err("The controller does not support the given upgrade type.".to_owned());
    }
    if level < 0 {
        return Err("A feature version cannot be less than 0.".to_owned());
    }
    let Some(feature) = known.iter().find(|feature| feature.name == update.feature.as_str()) else {
        return Err(format!("Local controller {node} does not support this feature."));
    };
    let (first, last) = (feature.levels.start(), feature.levels.end());
    if !feature.levels.contains(&level) {
        return Err(format!("Local controller {node} only supports versions {first}-{last}"));
    }
    if level < feature.level && kind == UPGRADE {
        return Err("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe \
                    downgrade."
            .to_owned());
    }
    if level > feature.level && kind != UPGRADE {
        return Err("Can't downgrade to a newer version.".to_owned());
    }
    if level != feature.level {
        let current = feature.level;
        return Err(match feature.setting {
            Some(setting) => {
                format!(
                    "It is {current} while this server runs; set {setting} to {level} in its configuration and start it again."
                )
            }
            None => format!("It is {current} in this version of the server."),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KafkaSettings;
    use kafka_protocol::protocol::StrBytes;

    /// Why `feature` may not go to `level`; group.version stands at 1 of 0 to 1, transaction.version at 2 of 0 to 2.
    fn why(feature: &'static str, level: i16, kind: i8) -> String {
        let update = FeatureUpdateKey::default().with_feature(StrBytes::from_static_str(feature)).with_max_version_level(level);
        let known = features::all(&KafkaSettings::default());
        check(&update.with_upgrade_type(kind), &known, 7).err().unwrap_or_default()
    }

    #[test]
    fn a_level_can_only_stay_as_it_is() {
        for kind in [0, 4, -1] {
            assert_eq!(why("group.version", 1, kind), "The controller does not support the given upgrade type.");
        }
        assert_eq!(why("group.version", -1, UPGRADE), "A feature version cannot be less than 0.");
        for unknown in ["kraft.version", "no-such.version"] {
            assert_eq!(why(unknown, 1, UPGRADE), "Local controller 7 does not support this feature.");
        }
        assert_eq!(why("group.version", 2, UPGRADE), "Local controller 7 only supports versions 0-1");
        assert!(why("group.version", 0, UPGRADE).starts_with("Can't downgrade the version of this feature without"));
        for kind in [SAFE_DOWNGRADE, UNSAFE_DOWNGRADE] {
            assert_eq!(
                why("transaction.version", 1, kind),
                "It is 2 while this server runs; set feature.transaction.version to 1 in its configuration and start it again."
            );
            assert_eq!(why("transaction.version", 2, kind), "");
        }
        assert_eq!(why("group.version", 1, UPGRADE), "");
        assert_eq!(why("metadata.version", 30, UPGRADE), "");
        assert_eq!(why("metadata.version", 29, SAFE_DOWNGRADE), "It is 30 in this version of the server.");
        assert_eq!(why("metadata.version", 6, SAFE_DOWNGRADE), "Local controller 7 only supports versions 7-30");
    }

    #[test]
    fn what_is_newer_is_no_downgrade() {
        let known = [Feature { name: "f.version", setting: Some("feature.f.version"), levels: 0..=2, level: 1 }];
        let update = FeatureUpdateKey::default().with_feature(StrBytes::from_static_str("f.version")).with_max_version_level(2);
        let down = check(&update.clone().with_upgrade_type(SAFE_DOWNGRADE), &known, 7);
        assert_eq!(down, Err("Can't downgrade to a newer version.".to_owned()));
        assert_eq!(check(&update.clone().with_allow_downgrade(true), &known, 7), down, "as version 0 says it");
        assert!(check(&update, &known, 7).is_err_and(|why| why.contains("set feature.f.version to 2")));
    }
}
