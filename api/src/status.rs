//! The outcome of a call that failed, in gRPC's codes, and its HTTP form (contract 2.1 "Errors").

/// gRPC status codes; `Ok` is not an error and therefore absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    /// The caller gave up.
    Canceled = 1,
    /// A failure that says nothing of its kind.
    Unknown = 2,
    /// The request itself is wrong.
    InvalidArgument = 3,
    /// The caller's deadline came first.
    DeadlineExceeded = 4,
    /// What was named is not there.
    NotFound = 5,
    /// What was to be made is there.
    AlreadyExists = 6,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A bound was reached.
    ResourceExhausted = 8,
    /// The state of things does not allow it.
    FailedPrecondition = 9,
    /// It met something that happened meanwhile.
    Aborted = 10,
    /// A value beyond what there is.
    OutOfRange = 11,
    /// There is no such call.
    Unimplemented = 12,
    /// A mistake of ours.
    Internal = 13,
    /// Not now; another try may succeed.
    Unavailable = 14,
    /// Something stored cannot be read.
    DataLoss = 15,
    /// Nobody knows who calls.
    Unauthenticated = 16,
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The code with this number on the wire; none for 0, which is success, and for numbers that nobody has given out.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    const ALL: [Self; 16] = [
        Self::Canceled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The HTTP status that carries this code. `FailedPrecondition` is 400, not 412 (contract 2.1).
    pub fn http(self) -> u16 {
        match self {
            Self::Canceled => 499,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::DeadlineExceeded => 504,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::PermissionDenied => 403,
            Self::ResourceExhausted => 429,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::Unauthenticated => 401,
        }
    }
}

/// A failed call: a code and a message for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// What kind of failure.
    pub code: Code,
    /// What the caller is told.
    pub message: String,
    /// Another try brings the same although the code says that it passes: nobody is asked to try again.
    pub lasts: bool,
}

impl Status {
    /// A failure of this kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            lasts: false,
        }
    }

    /// See [`Code::InvalidArgument`].
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// See [`Code::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// See [`Code::Unknown`].
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Code::Unknown, message)
    }

    /// See [`Code::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// See [`Code::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }
}
