//! The sections of a scenario: every field with its meaning, unit, default and effect.

use super::section::section;
use super::target::Sources;
use super::units::{Rate, Share, Size, Span};
use super::words::{Arrivals, PresenceScope, UsersFile};

section! {
    /// What is made in each target before the run: realms with users and streams.
    pub struct Realms in "realms", flags RealmsFlags {
        /// Realms made in each target. Default: 1. Nothing crosses a realm: that it does not is audited.
        pub realms_per_target: u32 = 1,
        /// Users made in each realm. Default: 100. With fewer users than sockets a user has several
        /// sessions, each of which must see everything.
        pub users_per_realm: u32 = 100,
        /// Share of the users who are guests: they see only the streams they belong to, and may not create.
        /// Default: 0%.
        pub guests: Share = Share::NONE,
        /// Streams made in each realm. Default: 10.
        pub streams_per_realm: u32 = 10,
        /// Streams each user is a member of, dealt by the seed. Default: 5. With the users this makes the
        /// deliveries of one message: users × streams_per_user ÷ streams_per_realm.
        pub streams_per_user: u32 = 5,
        /// Share of the streams that are invite-only: whoever is no member must see nothing of them.
        /// Default: 20%.
        pub invite_only: Share = Share::percent(20.0),
        /// Topics in each stream; each message goes to one of them. Default: 10.
        pub topics_per_stream: u32 = 10,
        /// A file with users and tokens, instead of making them through the admin API: JSON lines with
        /// `email`, `api_key` and, if it is known, `realm_id`, or a directory of `zuliprc` files. Default: none.
        pub users_file: UsersFile = UsersFile::default(),
    }
}

section! {
    /// The client sockets, over all targets.
    pub struct Clients in "clients", flags ClientsFlags {
        /// Client sockets held at once, over all targets and realms, dealt out in turn. Default: 100. Each
        /// takes a file descriptor here and one at the server.
        pub sockets: u32 = 100,
        /// Share of the sockets that speak `squall.v1.json`; the others speak `squall.v1.bincode`. Default:
        /// 50%.
        pub json: Share = Share::percent(50.0),
        /// Sockets opened in a second while the load rises. Default: 200/s. It ends early if the servers
        /// can't take them; the handshake's latency is in the result.
        pub ramp: Rate = Rate::per_second(200.0),
        /// How long the load is held after the last socket is open; traffic and disturbances run then.
        /// Default: 30s.
        pub hold: Span = Span::from_secs(30),
        /// Whose presence the sockets ask for: `realm` or `none`. Default: none. With `realm` each change
        /// of a user is told to every socket of the realm.
        pub scope: PresenceScope = PresenceScope::None,
        /// Processes the sockets are dealt to, each with its own limit of file descriptors; 0: one for each
        /// core. Default: 0.
        pub workers: u32 = 0,
        /// Addresses the sockets are opened from: `auto`, or a list with ranges such as
        /// `127.0.0.2-127.0.0.9`. Default: auto. One source address holds about 28,000 sockets to one
        /// address of a server.
        pub source_addresses: Sources = Sources::Auto,
    }
}

section! {
    /// What the sockets write.
    pub struct Traffic in "traffic", flags TrafficFlags {
        /// Messages sent in a second, over all sockets, on a schedule that waits for nothing: latency counts
        /// from the time a send was due, also when it was late. Default: 10/s.
        pub send_rate: Rate = Rate::per_second(10.0),
        /// When sends are due: `random`, independently of each other as people are, or `even`. Default:
        /// random.
        pub arrivals: Arrivals = Arrivals::Random,
        /// Length of a message's content, between 64B and 10000B (a character is a byte). Default: 200B.
        pub payload: Size = Size(200),
        /// Share of the sockets that send; the others only read. Default: 100%.
        pub senders: Share = Share::ALL,
        /// Share of the messages that go to two or three users instead of a stream. Default: 10%.
        pub direct: Share = Share::percent(10.0),
        /// Messages sent a second time with the same send id, as after a lost answer: they must be stored
        /// once. Default: 0%.
        pub resend: Share = Share::NONE,
        /// Membership changes (a user leaves a stream or comes back) in a second, over all sockets.
        /// Default: 0/s. Each moves the border of what the user may see; the audit holds the server to it.
        pub churn: Rate = Rate::ZERO,
        /// Typing notices in a second, over all sockets. Default: 0/s.
        pub typing: Rate = Rate::ZERO,
    }
}

