use std::fmt;

/// What went wrong; the numbers are the protocol's. 1000 and up belong to applications.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Code(pub u32);

macro_rules! codes {
    ($($constant:ident = $number:literal,)*) => {
        #[allow(missing_docs)]
        impl Code {
            $(pub const $constant: Code = Code($number);)*

            /// The name in docs/PROTOCOL.md; `None` for numbers that the protocol does not know.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($constant)),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    OK = 0,
    MALFORMED_FRAME = 100,
    FRAME_TOO_LARGE = 101,
    UNSUPPORTED_VERSION = 102,
    UNSUPPORTED_FEATURE = 103,
    HANDSHAKE_TIMEOUT = 104,
    IDLE_TIMEOUT = 105,
    UNAUTHENTICATED = 106,
    UNEXPECTED_MESSAGE = 107,
    FLOOD = 108,
    FRAME_LIMIT_TOO_SMALL = 109,
    TOO_MANY_CONNECTIONS = 110,
    MALFORMED_HELLO = 111,
    UNKNOWN_STAGE = 200,
    DUPLICATE_INSTANCE = 201,
    STAGE_FULL = 202,
    CREDIT_EXCEEDED = 203,
    UNKNOWN_PORT = 204,
    UNKNOWN_DELIVERY = 205,
    INVALID_OUTCOME = 206,
    LEASE_EXPIRED = 207,
    FENCED = 208,
    EMIT_OUT_OF_SEQUENCE = 209,
    NOT_CLAIMED = 210,
    SHUTTING_DOWN = 211,
    DRAIN_DEADLINE = 212,
    INVALID_PARTITION = 213,
    REJECTED = 300,
    ATTEMPTS_EXHAUSTED = 301,
    EXPIRED = 302,
    CRASHED = 303,
    OUTPUT_TOO_LARGE = 304,
    STEP_TOO_LARGE = 305,
    INVALID_OUTPUT = 306,
}

impl Code {
    /// The first of the application's own.
    pub const APPLICATION: Code = Code(1000);

    /// Whether connecting again, unchanged, can help.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Code::HANDSHAKE_TIMEOUT
                | Code::IDLE_TIMEOUT
                | Code::TOO_MANY_CONNECTIONS
                | Code::DUPLICATE_INSTANCE
                | Code::STAGE_FULL
                | Code::LEASE_EXPIRED
                | Code::SHUTTING_DOWN
                | Code::DRAIN_DEADLINE
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "code {}", self.0),
        }
    }
}
