//! How many rooms a rollout may have beyond the wanted number (contract 5.7).

/// Rooms beyond `base`: a number, or a share of `base` rounded up; a text that is
/// neither, and everything below one, counts as one, so that a rollout always moves.
pub fn surge(max_surge: &str, base: i64) -> i64 {
    let rooms = match max_surge.strip_suffix('%') {
        Some(share) => share
            .parse::<i64>()
            .map(|share| ceil_div(i128::from(share) * i128::from(base.max(0)), 100)),
        None => max_surge.parse::<i64>().map(i128::from),
    };
    i64::try_from(rooms.unwrap_or(1)).unwrap_or(i64::MAX).max(1)
}

/// Quotient rounded up, for a divisor above zero.
pub(super) fn ceil_div(dividend: i128, divisor: i128) -> i128 {
    let floor = dividend.div_euclid(divisor);
    if dividend.rem_euclid(divisor) == 0 {
        floor
    } else {
        floor + 1
    }
}
