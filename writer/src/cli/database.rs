//! Which database: the arguments that every command shares.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use squall_writer::{Config, DatabaseUrl, DatabaseUrlError};

/// The PostgreSQL database, if it is one.
#[derive(Debug, Args)]
pub(super) struct DatabaseArguments {
    /// A PostgreSQL database instead of the data directory, such as postgres://squall@db.example.com/squall
    // Taken as it is: an error of clap's would show the password.
    #[arg(long, value_name = "URL", env = "SQUALL_DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    /// A file whose first line is the database's password
    #[arg(long, value_name = "FILE")]
    database_password_file: Option<PathBuf>,
    /// Connections to the database at most
    #[arg(long, default_value_t = Config::default().database_connections, value_name = "COUNT",
        value_parser = at_least_3)]
    database_connections: usize,
}

/// Why the database named is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("--database: {0}")]
    Url(#[from] DatabaseUrlError),
    #[error("--database-password-file {}: {source}", path.display())]
    PasswordFile { path: PathBuf, source: io::Error },
    #[error("--database-password-file: there is no --database that it is for")]
    PasswordOnly,
}

impl DatabaseArguments {
    /// The configuration with this database.
    pub(super) fn configure(self, config: Config) -> Result<Config, DatabaseError> {
        let Self { database, database_password_file, database_connections } = self;
        let url = database.as_deref().map(DatabaseUrl::parse).transpose()?;
        let database = match (url, database_password_file) {
            (None, Some(_)) => return Err(DatabaseError::PasswordOnly),
            (Some(url), Some(path)) => Some(url.with_password(&password(&path)?)),
            (url, None) => url,
        };
        Ok(Config { database, database_connections, ..config })
    }
}

fn password(path: &Path) -> Result<String, DatabaseError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| DatabaseError::PasswordFile { path: path.to_owned(), source })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn at_least_3(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|error: std::num::ParseIntError| error.to_string())?;
    if count < 3 { Err("at least 3".into()) } else { Ok(count) }
}
