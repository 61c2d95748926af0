#![no_main]

#[path = "../../../gateway/src/shard/inbound.rs"]
mod inbound;
#[path = "../properties/pieces.rs"]
mod pieces;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pieces::check(bytes));
