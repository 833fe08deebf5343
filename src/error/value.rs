//! Why a value cannot be written or read: the sources of the errors of values, none of which tells the value.

/// A JSON error without the value that `serde_json` quotes in it: the kind, the position, and the expected
/// Rust type.
#[derive(Debug, thiserror::Error)]
#[error("{what} at line {line} column {column}, expected {expected}")]
pub(crate) struct JsonError {
    what: &'static str,
    line: usize,
    column: usize,
    expected: &'static str,
}

impl JsonError {
    pub(crate) fn new<T>(error: &serde_json::Error) -> Self {
        use serde_json::error::Category;
        let what = match error.classify() {
            Category::Io => "I/O error",
            Category::Syntax => "JSON syntax error",
            Category::Data => "JSON of another shape",
            Category::Eof => "unexpected end of JSON",
        };
        Self { what, line: error.line(), column: error.column(), expected: std::any::type_name::<T>() }
    }
}

/// Why a value cannot be written or read. Errors with this source were made by this crate, which has logged
/// them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Why a session refuses a key or a stored value, apart from JSON errors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the keys `cookie`, `flash`, `__lastAccess` and `__sessile` are reserved")]
    ReservedKey,
    #[error("the user is an empty text")]
    NoUser,
    #[error("the login was begun with other secrets")]
    ForeignLogin,
    #[error("the stored flash messages are not an object of arrays")]
    ForeignFlash,
}
