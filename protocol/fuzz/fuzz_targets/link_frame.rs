#![no_main]

#[path = "../properties/link_frame.rs"]
mod link_frame;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| link_frame::check(bytes));
