//! A server that is tampered with, between it and the tool: each fault is caught and called by its name, and
//! where nothing is wrong nothing is found.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all: what is not there has failed"
)]

mod proxy;
#[path = "../support/mod.rs"]
mod support;

use proxy::{Proxy, Tampering};
use support::{Gateway, Ran, loadtest};

/// One realm of invite-only streams, in which everybody is a member of half; all in JSON, for the proxy.
const ARGUMENTS: &[&str] = &[
    "chat",
    "--sockets=24",
    "--users-per-realm=24",
    "--realms-per-target=1",
    "--streams-per-realm=4",
    "--streams-per-user=2",
    "--invite-only=100%",
    "--guests=0%",
    "--json=100%",
    "--send-rate=30/s",
    "--direct=0%",
    "--resend=0%",
    "--churn=0/s",
    "--typing=0/s",
    "--hold=4s",
    "--settle=3s",
    "--workers=2",
];

fn run(gateway: &Gateway, tampering: Tampering) -> Ran {
    let proxy = Proxy::start(gateway.address, tampering);
    let ran = loadtest(proxy.address, gateway.admin, ARGUMENTS);
    assert_eq!(proxy.is_done(), tampering != Tampering::None, "{}", ran.words());
    ran
}

/// The run ends with exit code 1, and one fault is found, under this name.
fn assert_caught(tampering: Tampering, fault: &str) {
    let ran = run(&Gateway::start(), tampering);
    let result = ran.result();
    assert_eq!(ran.code(), Some(1), "{}", ran.words());
    assert_eq!(result["audit"]["faults"], serde_json::json!({ fault: 1 }), "{}", ran.words());
    assert!(ran.words().contains(&format!(" {fault}: realm ")), "the offender is named: {}", ran.words());
    assert!(ran.words().contains("--seed "), "and how to see it again: {}", ran.words());
}

#[test]
fn an_honest_server_is_found_without_fault() {
    let ran = run(&Gateway::start(), Tampering::None);
    assert_eq!(ran.code(), Some(0), "{}", ran.words());
    let audit = &ran.result()["audit"];
    assert_eq!(audit["faults"], serde_json::json!({}));
    assert!(audit["judged"].as_u64() > Some(500), "{audit}");
    assert_eq!(audit["in_history"], audit["acknowledged"], "all that was acknowledged is in the history");
    assert_eq!(audit["dark"], 0);
}

#[test]
fn a_dropped_delivery_is_lost() {
    assert_caught(Tampering::Drop, "lost");
}

#[test]
fn a_doubled_delivery_is_duplicated() {
    assert_caught(Tampering::Double, "duplicated");
}

#[test]
fn a_delivery_to_somebody_else_is_leaked() {
    assert_caught(Tampering::Leak, "leaked");
}

#[test]
fn two_deliveries_in_the_wrong_order_are_reordered() {
    assert_caught(Tampering::Reorder, "reordered");
}

#[test]
fn a_flipped_byte_is_corrupted() {
    assert_caught(Tampering::Flip, "corrupted");
}
