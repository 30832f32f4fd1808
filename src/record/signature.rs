//! What a file is that is not what its name says, by its first bytes.

/// A kind of file that is known by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    Utf16Le,
    Utf16Be,
    Gzip,
    Zip,
}

/// As many bytes are enough to know one.
pub(super) const ENOUGH: usize = 4;

impl Signature {
    /// What begins with `bytes`, where it is known.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xfe, ..] => Some(Self::Utf16Le),
            [0xfe, 0xff, ..] => Some(Self::Utf16Be),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [b'P', b'K', 3, 4] => Some(Self::Zip),
            [a, 0, b, 0] if *a != 0 && *b != 0 => Some(Self::Utf16Le),
            [0, a, 0, b] if *a != 0 && *b != 0 => Some(Self::Utf16Be),
            _ => None,
        }
    }

    /// What a file that is none of these is told about it.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Utf16Le | Self::Utf16Be => "the file is UTF-16, and is read only as UTF-8",
            Self::Gzip => "the file is compressed by gzip; let its name end in .gz",
            Self::Zip => {
                "the file is an Excel workbook or another zip archive; let a workbook's name end in .xlsx"
            }
        }
    }
}
