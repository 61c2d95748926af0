//! Parameters: from the query and the form body alike; strings raw, all else as JSON text.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::answer::ApiError;

/// The longest body: a message at its limit, percent-encoded, takes an eighth.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

const _: () = assert!(squall_protocol::limits::CONTENT_CHARS_MAX * 4 * 3 < BODY_BYTES_MAX / 2);

/// A request's parameters; remembers which were asked for.
#[derive(Debug, Clone, Default)]
pub struct Params {
    values: Arc<HashMap<String, String>>,
    used: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Params {
    /// Those of a request with this query and this body.
    pub fn read(query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let mut values = HashMap::new();
        add(&mut values, query.as_bytes());
        if !body.is_empty() {
            let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
            if !kind.starts_with("application/x-www-form-urlencoded") {
                let message = "Send parameters as application/x-www-form-urlencoded";
                return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_CONTENT_TYPE", message));
            }
            add(&mut values, body);
        }
        Ok(Self { values: Arc::new(values), used: Arc::default() })
    }

    /// A body longer than [`BODY_BYTES_MAX`], or one that broke off.
    #[must_use]
    pub fn too_large() -> ApiError {
        let message = format!("Request body too large or cut short; at most {BODY_BYTES_MAX} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", message)
    }

    /// Those of a request that was read elsewhere.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { values: Arc::new(values.into_iter().collect()), used: Arc::default() }
    }

    /// All of them, to be read elsewhere.
    #[must_use]
    pub fn all(&self) -> Vec<(String, String)> {
        self.values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// A string, as it is.
    #[must_use]
    pub fn text(&self, name: &'static str) -> Option<&str> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        self.values.get(name).map(String::as_str)
    }

    /// A string that must be there.
    pub fn required(&self, name: &'static str) -> Result<&str, ApiError> {
        self.text(name).ok_or_else(|| ApiError::missing(name))
    }

    /// A value in JSON; `what` says what it has to be.
    pub fn json<T: DeserializeOwned>(&self, name: &'static str, what: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        if let Ok(value) = serde_json::from_str(text) {
            return Ok(Some(value));
        }
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(ApiError::invalid(name, &format!("is not {what}"))),
            Err(_) => Err(ApiError::invalid(name, "is not valid JSON")),
        }
    }

    /// A value in JSON that must be there.
    pub fn required_json<T: DeserializeOwned>(&self, name: &'static str, what: &str) -> Result<T, ApiError> {
        self.json(name, what)?.ok_or_else(|| ApiError::missing(name))
    }

    /// A truth value, or what it is by default.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, ApiError> {
        Ok(self.json(name, "true or false")?.unwrap_or(default))
    }

    /// Known, and rightly without effect.
    pub fn accept(&self, names: &[&'static str]) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    /// The names of those that nobody asked for, in order.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unused: Vec<_> =
            self.values.keys().filter(|name| !used.contains(name.as_str())).cloned().collect();
        unused.sort_unstable();
        unused
    }
}

/// The last of several values counts, and the body's more than the query's.
fn add(values: &mut HashMap<String, String>, encoded: &[u8]) {
    values.extend(form_urlencoded::parse(encoded).into_owned());
}
