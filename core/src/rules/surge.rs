//! The number of rooms that a rollout may have beyond the desired number (contract 5.7).

use crate::domain::SurgeSize;

/// Rooms beyond `base`: a number, or a percentage of `base` rounded up. An invalid text, and everything below one,
/// counts as one, so that a rollout always makes progress.
pub fn surge(max_surge: Option<SurgeSize>, base: i64) -> i64 {
    let rooms = match max_surge {
        Some(SurgeSize::Rooms(rooms)) => i128::from(rooms),
        Some(SurgeSize::Percent(share)) => {
            ceil_div(i128::from(share) * i128::from(base.max(0)), 100)
        }
        None => 1,
    };
    i64::try_from(rooms).unwrap_or(i64::MAX).max(1)
}

/// The quotient rounded up, for a positive divisor.
pub(super) fn ceil_div(dividend: i128, divisor: i128) -> i128 {
    let floor = dividend.div_euclid(divisor);
    if dividend.rem_euclid(divisor) == 0 {
        floor
    } else {
        floor + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Surge;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_shares_are_read_as_in_the_contract() {
        let cases = [
            ("3", 10, 3),
            ("+3", 10, 3),
            ("10%", 2, 1),
            ("10%", 10, 1),
            ("10%", 11, 2),
            ("30%", 10, 3),
            ("29%", 100, 29),
            ("100%", 7, 7),
            ("250%", 2, 5),
            // Neither a number nor positive: one, so that a rollout makes progress.
            ("", 10, 1),
            ("%", 10, 1),
            ("abc", 10, 1),
            ("1.5", 10, 1),
            ("5%%", 10, 1),
            ("0", 10, 1),
            ("-4", 10, 1),
            ("0%", 10, 1),
            ("-5%", 10, 1),
            ("50%", 0, 1),
            ("50%", -10, 1),
            ("9223372036854775807%", i64::MAX, i64::MAX),
        ];
        for (text, base, rooms) in cases {
            assert_eq!(
                surge(Surge::from(text).size(), base),
                rooms,
                "{text:?} of {base}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_share_is_the_least_number_that_covers_it(share in 1_i64..=500, base in 1_i64..1_000_000) {
            let rooms = surge(Some(SurgeSize::Percent(share)), base);
            prop_assert!(rooms * 100 >= share * base);
            prop_assert!((rooms - 1) * 100 < share * base);
        }
    }
}
