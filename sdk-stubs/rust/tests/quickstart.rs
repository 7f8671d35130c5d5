//! The README's quick start is run as it stands there, and the examples with it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Built by cargo before it runs the tests, beside their own directory.
fn examples() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    test.parent().and_then(|deps| deps.parent()).expect("target/debug/deps").join("examples")
}

/// The first block of that language behind `heading`.
fn block(heading: &str, language: &str) -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
    let section = readme.split(heading).nth(1).expect("the heading");
    let start = section.split(&format!("```{language}\n")).nth(1).expect("the block");
    start.split("```").next().expect("its end").to_string()
}

/// Runs a script in which `cargo run --quiet --example NAME -- ARGUMENTS` is what cargo has built.
fn shell(script: &str) -> Output {
    let is_built = examples().join("shout").exists();
    assert!(is_built, "`cargo test` without a selection builds the examples; `cargo build --examples` does, too");
    let cargo = "cargo() { example=$4; shift 5; \"$EXAMPLES/$example\" \"$@\"; }\n";
    Command::new("sh").args(["-eu", "-c", &(cargo.to_string() + script)]).env("EXAMPLES", examples()).output().expect("sh runs")
}

fn run(script: &str) -> (i32, String, String) {
    let output = shell(script);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

#[test]
fn the_readme_shows_the_example() {
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shout.rs")).expect("shout");
    assert!(example.ends_with(&block("## Quick start", "rust")));
    let body = block("## Quick start", "rust").lines().filter(|line| line.starts_with("        ")).count();
    assert!(body <= 15, "parse, change, emit in at most 15 lines");
}

#[test]
fn the_quick_start_prints_what_the_readme_says() {
    let (code, out, err) = run(&block("## Quick start", "sh"));
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, block("## Quick start", "json"));
    assert_eq!(err, block("## Quick start", "text"));
}

#[test]
fn numbers_counts() {
    let (code, out, err) = run("cargo run --quiet --example numbers -- --test --config '{\"count\": 3}'");
    assert_eq!((code, err.as_str()), (0, "3 emitted\n"));
    assert_eq!(out.lines().last(), Some("{\"key\": \"numbers\", \"text\": \"3\"}"));
    let (code, out, _) = run("cargo run --quiet --example numbers -- --test --limit 2");
    assert_eq!((code, out.lines().count()), (0, 2));
}

#[test]
fn mean_reckons() {
    let records = [("a", 1, "1"), ("b", 2, "10"), ("a", 59, "2"), ("a", 61, "x"), ("a", 62, "4")];
    let lines: Vec<String> = records
        .iter()
        .map(|(key, second, text)| format!("{{\"key\": \"{key}\", \"event_time\": {}, \"text\": \"{text}\"}}", second * 1_000_000))
        .collect();
    let script = format!("cargo run --quiet --example mean -- --config '{{\"seconds\": 60}}' --test - <<'END'\n{}\nEND\n", lines.join("\n"));
    let (code, out, err) = run(&script);
    assert_eq!(code, 1, "{err}");
    let expected = ["a\", \"text\": \"1.5\"", "b\", \"text\": \"10\"", "a\", \"text\": \"4\", \"event_time\": \"1970-01-01T00:01:00.000000Z\""];
    for (line, expected) in out.lines().zip(expected) {
        assert!(line.contains(expected), "{out}");
    }
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(err.starts_with("record 4: REJECTED 1001: not a number\n5 records: 4 accepted"), "{err}");
}

#[test]
fn without_a_broker_an_example_says_what_to_do() {
    let (code, _, err) = run("cargo run --quiet --example mean -- --test /dev/null --config '{\"seconds\": \"x\"}'");
    assert!(code == 2 && err.contains("`seconds`: invalid type: string \"x\""), "{err}");
    let (code, _, err) = run("unset STAGEWIRE_SOCKET; cargo run --quiet --example shout --");
    assert!(code == 2 && err.contains("--test FILE"), "{err}");
}
