// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware that comes with EKHO, by its name.

use std::env;
use std::path::{Path, PathBuf};

/// The variable that has a directory with firmware, looked into first.
pub const VARIABLE: &str = "EKHO_FIRMWARE";

/// Where packages and administrators put it.
const DIRECTORIES: [&str; 2] = ["/usr/local/lib/ekho/firmware", "/usr/lib/ekho/firmware"];

/// The object that is meant by a word of the command line: the file of that name; or if there is none,
/// and it is a word such as `nic`, `nic.bpf.o` in the directories that have firmware.
#[must_use]
pub fn find(word: &Path) -> PathBuf {
    find_in(word, directories())
}

/// The directories, the first that counts first.
fn directories() -> impl Iterator<Item = PathBuf> {
    // `ekho-fw` as it is built in the source tree, in userspace/target/release.
    let built = env::current_exe().ok().and_then(|program| {
        let tree = program.ancestors().nth(4)?;
        Some(tree.join("bpf/build"))
    });
    let given = env::var_os(VARIABLE).map(PathBuf::from);
    given
        .into_iter()
        .chain(built)
        .chain(DIRECTORIES.map(PathBuf::from))
}

fn find_in(word: &Path, directories: impl Iterator<Item = PathBuf>) -> PathBuf {
    let is_name = word.components().count() == 1 && word.extension().is_none();
    let name = word.to_str().filter(|_| is_name && !word.exists());
    let found = name.and_then(|name| {
        directories
            .map(|directory| directory.join(format!("{name}.bpf.o")))
            .find(|path| path.is_file())
    });
    found.unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_each_directory() {
        let directory = env::temp_dir().join(format!("ekho-shipped-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let object = directory.join("special.bpf.o");
        std::fs::write(&object, "").unwrap();
        let find = |word: &str| {
            let directories = [directory.join("none"), directory.clone()];
            find_in(Path::new(word), directories.into_iter())
        };
        assert_eq!(find("special"), object);
        for word in ["other", "special.bpf.o", "./special", "a/special", ""] {
            assert_eq!(find(word), Path::new(word));
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
