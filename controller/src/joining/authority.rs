//! The CA of the server of new machines and the pair it serves with: when each is due, and making it. Plain functions of values.
//!
//! A machine trusts what its pointer names, and pointers lie about for years. So a new CA is also signed by the one before, and what
//! is served bears that signature along: who has the old pointer finds the old CA at the end of the chain, who has the new one the new.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// How long a CA is good for, and after which part of that a new one is made (`MCO server 1.12`: ten years and eight).
const AUTHORITY: Life = Life {
    whole: SignedDuration::from_hours(10 * YEAR),
    renewed: SignedDuration::from_hours(8 * YEAR),
};
/// The same of what is served. The reference's lives as long as the CA; a shorter life costs nothing where it is renewed by itself.
const SERVING: Life = Life {
    whole: SignedDuration::from_hours(YEAR),
    renewed: SignedDuration::from_hours(YEAR / 3 * 2),
};
/// Hours of a year.
const YEAR: i64 = 365 * 24;
/// Before this a certificate is good already: clocks of new machines are wrong more often than right.
const SKEW: SignedDuration = SignedDuration::from_hours(24);
/// The name of a CA; its number makes each another one.
const COMMON_NAME: &str = "machine-config-server-ca";

struct Life {
    whole: SignedDuration,
    renewed: SignedDuration,
}

/// A CA: certificate and key in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// The same CA as the one before it has signed it; empty when there was none.
    pub(crate) crossed: String,
}

/// What is served: the chain and its key in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Serving {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// The CA to use from now on, if it is not the one there is.
///
/// One that is there and cannot be used is an error, and not replaced: machines hold pointers that trust it and nothing else.
pub(crate) fn renewed_authority(old: Option<&Authority>, now: Timestamp) -> Result<Option<Authority>> {
    let Some(old) = old else {
        return make_authority(None, now).map(Some);
    };
    let begin = begin(&old.certificate).context("tls.crt is no certificate")?;
    KeyPair::from_pem(&old.key).context("tls.key is no key that can be used; give it as PKCS #8")?;
    if now < begin + SKEW + AUTHORITY.renewed {
        return Ok(None);
    }
    make_authority(Some(old), now).map(Some)
}

fn make_authority(before: Option<&Authority>, now: Timestamp) -> Result<Authority> {
    let key = KeyPair::generate().context("could not make a key")?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{COMMON_NAME}@{}", now.as_second()));
    params.not_before = time(now - SKEW)?;
    params.not_after = time(now + AUTHORITY.whole)?;
    let certificate = params.self_signed(&key)?.pem();
    let crossed = match before {
        Some(before) => {
            // It is no good beyond the one that signs it.
            params.not_after = time(end(&before.certificate).unwrap_or(now))?;
            let signer = Issuer::from_ca_cert_pem(&before.certificate, KeyPair::from_pem(&before.key)?)?;
            params.signed_by(&key, &signer)?.pem()
        }
        None => String::new(),
    };
    Ok(Authority {
        certificate,
        key: key.serialize_pem(),
        crossed,
    })
}

/// The CAs that a pointer names: the one there is, and those before that are still good.
pub(crate) fn bundle(authority: &Authority, before: &str, now: Timestamp) -> String {
    let mut bundle = authority.certificate.clone();
    for certificate in certificates(before) {
        let is_good = end(&certificate).is_some_and(|end| end > now);
        if is_good && !bundle.contains(&certificate) {
            bundle.push_str(&certificate);
        }
    }
    bundle
}

/// What to serve from now on, if it is not what is served.
pub(crate) fn renewed_serving(
    authority: &Authority,
    old: Option<&Serving>,
    hosts: &[String],
    now: Timestamp,
) -> Result<Option<Serving>> {
    if old.is_some_and(|old| is_good(old, authority, hosts, now)) {
        return Ok(None);
    }
    let key = KeyPair::generate().context("could not make a key")?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.subject_alt_names = hosts
        .iter()
        .map(|host| match host.parse() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_) => Ia5String::try_from(host.as_str()).map(SanType::DnsName),
        })
        .collect::<Result<_, _>>()
        .context("a host of the server is no name")?;
    params.distinguished_name.push(
        DnType::CommonName,
        hosts.first().map_or("machine-config-server", String::as_str),
    );
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = time(now - SKEW)?;
    params.not_after = time(now + SERVING.whole)?;
    let signer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let leaf = params.signed_by(&key, &signer)?.pem();
    Ok(Some(Serving {
        chain: format!("{leaf}{}", still_crossed(authority, now)),
        key: key.serialize_pem(),
    }))
}

