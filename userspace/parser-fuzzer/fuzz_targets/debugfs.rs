// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's records: each file of debugfs, all with the same content.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use ekho::module::debugfs::Debugfs;
use ekho::module::state::{Filter, State as _};
use libfuzzer_sys::fuzz_target;

/// In memory, as it is written each time.
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = PathBuf::from(format!(
        "/dev/shm/ekho-parser-fuzzer-{}",
        std::process::id()
    ));
    fs::create_dir_all(&path).expect("/dev/shm can be written");
    path
});

fuzz_target!(|data: &[u8]| {
    let file = DIRECTORY.join("all");
    fs::write(&file, data).expect("/dev/shm can be written");
    for name in [
        "version",
        "devices",
        "firmware",
        "flows",
        "capabilities",
        "refusals",
        "exits",
    ] {
        let link = DIRECTORY.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(&file, link).expect("/dev/shm can be written");
        }
    }
    let debugfs = Debugfs::new(DIRECTORY.as_path());
    let all = Filter::default();
    let _ = debugfs.version().map(|read| serde_json::to_string(&read));
    let _ = debugfs
        .devices(&all)
        .map(|read| serde_json::to_string(&read));
    let _ = debugfs
        .firmware(&all)
        .map(|read| serde_json::to_string(&read));
    let _ = debugfs.flows(&all).map(|read| serde_json::to_string(&read));
    let _ = debugfs.capabilities();
    let _ = debugfs.refusals().map(|read| serde_json::to_string(&read));
    let _ = debugfs.exits(&all).map(|read| serde_json::to_string(&read));
});
