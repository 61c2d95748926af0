//! HTTP Basic: an e-mail address and an API key.

use data_encoding::BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::answer::ApiError;

/// Who a request says it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's address.
    pub email: String,
    /// The user's key: never in a log.
    pub key: String,
}

impl Credentials {
    /// Those of a request.
    pub fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let missing = "Not logged in: API authentication or user session required";
        let value = headers.get(AUTHORIZATION);
        let value = value.ok_or_else(|| ApiError::unauthorized("UNAUTHORIZED", missing))?;
        let invalid =
            || ApiError::unauthorized("UNAUTHORIZED", "Invalid authorization header for basic auth");
        let value = value.to_str().map_err(|_| invalid())?;
        let (scheme, encoded) = value.split_once(' ').ok_or_else(invalid)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            let words = "This endpoint requires HTTP basic authentication.";
            return Err(ApiError::unauthorized("UNAUTHORIZED", words));
        }
        let decoded = BASE64.decode(encoded.trim().as_bytes()).map_err(|_| invalid())?;
        let decoded = String::from_utf8(decoded).map_err(|_| invalid())?;
        let (email, key) = decoded.split_once(':').ok_or_else(invalid)?;
        Ok(Self { email: email.to_owned(), key: key.to_owned() })
    }

    /// Whether the address named is this one: addresses differ by more than case and white space around.
    #[must_use]
    pub fn names(&self, email: &str) -> bool {
        email.to_lowercase() == self.email.trim().to_lowercase()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.email)
    }
}
