//! Why a request has no single meaning. Each kind is a metric label and a code in the answer; none echoes its input.

/// What cannot be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A raw or encoded backslash in the path.
    Backslash,
    /// A chunked body whose end is not where everyone would look for it, or whose extensions or trailers are too long.
    ChunkedBody,
    /// The `Connection` header names a field that is not for one hop only.
    ConnectionOption,
    /// `Content-Length` is repeated, not a plain number, or stands beside `Transfer-Encoding`.
    ContentLength,
    /// A control byte, space or non-ASCII byte where none may be.
    ControlByte,
    /// A path segment `.` or `..`, raw, encoded or with a parameter.
    DotSegment,
    /// `//` in the path.
    EmptySegment,
    /// An encoded slash on a route that does not allow it.
    EncodedSlash,
    /// A header field that is not well formed: its name, its value, or how its line ends.
    Field,
    /// `Host` is missing, repeated, not a host, or differs from the target.
    Host,
    /// A `%` without two hexadecimal digits, or an escape sequence that is not UTF-8.
    InvalidEscape,
    /// A line ends without CR LF, or a CR stands alone.
    LineEnding,
    /// The method is not a token or too long.
    Method,
    /// The request line has not the form `METHOD TARGET HTTP/1.1`.
    RequestLine,
    /// The `:scheme` of a request over HTTP/2 is empty (RFC 9113 §8.3.1).
    Scheme,
    /// The target is not a path.
    Target,
    /// `Transfer-Encoding` is anything but a single `chunked` in HTTP/1.1.
    TransferEncoding,
    /// `Upgrade` in a request that cannot be upgraded.
    Upgrade,
}

impl Malformed {
    /// The stable name, in logs, metrics and the answer's `code`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Backslash => "malformed_backslash",
            Self::ChunkedBody => "malformed_chunked_body",
            Self::ConnectionOption => "malformed_connection_option",
            Self::ContentLength => "malformed_content_length",
            Self::ControlByte => "malformed_control_byte",
            Self::DotSegment => "malformed_dot_segment",
            Self::EmptySegment => "malformed_empty_segment",
            Self::EncodedSlash => "malformed_encoded_slash",
            Self::Field => "malformed_field",
            Self::Host => "malformed_host",
            Self::InvalidEscape => "malformed_escape",
            Self::LineEnding => "malformed_line_ending",
            Self::Method => "malformed_method",
            Self::RequestLine => "malformed_request_line",
            Self::Scheme => "malformed_scheme",
            Self::Target => "malformed_target",
            Self::TransferEncoding => "malformed_transfer_encoding",
            Self::Upgrade => "malformed_upgrade",
        }
    }
}
