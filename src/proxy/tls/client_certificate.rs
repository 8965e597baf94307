//! What a client's certificate says about the client. It has been verified by then.

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::X509Name;

use crate::config::tls::ip_address;
use crate::request::ClientCertificate;

/// Reads the subject and the alternative names of a certificate in DER.
pub(in crate::proxy) fn read(der: &[u8]) -> Option<ClientCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let alternative_names = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => ip_address(bytes),
        _ => None,
    });
    Some(ClientCertificate {
        subject: distinguished_name(certificate.subject()),
        alternative_names: alternative_names.collect(),
    })
}

/// The name in the form of RFC 4514: the most specific part first, special characters escaped.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for relative in name.iter() {
        let attributes: Vec<String> = relative
            .iter()
            .map(|attribute| {
                let kind = attribute.attr_type().to_id_string();
                let kind = SHORT_NAMES
                    .iter()
                    .find(|(oid, _)| *oid == kind)
                    .map_or(kind.as_str(), |(_, short)| short);
                format!("{kind}={}", escape(attribute.as_str().unwrap_or_default()))
            })
            .collect();
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    parts.join(",")
}

/// The short names of RFC 4514 §3.
const SHORT_NAMES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// Escapes what RFC 4514 §2.4 asks for, and control characters as hexadecimal pairs.
fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (at, letter) in value.chars().enumerate() {
        let special = matches!(letter, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (at == 0 && matches!(letter, ' ' | '#'))
            || (at == last && letter == ' ');
        if letter.is_control() {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                escaped.push('\\');
                escaped.push_str(&crate::hex::encode(&[byte]));
            }
            continue;
        }
        if special {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        for (value, expect) in [
            ("Acme", "Acme"),
            ("Acme, Inc.", "Acme\\, Inc."),
            (" x ", "\\ x\\ "),
            ("#1", "\\#1"),
            ("a\r\nb", "a\\0d\\0ab"),
            ("CN=x+y", "CN=x\\+y"),
        ] {
            assert_eq!(escape(value), expect);
        }
    }
}
