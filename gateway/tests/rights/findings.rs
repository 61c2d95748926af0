//! What the cells came to.

use std::fmt::Debug;

/// Counts the cells that were tried and keeps the wrong ones.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    cells: usize,
    wrong: Vec<String>,
}

impl Findings {
    /// One cell: what was found there against what the table says. `cell` names user, way and message.
    pub(crate) fn check<T: PartialEq + Debug>(&mut self, cell: &str, found: &T, expected: &T) {
        self.cells += 1;
        if found != expected {
            self.wrong.push(format!("{cell}: {found:?}, but the table says {expected:?}"));
        }
    }

    /// Tells how many cells were tried, and ends the test if one was wrong.
    pub(crate) fn tell(self, what: &str) {
        let Self { cells, wrong } = self;
        println!("{what}: {cells} cells checked, {} wrong", wrong.len());
        assert!(cells > 0, "{what}: nothing was tried");
        assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
    }
}
