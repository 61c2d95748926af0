//! What a run stands on: realms, streams and users, made for it or read from a file; and at its end the
//! history, read back by another way than the sockets.

mod file;
mod ground;
mod history;
mod http;
mod layout;
mod making;

pub(crate) use file::{read_users_file, stand_on};
pub(crate) use ground::Realm;
#[cfg(test)]
pub(crate) use ground::User;
pub(crate) use history::{read_direct, read_streams};
pub(crate) use http::Http;
pub(crate) use layout::{Sizes, layout};
pub(crate) use making::{Apis, make};
