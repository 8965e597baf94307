//! Why an attempt to use a target failed: a closed set, with the labels of the access log and of the metrics.

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// The connection failed for another reason, such as no route to the host.
    ConnectOther,
    /// The target refused the connection.
    ConnectRefused,
    /// The connection, TLS included, was not established within `timeouts.connect`.
    ConnectTimeout,
    /// The target's name has no address.
    Dns,
    /// What the target sent is not valid HTTP.
    Protocol,
    /// The target closed or reset the connection before the end of its response.
    Reset,
    /// The target sent or accepted nothing for too long.
    Timeout,
    /// The target's certificate is for another name.
    TlsName,
    /// TLS failed for another reason, such as an unknown certificate authority.
    TlsOther,
}

impl UpstreamError {
    /// Every error, in the order of its variants.
    pub const ALL: [Self; 9] = [
        Self::ConnectOther,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::Dns,
        Self::Protocol,
        Self::Reset,
        Self::Timeout,
        Self::TlsName,
        Self::TlsOther,
    ];

    /// Its label in the access log, as `upstream_error`.
    pub fn label(self) -> &'static str {
        match self {
            Self::ConnectOther => "connect_other",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Dns => "dns",
            Self::Protocol => "protocol",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::TlsName => "tls_name",
            Self::TlsOther => "tls_other",
        }
    }

    /// Whether the target has received nothing of the request.
    pub fn is_before_the_request(self) -> bool {
        match self {
            Self::ConnectOther
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::Dns
            | Self::TlsName
            | Self::TlsOther => true,
            Self::Protocol | Self::Reset | Self::Timeout => false,
        }
    }

    /// Its coarser label in the metrics, as `kind`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::ConnectOther | Self::ConnectRefused | Self::Dns => "connect",
            Self::ConnectTimeout | Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Reset => "reset",
            Self::TlsName | Self::TlsOther => "tls",
        }
    }

    /// The sentence in the log of the process.
    pub fn description(self) -> &'static str {
        match self {
            Self::ConnectOther => "the connection failed",
            Self::ConnectRefused => "the target refused the connection",
            Self::ConnectTimeout => "the connection was not established within `timeouts.connect`",
            Self::Dns => "the name of the target has no address",
            Self::Protocol => "the target sent something that is not valid HTTP",
            Self::Reset => "the target closed the connection before the end of its response",
            Self::Timeout => "the target sent or accepted nothing for too long",
            Self::TlsName => "the certificate of the target is for another name",
            Self::TlsOther => "TLS with the target failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_every_error_once_in_order() {
        for (at, error) in UpstreamError::ALL.into_iter().enumerate() {
            assert_eq!(error as usize, at, "{error:?}");
        }
    }
}
