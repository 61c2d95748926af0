//! An echo bot: answers `!echo words` with the words, where it was said.
//!
//! `cargo run -p squall-protocol --features client --example bot -- squall-data/demo/echo.zuliprc`

use squall_protocol::Event;
use squall_protocol::client::{Client, Config, Update};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let zuliprc = std::env::args().nth(1).ok_or("usage: bot ZULIPRC")?;
    let (client, mut updates) = Client::connect(Config::from_zuliprc(&std::fs::read_to_string(zuliprc)?)?)?;
    loop {
        if let Update::Event { event: Event::Message(message), own: false, .. } = updates.next().await?
            && let Some(text) = message.content.strip_prefix("!echo ")
        {
            client.send(message.to, text).await?;
        }
    }
}
