//! Numbers as go-yaml writes them. A `MachineConfigSpec` holds integers only; the rest is for completeness.

use serde_json::Number;

/// The exponents that are written out as zeros instead, in Go's `%g` of the shortest digits.
const PLAIN_EXPONENTS: std::ops::Range<i64> = -4..6;

/// Integers as they are, others as Go's `%g`: the fewest digits that read back as the same number.
pub(super) fn decimal(number: &Number) -> String {
    let text = number.to_string();
    if number.is_f64() {
        general(&text).unwrap_or(text)
    } else {
        text
    }
}

fn general(text: &str) -> Option<String> {
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let significant = all.trim_start_matches('0');
    let digits = significant.trim_end_matches('0');
    if digits.is_empty() {
        return Some(format!("{sign}0"));
    }
    let leading_zeros = i64::try_from(all.len() - significant.len()).ok()?;
    let exponent = exponent.parse::<i64>().ok()? + i64::try_from(whole.len()).ok()? - leading_zeros - 1;
    let body = if PLAIN_EXPONENTS.contains(&exponent) {
        positional(digits, exponent)
    } else {
        scientific(digits, exponent)
    };
    Some(format!("{sign}{body}"))
}

/// `123.45`, given the digits and the power of ten of the first one.
fn positional(digits: &str, exponent: i64) -> String {
    let Ok(last_of_whole) = usize::try_from(exponent) else {
        let zeros = usize::try_from(-exponent - 1).unwrap_or_default();
        return format!("0.{}{digits}", "0".repeat(zeros));
    };
    match digits.split_at_checked(last_of_whole + 1) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{fraction}"),
        None => format!("{digits:0<width$}", width = last_of_whole + 1),
    }
}

/// `1.2345e+67`, given the same.
fn scientific(digits: &str, exponent: i64) -> String {
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn numbers_look_as_go_prints_them() {
        for (json, expected) in [
            ("0", "0"),
            ("-12", "-12"),
            ("18446744073709551615", "18446744073709551615"),
            ("1.5", "1.5"),
            ("420.0", "420"),
            ("100000.0", "100000"),
            ("1000000.0", "1e+06"),
            ("123456.75", "123456.75"),
            ("1234567.5", "1.2345675e+06"),
            ("0.0001", "0.0001"),
            ("-0.00001", "-1e-05"),
            ("0.00012", "0.00012"),
            ("0.0", "0"),
            ("-0.0", "-0"),
            ("1e300", "1e+300"),
            ("1.25e-30", "1.25e-30"),
        ] {
            assert_eq!(decimal(&serde_json::from_str(json).unwrap()), expected, "{json}");
        }
    }
}
