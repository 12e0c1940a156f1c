//! Reads requests for certificates. Everything in them comes from whoever asks.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use machineconfig::join::approval::{Request, RequestState, Wanted};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

use super::authority::address;

/// Where the API server says which credential a request came with.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// What the rules read of a request.
pub(crate) fn request(object: &CertificateSigningRequest) -> Request {
    let spec = &object.spec;
    let set = |texts: Option<&Vec<String>>| texts.into_iter().flatten().cloned().collect();
    Request {
        name: object.metadata.name.clone().unwrap_or_default(),
        signer: spec.signer_name.clone(),
        user: spec.username.clone().unwrap_or_default(),
        groups: set(spec.groups.as_ref()),
        credential: spec
            .extra
            .as_ref()
            .and_then(|extra| extra.get(CREDENTIAL)?.first().cloned()),
        usages: set(spec.usages.as_ref()),
        certificate: wanted(&spec.request.0),
        state: state(object),
    }
}

fn state(object: &CertificateSigningRequest) -> RequestState {
    let conditions = object
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let has =
        |type_: &str| conditions.is_some_and(|all| all.iter().any(|condition| condition.type_ == type_));
    if has("Denied") || has("Failed") {
        RequestState::Refused
    } else if has("Approved") {
        RequestState::Approved
    } else {
        RequestState::Pending
    }
}

/// The certificate that is asked for; none when any part of it cannot be read.
fn wanted(pem: &[u8]) -> Option<Wanted> {
    let (pem, _) = Pem::read(std::io::Cursor::new(pem)).ok()?;
    let (rest, parsed) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let info = &parsed.certification_request_info;
    let mut wanted = Wanted::default();
    for attribute in info.subject.iter_attributes() {
        let text = attribute.as_str().ok()?.to_owned();
        if *attribute.attr_type() == OID_X509_COMMON_NAME {
            wanted.common_names.push(text);
        } else if *attribute.attr_type() == OID_X509_ORGANIZATION_NAME {
            wanted.organisations.push(text);
        } else {
            wanted.has_other_attributes = true;
        }
    }
    for attribute in info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(extensions) = attribute.parsed_attribute() else {
            wanted.has_other_extensions = true;
            continue;
        };
        for extension in &extensions.extensions {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    wanted.hold(&names.general_names)?;
                }
                _ => wanted.has_other_extensions = true,
            }
        }
    }
    Some(wanted)
}

/// Reading names into what is wanted.
trait Hold {
    fn hold(&mut self, names: &[GeneralName<'_>]) -> Option<()>;
}

impl Hold for Wanted {
    fn hold(&mut self, names: &[GeneralName<'_>]) -> Option<()> {
        for name in names {
            match name {
                GeneralName::DNSName(name) => {
                    self.dns.insert((*name).to_owned());
                }
                GeneralName::IPAddress(bytes) => {
                    self.addresses.insert(address(bytes)?);
                }
                _ => self.has_other_extensions = true,
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::certificates::v1::{
        CertificateSigningRequestCondition, CertificateSigningRequestSpec, CertificateSigningRequestStatus,
    };
    use std::collections::BTreeSet;

    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn pem(change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "system:nodes");
        params
            .distinguished_name
            .push(DnType::CommonName, "system:node:new-1");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.serialize_request(&key).unwrap().pem().unwrap()
    }

    #[test]
    fn subject_and_names_are_read_and_nothing_else_passes_unseen() {
        let plain = wanted(pem(|_| {}).as_bytes()).unwrap();
        assert_eq!(plain.common_names, ["system:node:new-1"]);
        assert_eq!(plain.organisations, ["system:nodes"]);
        assert!(!plain.has_other_attributes && !plain.has_other_extensions && plain.dns.is_empty());
        let more = wanted(
            pem(|params| {
                params.distinguished_name.push(DnType::LocalityName, "x");
                params.subject_alt_names = vec![
                    SanType::DnsName(Ia5String::try_from("new-1").unwrap()),
                    SanType::IpAddress("192.0.2.1".parse().unwrap()),
                    SanType::IpAddress("2001:db8::1".parse().unwrap()),
                ];
            })
            .as_bytes(),
        )
        .unwrap();
        assert!(more.has_other_attributes && !more.has_other_extensions);
        assert_eq!(more.dns, BTreeSet::from(["new-1".to_owned()]));
        assert_eq!(more.addresses.len(), 2);
        let other = pem(|params| {
            params.subject_alt_names =
                vec![SanType::Rfc822Name(Ia5String::try_from("a@example.com").unwrap())];
        });
        assert!(wanted(other.as_bytes()).unwrap().has_other_extensions);
        let usage = pem(|params| params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign]);
        assert!(wanted(usage.as_bytes()).unwrap().has_other_extensions);
        for bad in [
            "",
            "x",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        ] {
            assert_eq!(wanted(bad.as_bytes()), None);
        }
    }

    #[test]
    fn what_the_api_server_says_of_it_is_read() {
        let mut object = CertificateSigningRequest {
            spec: CertificateSigningRequestSpec {
                request: ByteString(pem(|_| {}).into_bytes()),
                signer_name: "kubernetes.io/kube-apiserver-client-kubelet".to_owned(),
                username: Some("system:serviceaccount:a:b".to_owned()),
                groups: Some(vec!["g".to_owned()]),
                usages: Some(vec!["client auth".to_owned()]),
                extra: Some([(CREDENTIAL.to_owned(), vec!["JTI=1".to_owned()])].into()),
                ..CertificateSigningRequestSpec::default()
            },
            ..CertificateSigningRequest::default()
        };
        let read = request(&object);
        assert_eq!(read.credential.as_deref(), Some("JTI=1"));
        assert_eq!((read.state, read.usages.len()), (RequestState::Pending, 1));
        for (type_, state) in [
            ("Approved", RequestState::Approved),
            ("Denied", RequestState::Refused),
            ("Failed", RequestState::Refused),
        ] {
            object.status = Some(CertificateSigningRequestStatus {
                conditions: Some(vec![CertificateSigningRequestCondition {
                    type_: type_.to_owned(),
                    ..CertificateSigningRequestCondition::default()
                }]),
                ..CertificateSigningRequestStatus::default()
            });
            assert_eq!(request(&object).state, state);
        }
    }
}
