//! How long ago something was, as people say it.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The time since `since`, in its two largest units: `3m30s`, `2h5m`, `4d`. A time that is yet to come is `0s`: clocks differ.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let two = |large: i64, name: &str, small: i64, less: &str| match (seconds % large) / small {
        0 => format!("{}{name}", seconds / large),
        rest => format!("{}{name}{rest}{less}", seconds / large),
    };
    if seconds < MINUTE {
        format!("{seconds}s")
    } else if seconds < HOUR {
        two(MINUTE, "m", 1, "s")
    } else if seconds < DAY {
        two(HOUR, "h", MINUTE, "m")
    } else {
        two(DAY, "d", HOUR, "h")
    }
}

/// A time to the second.
pub(crate) fn second(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_two_units_at_most() {
        let table = [
            (-5, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (210, "3m30s"),
            (3600, "1h"),
            (7500, "2h5m"),
            (4 * 86400, "4d"),
            (4 * 86400 + 3 * 3600 + 59, "4d3h"),
        ];
        for (seconds, expected) in table {
            let now = Timestamp::from_second(1_000_000).unwrap();
            let since = Timestamp::from_second(1_000_000 - seconds).unwrap();
            assert_eq!(age(since, now), expected);
        }
    }
}
