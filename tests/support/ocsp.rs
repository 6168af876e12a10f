//! OCSP answers (RFC 6960) to staple to a handshake, written byte by byte so that they can be wrong in one place.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use der::{Decode, Encode};
use rcgen::SigningKey;

use super::pki::Authority;

/// What the answer says of the certificate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Says {
    Good,
    Revoked,
    Unknown,
}

/// An answer about the certificate with that serial, issued by `issuer`, signed by `signer`.
pub fn answer(says: Says, serial: &[u8], issuer: &Authority, signer: &Authority) -> Vec<u8> {
    let (issuer_name, issuer_key) = name_and_key(issuer);
    let status = match says {
        Says::Good => tlv(0x80, &[]),
        Says::Revoked => tlv(0xa1, &time("20240201000000Z")),
        Says::Unknown => tlv(0x82, &[]),
    };
    let sha1 = sequence(&[&tlv(0x06, &[0x2b, 0x0e, 0x03, 0x02, 0x1a]), &tlv(0x05, &[])]);
    let id = sequence(&[
        &sha1,
        &tlv(0x04, &hash(&issuer_name)),
        &tlv(0x04, &hash(&issuer_key)),
        &tlv(0x02, serial),
    ]);
    let single = sequence(&[
        &id,
        &status,
        &time("20240301000000Z"),
        &tlv(0xa0, &time("20980101000000Z")),
    ]);
    let responder = tlv(0xa1, &name_and_key(signer).0);
    let data = sequence(&[&responder, &time("20240301000000Z"), &sequence(&[&single])]);
    let signature = signer.issuer.key().sign(&data).expect("a signature");
    let ecdsa_with_sha256 = sequence(&[&tlv(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])]);
    let basic = sequence(&[
        &data,
        &ecdsa_with_sha256,
        &tlv(0x03, &[&[0], signature.as_slice()].concat()),
    ]);
    let id_pkix_ocsp_basic = tlv(0x06, &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01]);
    let bytes = sequence(&[&id_pkix_ocsp_basic, &tlv(0x04, &basic)]);
    sequence(&[&tlv(0x0a, &[0]), &tlv(0xa0, &bytes)])
}

/// The subject's DER and the bits of the public key.
fn name_and_key(authority: &Authority) -> (Vec<u8>, Vec<u8>) {
    let certificate = x509_cert::Certificate::from_der(authority.issuer.der()).expect("our own certificate");
    let subject = &certificate.tbs_certificate;
    let key = subject.subject_public_key_info.subject_public_key.raw_bytes().to_vec();
    (subject.subject.to_der().expect("a name"), key)
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

fn time(text: &str) -> Vec<u8> {
    tlv(0x18, text.as_bytes())
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match content.len() {
        length @ 0..0x80 => bytes.push(length as u8),
        length @ 0x80..0x100 => bytes.extend([0x81, length as u8]),
        length => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    bytes.extend(content);
    bytes
}
