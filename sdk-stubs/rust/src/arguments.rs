use std::ffi::OsString;
use std::fs;

use crate::limits::TEST_RECORDS;

/// `--test` and what belongs to it.
#[derive(Debug, PartialEq)]
pub struct Arguments {
    /// Records as JSON lines, `-`: standard input. Empty for a source.
    pub file: String,
    /// JSON.
    pub config: Vec<u8>,
    /// Records that a source may print.
    pub limit: usize,
}

impl Arguments {
    /// `None` without `--test`. Other arguments belong to the stage's author and are passed over.
    pub fn parse(arguments: impl Iterator<Item = OsString>, is_source: bool) -> Result<Option<Self>, String> {
        let arguments: Vec<String> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
        if !arguments.iter().any(|argument| argument == "--test") {
            return Ok(None);
        }
        let mut arguments = arguments.into_iter();
        let mut parsed = Arguments { file: String::new(), config: Vec::new(), limit: TEST_RECORDS };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--test" if is_source => {}
                "--test" => parsed.file = arguments.next().ok_or("--test needs a file of records as JSON lines, or - for standard input")?,
                "--config" => parsed.config = read_config(&arguments.next().ok_or("--config needs JSON, or @FILE")?)?,
                "--limit" => {
                    let number = arguments.next().and_then(|number| number.parse().ok());
                    parsed.limit = number.ok_or("--limit needs a number of records")?;
                }
                _ => {}
            }
        }
        Ok(Some(parsed))
    }
}

fn read_config(text: &str) -> Result<Vec<u8>, String> {
    let (name, config) = match text.strip_prefix('@') {
        Some(path) => (path, fs::read(path).map_err(|error| format!("--config: {path}: {error}"))?),
        None => ("--config", text.as_bytes().to_vec()),
    };
    match serde_json::from_slice::<serde::de::IgnoredAny>(&config) {
        Ok(_) => Ok(config),
        Err(error) => Err(format!("{name}: not JSON: {error}")),
    }
}

/// The arguments of a source program without its name and without those of the library (`--test`,
/// `--limit N`, `--config JSON`): the author's own.
pub fn source_arguments() -> Vec<OsString> {
    own(std::env::args_os().skip(1))
}

fn own(mut arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut own = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--limit" || argument == "--config" {
            arguments.next();
        } else if argument != "--test" {
            own.push(argument);
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str], is_source: bool) -> Result<Option<Arguments>, String> {
        Arguments::parse(arguments.iter().map(|argument| argument.into()), is_source)
    }

    #[test]
    fn only_test_is_ours() {
        assert_eq!(parse(&["--pace", "3", "a.csv"], true), Ok(None));
        assert_eq!(parse(&["--config", "{broken", "--limit", "x"], true), Ok(None), "without --test the author's");
        assert_eq!(own(["--test", "--pace", "3", "--limit", "7", "a.csv"].iter().map(|a| a.into())), ["--pace", "3", "a.csv"]);
        let parsed = parse(&["--config", "{\"n\": 1}", "--test", "a.jsonl"], false).unwrap().unwrap();
        assert_eq!((parsed.file.as_str(), &parsed.config[..]), ("a.jsonl", &b"{\"n\": 1}"[..]));
        assert_eq!(parse(&["--test", "a.csv", "--limit", "7"], true).unwrap().unwrap().limit, 7);
        let broken = &["--test", "a", "--config", "{"][..];
        for wrong in [&["--test"], broken, &["--test", "a", "--config", "@/nonexistent"], &["--test", "a", "--limit", "x"]] {
            assert!(parse(wrong, false).is_err(), "{wrong:?}");
        }
    }
}
