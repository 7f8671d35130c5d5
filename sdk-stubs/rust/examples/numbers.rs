//! A source: the numbers from 1 to `count`. Its checkpoint is the last number that is safely in the
//! pipeline, so that a restart neither repeats nor misses one.

use serde::Deserialize;
use stagewire::{Output, Stage};

#[derive(Deserialize)]
struct Config {
    #[serde(default = "thousand")]
    count: u64,
}

fn thousand() -> u64 {
    1000
}

fn main() -> std::process::ExitCode {
    Stage::new().source_with(|config: Config, source| {
        let numbers = source.claim("numbers")?;
        let last = match numbers.checkpoint() {
            b"" => 0,
            text => std::str::from_utf8(text)?.parse()?,
        };
        for number in last + 1..=config.count {
            let text = number.to_string();
            let one = Output { payload: text.as_bytes(), key: b"numbers", ..Output::default() };
            numbers.emit(&[one], text.as_bytes())?;
        }
        Ok(()) // all partitions are finished
    })
}
