//! The command line.

mod database;
mod operate;
mod seed_demo;
mod serve;

use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use database::DatabaseArguments;
use serde_json::{Value, json};
use tracing::Level;

/// Squall's writer: checks, limits, numbers, stores and publishes what clients write.
#[derive(Debug, Parser)]
#[command(name = "writer", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API until SIGTERM or Ctrl-C
    Serve(serve::ServeArguments),
    /// Make realms
    #[command(subcommand)]
    Realm(RealmCommand),
    /// Make and change users
    #[command(subcommand)]
    User(UserCommand),
    /// Make streams
    #[command(subcommand)]
    Stream(StreamCommand),
    /// Make a realm to look around in, if there is none yet
    SeedDemo(seed_demo::SeedDemoArguments),
}

/// Where a command works: on a data directory that no server uses, on a database, or through a running server.
#[derive(Debug, Args)]
struct Target {
    /// The data directory, if no server is running on it
    #[arg(long, default_value = "squall-data", value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    database: DatabaseArguments,
    /// The admin address of a running server, such as http://127.0.0.1:9081
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
}

#[derive(Debug, Subcommand)]
enum RealmCommand {
    /// Make a realm, and say its id
    Create {
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make a user, and say its id and API key
    Create {
        email: String,
        /// The name people see
        #[arg(long)]
        name: String,
        #[arg(long, value_enum, default_value_t = RoleArgument::Member)]
        role: RoleArgument,
        /// A program
        #[arg(long)]
        bot: bool,
        /// A stream the user is in from the start; may be given several times
        #[arg(long = "stream", value_name = "NAME")]
        streams: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// End a user's key and sessions; its messages stay
    Deactivate {
        email: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let a deactivated user in again
    Reactivate {
        email: String,
        #[command(flatten)]
        place: Place,
    },
    /// Change what a user may do
    Role {
        email: String,
        #[arg(value_enum)]
        role: RoleArgument,
        #[command(flatten)]
        place: Place,
    },
    /// Give a user a new API key, and say it; the old one ends
    Key {
        email: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
enum StreamCommand {
    /// Make a stream, and say its id
    Create {
        name: String,
        #[arg(long, default_value = "")]
        description: String,
        /// Only members see it
        #[arg(long)]
        invite_only: bool,
        /// A first member's address; may be given several times
        #[arg(long = "member", value_name = "EMAIL")]
        members: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
}

/// A realm, and where it is.
#[derive(Debug, Args)]
struct Place {
    /// The realm's name or id
    #[arg(long)]
    realm: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArgument {
    Admin,
    Member,
    Guest,
}

impl RoleArgument {
    fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Guest => "guest",
        }
    }
}

impl Arguments {
    /// A server says what it does; a command only what goes wrong.
    pub(crate) fn log_level(&self) -> Level {
        match self.command {
            Command::Serve(_) => Level::INFO,
            Command::Realm(_) | Command::User(_) | Command::Stream(_) | Command::SeedDemo(_) => Level::WARN,
        }
    }
}

/// One line for the admin surface, and where it goes.
struct Order {
    method: &'static str,
    path: &'static str,
    line: Value,
    target: Target,
}

/// Does what was asked.
pub(crate) async fn run(arguments: Arguments) -> Result<(), operate::CommandError> {
    let answer = match arguments.command {
        Command::Serve(arguments) => return Ok(serve::serve(arguments).await?),
        Command::SeedDemo(arguments) => seed_demo::seed_demo(arguments).await?,
        Command::Realm(RealmCommand::Create { name, target }) => {
            let line = json!({ "name": name });
            operate::operate(Order { method: "POST", path: "/admin/realms", line, target }).await?
        }
        Command::User(command) => operate::operate(user(command)).await?,
        Command::Stream(StreamCommand::Create { name, description, invite_only, members, place }) => {
            let line = json!({
                "name": name, "description": description, "invite_only": invite_only, "members": members,
            });
            operate::operate(place.order("POST", "/admin/streams", line)).await?
        }
    };
    // Nobody reading it is no failure of what was done.
    let _ = writeln!(std::io::stdout(), "{answer}");
    Ok(())
}

fn user(command: UserCommand) -> Order {
    match command {
        UserCommand::Create { email, name, role, bot, streams, place } => {
            let line = json!({
                "email": email, "full_name": name, "role": role.name(), "is_bot": bot, "streams": streams,
            });
            place.order("POST", "/admin/users", line)
        }
        UserCommand::Deactivate { email, place } => {
            place.order("PATCH", "/admin/users", json!({ "email": email, "is_active": false }))
        }
        UserCommand::Reactivate { email, place } => {
            place.order("PATCH", "/admin/users", json!({ "email": email, "is_active": true }))
        }
        UserCommand::Role { email, role, place } => {
            place.order("PATCH", "/admin/users", json!({ "email": email, "role": role.name() }))
        }
        UserCommand::Key { email, place } => place.order("POST", "/admin/keys", json!({ "email": email })),
    }
}

impl Place {
    fn order(self, method: &'static str, path: &'static str, mut line: Value) -> Order {
        let realm = self.realm.parse::<u64>().map_or(Value::String(self.realm), Value::from);
        line["realm"] = realm;
        Order { method, path, line, target: self.target }
    }
}

/// Says why, on the error output.
pub(crate) fn fail(error: &dyn Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "writer: {error}");
    ExitCode::FAILURE
}
