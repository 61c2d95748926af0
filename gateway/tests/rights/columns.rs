//! The users that stand above the columns of both tables of deeds, a fresh one for each cell: what one cell
//! changes no other cell sees.

use squall_protocol::{StreamId, UserId};

use crate::cast::{self, Kind, OTHER_REALM, REALM};
use crate::support::client::Client;
use crate::support::operator::Account;
use crate::support::server::Server;
use crate::table::Table;

/// What is told of `secret` to its members alone; it never stands in a request.
pub(crate) const CLASSIFIED: &str = "classified";
/// What is told of `open` within the realm alone.
pub(crate) const INTERNAL: &str = "internal";

/// Two realms with streams of the same names, and the users of each cell.
pub(crate) struct House {
    /// Invite-only.
    pub(crate) secret: StreamId,
    /// Open to the realm.
    pub(crate) open: StreamId,
    /// The other realm's open stream.
    pub(crate) other_open: StreamId,
    /// A member of both, and of the realm: who is written to, and who watches.
    pub(crate) fellow: Account,
    /// A user of the other realm.
    pub(crate) alien: Account,
    /// A deactivated user of the realm.
    pub(crate) gone: Account,
    /// One more of each realm, whose words come after others'.
    pub(crate) heralds: [Account; 2],
    /// By row and column: who acts, and another who is acted upon.
    cells: Vec<(String, String, Account, Account)>,
}

impl House {
    /// Makes all of it. Of the acted upon, those in whose row somebody is removed are members.
    pub(crate) async fn build(server: &Server, table: &Table) -> Self {
        cast::create_realms(server).await;
        let secret = cast::create_stream(server, REALM, "secret", true).await;
        let open = cast::create_stream(server, REALM, "open", false).await;
        cast::create_stream(server, OTHER_REALM, "secret", true).await;
        let other_open = cast::create_stream(server, OTHER_REALM, "open", false).await;
        let both: &[&str] = &["secret", "open"];
        let mut lines = vec![
            cast::user(REALM, "fellow", Kind::Member, both),
            cast::user(REALM, "gone", Kind::Member, both),
            cast::user(REALM, "herald", Kind::Member, both),
            cast::user(OTHER_REALM, "alien", Kind::Member, both),
            cast::user(OTHER_REALM, "herald", Kind::Member, both),
        ];
        let fixed = lines.len();
        let cells: Vec<(&str, &str)> = (table.rows())
            .flat_map(|row| table.columns().iter().map(move |column| (row, column.as_str())))
            .collect();
        for (number, (row, column)) in cells.iter().enumerate() {
            let (realm, kind, is_in) = meaning(column);
            let actor = format!("{}-{number}", column.replace(' ', "-"));
            lines.push(cast::user(realm, &actor, kind, if is_in { both } else { &[] }));
            let (of, leaves) = (format!("other-{number}"), row.contains("DELETE") || row.contains("unsub"));
            lines.push(cast::user(REALM, &of, Kind::Member, if leaves { both } else { &[] }));
        }
        let mut accounts = server.create_users(&lines).await;
        let mut actors = accounts.split_off(fixed).into_iter();
        let mut next = || actors.next().expect("two for each cell");
        let cell = |(row, column): &(&str, &str)| ((*row).into(), (*column).into(), next(), next());
        let cells = cells.iter().map(cell).collect();
        let [fellow, gone, own_herald, alien, other_herald] =
            <[Account; 5]>::try_from(accounts).expect("the fixed ones");
        server.set_active(REALM, &gone.email, false).await;
        let house = Self {
            secret,
            open,
            other_open,
            fellow,
            alien,
            gone,
            heralds: [own_herald, other_herald],
            cells,
        };
        house.furnish(server).await;
        house
    }

    /// A message in each stream, and a direct one.
    async fn furnish(&self, server: &Server) {
        let mut fellow = cast::connect(server, &self.fellow.key, None).await;
        for (stream_id, words) in [(self.secret, CLASSIFIED), (self.open, INTERNAL)] {
            let to = squall_protocol::Destination::Stream { stream_id, topic: words.to_owned() };
            fellow.say_in(&to, words).await;
        }
        let herald = squall_protocol::Destination::Direct { user_ids: vec![self.heralds[0].user_id] };
        fellow.say_in(&herald, CLASSIFIED).await;
    }

    /// Who acts in this cell, and on whom.
    pub(crate) fn actors(&self, row: &str, column: &str) -> (&Account, &Account) {
        let found = self.cells.iter().find(|(of_row, of_column, ..)| of_row == row && of_column == column);
        let (_, _, actor, other) = found.expect("a cell of the table");
        (actor, other)
    }

    /// Everybody of the realm that a column is of.
    pub(crate) fn realm_of(&self, column: &str) -> Vec<UserId> {
        let stranger = |column: &str| meaning(column).0 == OTHER_REALM;
        let fixed = if stranger(column) {
            vec![&self.alien, &self.heralds[1]]
        } else {
            vec![&self.fellow, &self.gone, &self.heralds[0]]
        };
        let mut all: Vec<UserId> = fixed.iter().map(|account| account.user_id).collect();
        for (_, of_column, actor, other) in &self.cells {
            if stranger(of_column) == stranger(column) {
                all.push(actor.user_id);
            }
            if !stranger(column) {
                all.push(other.user_id);
            }
        }
        all
    }
}

/// Sessions that hear what the actors do, and say something after them.
pub(crate) struct Watch {
    /// The fellow's.
    pub(crate) fellow: Client,
    /// The alien's.
    pub(crate) alien: Client,
    /// Of the realm, and of the other.
    pub(crate) heralds: [Client; 2],
}

impl Watch {
    pub(crate) async fn begin(server: &Server, house: &House) -> Self {
        Self {
            fellow: cast::connect(server, &house.fellow.key, None).await,
            alien: cast::connect(server, &house.alien.key, None).await,
            heralds: [
                cast::connect(server, &house.heralds[0].key, None).await,
                cast::connect(server, &house.heralds[1].key, None).await,
            ],
        }
    }
}

/// Realm, kind, and whether the user is in both streams.
fn meaning(column: &str) -> (&'static str, Kind, bool) {
    match column {
        "stranger" => (OTHER_REALM, Kind::Member, true),
        "put out" | "nobody" => (REALM, Kind::Member, true),
        _ => {
            let (name, place) = column.split_once(' ').expect("a kind and a place");
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).expect("a kind");
            (REALM, kind, place == "in")
        }
    }
}
