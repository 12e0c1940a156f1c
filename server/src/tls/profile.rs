//! The cluster's TLS security profile, from the optional `APIServer` manifest (`MCO server 1.6`, `1.10`).

use serde::Deserialize;

use super::settings::{MinVersion, Settings};

/// The one setting of an `APIServer` (`config.openshift.io/v1`) that counts here.
#[derive(Deserialize)]
struct ApiServer {
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Spec {
    tls_security_profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    #[serde(rename = "type", default)]
    kind: String,
    custom: Option<Custom>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Custom {
    #[serde(default)]
    ciphers: Vec<String>,
    #[serde(rename = "minTLSVersion", default)]
    min_tls_version: String,
}

/// The settings that a manifest asks for, and in words what of it cannot be had.
///
/// No profile, an unknown one and an empty custom one mean "Intermediate". TLS 1.0 and 1.1, which "Old" asks for, are
/// raised to 1.2.
///
/// # Errors
/// The reason when the manifest cannot be read at all.
pub fn from_api_server(manifest: &serde_json::Value) -> Result<(Settings, Vec<String>), serde_json::Error> {
    let Some(profile) = ApiServer::deserialize(manifest)?.spec.tls_security_profile else {
        return Ok((Settings::intermediate(), Vec::new()));
    };
    Ok(match (profile.kind.as_str(), profile.custom) {
        ("Modern", _) => (Settings::modern(), Vec::new()),
        ("Old", _) => {
            let warning = "profile Old asks for TLS 1.0; the lowest version offered is 1.2".to_owned();
            (Settings::intermediate(), vec![warning])
        }
        ("Custom", Some(custom)) if !custom.ciphers.is_empty() => from_custom(&custom),
        ("Custom" | "Intermediate" | "", _) => (Settings::intermediate(), Vec::new()),
        (other, _) => {
            let warning = format!("profile type {other:?} is unknown; Intermediate is used");
            (Settings::intermediate(), vec![warning])
        }
    })
}

fn from_custom(custom: &Custom) -> (Settings, Vec<String>) {
    let mut warnings = Vec::new();
    let min = custom.min_tls_version.parse().unwrap_or_else(|error| {
        if !custom.min_tls_version.is_empty() {
            warnings.push(format!("minTLSVersion: {error}"));
        }
        MinVersion::Tls12
    });
    let (settings, passed_over) = Settings::intermediate()
        .with_min(min)
        .with_openssl_suites(&custom.ciphers);
    if !passed_over.is_empty() {
        warnings.push(format!(
            "ciphers that are not supported are passed over: {}",
            passed_over.join(", ")
        ));
    }
    (settings, warnings)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(profile: &Value) -> (Settings, Vec<String>) {
        from_api_server(&json!({"kind": "APIServer", "spec": {"tlsSecurityProfile": profile}})).unwrap()
    }

    #[test]
    fn profiles_become_settings() {
        let all = Settings::intermediate();
        for profile in [
            json!(null),
            json!({}),
            json!({"type": "Intermediate"}),
            json!({"type": "Custom"}),
        ] {
            let (settings, warnings) = read(&profile);
            assert_eq!(settings.versions().len(), 2, "{profile}");
            assert_eq!(settings.suite_names(), all.suite_names(), "{profile}");
            assert!(warnings.is_empty(), "{profile}");
        }
        assert_eq!(
            read(&json!({"type": "Modern", "modern": {}})).0.versions().len(),
            1
        );
        let (old, warnings) = read(&json!({"type": "Old"}));
        assert_eq!((old.versions().len(), warnings.len()), (2, 1));
        assert_eq!(read(&json!({"type": "New"})).1.len(), 1);
    }

    #[test]
    fn a_custom_profile_speaks_openssl() {
        let ciphers = [
            "ECDHE-RSA-AES128-GCM-SHA256",
            "AES128-SHA",
            "TLS_AES_256_GCM_SHA384",
        ];
        let profile =
            json!({"type": "Custom", "custom": {"ciphers": ciphers, "minTLSVersion": "VersionTLS11"}});
        let (settings, warnings) = read(&profile);
        assert_eq!(settings.versions().len(), 2);
        assert_eq!(
            settings.suite_names(),
            ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"]
        );
        assert!(
            warnings[0].contains("VersionTLS11") && warnings[1].contains("AES128-SHA"),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_manifest_of_another_shape_is_an_error() {
        assert!(from_api_server(&json!({"spec": {"tlsSecurityProfile": "Modern"}})).is_err());
        assert!(from_api_server(&json!("text")).is_err());
    }
}