/// The signature of the CA before, as long as anybody may know that one alone.
fn still_crossed(authority: &Authority, now: Timestamp) -> &str {
    if end(&authority.crossed).is_some_and(|end| end > now) {
        &authority.crossed
    } else {
        ""
    }
}

fn is_good(serving: &Serving, authority: &Authority, hosts: &[String], now: Timestamp) -> bool {
    let chain = certificates(&serving.chain);
    let Some((leaf, rest)) = chain.split_first() else {
        return false;
    };
    let Some(begin) = begin(leaf) else {
        return false;
    };
    let is_young = now < begin + SKEW + SERVING.renewed;
    let is_crossed = rest.concat() == still_crossed(authority, now);
    let has_key = KeyPair::from_pem(&serving.key).is_ok();
    is_young
        && is_crossed
        && has_key
        && names(leaf) == sorted(hosts)
        && is_signed(leaf, &authority.certificate)
}

fn sorted(hosts: &[String]) -> Vec<String> {
    let mut hosts = hosts.to_vec();
    hosts.sort();
    hosts
}

// === reading certificates ===

/// The certificates of a bundle, each in PEM.
fn certificates(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    bundle
        .split_inclusive(END)
        .filter_map(|part| Some(&part[part.find("-----BEGIN CERTIFICATE-----")?..]))
        .filter(|part| part.ends_with(END))
        .map(|part| format!("{part}\n"))
        .collect()
}

