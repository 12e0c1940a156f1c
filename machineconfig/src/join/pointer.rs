//! Pointers: the few lines that a bare machine is given, and that lead it to its config.

use serde_json::{Value, json};

use super::JoinToken;

/// The oldest Ignition spec that can send a header, and the oldest of all that is a pointer: old boot images are to read it.
const VERSION_WITH_HEADER: &str = "3.1.0";
const VERSION: &str = "3.0.0";

/// A pointer to a pool's config. `url` is the server's (`https://HOST:22623`), `authorities` the CAs to trust it by, in PEM.
///
/// It is the reference's but for the version (`MCO server 2.1`), which is the lowest that can say it, and for the token.
#[must_use]
pub fn pointer(url: &str, pool: &str, authorities: &str, token: Option<&JoinToken>) -> Value {
    let mut source = json!({"source": format!("{}/config/{pool}", url.trim_end_matches('/'))});
    if let Some(token) = token {
        source["httpHeaders"] =
            json!([{"name": "Authorization", "value": format!("Bearer {}", token.revealed())}]);
    }
    json!({"ignition": {
        "version": if token.is_some() { VERSION_WITH_HEADER } else { VERSION },
        "config": {"merge": [source]},
        "security": {"tls": {"certificateAuthorities": [{"source": self::authorities(authorities)}]}},
    }})
}

/// CAs in PEM as a pointer names them.
#[must_use]
pub fn authorities(pem: &str) -> String {
    ignition::contents::base64(pem.as_bytes()).replacen("data:", "data:text/plain;charset=utf-8", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_valid_in_the_version_it_says() {
        let token = JoinToken::new([1; 4], [2; 16]);
        for (token, version) in [(None, "3.0.0"), (Some(&token), "3.1.0")] {
            let pointer = pointer("https://api-int.example.com:22623/", "worker", "CA\n", token);
            assert_eq!(pointer["ignition"]["version"], version);
            let merge = &pointer["ignition"]["config"]["merge"][0];
            assert_eq!(merge["source"], "https://api-int.example.com:22623/config/worker");
            assert_eq!(merge["httpHeaders"].is_array(), token.is_some());
            assert_eq!(
                pointer["ignition"]["security"]["tls"]["certificateAuthorities"][0]["source"],
                "data:text/plain;charset=utf-8;base64,Q0EK"
            );
            assert!(ignition::Config::from_value(&pointer).is_ok());
        }
    }
}
