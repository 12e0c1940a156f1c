use std::sync::Arc;

use crds::ControllerConfigSpec;
use crds::controller_config::ImageRegistryBundle;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};

use super::*;
use crate::fake;

/// A certificate of this name that ends with this year.
fn certificate(name: &[(DnType, &str)], year: i32) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in name {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 12, 31);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn config(kubelet: &str, registry: &str) -> ControllerConfig {
    let spec = ControllerConfigSpec {
        kube_api_server_serving_ca_data: ByteString(kubelet.as_bytes().to_vec()),
        image_registry_bundle_user_data: vec![ImageRegistryBundle {
            file: "registry.example.com..5000".to_owned(),
            data: ByteString(registry.as_bytes().to_vec()),
        }],
        ..ControllerConfigSpec::default()
    };
    let mut config = ControllerConfig::new(CONTROLLER_CONFIG, spec);
    config.metadata.generation = Some(4);
    config
}

#[test]
fn every_certificate_of_a_bundle_is_told_in_the_references_words() {
    let name = [
        (DnType::OrganizationalUnitName, "openshift"),
        (DnType::CommonName, "kube-apiserver, the signer"),
        (DnType::CountryName, "DE"),
    ];
    let bundle = certificate(&name, 2030) + &certificate(&[(DnType::CommonName, "second")], 2040);
    let registry = certificate(&[(DnType::CommonName, "registry")], 2050);
    let (found, problems) = certificates(&config(&bundle, &registry));
    assert_eq!(problems, [""; 0]);
    let told: Vec<_> = found
        .iter()
        .map(|found| {
            let end = found.not_after.as_ref().unwrap().0.to_string();
            (found.bundle_file.as_str(), found.subject.as_str(), end)
        })
        .collect();
    let end = |year: i32| format!("{year}-12-31T00:00:00Z");
    assert_eq!(
        told,
        [
            (
                "KubeAPIServerServingCAData",
                "CN=kube-apiserver\\, the signer,OU=openshift,C=DE",
                end(2030)
            ),
            ("KubeAPIServerServingCAData", "CN=second", end(2040)),
            ("registry.example.com..5000", "CN=registry", end(2050)),
        ]
    );
    assert!(found.iter().all(|found| found.signer == found.subject));
}

#[test]
fn what_cannot_be_read_ends_its_bundle_and_no_other() {
    let first = certificate(&[(DnType::CommonName, "first")], 2030);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let last = certificate(&[(DnType::CommonName, "last")], 2030);
    let (found, problems) = certificates(&config(&format!("{first}{broken}{last}"), &last));
    let subjects: Vec<_> = found.iter().map(|found| found.subject.as_str()).collect();
    assert_eq!(subjects, ["CN=first", "CN=last"]);
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("KubeAPIServerServingCAData") && problems[0].contains("block 2"),
        "{problems:?}"
    );
}

#[test]
fn while_a_signer_is_replaced_the_new_one_counts() {
    let name = [(DnType::CommonName, "signer")];
    let bundle = certificate(&name, 2040) + &certificate(&name, 2021);
    let (found, _) = certificates(&config(&bundle, ""));
    let ends = expiries(&found);
    let end: Timestamp = "2040-12-31T00:00:00Z".parse().unwrap();
    assert_eq!(ends.into_values().collect::<Vec<_>>(), [end.as_second()]);
}

#[tokio::test]
async fn the_status_is_written_once_and_again_when_a_certificate_is_another() {
    let (context, record) = fake::context(|_| None);
    let put = |config: &ControllerConfig| {
        let caches = &context.caches;
        caches
            .controller_configs
            .put(CONTROLLER_CONFIG, Some(Arc::new(config.clone())));
    };
    let bundle = certificate(&[(DnType::CommonName, "first")], 2030);
    let mut object = config(&bundle, "");
    put(&object);
    reconcile(&context).await.unwrap();
    let writes = record.writes();
    assert_eq!(writes.len(), 1);
    assert!(
        writes[0]
            .path
            .contains("controllerconfigs/machine-config-controller/status")
    );
    let status = &writes[0].body["status"];
    assert_eq!(status["observedGeneration"], 4);
    assert_eq!(status["controllerCertificates"][0]["subject"], "CN=first");
    object.status = serde_json::from_value(status.clone()).unwrap();
    put(&object);
    reconcile(&context).await.unwrap();
    assert_eq!(record.writes(), []);
    let line = "machine_config_certificate_expiry_timestamp_seconds{bundle=\"KubeAPIServerServingCAData\",subject=\"CN=first\"}";
    assert!(context.health.metrics.text().contains(line));
    let mut other = config(&certificate(&[(DnType::CommonName, "second")], 2030), "");
    other.status.clone_from(&object.status);
    put(&other);
    reconcile(&context).await.unwrap();
    assert_eq!(record.writes().len(), 1);
    let text = context.health.metrics.text();
    assert!(text.contains("CN=second") && !text.contains("CN=first"), "{text}");
}

#[tokio::test]
async fn of_a_config_without_certificates_nothing_is_written() {
    let (context, record) = fake::context(|_| None);
    context
        .caches
        .controller_configs
        .put(CONTROLLER_CONFIG, Some(Arc::new(config("", ""))));
    reconcile(&context).await.unwrap();
    assert_eq!(record.writes(), []);
}
