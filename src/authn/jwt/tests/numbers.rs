//! Signatures whose numbers are wrong (J16), and the examples of the standards.

use serde_json::json;

use super::super::algorithm::Algorithms;
use super::super::compact::{Compact, Signed};
use super::super::json::Object;
use super::super::key_document::read_jwks;
use super::signer::{Signer, encode};
use super::*;

/// J16: CVE-2022-21449 and its like. An ECDSA signature is two numbers from 1 to the order of the curve less 1, each of
/// the length of the order (RFC 7518 §3.4).
#[tokio::test]
async fn numbers_that_are_no_signature() {
    let bench = Bench::new();
    let signers = asymmetric();
    let method = bench.with_keys(&signers.values().collect::<Vec<_>>());
    let orders = [
        ("p256", "ES256", "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
        (
            "p384",
            "ES384",
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        ),
    ];
    for (kid, algorithm, order) in orders {
        let order: Vec<u8> = (0..order.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&order[at..at + 2], 16).unwrap())
            .collect();
        let half = order.len();
        let message =
            format!("{}.{}", encode(signers[kid].header(algorithm)), encode(claims(&json!({})).to_string()));
        let good = signers[kid].signature(algorithm, message.as_bytes());
        let (r, s) = good.split_at(half);
        let mut one = vec![0; half];
        one[half - 1] = 1;
        let (zero, most) = (vec![0; half], vec![0xff; half]);
        let der = {
            let integer = |number: &[u8]| {
                let sign = if number[0] & 0x80 == 0 { vec![] } else { vec![0] };
                let length = u8::try_from(sign.len() + number.len()).unwrap();
                [vec![2, length], sign, number.to_vec()].concat()
            };
            let body = [integer(r), integer(s)].concat();
            [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
        };
        let minus_s = subtract(&order, s);
        for (name, signature, expect) in [
            ("as it should be", good.clone(), "verified"),
            ("r = s = 0", [&zero[..], &zero].concat(), "bad_signature"),
            ("r = 0", [&zero[..], s].concat(), "bad_signature"),
            ("s = 0", [r, &zero].concat(), "bad_signature"),
            ("r = s = 1", [&one[..], &one].concat(), "bad_signature"),
            ("r = order", [&order[..], s].concat(), "bad_signature"),
            ("s = order", [r, &order].concat(), "bad_signature"),
            ("r = s = order", [&order[..], &order].concat(), "bad_signature"),
            ("beyond the order", [&most[..], &most].concat(), "bad_signature"),
            ("swapped", [s, r].concat(), "bad_signature"),
            ("DER", der, "bad_signature"),
            ("r with a zero before", [&[0], r, s].concat(), "bad_signature"),
            ("both with a zero before", [&[0], r, &[0], s].concat(), "bad_signature"),
            ("both shorter", [&r[1..], &s[1..]].concat(), "bad_signature"),
            // ECDSA itself allows this one; nothing here relies on there being only one signature of a token.
            ("s negated", [r, &minus_s].concat(), "verified"),
        ] {
            check(&method, name, &format!("{message}.{}", encode(signature)), expect).await;
        }
    }
}

/// RFC 8032 §5.1.7: the second half of an Ed25519 signature is below the order of the group.
#[tokio::test]
async fn an_ed25519_signature_cannot_be_respelt() {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    let method = bench.with_keys(&[&signer]);
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10_u8,
    ];
    let message = format!("{}.{}", encode(signer.header("EdDSA")), encode(claims(&json!({})).to_string()));
    let mut signature = signer.signature("EdDSA", message.as_bytes());
    check(&method, "as it should be", &format!("{message}.{}", encode(&signature)), "verified").await;
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    check(&method, "S + L", &format!("{message}.{}", encode(&signature)), "bad_signature").await;
}

/// The examples of RFC 7515 (A.1 to A.3) and RFC 8037 (A.4), whose keys and signatures are not of our making.
#[test]
fn signatures_of_the_standards() {
    let claims =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rsa = json!({
        "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
    });
    let p256 = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    });
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    for (name, key, token) in [
        (
            "RFC 7515 A.2",
            rsa,
            format!("eyJhbGciOiJSUzI1NiJ9.{claims}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"),
        ),
        (
            "RFC 7515 A.3",
            p256,
            format!("eyJhbGciOiJFUzI1NiJ9.{claims}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"),
        ),
        (
            "RFC 8037 A.4",
            ed,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg".to_owned(),
        ),
    ] {
        let tampered = token.replacen("iOiJqb2Ui", "iOiJqb2Yi", 1).replacen(".RXhh", ".RXhi", 1);
        assert_ne!(token, tampered);
        let keys = read_jwks(signer::jwk_set([key]).as_bytes(), None).unwrap().keys;
        for (token, good) in [(token.clone(), true), (tampered, false)] {
            let compact = Compact::parse(&token).unwrap();
            let header = Object::parse(compact.header()).unwrap();
            let signed = Signed::new(&compact, &header, Algorithms::ASYMMETRIC).unwrap();
            assert_eq!(keys.verify(&signed).is_ok(), good, "{name}");
        }
    }
}

fn subtract(larger: &[u8], smaller: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut difference = vec![0; larger.len()];
    for at in (0..larger.len()).rev() {
        let value = i16::from(larger[at]) - i16::from(smaller[at]) - borrow;
        borrow = i16::from(value < 0);
        difference[at] = u8::try_from(value.rem_euclid(256)).unwrap();
    }
    difference
}
