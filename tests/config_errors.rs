//! One broken file per rule, compared with its exact messages. `UPDATE_GOLDEN=1` rewrites them.
//!
//! Beside each `tests/config/NAME.yml` stands `NAME.txt` with what is said of it; an empty one means that it loads.

use std::fs;
use std::path::{Path, PathBuf};

fn broken_files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .expect("tests/config is there")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    files
}

#[test]
fn each_broken_file_gets_its_exact_messages() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let files = broken_files();
    assert!(files.len() > 30);
    let mut wrong = Vec::new();
    for path in files {
        let name = path
            .file_name()
            .expect("a file has a name")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("broken in meaning, not in encoding");
        let base = path.parent().expect("a file has a directory");
        let found = match badgateway::config::from_str(&text, &name, base, &|_| None) {
            Ok(_) => String::new(),
            Err(problems) => format!("{problems}\n"),
        };
        assert!(!found.contains("hunter"), "{name} shows a secret: {found}");
        let golden = path.with_extension("txt");
        if update {
            fs::write(&golden, &found).expect("golden files can be written");
            continue;
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{name}\n--- expected\n{expected}--- found\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
