// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program as a user runs it, as far as that goes without the module.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, data: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, data).unwrap();
        path
    }
}

fn ekho_fw(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ekho-fw"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn inspect(path: &Path) -> Output {
    ekho_fw(&["inspect", path.to_str().unwrap()])
}

#[test]
fn inspect_shows_a_firmware() {
    let files = Files::new();
    let path = files.put("fixture.bpf.o", ekho_fixtures::FIRMWARE);
    let output = inspect(&path);
    assert_eq!(status(&output), 0, "{}", err(&output));
    assert_eq!(err(&output), "", "libbpf is silent");
    for text in [
        "firmware fixture, ABI 1",
        "replace  fixture_replace",
        "kfuncs   bpf_flow_offload_set_stats",
        "flow_stats  hash    8     32     1024  0x0",
    ] {
        assert!(out(&output).contains(text), "{text}\n{}", out(&output));
    }
    assert!(!out(&output).contains('\x1b'), "no colours into a pipe");
}

#[test]
fn inspect_speaks_json() {
    let files = Files::new();
    let path = files.put("fixture.bpf.o", ekho_fixtures::FIRMWARE);
    let path = path.to_str().unwrap();
    let plain = ekho_fw(&["-j", "inspect", path]);
    let pretty = ekho_fw(&["inspect", "-p", path]);
    assert_eq!(out(&plain).lines().count(), 1);
    assert!(out(&pretty).lines().count() > 10);
    let value: Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!(
        value,
        serde_json::from_slice::<Value>(&pretty.stdout).unwrap()
    );
    assert_eq!(value["firmware"][0]["ops"][2]["op"], "stats");
    assert_eq!(value["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn inspect_fails_for_firmware_that_cannot_be_loaded() {
    let files = Files::new();
    let path = files.put("fixture.bpf.o", ekho_fixtures::MISSING_OP);
    let output = inspect(&path);
    assert_eq!(status(&output), 5);
    assert!(out(&output).contains("problem:"), "{}", out(&output));
    assert!(out(&output).contains("lacks the mandatory op `destroy`"));
}

#[test]
fn what_is_no_firmware_is_said_in_a_sentence() {
    let files = Files::new();
    for (name, data, sentence) in [
        ("text", b"hello".as_slice(), "isn't an ELF object"),
        ("plain.bpf.o", ekho_fixtures::PLAIN, "holds no firmware"),
    ] {
        let path = files.put(name, data);
        let output = inspect(&path);
        assert_eq!(status(&output), 5);
        assert_eq!(out(&output), "");
        assert!(err(&output).starts_with("ekho-fw: "), "{}", err(&output));
        assert!(err(&output).contains(sentence), "{}", err(&output));
        assert!(err(&output).contains("\n  hint: "), "{}", err(&output));
    }
}

#[test]
fn an_unknown_name_says_where_it_was_looked_for() {
    let output = Command::new(env!("CARGO_BIN_EXE_ekho-fw"))
        .args(["inspect", "nosuch"])
        .env("EKHO_FIRMWARE_DIR", "/special")
        .output()
        .unwrap();
    assert_eq!(status(&output), 5);
    for part in [
        "nosuch.bpf.o",
        "/special",
        "/usr/lib/ekho/firmware",
        "EKHO_FIRMWARE_DIR",
    ] {
        assert!(err(&output).contains(part), "{}", err(&output));
    }
    // That is no name.
    let output = inspect(Path::new("./nosuch"));
    assert!(!err(&output).contains("hint"), "{}", err(&output));
}

#[test]
fn failures_are_json_too() {
    let output = ekho_fw(&["-j", "inspect", "/nonexistent.bpf.o"]);
    assert_eq!(status(&output), 5);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["error"]["id"], "unreadable");
    assert!(err(&output).contains("/nonexistent.bpf.o"));
}

#[test]
fn a_command_line_that_makes_no_sense_is_status_2() {
    for args in [
        &["load"][..],
        &["nonsense"],
        &["stats", "set"],
        &["-x"],
        &[],
    ] {
        let output = ekho_fw(args);
        assert_eq!(status(&output), 2, "{args:?}");
        assert_eq!(out(&output), "");
    }
}

#[test]
fn an_unknown_namespace_is_status_6() {
    let output = ekho_fw(&["-n", "no-such-namespace", "list"]);
    assert_eq!(status(&output), 6, "{}", err(&output));
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = ekho_fw(&["completions", shell]);
        assert_eq!(status(&output), 0, "{shell}");
        assert!(out(&output).contains("inspect"), "{shell}");
    }
}

