//! Everything that is fetched: sources, compression, hashes, headers, proxies.

use super::url::{self, Url};
use super::{Report, View, shorten};
use crate::path::Path;
use crate::problem::Kind as Fault;
use crate::version::Spec;

/// The rule of a resource or reference.
pub(crate) fn resource(resource: &View<'_>, report: &mut Report) {
    let source = resource.text("source");
    compression(resource.text("compression"), &resource.at("compression"), report);
    let hash = resource
        .inner("verification")
        .and_then(|verification| verification.text("hash"));
    if hash.is_some() && source.is_none() {
        let at = resource.at("verification");
        report.error(
            &at.field("hash"),
            Fault::Conflict,
            "a hash needs a source to verify",
        );
    }
    check_source(
        source.unwrap_or_default(),
        resource.spec,
        &resource.at("source"),
        report,
    );
    headers(resource, report);
}

/// Reports a compression other than none and gzip.
pub(super) fn compression(compression: Option<&str>, at: &Path<'_>, report: &mut Report) {
    if let Some(unknown) = compression.filter(|method| !matches!(*method, "" | "gzip")) {
        report.error(
            at,
            Fault::Compression,
            format!(
                "unknown compression {}: use \"gzip\", or leave it out",
                shorten(unknown)
            ),
        );
    }
}

/// Reports a source that cannot be fetched. An empty one is empty contents.
pub(super) fn check_source(source: &str, spec: Spec, at: &Path<'_>, report: &mut Report) {
    if source.is_empty() || (report.merged && source.starts_with("data:")) {
        return;
    }
    if let Err((kind, message)) = url::check_source(source, spec) {
        report.error(at, kind, message);
    }
}

fn headers(resource: &View<'_>, report: &mut Report) {
    if resource.list("httpHeaders").is_empty() {
        return;
    }
    let scheme = resource
        .filled("source")
        .and_then(|source| Url::parse(source).ok())
        .map(|url| url.scheme);
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        report.error(
            &resource.at("httpHeaders"),
            Fault::Url,
            "headers need an http or https source: leave them out otherwise",
        );
    }
}

/// The rule of an HTTP header. One without a value is fine: merged over another config, it deletes.
pub(crate) fn header(header: &View<'_>, report: &mut Report) {
    if header.filled("name").is_none() {
        report.error(&header.at("name"), Fault::Missing, "a header needs a name");
    }
    if header.text("value") == Some("") {
        report.error(
            &header.at("value"),
            Fault::Value,
            "a header's value must not be empty: leave it out or fill it",
        );
    }
}

/// The rule of a verification.
pub(crate) fn verification(verification: &View<'_>, report: &mut Report) {
    if let Some(hash) = verification.text("hash") {
        check_hash(hash, verification.spec, &verification.at("hash"), report);
    }
}

/// Reports a hash that is not a known function, a dash and a sum of the right length.
pub(super) fn check_hash(hash: &str, spec: Spec, at: &Path<'_>, report: &mut Report) {
    let fault = match hash.split_once('-') {
        Some(("sha512", sum)) => (sum.len() != 128).then_some("a sha512 sum has 128 hexadecimal digits"),
        Some(("sha256", sum)) if spec >= Spec::V3_1 => {
            (sum.len() != 64).then_some("a sha256 sum has 64 hexadecimal digits")
        }
        Some(("sha256", _)) => Some("sha256 is known from version 3.1.0 on: use sha512"),
        Some(_) => Some("unknown hash function: use sha512-<sum> or sha256-<sum>"),
        None => Some("a hash is written sha512-<sum> or sha256-<sum>"),
    };
    if let Some(fault) = fault {
        report.error(at, Fault::Hash, fault);
    }
}

/// The rule of the references to other configs.
pub(crate) fn merges(config: &View<'_>, report: &mut Report) {
    required_sources(config, "merge", report);
}

/// The rule of the certificate authorities.
pub(crate) fn authorities(tls: &View<'_>, report: &mut Report) {
    required_sources(tls, "certificateAuthorities", report);
}

fn required_sources(section: &View<'_>, list: &'static str, report: &mut Report) {
    let path = section.at(list);
    for (i, reference) in section.objects(list).enumerate() {
        if reference.filled("source").is_none() {
            report.error(
                &path.index(i).field("source"),
                Fault::Missing,
                "a source is needed here",
            );
        }
    }
}

/// The rule of the proxy section.
pub(crate) fn proxy(proxy: &View<'_>, report: &mut Report) {
    for (name, http_is_fine) in [("httpProxy", true), ("httpsProxy", false)] {
        let Some(text) = proxy.text(name) else { continue };
        match Url::parse(text) {
            Err(fault) => report.error(&proxy.at(name), Fault::Url, fault),
            Ok(url) => match url.scheme.as_str() {
                "https" => {}
                "http" if http_is_fine => {}
                "http" => report.warn(
                    &proxy.at(name),
                    Fault::Url,
                    "requests for https go through an insecure proxy",
                ),
                _ => report.error(
                    &proxy.at(name),
                    Fault::Url,
                    "a proxy's URL begins with http: or https:",
                ),
            },
        }
    }
}

/// The rule of a tang server.
pub(crate) fn tang(tang: &View<'_>, report: &mut Report) {
    match Url::parse(tang.text("url").unwrap_or_default()) {
        Err(fault) => report.error(&tang.at("url"), Fault::Url, fault),
        Ok(url) if matches!(url.scheme.as_str(), "http" | "https") => {}
        Ok(_) => report.error(
            &tang.at("url"),
            Fault::Url,
            "a tang server's URL begins with http: or https:",
        ),
    }
    if tang.filled("thumbprint").is_none() {
        report.error(
            &tang.at("thumbprint"),
            Fault::Missing,
            "a tang server needs a thumbprint",
        );
    }
    let advertisement = tang.filled("advertisement");
    if advertisement.is_some_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()) {
        report.error(
            &tang.at("advertisement"),
            Fault::Value,
            "an advertisement is a JSON text",
        );
    }
}
