//! The stage that the conformance suite tests (conformance/README.md, "The conformance stage"); which one of
//! them, says STAGEWIRE_STAGE.

use std::process::{self, ExitCode};
use std::time::Duration;
use std::{env, io, thread};

use serde::Deserialize;
use serde_json::value::RawValue;
use stagewire::{Emitter, Output, Record, Source, SourceError, Stage, Verdict, Window, Windows};

fn main() -> ExitCode {
    let stage = env::var("STAGEWIRE_STAGE").unwrap_or_default();
    match stage.as_str() {
        "transform" => Stage::new().transform_with(|config: Box<RawValue>| {
            move |record: &Record, out: &mut Emitter| obey(record, config.get(), out)
        }),
        "ordered" => Stage::new().workers(4).transform_with(|config: Box<RawValue>| {
            move |record: &Record, out: &mut Emitter| obey(record, config.get(), out)
        }),
        "source" => Stage::new().source_with(count),
        "window" => Stage::new().window_with(|config: WindowConfig| (config.windows(), join)),
        _ => refuse(&format!("STAGEWIRE_STAGE is {stage:?}; it has to be transform, ordered, source or window")),
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("conformance: {why}");
    ExitCode::from(2)
}

/// Carries out the directives of a payload, up to the first verdict.
fn obey(record: &Record, config: &str, out: &mut Emitter) -> Result<(), Verdict> {
    let text = String::from_utf8_lossy(record.payload());
    let directives = text.split(';').filter(|_| !text.is_empty());
    for directive in directives {
        match emit(directive, record, config, out) {
            Some(()) => {}
            None => judge(directive)?,
        }
    }
    Ok(())
}

/// The directives that emit. `None`: it is none of them.
fn emit(directive: &str, record: &Record, config: &str, out: &mut Emitter) -> Option<()> {
    let words: Vec<&str> = directive.split(' ').collect();
    let mut one = |payload: &[u8]| out.emit(&Output { port: "out", payload, ..record.output() });
    match words[..] {
        ["echo"] => one(record.payload()),
        ["attempt"] => one(record.attempt().to_string().as_bytes()),
        ["id"] => one(record.id().to_string().as_bytes()),
        ["config"] => one(config.as_bytes()),
        ["env", name] => {
            if let Some(value) = env::var_os(name) {
                one(value.to_string_lossy().as_bytes());
            }
        }
        ["emit", count] => emit_many(count, "0", "out", record, out)?,
        ["emit", count, size] => emit_many(count, size, "out", record, out)?,
        ["emit", count, size, port] => emit_many(count, size, port, record, out)?,
        _ => return None,
    }
    Some(())
}

fn emit_many(count: &str, size: &str, port: &str, record: &Record, out: &mut Emitter) -> Option<()> {
    let (count, size): (u64, usize) = (count.parse().ok()?, size.parse().ok()?);
    for number in 0..count {
        let payload = padded(number, size);
        out.emit(&Output { port, payload: payload.as_bytes(), ..record.output() });
    }
    Some(())
}

/// In decimal, with spaces up to so many bytes.
fn padded(number: u64, size: usize) -> String {
    // `{:<size$}` ends at 65,535.
    let mut text = number.to_string();
    text.extend(std::iter::repeat(' ').take(size.saturating_sub(text.len())));
    text
}

/// The directives that take time or end the record.
fn judge(directive: &str) -> Result<(), Verdict> {
    judged(directive).unwrap_or_else(|| Err(Verdict::reject(1999, format!("no such directive: {directive}"))))
}

/// `None`: there is no such directive, or it is not written like that.
fn judged(directive: &str) -> Option<Result<(), Verdict>> {
    let (name, rest) = directive.split_once(' ').unwrap_or((directive, ""));
    let verdict = match name {
        "wait" => {
            thread::sleep(Duration::from_millis(rest.parse().ok()?));
            return Some(Ok(()));
        }
        "reject" => {
            let (code, text) = code_and_text(rest)?;
            Verdict::reject(code, text)
        }
        "retry" => {
            let (delay, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let delay = Duration::from_millis(if delay.is_empty() { 0 } else { delay.parse().ok()? });
            let (code, text) = code_and_text(rest)?;
            Verdict::Retry { delay, code, message: text.into(), is_indefinite: false }
        }
        "release" if rest.is_empty() => Verdict::Release,
        // As an error that `?` hands on.
        "throw" => Verdict::from(io::Error::new(io::ErrorKind::Other, rest)),
        "exit" => process::exit(rest.parse().ok()?),
        _ => return None,
    };
    Some(Err(verdict))
}

/// `[CODE [TEXT]]`
fn code_and_text(words: &str) -> Option<(u32, &str)> {
    let (code, text) = words.split_once(' ').unwrap_or((words, ""));
    let code = if code.is_empty() { 1000 } else { code.parse().ok()? };
    Some((code, text))
}

#[derive(Deserialize)]
#[serde(default)]
struct SourceConfig {
    partition: String,
    records: u64,
    per_emit: u64,
    size: usize,
    keys: u64,
    pause_ms: u64,
    stay: bool,
}

impl Default for SourceConfig {
    fn default() -> Self {
        SourceConfig { partition: "p".into(), records: 10, per_emit: 2, size: 0, keys: 3, pause_ms: 0, stay: false }
    }
}

fn count(config: SourceConfig, source: &Source) -> Result<(), SourceError> {
    let partition = source.claim(&config.partition)?;
    let mut last: u64 = match partition.checkpoint() {
        b"" => 0,
        text => std::str::from_utf8(text)?.parse()?,
    };
    while last < config.records {
        let numbers = last + 1..=config.records.min(last + config.per_emit.max(1));
        last = *numbers.end();
        let texts: Vec<_> =
            numbers.map(|number| (padded(number, config.size), format!("k{}", number % config.keys.max(1)))).collect();
        let outputs: Vec<_> = texts
            .iter()
            .map(|(payload, key)| Output { port: "out", payload: payload.as_bytes(), key: key.as_bytes(), ..Output::default() })
            .collect();
        partition.emit(&outputs, last.to_string().as_bytes())?;
        if last < config.records {
            source.sleep(Duration::from_millis(config.pause_ms))?;
        }
    }
    while config.stay {
        source.sleep(Duration::from_secs(3600))?; // until it is told to stop
    }
    partition.finish()
}

#[derive(Deserialize)]
#[serde(default)]
struct WindowConfig {
    records: usize,
    seconds: f64,
    by_key: bool,
}

impl Default for WindowConfig {
    fn default() -> Self {
        WindowConfig { records: 3, seconds: 0.0, by_key: false }
    }
}

impl WindowConfig {
    fn windows(&self) -> Windows {
        let mut windows = Windows::new();
        if self.records > 0 {
            windows = windows.records(self.records);
        }
        if self.seconds > 0.0 {
            windows = windows.seconds(self.seconds);
        }
        if self.by_key {
            windows = windows.by_key();
        }
        windows
    }
}

/// Emits the payloads, unless one of them wants something else.
fn join(window: &Window, out: &mut Emitter) -> Result<(), Verdict> {
    let payloads: Vec<&[u8]> = window.records().iter().map(Record::payload).collect();
    let is_directive = |payload: &&&[u8]| ["reject", "retry", "release", "wait"].iter().any(|name| payload.starts_with(name.as_bytes()));
    if let Some(payload) = payloads.iter().find(is_directive) {
        String::from_utf8_lossy(payload).split(';').try_for_each(judge)?;
    }
    out.emit(&Output { port: "out", key: window.key(), payload: &payloads.join(&b','), ..Output::default() });
    Ok(())
}
