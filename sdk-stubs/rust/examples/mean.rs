//! A window: the mean of the numbers of one key in each span of event time.

use serde::Deserialize;
use stagewire::{Emitter, Output, Stage, Window, Windows};

#[derive(Deserialize)]
struct Config {
    /// Of a window, and how much later than others a record may come.
    seconds: f64,
    #[serde(default)]
    lateness: f64,
}

fn main() -> std::process::ExitCode {
    Stage::new().window_with(|config: Config| {
        let windows = Windows::new().event_time(config.seconds, config.lateness).by_key();
        (windows, |window: &Window, out: &mut Emitter| {
            let mut values: Vec<f64> = Vec::new();
            for record in window.records() {
                match std::str::from_utf8(record.payload()).map(str::parse) {
                    Ok(Ok(value)) => values.push(value),
                    _ => window.reject(record, 1001, "not a number"),
                }
            }
            if !values.is_empty() {
                let mean = (values.iter().sum::<f64>() / values.len() as f64).to_string();
                let (key, event_time) = (window.key(), window.start().unwrap_or(0));
                out.emit(&Output { key, event_time, payload: mean.as_bytes(), ..Output::default() });
            }
            Ok(())
        })
    })
}
