#![no_main]

#[path = "../properties/bus_frame.rs"]
mod bus_frame;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bus_frame::check(bytes));