#[test]
fn the_manual_page_has_exit_status_and_examples() {
    let output = ekho_fw(&["man"]);
    assert_eq!(status(&output), 0);
    let page = out(&output);
    assert!(page.contains(".TH ekho-fw 1"));
    assert!(page.contains("Examples"));
    // Lines of the table stay lines.
    let (start, end) = (page.find(".nf").unwrap(), page.find(".fi").unwrap());
    assert!(page[start..end].contains("\n  3  a privilege is missing\n"));
    assert!(page[end..].contains(".SH VERSION"));
}

#[test]
fn every_command_has_a_manual_page() {
    let files = Files::new();
    let directory = files.0.path().join("man1");
    let output = ekho_fw(&["man", "--dir", directory.to_str().unwrap()]);
    assert_eq!(status(&output), 0, "{}", err(&output));
    for name in ["ekho-fw.1", "ekho-fw-load.1", "ekho-fw-stats-feed.1"] {
        assert!(directory.join(name).exists(), "{name}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ekho-fw"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(err(&output), "");
}

/// A command without capabilities, whoever runs this test.
fn unprivileged(args: &[&str]) -> Command {
    let program = env!("CARGO_BIN_EXE_ekho-fw");
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-all", "--inh-caps", "-all", program]);
        command
    } else {
        Command::new(program)
    };
    command.args(args);
    command
}

#[test]
fn a_feed_without_privileges_fails_before_it_reads() {
    let mut child = unprivileged(&["stats", "feed", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"cookie\":1,\"packets\":1}\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!(status(&output), 3, "{}", err(&output));
    assert!(err(&output).contains("CAP_SYS_ADMIN"), "{}", err(&output));
}

#[test]
fn reading_events_without_privileges_fails_at_once() {
    let output = unprivileged(&["events", "--dev", "lo"]).output().unwrap();
    assert_eq!(status(&output), 3, "{}", err(&output));
    assert!(err(&output).contains("\n  hint: "), "{}", err(&output));
}

#[test]
fn a_usage_error_is_json_where_that_is_wanted() {
    for args in [
        &["-j", "nonsense"][..],
        &["load", "-dj"],
        &["stats", "set", "--json"],
        &[
            "--pretty",
            "stats",
            "set",
            "--cookie",
            "zz",
            "--packets",
            "1",
        ],
        &["-j", "show", "ek0", "--dev", "ek1"],
        &["-j"],
    ] {
        let output = ekho_fw(args);
        assert_eq!(status(&output), 2, "{args:?}");
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["error"]["id"], "usage", "{args:?}");
        let message = value["error"]["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && !message.starts_with("error"),
            "{message}"
        );
        assert_ne!(err(&output), "", "{args:?}");
    }
    // Help is no failure.
    let output = ekho_fw(&["-j", "--help"]);
    assert_eq!(status(&output), 0);
    assert!(out(&output).contains("Usage:"));
}

#[test]
fn names_cannot_command_the_terminal() {
    let path = "/nonexistent/\u{1b}]2;hi\u{7}\u{9b}2J\u{202e}.bpf.o";
    let output = ekho_fw(&["-j", "inspect", path]);
    assert_eq!(status(&output), 5);
    for text in [out(&output), err(&output)] {
        let obeyed = |char: char| char != '\n' && (char.is_control() || char == '\u{202e}');
        assert!(!text.contains(obeyed), "{text:?}");
    }
    assert!(
        err(&output).contains("\\u{1b}]2;hi\\u{7}\\u{9b}2J"),
        "{}",
        err(&output)
    );
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["error"]["message"].as_str().unwrap().contains(path));
}
