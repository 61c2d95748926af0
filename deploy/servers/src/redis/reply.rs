//! The smallest client of Redis: one command on a connection of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What Redis answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A number.
    Integer(i64),
    /// Words.
    Text(String),
    /// Several answers.
    List(Vec<Reply>),
}

impl Reply {
    /// The words.
    ///
    /// # Panics
    /// If it is something else.
    #[must_use]
    pub fn text(&self) -> &str {
        let Self::Text(text) = self else { panic!("words were expected, not {self:?}") };
        text
    }

    /// The number.
    ///
    /// # Panics
    /// If it is something else.
    #[must_use]
    pub fn integer(&self) -> i64 {
        let Self::Integer(integer) = self else { panic!("a number was expected, not {self:?}") };
        *integer
    }

    /// The answers.
    ///
    /// # Panics
    /// If it is something else.
    #[must_use]
    pub fn list(&self) -> &[Reply] {
        let Self::List(list) = self else { panic!("a list was expected, not {self:?}") };
        list
    }
}

const ANSWER_MAX: Duration = Duration::from_secs(5);

pub(super) fn ask(address: SocketAddr, words: &[&str]) -> Result<Reply, String> {
    let words_of = |error: std::io::Error| error.to_string();
    let mut socket = TcpStream::connect_timeout(&address, ANSWER_MAX).map_err(words_of)?;
    socket.set_read_timeout(Some(ANSWER_MAX)).map_err(words_of)?;
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    socket.write_all(command.as_bytes()).map_err(words_of)?;
    read(&mut BufReader::new(socket)).map_err(words_of)?
}

/// The inner error is Redis's.
fn read(socket: &mut BufReader<TcpStream>) -> std::io::Result<Result<Reply, String>> {
    let broken = |what: &str| std::io::Error::other(format!("not an answer of Redis: {what:?}"));
    let mut line = String::new();
    socket.read_line(&mut line)?;
    let line = line.trim_end_matches("\r\n");
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| broken(line))?;
    let size = || rest.parse::<i64>().map_err(|_| broken(line));
    Ok(Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => return Ok(Err(rest.to_owned())),
        ":" => Reply::Integer(size()?),
        "$" | "*" if size()? < 0 => Reply::Nil,
        "$" => {
            let mut bytes = vec![0; size()? as usize + 2];
            socket.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Reply::Text(String::from_utf8_lossy(&bytes).into_owned())
        }
        "*" => {
            let mut list = Vec::new();
            for _ in 0..size()? {
                match read(socket)? {
                    Ok(reply) => list.push(reply),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Reply::List(list)
        }
        _ => return Err(broken(line)),
    }))
}
