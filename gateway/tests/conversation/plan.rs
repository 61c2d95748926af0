//! Who says what where, and which socket breaks when: all that the seed decides.

use squall_protocol::Destination;

use crate::rng::Rng;
use crate::support::server::Server;

/// The demo users; the last one listens only, and is a member of neither `leads` nor the conversations.
pub(crate) const USERS: [&str; 5] = ["ada", "bruno", "chidi", "dalia", "emre"];
const SPEAKERS: usize = 4;
/// One socket in this many belongs to the listener.
const LISTENER_SHARE: usize = 10;
/// The message after all numbered ones.
pub(crate) const LAST_WORD: &str = "the last word";

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) messages: usize,
    pub(crate) sockets: usize,
    pub(crate) kills: usize,
    pub(crate) seed: u64,
}

/// One numbered message.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// The socket that says it.
    pub(crate) socket: usize,
    /// Which of the places.
    pub(crate) place: usize,
}

/// Where messages go, and who may see them.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) to: Destination,
    /// By index in [`USERS`].
    pub(crate) readers: Vec<usize>,
}

/// One socket and what it has to say.
#[derive(Debug, Clone)]
pub(crate) struct Socket {
    /// By index in [`USERS`].
    pub(crate) user: usize,
    /// Numbers of its messages, in the order in which it says them.
    pub(crate) says: Vec<usize>,
    /// How it breaks.
    pub(crate) rng: Rng,
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) sizes: Sizes,
    pub(crate) places: Vec<Place>,
    pub(crate) sockets: Vec<Socket>,
    /// By number.
    pub(crate) messages: Vec<Planned>,
}

impl Sizes {
    /// What the environment says; without it, small enough for every test run.
    pub(crate) fn from_environment() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        Self {
            messages: variable("MESSAGES").unwrap_or(500) as usize,
            sockets: variable("SOCKETS").unwrap_or(50) as usize,
            kills: variable("KILLS").unwrap_or(2) as usize,
            seed: variable("SEED").unwrap_or(u64::from(now.subsec_nanos()) ^ now.as_secs()),
        }
    }
}

impl Plan {
    /// Draws a plan from the seed.
    pub(crate) async fn make(sizes: Sizes, server: &Server) -> Self {
        let mut rng = Rng::new(sizes.seed, 0);
        let places = places(server).await;
        let mut sockets: Vec<Socket> = (0..sizes.sockets)
            .map(|index| Socket {
                user: if index % LISTENER_SHARE == 0 { SPEAKERS } else { index % SPEAKERS },
                says: Vec::new(),
                rng: Rng::new(sizes.seed, index + 1),
            })
            .collect();
        let mut messages = Vec::new();
        while messages.len() < sizes.messages {
            let (socket, place) = (rng.below(sockets.len()), rng.below(places.len()));
            let user = sockets[socket].user;
            if user < SPEAKERS && places[place].readers.contains(&user) {
                sockets[socket].says.push(messages.len());
                messages.push(Planned { socket, place });
            }
        }
        Self { sizes, places, sockets, messages }
    }

    /// The place that all users read.
    pub(crate) fn everybody(&self) -> &Place {
        &self.places[0]
    }

    /// Whether the user of `socket` may see message `number`.
    pub(crate) fn may_see(&self, user: usize, number: usize) -> bool {
        self.places[self.messages[number].place].readers.contains(&user)
    }

    /// The text of message `number`.
    pub(crate) fn content(number: usize) -> String {
        format!("number {number}")
    }

    /// The number in a text made by `content`.
    pub(crate) fn number(content: &str) -> Option<usize> {
        content.strip_prefix("number ")?.parse().ok()
    }
}

async fn places(server: &Server) -> Vec<Place> {
    let all: Vec<usize> = (0..USERS.len()).collect();
    let speakers: Vec<usize> = (0..SPEAKERS).collect();
    let mut places = Vec::new();
    for (stream, topic, readers) in [
        ("general", "lunch", &all),
        ("general", "travel", &all),
        ("random", "music", &all),
        ("leads", "plan", &speakers),
        ("leads", "budget", &speakers),
    ] {
        places.push(Place { to: server.topic(stream, topic).await, readers: readers.clone() });
    }
    for readers in [vec![0, 1], vec![1, 2, 3], vec![2]] {
        let names: Vec<&str> = readers.iter().map(|&user| USERS[user]).collect();
        places.push(Place { to: server.direct(&names).await, readers });
    }
    places
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
