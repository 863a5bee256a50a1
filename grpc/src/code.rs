//! The names of gRPC codes as Go spells them, as error texts and metrics use them.

/// Indexed by number; `Canceled` is spelled with one l.
pub(crate) const NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// An unknown code is named by its number.
pub(crate) fn name(code: i64) -> String {
    let known = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    known.map_or_else(|| format!("Code({code})"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_that_go_gives_them() {
        for (code, expected) in [
            (0, "OK"),
            (1, "Canceled"),
            (4, "DeadlineExceeded"),
            (14, "Unavailable"),
            (16, "Unauthenticated"),
            (17, "Code(17)"),
            (99, "Code(99)"),
            (-1, "Code(-1)"),
        ] {
            assert_eq!(name(code), expected);
        }
        // From 2 on, the names are those of tonic.
        for code in 2..=16 {
            assert_eq!(name(code), format!("{:?}", tonic::Code::from(code as i32)));
        }
    }
}
