// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware that comes with EKHO, by its name.

use std::env;
use std::path::{Path, PathBuf};

/// The variable that has a directory with firmware, looked into first.
pub const VARIABLE: &str = "EKHO_FIRMWARE_DIR";

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
    let built = env::current_exe().ok().and_then(|program| built(&program));
    let given = env::var_os(VARIABLE).map(PathBuf::from);
    given
        .into_iter()
        .chain(built)
        .chain(DIRECTORIES.map(PathBuf::from))
}

/// The directory of the source tree, for a program that was built there: userspace/target/release/…
fn built(program: &Path) -> Option<PathBuf> {
    let target = program.parent()?.parent()?;
    let tree = target.parent()?.parent()?;
    target
        .ends_with("userspace/target")
        .then(|| tree.join("bpf/build"))
}

/// Whether a word may be a name, rather than a file.
fn name_of(word: &Path) -> Option<&str> {
    let is_name = word.components().count() == 1 && word.extension().is_none();
    word.to_str().filter(|_| is_name && !word.is_file())
}

/// In what directories the object isn't that a word would be the name of, as a sentence; none if the word
/// can't be a name.
pub(crate) fn places(word: &Path) -> Option<String> {
    let name = name_of(word)?;
    let places: Vec<_> = directories()
        .map(|directory| directory.display().to_string())
        .collect();
    let places = places.join(", ");
    Some(format!(
        "{name}.bpf.o is in none of {places}; {VARIABLE} names another directory"
    ))
}

fn find_in(word: &Path, directories: impl Iterator<Item = PathBuf>) -> PathBuf {
    let found = name_of(word).and_then(|name| {
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

    #[test]
    fn only_a_program_in_a_source_tree_has_firmware_beside_it() {
        let of = |program: &str| built(Path::new(program));
        assert_eq!(
            of("/src/ekho/userspace/target/release/ekho-fw"),
            Some("/src/ekho/bpf/build".into())
        );
        for program in ["/usr/bin/ekho-fw", "/home/me/.cargo/bin/ekho-fw", "ekho-fw"] {
            assert_eq!(of(program), None);
        }
    }
}
