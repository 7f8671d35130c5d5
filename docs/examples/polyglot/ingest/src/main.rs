//! Reads CSV files into a pipeline, one record for each line after the header. A file is a partition,
//! named by the file's stem, which is also the key: lines of one file stay in order. The checkpoint is
//! the place in the file, so that a restart goes on where the broker has confirmed.

mod lines;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lines::{Lines, Position};
use stagewire::{Attribute, Output, Partition, Source, SourceError, Stage};

/// Lines in one Emit: enough to make its cost per line small, few enough to be a small step.
const BATCH: usize = 200;
const USAGE: &str = "usage: ingest [--pace <records per second>] <file.csv or directory>...";

fn main() -> ExitCode {
    match Arguments::parse(stagewire::source_arguments().into_iter().map(|a| a.to_string_lossy().into_owned())) {
        Ok(arguments) => Stage::new().version(env!("CARGO_PKG_VERSION")).source(move |source| ingest(source, &arguments)),
        Err(message) => {
            eprintln!("ingest: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

struct Arguments {
    /// Records per second, all files together.
    pace: Option<u32>,
    /// Partition and path.
    files: Vec<(String, PathBuf)>,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Arguments { pace: None, files: Vec::new() };
        while let Some(argument) = arguments.next() {
            if argument == "--pace" {
                let number = arguments.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                parsed.pace = Some(number.ok_or("--pace needs a number of records per second, at least 1")?);
            } else if argument.starts_with("--") {
                return Err(format!("there is no option {argument}"));
            } else {
                parsed.add(PathBuf::from(argument))?;
            }
        }
        if parsed.files.is_empty() {
            return Err("no file is named".into());
        }
        Ok(parsed)
    }

    /// A file, or all the `*.csv` of a directory, by name.
    fn add(&mut self, path: PathBuf) -> Result<(), String> {
        if !path.is_dir() {
            return self.add_file(path);
        }
        let entries = std::fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        files.retain(|file| file.extension().map_or(false, |extension| extension == "csv"));
        files.sort();
        if files.is_empty() {
            return Err(format!("{} holds no *.csv", path.display()));
        }
        files.into_iter().try_for_each(|file| self.add_file(file))
    }

    fn add_file(&mut self, path: PathBuf) -> Result<(), String> {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| format!("{} does not name a file", path.display()))?;
        if let Some((_, other)) = self.files.iter().find(|(name, _)| name == stem) {
            return Err(format!("{} and {} would both be partition {stem}; rename one", other.display(), path.display()));
        }
        self.files.push((stem.into(), path));
        Ok(())
    }
}

/// A file being read.
struct Input<'a> {
    name: &'a str,
    partition: Partition,
    lines: Lines,
}

/// Takes turns among the files, so that all of them make progress.
fn ingest(source: &Source, arguments: &Arguments) -> Result<(), SourceError> {
    let mut inputs = Vec::new();
    for (name, path) in &arguments.files {
        inputs.push(resume(source, name, path)?);
    }
    let batch = arguments.pace.map_or(BATCH, |pace| BATCH.min(pace as usize / 10 + 1));
    while !inputs.is_empty() {
        let mut unfinished = Vec::new();
        for mut input in inputs {
            let count = input.emit(batch)?;
            if count == 0 {
                input.partition.finish()?;
                continue;
            }
            unfinished.push(input);
            if let Some(pace) = arguments.pace {
                source.sleep(Duration::from_secs_f64(count as f64 / f64::from(pace)))?;
            }
        }
        inputs = unfinished;
    }
    Ok(())
}

fn resume<'a>(source: &Source, name: &'a str, path: &Path) -> Result<Input<'a>, SourceError> {
    let partition = source.claim(name)?;
    let lines = Position::decode(partition.checkpoint())
        .and_then(|position| Lines::open(path, position))
        .map_err(|message| SourceError::Failed(format!("{}: {message}", path.display())))?;
    Ok(Input { name, partition, lines })
}

impl Input<'_> {
    /// Emits up to `limit` lines and returns how many; 0: the end of the file.
    fn emit(&mut self, limit: usize) -> Result<usize, SourceError> {
        let lines = self.lines.read(limit).map_err(|message| SourceError::Failed(format!("{}: {message}", self.name)))?;
        if lines.is_empty() {
            return Ok(0);
        }
        let key = self.name.as_bytes();
        let outputs: Vec<Output> = lines
            .iter()
            .map(|line| Output {
                schema: "sensor.raw",
                schema_version: 1,
                key,
                content_type: "text/csv",
                attributes: vec![Attribute::integer("line", line.number as i64)],
                payload: &line.text,
                ..Output::default()
            })
            .collect();
        self.partition.emit(&outputs, &self.lines.position().encode())?;
        Ok(lines.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parse(arguments: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(arguments.iter().map(|a| a.to_string()))
    }

    #[test]
    fn arguments_are_checked() {
        let parsed = parse(&["--pace", "500", "data/a.csv", "b.csv"]).ok().unwrap();
        assert_eq!(parsed.pace, Some(500));
        assert_eq!(parsed.files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        for wrong in [&[][..], &["--pace", "0", "a.csv"], &["--pace"], &["--fast", "a.csv"], &["x/a.csv", "y/a.csv"], &["/"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
