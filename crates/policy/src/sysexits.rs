//! The exit statuses of the programs: `sysexits.h`, with the meaning and the enhanced status code
//! that Postfix's `sys_exits.c` gives each of them.
//!
//! A caller of `sendmail` looks at the number only: 0 is queued, 75 is "try again later", anything
//! else is "this will not work". So 75 is right whenever a second try by the caller could succeed.

use mail::StatusCode;
use std::process::ExitCode;

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done.
    Ok = 0,
    /// The command line cannot be understood.
    Usage = 64,
    /// The input is not what it should be.
    DataError = 65,
    /// An input file cannot be opened.
    NoInput = 66,
    /// A user is not known.
    NoUser = 67,
    /// A service is not there.
    Unavailable = 69,
    /// A fault in the program.
    Software = 70,
    /// The operating system refused something.
    OsError = 71,
    /// An output file cannot be made.
    CannotCreate = 73,
    /// Reading or writing failed.
    IoError = 74,
    /// It did not work now; the caller should try again.
    TempFail = 75,
    /// The caller may not do this.
    NoPermission = 77,
    /// The settings are wrong.
    Config = 78,
}

/// One row of the table of exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The status.
    pub status: ExitStatus,
    /// Its name in `sysexits.h`.
    pub name: &'static str,
    /// What it means, in the words of Postfix.
    pub meaning: &'static str,
    /// The enhanced status code (RFC 3463) that says the same.
    pub enhanced: StatusCode,
}

/// Every exit status but success, by number.
pub const TABLE: &[Row] = &[
    row(
        ExitStatus::Usage,
        "EX_USAGE",
        "command line usage error",
        (5, 3, 0),
    ),
    row(
        ExitStatus::DataError,
        "EX_DATAERR",
        "data format error",
        (5, 6, 0),
    ),
    row(
        ExitStatus::NoInput,
        "EX_NOINPUT",
        "cannot open input",
        (5, 3, 0),
    ),
    row(ExitStatus::NoUser, "EX_NOUSER", "user unknown", (5, 1, 1)),
    row(
        ExitStatus::Unavailable,
        "EX_UNAVAILABLE",
        "service unavailable",
        (5, 3, 0),
    ),
    row(
        ExitStatus::Software,
        "EX_SOFTWARE",
        "internal software error",
        (5, 3, 0),
    ),
    row(
        ExitStatus::OsError,
        "EX_OSERR",
        "system resource problem",
        (5, 3, 0),
    ),
    row(
        ExitStatus::CannotCreate,
        "EX_CANTCREAT",
        "can't create user output file",
        (5, 2, 0),
    ),
    row(
        ExitStatus::IoError,
        "EX_IOERR",
        "input/output error",
        (5, 3, 0),
    ),
    row(
        ExitStatus::TempFail,
        "EX_TEMPFAIL",
        "temporary failure",
        (4, 3, 0),
    ),
    row(
        ExitStatus::NoPermission,
        "EX_NOPERM",
        "permission denied",
        (5, 7, 0),
    ),
    row(
        ExitStatus::Config,
        "EX_CONFIG",
        "local configuration error",
        (5, 3, 5),
    ),
];

impl ExitStatus {
    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The status for a number, where it is one of ours.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        if code == 0 {
            return Some(Self::Ok);
        }
        TABLE
            .iter()
            .map(|row| row.status)
            .find(|status| status.code() == code)
    }

    /// The row of the table; `None` for success.
    #[must_use]
    pub fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.status == self)
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

const fn row(
    status: ExitStatus,
    name: &'static str,
    meaning: &'static str,
    (class, subject, detail): (u8, u16, u16),
) -> Row {
    Row {
        status,
        name,
        meaning,
        enhanced: StatusCode::new(class, subject, detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_sysexits_h() {
        let numbers: Vec<u8> = TABLE.iter().map(|row| row.status.code()).collect();
        assert_eq!(numbers, [64, 65, 66, 67, 69, 70, 71, 73, 74, 75, 77, 78]);
        for row in TABLE {
            assert_eq!(ExitStatus::from_code(row.status.code()), Some(row.status));
            assert_eq!(row.status.row(), Some(row));
        }
        assert_eq!(ExitStatus::from_code(0), Some(ExitStatus::Ok));
        assert_eq!(ExitStatus::from_code(1), None);
    }

    #[test]
    fn only_tempfail_asks_the_caller_to_try_again() {
        for row in TABLE {
            assert_eq!(
                row.enhanced.class() == 4,
                row.status == ExitStatus::TempFail,
                "{row:?}"
            );
        }
    }
}
