//! Contents: data URLs as the reference's decoder takes them, gzip, hashes.

use ignition::contents::{ContentsError, base64, decode, gunzip, gzip, percent, verify};

const LIMIT: usize = 1 << 20;

#[test]
fn data_urls_decode_as_the_references_decoder_decodes_them() {
    for (url, bytes) in [
        ("data:,", ""),
        ("data:,Hello%2C%20world!", "Hello, world!"),
        ("data:,a+b", "a+b"),
        ("data:,?a=b&c", "?a=b&c"),
        ("data:;base64,", ""),
        ("data:;base64,aGk=", "hi"),
        // The last bits of a quantum do not count.
        ("data:;base64,aGl=", "hi"),
        ("data:;base64,aG\nk=", "hi"),
        ("data:text/plain,x", "x"),
        ("data:text/,x", "x"),
        ("data:textual/z,x", "x"),
        ("data:x-y/z,x", "x"),
        ("data:X-y/z;a=b,x", "x"),
        ("data:text/plain;charset=utf-8;base64,aGk=", "hi"),
        ("data:multipart/mixed;a=\"b,;\\\"\\x41\\101\\u00e9\",x", "x"),
        ("data:;a=%41|#,x", "x"),
        ("data:;charset=utf-8,x;base64,y", "x;base64,y"),
    ] {
        assert_eq!(
            decode(Some(url), None, LIMIT),
            Ok(bytes.as_bytes().to_vec()),
            "{url}"
        );
    }
    assert_eq!(decode(None, None, LIMIT), Ok(vec![]));
    assert_eq!(decode(Some(""), Some(""), LIMIT), Ok(vec![]));
    assert_eq!(decode(Some(""), Some("gzip"), LIMIT), Ok(vec![]));
}

#[test]
fn data_urls_that_the_references_decoder_refuses_are_refused() {
    for url in [
        "data:",
        "data:x",
        "data:x,y",
        "data:text,x",
        "data:/plain,x",
        "data:font/x,x",
        "data:text/plain",
        "data:text/plain x,y",
        "data:,a b",
        "data:,a#b",
        "data:,é",
        "data:,\n",
        "data:,%",
        "data:,%4",
        "data:,%zz",
        "data:,{}",
        "data:;base64,aGk",
        "data:;base64,aGk=x",
        "data:;base64,aG%6b=",
        "data:;base64,a-_=",
        "data:;base64,aGk=\r",
        "data:;base32,x",
        "data:;BASE64,aGk=",
        "data:;base64;a=b,aGk=",
        "data:;,x",
        "data:;=b,x",
        "data:;a=,x",
        "data:;a=%4,x",
        "data:;a=\"b,x",
        "data:;a=\"\\q\",x",
        "data:;a=\"\\ud800\",x",
        "data:;a=\"\\400\",x",
        "data:;a=\"\n\",x",
        "data:;a=\"b\"c,x",
    ] {
        let error = decode(Some(url), None, LIMIT).expect_err(url);
        assert!(
            matches!(error, ContentsError::Malformed { .. }),
            "{url}: {error:?}"
        );
        assert!(
            error.to_string().starts_with("data URL does not decode: "),
            "{error}"
        );
    }
}

#[test]
fn other_sources_are_named_by_their_scheme_alone() {
    for (source, scheme) in [
        ("https://u:secret@h/", "https"),
        ("DATA:,x", "DATA"),
        ("x", ""),
        ("a b:c", ""),
    ] {
        let expected = ContentsError::NotData {
            scheme: scheme.to_owned(),
        };
        assert_eq!(decode(Some(source), None, LIMIT), Err(expected), "{source}");
    }
}

#[test]
fn all_bytes_are_encoded_and_only_the_unreserved_stand_for_themselves() {
    assert_eq!(
        percent(b"Hello, world!\n\0\xff"),
        "data:,Hello%2C%20world!%0A%00%FF"
    );
    assert_eq!(percent(b"-_.!~*'()"), "data:,-_.!~*'()");
    assert_eq!(base64(b"hi"), "data:;base64,aGk=");
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(decode(Some(&percent(&all)), None, LIMIT), Ok(all.clone()));
    assert_eq!(decode(Some(&base64(&all)), None, LIMIT), Ok(all));
}

#[test]
fn gzip_is_undone_up_to_the_bound() {
    let bytes = vec![7; 100_000];
    let packed = gzip(&bytes);
    assert!(packed.len() < 1000);
    assert_eq!(packed, gzip(&bytes), "equal bytes give equal streams");
    assert_eq!(packed[4..8], [0; 4], "no time stamp");
    assert_eq!(gunzip(&packed, bytes.len()), Ok(bytes.clone()));
    assert_eq!(
        gunzip(&packed, bytes.len() - 1),
        Err(ContentsError::TooLarge {
            limit: bytes.len() - 1
        })
    );
    assert_eq!(gunzip(&packed, 0), Err(ContentsError::TooLarge { limit: 0 }));
    assert_eq!(gunzip(&gzip(b""), 0), Ok(vec![]));
    // Streams may follow one another.
    let both = [gzip(b"a"), gzip(b"b")].concat();
    assert_eq!(gunzip(&both, 2), Ok(b"ab".to_vec()));
    assert_eq!(decode(Some(&base64(&packed)), Some("gzip"), LIMIT), Ok(bytes));
}

#[test]
fn a_bomb_of_many_streams_stops_at_the_bound() {
    let bomb = gzip(&vec![0; 1 << 20]).repeat(64);
    assert_eq!(
        gunzip(&bomb, 1 << 21),
        Err(ContentsError::TooLarge { limit: 1 << 21 })
    );
}

#[test]
fn corrupt_gzip_is_told_from_large() {
    let mut cut = gzip(b"some text that is long enough");
    cut.truncate(cut.len() - 5);
    let mut flipped = gzip(b"some text that is long enough");
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    for bytes in [&b"plain"[..], &[], &[0x1f, 0x8b], &cut, &flipped] {
        assert!(
            matches!(gunzip(bytes, LIMIT), Err(ContentsError::CorruptGzip { .. })),
            "{bytes:?}"
        );
    }
    let error = decode(Some("data:,plain"), Some("xz"), LIMIT);
    assert_eq!(
        error,
        Err(ContentsError::UnknownCompression {
            compression: "xz".to_owned()
        })
    );
}

#[test]
fn plain_contents_keep_the_bound_too() {
    assert_eq!(decode(Some("data:,abc"), None, 3), Ok(b"abc".to_vec()));
    assert_eq!(
        decode(Some("data:,abc"), None, 2),
        Err(ContentsError::TooLarge { limit: 2 })
    );
}

#[test]
fn hashes_are_checked_or_found_malformed() {
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    assert_eq!(verify(b"abc", &format!("sha256-{sha256}")), Some(true));
    assert_eq!(verify(b"abc", &format!("sha512-{sha512}")), Some(true));
    assert_eq!(
        verify(b"abc", &format!("sha512-{}", sha512.to_uppercase())),
        Some(true)
    );
    assert_eq!(verify(b"abd", &format!("sha256-{sha256}")), Some(false));
    for malformed in [
        sha256,
        "sha256-",
        "sha256-abc",
        &format!("md5-{sha256}"),
        &format!("sha512-{sha256}"),
        "sha256-zz",
    ] {
        assert_eq!(verify(b"abc", malformed), None, "{malformed}");
    }
}
