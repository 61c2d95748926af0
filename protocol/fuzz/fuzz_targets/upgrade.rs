#![no_main]

#[path = "../properties/handshake.rs"]
mod handshake;
#[path = "../../../gateway/src/upgrade.rs"]
mod upgrade;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| handshake::check(bytes));
