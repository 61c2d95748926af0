//! The committed inputs of a fuzz target, for a test that runs without a fuzzer.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it is of tests only")]

use std::fs;
use std::path::Path;

/// Gives each seed of `target` to `check`, which panics at what should not be.
pub(crate) fn replay(target: &str, check: impl Fn(&[u8])) {
    // The same from every crate of the workspace.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/fuzz/seeds").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Which one it was, should it break.
        println!("{}", path.display());
        check(&fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "{} has seeds", folder.display());
}