fn parsed<T>(pem: &str, read: impl FnOnce(&x509_parser::certificate::X509Certificate<'_>) -> T) -> Option<T> {
    let (pem, _) = Pem::read(std::io::Cursor::new(pem)).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(read(&certificate))
}

fn begin(pem: &str) -> Option<Timestamp> {
    let seconds = parsed(pem, |certificate| certificate.validity().not_before.timestamp())?;
    Timestamp::from_second(seconds).ok()
}

/// When a certificate ends.
pub(crate) fn end(pem: &str) -> Option<Timestamp> {
    let seconds = parsed(pem, |certificate| certificate.validity().not_after.timestamp())?;
    Timestamp::from_second(seconds).ok()
}

/// The names and addresses that a certificate holds for, sorted.
fn names(pem: &str) -> Vec<String> {
    let names = parsed(pem, |certificate| {
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| {
            names
                .value
                .general_names
                .iter()
                .filter_map(name)
                .collect::<Vec<_>>()
        });
        names.unwrap_or_default()
    });
    sorted(&names.unwrap_or_default())
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

/// An address as certificates have it: its bytes.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Whether that CA has signed it, as far as it says so itself.
fn is_signed(pem: &str, authority: &str) -> bool {
    let issuer = parsed(pem, |certificate| certificate.issuer().to_string());
    issuer.is_some() && issuer == parsed(authority, |certificate| certificate.subject().to_string())
}

fn time(at: Timestamp) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(at.as_second()).context("a time that no certificate can say")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn at(days: i64) -> Timestamp {
        NOW.parse::<Timestamp>().unwrap() + SignedDuration::from_hours(days * 24)
    }

    fn hosts() -> Vec<String> {
        ["api-int.example.com", "192.0.2.1", "2001:db8::1"]
            .map(str::to_owned)
            .into()
    }

    fn authority(days: i64) -> Authority {
        renewed_authority(None, at(days)).unwrap().unwrap()
    }

    #[test]
    fn a_ca_is_renewed_in_time_and_not_before() {
        let first = authority(0);
        for (days, is_due) in [
            (0, false),
            (8 * 365 - 1, false),
            (8 * 365 + 1, true),
            (20 * 365, true),
        ] {
            let renewed = renewed_authority(Some(&first), at(days)).unwrap();
            assert_eq!(renewed.is_some(), is_due, "{days}");
        }
        let second = renewed_authority(Some(&first), at(9 * 365)).unwrap().unwrap();
        assert!(first.crossed.is_empty() && !second.crossed.is_empty());
        assert_eq!(end(&second.crossed), end(&first.certificate));
        let broken = Authority {
            key: "no key".to_owned(),
            ..first.clone()
        };
        assert!(renewed_authority(Some(&broken), at(9 * 365)).is_err());
    }

    #[test]
    fn pointers_name_every_ca_that_is_still_good() {
        let first = authority(0);
        let second = renewed_authority(Some(&first), at(9 * 365)).unwrap().unwrap();
        let both = bundle(&second, &bundle(&first, "", at(0)), at(9 * 365));
        assert_eq!(
            certificates(&both),
            [second.certificate.clone(), first.certificate.clone()]
        );
        assert_eq!(bundle(&second, &both, at(9 * 365)), both, "once each");
        assert_eq!(
            certificates(&bundle(&second, &both, at(11 * 365))),
            std::slice::from_ref(&second.certificate)
        );
        assert_eq!(
            bundle(&first, "rubbish -----END CERTIFICATE-----", at(0)),
            first.certificate
        );
    }

    #[test]
    fn what_is_served_is_renewed_when_it_must_be() {
        let first = authority(0);
        let serving = renewed_serving(&first, None, &hosts(), at(0)).unwrap().unwrap();
        let is_due = |serving: &Serving, authority: &Authority, hosts: &[String], days| {
            renewed_serving(authority, Some(serving), hosts, at(days))
                .unwrap()
                .is_some()
        };
        let mut reordered = hosts();
        reordered.reverse();
        assert!(!is_due(&serving, &first, &hosts(), 0) && !is_due(&serving, &first, &reordered, 200));
        assert!(is_due(&serving, &first, &hosts(), 250), "old");
        assert!(is_due(&serving, &first, &hosts()[..2], 0), "other hosts");
        let second = renewed_authority(Some(&first), at(9 * 365)).unwrap().unwrap();
        assert!(is_due(&serving, &second, &hosts(), 1), "another CA");
        let rubbish = Serving {
            chain: String::new(),
            ..serving
        };
        assert!(is_due(&rubbish, &first, &hosts(), 0));
        // Once nobody can know the CA before alone, its signature is left out.
        let crossed = renewed_serving(&second, None, &hosts(), at(9 * 365))
            .unwrap()
            .unwrap();
        assert_eq!(certificates(&crossed.chain).len(), 2);
        assert!(is_due(&crossed, &second, &hosts(), 10 * 365 + 3));
        let alone = renewed_serving(&second, None, &hosts(), at(11 * 365))
            .unwrap()
            .unwrap();
        assert_eq!(certificates(&alone.chain).len(), 1);
    }

    /// Verified as a machine verifies it: by the CAs that its pointer names.
    #[test]
    fn who_has_the_old_pointer_and_who_has_the_new_one_both_trust_it() {
        let first = authority(0);
        let second = renewed_authority(Some(&first), at(9 * 365)).unwrap().unwrap();
        let serving = renewed_serving(&second, None, &hosts(), at(9 * 365))
            .unwrap()
            .unwrap();
        let stranger = authority(0);
        for (trusted, is_good) in [
            (first.certificate.clone(), true),
            (second.certificate.clone(), true),
            (bundle(&second, &first.certificate, at(9 * 365)), true),
            (stranger.certificate, false),
        ] {
            for host in hosts() {
                assert_eq!(
                    verify(&serving.chain, &trusted, &host, at(9 * 365)),
                    is_good,
                    "{host}"
                );
            }
            assert!(!verify(
                &serving.chain,
                &trusted,
                "elsewhere.example.com",
                at(9 * 365)
            ));
        }
    }

    fn verify(chain: &str, trusted: &str, host: &str, now: Timestamp) -> bool {
        use rustls::client::WebPkiServerVerifier;
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(trusted.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .unwrap();
        let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .map(Result::unwrap)
            .collect();
        let since = std::time::Duration::from_secs(now.as_second().try_into().unwrap());
        let host = ServerName::try_from(host.to_owned()).unwrap();
        rustls::client::danger::ServerCertVerifier::verify_server_cert(
            &*verifier,
            &chain[0],
            &chain[1..],
            &host,
            &[],
            UnixTime::since_unix_epoch(since),
        )
        .is_ok()
    }
}