section! {
    /// What goes wrong on purpose.
    pub struct Disturbance in "disturbance", flags DisturbanceFlags {
        /// Connections cut in a second, at random, without a farewell; each comes back and resumes.
        /// Default: 0/s.
        pub kill_rate: Rate = Rate::ZERO,
        /// The longest a cut connection stays away; the time is random between 0 and this. Default: 2s.
        pub away: Span = Span::from_secs(2),
        /// Share of the returns that name a forged position; each must be answered by a reset. Default: 0%.
        pub forged: Share = Share::NONE,
        /// Time from one herd to the next: at once, `herd_size` of the sockets is cut; 0s: never. Default: 0s.
        pub herd_every: Span = Span::ZERO,
        /// Share of the sockets that a herd takes. Default: 100%.
        pub herd_size: Share = Share::ALL,
        /// Time over which a herd comes back; 0s is all at once. Default: 0s.
        pub herd_within: Span = Span::ZERO,
        /// Share of the sockets that now and then stop reading. Default: 0%.
        pub slow: Share = Share::NONE,
        /// How long a slow socket does not read. Default: 5s. A server may close it (4200); it then comes
        /// back and resumes.
        pub stall: Span = Span::from_secs(5),
        /// Time from one stall of a slow socket to the next. Default: 15s.
        pub stall_every: Span = Span::from_secs(15),
    }
}

section! {
    /// How the users come and go.
    pub struct Presence in "presence", flags PresenceFlags {
        /// Sockets that turn from active to idle or back in a second, over all of them. Default: 0/s.
        pub status_rate: Rate = Rate::ZERO,
        /// Connections dropped and opened again at once, in a second, over all of them: within the server's
        /// grace nobody may be told. Default: 0/s.
        pub flap_rate: Rate = Rate::ZERO,
        /// Time from one storm to the next: all sockets change their status within a second; 0s: never.
        /// Default: 0s.
        pub storm_every: Span = Span::ZERO,
    }
}

section! {
    /// How the servers are set, so that the scenario can be checked against them before it runs.
    pub struct Server in "server", flags ServerFlags {
        /// Writes a user may make (`--rate-limit` of the server); `0/min`: no limit. Default: 200/min.
        pub rate_limit: Rate = Rate::per_minute(200.0),
        /// Sessions a user may have (`--sessions-per-user-max` of the server). Default: 100.
        pub sessions_per_user_max: u32 = 100,
        /// How long a client may be away and still resume (`--resume-window` of the server). Default: 24h.
        /// A reset of a client that was away longer is expected; any other is a finding.
        pub resume_window: Span = Span::from_secs(24 * 60 * 60),
        /// How long a disconnect is kept from others (`--presence-grace` of the server). Default: 20s.
        pub presence_grace: Span = Span::from_secs(20),
    }
}

section! {
    /// How the run is watched and ended.
    pub struct Run in "run", flags RunFlags {
        /// The longest wait, after the last send, for everything to arrive. Default: 10s. What is missing
        /// then is lost.
        pub settle: Span = Span::from_secs(10),
        /// Time between two looks at the figures: of the live view, and of the series in the result.
        /// Default: 1s.
        pub report_every: Span = Span::from_secs(1),
        /// Time between two checks of the audit, after which what was checked is forgotten. Default: 5s.
        /// Longer costs memory: a few bytes for each delivery in it.
        pub audit_every: Span = Span::from_secs(5),
    }
}
