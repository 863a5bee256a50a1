//! Kubernetes quantities (`100m`, `0.5`, `64Mi`, `1e3`) as whole thousandths.

/// Thousandths of the unit, rounded up as Kubernetes does; `None` if the text is not a quantity, is negative, or is
/// absurdly large.
pub fn parse_milli(text: &str) -> Option<u128> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 24 {
        return None;
    }
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let (multiplier, divisor) = scale(suffix)?;
    let numerator = digits.checked_mul(multiplier)?.checked_mul(1000)?;
    let denominator = divisor.checked_mul(10_u128.checked_pow(fraction.len() as u32)?)?;
    Some(numerator.div_ceil(denominator))
}

/// A suffix as (multiplier, divisor).
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let thousand = |power: u32| 1000_u128.pow(power);
    let binary = |power: u32| 1024_u128.pow(power);
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, thousand(3)),
        "u" => (1, thousand(2)),
        "m" => (1, thousand(1)),
        "k" => (thousand(1), 1),
        "M" => (thousand(2), 1),
        "G" => (thousand(3), 1),
        "T" => (thousand(4), 1),
        "P" => (thousand(5), 1),
        "E" => (thousand(6), 1),
        "Ki" => (binary(1), 1),
        "Mi" => (binary(2), 1),
        "Gi" => (binary(3), 1),
        "Ti" => (binary(4), 1),
        "Pi" => (binary(5), 1),
        "Ei" => (binary(6), 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_u128.pow(exponent.unsigned_abs().min(18));
            match exponent {
                -18..0 => (1, power),
                0..=18 => (power, 1),
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, milli) in [
            ("100m", 100),
            ("0.5", 500),
            (".5", 500),
            ("5.", 5_000),
            ("1", 1_000),
            ("+1", 1_000),
            ("0", 0),
            ("64Mi", 64 * 1024 * 1024 * 1000),
            ("1Gi", 1024 * 1024 * 1024 * 1000),
            ("128M", 128_000_000_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("1e-3", 1),
            ("1n", 1),
            ("1.5Ki", 1_536_000),
            ("250u", 1),
        ] {
            assert_eq!(parse_milli(text), Some(milli), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            "abc",
            "1.2.3",
            "-1",
            "1 Gi",
            "Mi",
            ".",
            "1ki",
            "1mi",
            "1e",
            "1e99",
            "0x10",
            "1000000000000000000000000000000",
            "9999999999999999999999Ei",
        ] {
            assert_eq!(parse_milli(text), None, "{text}");
        }
    }
}
