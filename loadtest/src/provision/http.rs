//! Calls to a server's HTTP APIs: blocking, one after the other, before and after a run.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use serde_json::Value;
use ureq::Agent;

/// Keeps its connections between calls.
#[derive(Debug, Clone)]
pub(crate) struct Http(Agent);

/// Whose call it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) email: &'a str,
    pub(crate) key: &'a str,
}

impl Http {
    pub(crate) fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // The target is named plainly: no proxy of the environment stands between.
            .proxy(None)
            .timeout_global(Some(CALL_MAX))
            .build();
        Self(config.new_agent())
    }

    /// Sends JSON lines to the operator's API and reads as many lines of answers.
    pub(crate) fn post_lines(&self, url: &str, lines: &[Value]) -> Result<Vec<Value>> {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut response = self.0.post(url).send(body).with_context(|| format!("POST {url}"))?;
        let status = response.status();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.with_context(|| format!("the answer of POST {url}"))?;
        if !status.is_success() {
            bail!("POST {url} was answered {status}: {}", text.trim());
        }
        let answers: Vec<Value> = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .with_context(|| format!("the answer of POST {url} is no JSON"))?;
        if answers.len() != lines.len() {
            bail!("POST {url}: {} answers to {} lines", answers.len(), lines.len());
        }
        Ok(answers)
    }

    /// Asks as a user; waits where it asks too often.
    pub(crate) fn get(&self, url: &str, who: Credentials<'_>) -> Result<Value> {
        let basic = BASE64.encode(format!("{}:{}", who.email, who.key).as_bytes());
        let start = Instant::now();
        loop {
            let request = self.0.get(url).header("authorization", format!("Basic {basic}"));
            let mut response = request.call().with_context(|| format!("GET {url}"))?;
            let status = response.status();
            let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
            let text = text.with_context(|| format!("the answer of GET {url}"))?;
            let answer: Value = serde_json::from_str(&text)
                .with_context(|| format!("GET {url} was answered {status}: {text}"))?;
            if status.is_success() {
                return Ok(answer);
            }
            let retry_after = answer.get("retry-after").and_then(Value::as_f64);
            let wait = retry_after.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            match wait.filter(|_| start.elapsed() < RETRY_MAX) {
                Some(wait) => sleep(wait.clamp(RETRY_MIN, RETRY_WAIT_MAX)),
                None => bail!("GET {url} as {} was answered {status}: {}", who.email, text.trim()),
            }
        }
    }
}

/// For one call: a thousand users are made within it.
const CALL_MAX: Duration = Duration::from_secs(120);
/// Asked again for so long.
const RETRY_MAX: Duration = Duration::from_secs(90);
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 256 * 1_024 * 1_024;
