//! What an operator sets.

use std::path::PathBuf;
use std::time::Duration;

use crate::DatabaseUrl;

/// The writer's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the SQLite database lies; made if it is missing. One process at a time may use it. Default:
    /// `squall-data` in the working directory.
    pub data_dir: PathBuf,
    /// The PostgreSQL database to use instead, which any number of writers may share. Default: none.
    pub database: Option<DatabaseUrl>,
    /// Connections to PostgreSQL, made as they are needed: a third for reads, one for small writes, the others
    /// for commits, of which so many may be under way at once. Default: 12; at least 3. More work waits, then is
    /// refused, to be tried again. Each costs PostgreSQL a process of 5 to 10 MiB.
    pub database_connections: usize,
    /// How long a start waits for a PostgreSQL that can't be reached. Default: 30 seconds.
    pub database_wait: Duration,
    /// Requests a user may make in a minute, HTTP requests and writes over sockets together; a user may
    /// use them all at once, then they come back evenly. 0: no limit. Default: 200, as Zulip's. Beyond it:
    /// `rate_limited` with the time to wait. Costs 32 bytes for each user of the last minute.
    pub rate_limit_per_minute: u32,
    /// How long events stay in the log, and so how long a client may be away and still resume. Default:
    /// 24 hours. Older positions are answered by a reset. Costs about the size of the messages of that
    /// time, on disk.
    pub log_window: Duration,
    /// Threads, each with a connection of its own, that read from the SQLite database. Default: 2; at least 1.
    /// Each costs about 2 MiB of page cache.
    pub read_threads: usize,
    /// The address that clients are told to be the server's, such as `https://chat.example.com`. Default:
    /// none, then it is what the request names as its host, by plain HTTP.
    pub public_url: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("squall-data"),
            database: None,
            database_connections: 12,
            database_wait: Duration::from_secs(30),
            rate_limit_per_minute: 200,
            log_window: Duration::from_secs(24 * 60 * 60),
            read_threads: 2,
            public_url: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_what_the_defaults_are() {
        let words = include_str!("config.rs").replace("\n    /// ", " ");
        let Config {
            data_dir,
            database,
            database_connections,
            database_wait,
            rate_limit_per_minute,
            log_window,
            read_threads,
            public_url,
        } = Config::default();
        for default in [
            format!("`{}` in the working directory", data_dir.display()),
            database.map_or("none".into(), |url| url.to_string()),
            format!("{database_connections}; at least 3"),
            format!("{} seconds", database_wait.as_secs()),
            format!("{rate_limit_per_minute}, as Zulip's"),
            format!("{} hours", log_window.as_secs() / 3600),
            format!("{read_threads}; at least 1"),
            public_url.unwrap_or_else(|| "none".into()),
        ] {
            assert!(words.contains(&format!("Default: {default}")), "{default}");
        }
    }
}
