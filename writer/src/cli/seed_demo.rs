//! `writer seed-demo`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use squall_bus::MemoryBus;
use squall_writer::demo::{self, DemoUser};
use squall_writer::{Config, Writer};

use super::database::DatabaseArguments;
use super::operate::CommandError;

#[derive(Debug, Args)]
pub(super) struct SeedDemoArguments {
    /// Where the users' programs connect: a gateway, such as http://127.0.0.1:8470
    #[arg(long, value_name = "URL")]
    site: String,
    /// Where the users' credentials are put, as demo/NAME.zuliprc; and where the SQLite database lies, if it is
    /// one and no server runs on it
    #[arg(long, default_value = "squall-data", value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    database: DatabaseArguments,
}

/// Makes the demo realm in a store without realms; which users there are then.
pub(super) async fn seed_demo(arguments: SeedDemoArguments) -> Result<String, CommandError> {
    let SeedDemoArguments { site, data_dir, database } = arguments;
    let config = Config { data_dir: data_dir.clone(), database_wait: Duration::ZERO, ..Config::default() };
    let writer = Writer::open(database.configure(config)?, Arc::new(MemoryBus::new())).await;
    let writer = writer.map_err(CommandError::opening)?;
    let seeded = demo::seed(&writer).await;
    writer.close().await;
    let users = seeded.map_err(|error| CommandError::Refused(error.to_string()))?;
    let users = users.ok_or_else(|| CommandError::Refused("there is a realm already".into()))?;
    for user in &users {
        let path = data_dir.join("demo").join(format!("{}.zuliprc", user.name));
        write(user, &path, &site).map_err(|source| CommandError::Credentials { path, source })?;
    }
    let names: Vec<_> = users.iter().map(|user| &user.name).collect();
    Ok(json!({ "users": names, "credentials": data_dir.join("demo") }).to_string())
}

/// For its owner's eyes only.
fn write(user: &DemoUser, path: &Path, site: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    // One that others may read would stay so.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let DemoUser { full_name, email, api_key, .. } = user;
    write!(file, "# {full_name}\n[api]\nemail={email}\nkey={}\nsite={site}\n", api_key.reveal())
}
