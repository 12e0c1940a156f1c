//! Until when the certificates hold that the ControllerConfig has for nodes (MCO controller 5): in its status, and as metrics. The nodes
//! get them from the same object, also those of a paused pool.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use crds::ControllerConfig;
use crds::controller_config::ControllerCertificate;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::api::{apply_status, is_conflict, is_missing};
use crate::context::Context;
use crate::defaults::CONTROLLER_CONFIG;
use crate::events::Teller;
use crate::queue::Next;

/// Whose fields these are.
const MANAGER: &str = "machine-config-controller-certificates";
/// The key that they are looked after by.
pub(crate) const KEY: &str = "certificates";
/// The event about a bundle that cannot be read.
const REFUSED: &str = "CertificatesRefused";

/// What names of a subject are called, and the order that the reference's text has them in, from behind (Go's `pkix.Name`).
const NAMES: [(&str, &str); 9] = [
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.3", "CN"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.8", "ST"),
    ("2.5.4.7", "L"),
    ("2.5.4.11", "OU"),
    ("2.5.4.10", "O"),
    ("2.5.4.6", "C"),
];

/// Writes what is in the ControllerConfig's bundles to its status, when that does not say so already.
pub(crate) async fn reconcile(context: &Context) -> Result<Next> {
    let Some(config) = context.caches.controller_configs.get(CONTROLLER_CONFIG) else {
        context.health.metrics.certificates(&BTreeMap::new());
        return Ok(Next::Done);
    };
    let (certificates, problems) = certificates(&config);
    context.health.metrics.certificates(&expiries(&certificates));
    if problems.is_empty() {
        context.events.passed(&*config, REFUSED);
    } else {
        let note = problems.join("; ");
        context.events.warning(Teller::Render, &*config, REFUSED, note);
    }
    let status = config.status.as_ref();
    let said = status.map_or(&[][..], |status| &status.controller_certificates);
    let observed = status.and_then(|status| status.observed_generation);
    // As the reference, that nothing was found is not said of an object that has never said anything.
    let is_said = said == certificates && (certificates.is_empty() || observed >= config.metadata.generation);
    if is_said {
        return Ok(Next::Done);
    }
    let fields = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "ControllerConfig",
        "metadata": {"name": CONTROLLER_CONFIG, "uid": config.metadata.uid},
        "status": {"observedGeneration": config.metadata.generation, "controllerCertificates": certificates},
    });
    match apply_status(
        &context.api::<ControllerConfig>(),
        MANAGER,
        CONTROLLER_CONFIG,
        &fields,
    )
    .await
    {
        Ok(_) => context.health.metrics.wrote("ControllerConfig"),
        // Deleted, or made anew: it is looked at again when that arrives.
        Err(error) if is_missing(&error) || is_conflict(&error) => {}
        Err(error) => {
            return Err(error)
                .context("could not write the status of ControllerConfig/machine-config-controller");
        }
    }
    Ok(Next::Done)
}

/// The certificates of all bundles, and what is wrong with those that cannot be read to their end.
fn certificates(config: &ControllerConfig) -> (Vec<ControllerCertificate>, Vec<String>) {
    let spec = &config.spec;
    let none = ByteString::default();
    let own = [
        (
            "KubeAPIServerServingCAData",
            &spec.kube_api_server_serving_ca_data,
        ),
        (
            "CloudProviderCAData",
            spec.cloud_provider_ca_data.as_ref().unwrap_or(&none),
        ),
        ("RootCAData", &spec.root_ca_data),
        (
            "AdditionalTrustBundle",
            spec.additional_trust_bundle.as_ref().unwrap_or(&none),
        ),
    ];
    let registries = spec
        .image_registry_bundle_data
        .iter()
        .chain(&spec.image_registry_bundle_user_data);
    let bundles = own
        .into_iter()
        .chain(registries.map(|bundle| (bundle.file.as_str(), &bundle.data)));
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (name, bundle) in bundles {
        if let Err(error) = read(name, &bundle.0, &mut found) {
            problems.push(format!("the bundle {name} cannot be read: {error:#}"));
        }
    }
    (found, problems)
}

/// Adds the certificates of a bundle, up to the first that cannot be read.
fn read(name: &str, bundle: &[u8], found: &mut Vec<ControllerCertificate>) -> Result<()> {
    for (index, block) in Pem::iter_from_buffer(bundle).enumerate() {
        let number = index + 1;
        let block = block.with_context(|| format!("block {number} is no PEM"))?;
        let (_, certificate) = X509Certificate::from_der(&block.contents)
            .with_context(|| format!("block {number} is no certificate"))?;
        let validity = certificate.validity();
        found.push(ControllerCertificate {
            subject: text(certificate.subject()),
            signer: text(certificate.issuer()),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
            bundle_file: name.to_owned(),
        });
    }
    Ok(())
}

/// None for a time beyond the year 9999, which means for ever.
fn time(second: i64) -> Option<Time> {
    Timestamp::from_second(second).ok().map(Time)
}

/// A name as the reference writes it: `CN=kube-apiserver-lb-signer,OU=openshift`.
fn text(name: &X509Name<'_>) -> String {
    let attributes: Vec<_> = name.iter_attributes().collect();
    let parts = NAMES.iter().filter_map(|(id, short)| {
        let of_type = attributes
            .iter()
            .filter(|attribute| attribute.attr_type().to_id_string() == *id)
            .map(|attribute| format!("{short}={}", escaped(attribute)));
        let of_type: Vec<_> = of_type.collect();
        (!of_type.is_empty()).then(|| of_type.join("+"))
    });
    let others = attributes.iter().rev().filter_map(|attribute| {
        let id = attribute.attr_type().to_id_string();
        let is_known = NAMES.iter().any(|(known, _)| *known == id);
        (!is_known).then(|| format!("{id}={}", escaped(attribute)))
    });
    parts.chain(others).collect::<Vec<_>>().join(",")
}

/// The value, with a backslash before what separates (RFC 2253).
fn escaped(attribute: &AttributeTypeAndValue<'_>) -> String {
    let text = attribute.as_str().unwrap_or_default();
    let last = text.chars().count().saturating_sub(1);
    let mut escaped = String::new();
    for (index, c) in text.chars().enumerate() {
        let at_an_end = (c == ' ' && (index == 0 || index == last)) || (c == '#' && index == 0);
        if ",+\"\\<>;".contains(c) || at_an_end {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// By bundle and subject, when the last certificate of that subject ends: while a signer is replaced, the bundle has both.
fn expiries(certificates: &[ControllerCertificate]) -> BTreeMap<(String, String), i64> {
    let mut expiries = BTreeMap::new();
    for certificate in certificates {
        let Some(end) = &certificate.not_after else {
            continue;
        };
        let key = (certificate.bundle_file.clone(), certificate.subject.clone());
        let latest = expiries.entry(key).or_insert(i64::MIN);
        *latest = (*latest).max(end.0.as_second());
    }
    expiries
}

#[cfg(test)]
mod tests;
