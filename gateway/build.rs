//! Lists the files of the demo page and of the browser client, so that one binary serves them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut table = String::from("&[\n");
    for (folder, address) in [(root.join("demo"), "/demo"), (root.join("../protocol/js"), "/protocol/js")] {
        println!("cargo::rerun-if-changed={}", folder.display());
        list(&folder, address, &mut table)?;
    }
    table.push(']');
    fs::write(PathBuf::from(env::var("OUT_DIR").unwrap_or_default()).join("site_files.rs"), table)
}

/// Only the folder itself: tests and tools live in folders below it.
fn list(folder: &Path, address: &str, table: &mut String) -> io::Result<()> {
    let mut files: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    for file in files.iter().filter(|file| file.path().is_file()) {
        let (name, path) = (file.file_name(), fs::canonicalize(file.path())?);
        let name = name.to_string_lossy();
        let wanted = [".js", ".css", ".html", ".svg"].iter().any(|ending| name.ends_with(ending));
        if wanted {
            println!("cargo::rerun-if-changed={}", path.display());
            let _ = writeln!(table, "    ({:?}, include_bytes!({:?})),", format!("{address}/{name}"), path);
        }
    }
    Ok(())
}
