//! The file of password hashes, shadow(5), as text.

use jiff::Timestamp;

/// What a user's password is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Password<'a> {
    /// This hash.
    Hash(&'a str),
    /// None that could be typed in (MCO daemon 3.9).
    None,
    /// What it is, locked. (The reference empties it, so that everybody could log in.)
    Locked,
}

/// Why a password cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowError {
    /// No line is about the user.
    NoSuchUser,
    /// It would break the line.
    NotAHash,
}

/// Where it is.
pub const PATH: &str = "/etc/shadow";

/// Field of the hash.
const HASH: usize = 1;
/// Field of the day of the last change.
const CHANGED: usize = 2;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// The password field of a user; `None` when no line is about him.
#[must_use]
pub fn get<'t>(text: &'t [u8], user: &str) -> Option<&'t [u8]> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        (fields.next()? == user.as_bytes()).then(|| fields.next())?
    })
}

/// The text with the password of `user` set. Unchanged when it is so already.
pub fn set(text: &[u8], user: &str, password: Password<'_>, now: Timestamp) -> Result<Vec<u8>, ShadowError> {
    if let Password::Hash(hash) = password
        && hash.contains([':', '\n', '\0'])
    {
        return Err(ShadowError::NotAHash);
    }
    let mut found = false;
    let mut result = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        let mut fields: Vec<&[u8]> = bare.split(|byte| *byte == b':').collect();
        if found || fields[0] != user.as_bytes() || fields.len() <= CHANGED {
            result.extend_from_slice(line);
            continue;
        }
        found = true;
        let wanted = match password {
            Password::Hash(hash) => hash.as_bytes().to_vec(),
            Password::None => b"*".to_vec(),
            Password::Locked if fields[HASH].starts_with(b"!") || fields[HASH] == b"*" => {
                fields[HASH].to_vec()
            }
            Password::Locked => [b"!", fields[HASH]].concat(),
        };
        if wanted == fields[HASH] {
            result.extend_from_slice(line);
            continue;
        }
        let today = (now.as_second() / DAY).to_string();
        fields[HASH] = &wanted;
        fields[CHANGED] = today.as_bytes();
        result.extend_from_slice(&fields.join(&b':'));
        if line.ends_with(b"\n") {
            result.push(b'\n');
        }
    }
    if found {
        Ok(result)
    } else {
        Err(ShadowError::NoSuchUser)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "root:*:19000:0:99999:7:::\ncore:$6$old:19000:0:99999:7:::\nlocked:!:19000::::::\n";

    fn after(user: &str, password: Password<'_>) -> Result<String, ShadowError> {
        let now = Timestamp::from_second(20_000 * DAY + 5).unwrap();
        set(TEXT.as_bytes(), user, password, now).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_hash_is_set_with_the_day_of_the_change() {
        let text = after("core", Password::Hash("$y$new")).unwrap();
        assert_eq!(text, TEXT.replace("core:$6$old:19000", "core:$y$new:20000"));
    }

    #[test]
    fn what_is_so_already_stays_to_the_byte() {
        assert_eq!(after("core", Password::Hash("$6$old")).unwrap(), TEXT);
        assert_eq!(after("locked", Password::Locked).unwrap(), TEXT);
        assert_eq!(after("root", Password::Locked).unwrap(), TEXT);
        assert_eq!(after("root", Password::None).unwrap(), TEXT);
    }

    #[test]
    fn locking_keeps_the_hash_and_lets_nobody_in() {
        let text = after("core", Password::Locked).unwrap();
        assert!(text.contains("core:!$6$old:20000:"), "{text}");
    }

    #[test]
    fn what_would_break_the_file_is_refused() {
        for hash in ["a:b", "a\nroot::0", "a\0"] {
            assert_eq!(
                after("core", Password::Hash(hash)),
                Err(ShadowError::NotAHash),
                "{hash:?}"
            );
        }
        assert_eq!(after("cor", Password::None), Err(ShadowError::NoSuchUser));
    }
}
