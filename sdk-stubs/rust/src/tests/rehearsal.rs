use serde::Deserialize;

use super::*;
use crate::arguments::Arguments;
use crate::output::Output;
use crate::record::Record;
use crate::rehearsal;
use crate::role::Work;
use crate::source::Source;
use crate::verdict::Verdict;
use crate::window::{Batch, Window};
use crate::windows::{Late, Windows};
use crate::Emitter;

/// Exit code, standard output, standard error.
fn rehearse(role: Role, records: &str, config: &str) -> (u8, String, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("stagewire-records-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, records).unwrap();
    let result = with_file(role, file.to_str().unwrap(), config);
    std::fs::remove_file(&file).unwrap();
    result
}

fn with_file(role: Role, file: &str, config: &str) -> (u8, String, String) {
    let arguments = Arguments { file: file.into(), config: config.into(), limit: 3 };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = rehearsal::run(role, &arguments, &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn every_verdict(record: &Record, out: &mut Emitter) -> Result<(), Verdict> {
    match record.payload() {
        b"drop" => {}
        b"reject" => return Err(Verdict::reject(1001, "no such unit")),
        b"retry" => return Err(Verdict::retry(Duration::ZERO, "later")),
        b"release" => return Err(Verdict::Release),
        b"error" => drop("x".parse::<u32>()?),
        b"long" => out.emit(&Output { key: &[0; 2000], ..Output::default() }),
        _ => {
            out.emit(&record.output());
            out.emit(&Output { port: "other", payload: b"\xff", ..Output::default() });
        }
    }
    Ok(())
}

#[test]
fn verdicts_and_the_sum() {
    let lines: Vec<String> =
        ["keep", "drop", "reject", "retry", "release", "error", "long"].iter().map(|text| format!("{{\"text\": \"{text}\"}}")).collect();
    let (code, out, err) = rehearse(Role::records(every_verdict), &(lines.join("\n\n") + "\n"), "");
    assert_eq!(code, 1);
    assert_eq!(out, "{\"text\": \"keep\"}\n{\"port\": \"other\", \"base64\": \"/w==\"}\n");
    let expected = "record 3: REJECTED 1001: no such unit\nrecord 4: RETRY 1000: later\nrecord 5: RELEASED\n\
        record 6: RETRY 1000: invalid digit found in string\nrecord 7: REJECTED 306: a key of 2000 bytes; at most 1024\n\
        7 records: 2 accepted (1 filtered), 2 rejected, 2 to be retried, 1 released; 2 emitted\n";
    assert_eq!(err, expected);
    let (code, _, err) = rehearse(Role::records(every_verdict), "{\"text\": \"keep\"}", "");
    assert_eq!((code, err.as_str()), (0, "1 records: 1 accepted (0 filtered), 0 rejected, 0 to be retried, 0 released; 2 emitted\n"));
}

#[test]
fn files_that_are_wrong_are_named_with_the_line() {
    for (records, problem) in [
        ("{}\n\n{\"atributes\": {}}\n", ":3: `atributes`: there is no such field"),
        ("nonsense", ":1: "),
        ("{\"text\": \"a\", \"json\": 1}", ":1: `json`: `text` is a payload already"),
    ] {
        let (code, _, err) = rehearse(Role::records(every_verdict), records, "");
        assert_eq!(code, 2);
        assert!(err.contains(problem) && !err.contains(" records: "), "{err}");
    }
    let (code, _, err) = with_file(Role::records(every_verdict), "/nonexistent.jsonl", "");
    assert!(code == 2 && err.contains("/nonexistent.jsonl"), "{err}");
}

#[derive(Deserialize)]
struct Config {
    size: usize,
}

fn of_size() -> Role {
    Role::configured(true, |config: Config| {
        Work::Windows(
            Windows::new().records(config.size),
            Box::new(|window: &Window, out| {
                out.emit(&Output { payload: window.records().len().to_string().as_bytes(), ..Output::default() });
                Ok(())
            }),
        )
    })
}

#[test]
fn configuration_and_windows() {
    let records = "{\"text\": \"a\"}\n".repeat(5);
    let (code, out, err) = rehearse(of_size(), &records, "{\"size\": 2}");
    assert_eq!((code, out.as_str()), (0, "{\"text\": \"2\"}\n{\"text\": \"2\"}\n{\"text\": \"1\"}\n"));
    assert_eq!(err, "5 records: 5 accepted (0 filtered), 0 rejected, 0 to be retried, 0 released; 3 emitted\n");
    let (code, _, err) = rehearse(of_size(), &records, "{\"size\": \"two\"}");
    assert!(code == 2 && err.contains("`size`: invalid type"), "{err}");
    let (code, _, err) = rehearse(of_size(), &records, "{\"size\": 0}");
    assert!(code == 2 && err.contains("`records` is 0"), "{err}");
}

#[test]
fn event_time_runs_by_the_records() {
    let times = ["00:00:01", "00:00:12", "00:00:02", "00:00:13"];
    let lines: Vec<String> = times.iter().map(|time| format!("{{\"event_time\": \"2026-01-05T{time}Z\"}}")).collect();
    let windows = Windows::new().event_time(10, 0);
    let role = |windows: &Windows| Role::windows(windows.clone(), |_, _| Ok(()));
    let (code, _, err) = rehearse(role(&windows), &lines.join("\n"), "");
    assert_eq!(code, 1);
    assert!(err.starts_with("record 3: REJECTED 1000: late: its window ended at 2026-01-05T00:00:10.000000Z\n"), "{err}");
    let (code, _, err) = rehearse(role(&windows.late(Late::Accept)), &lines.join("\n"), "");
    assert_eq!((code, err.as_str()), (0, "4 records: 4 accepted (4 filtered), 0 rejected, 0 to be retried, 0 released; 0 emitted\n"));
}

#[test]
fn batches_are_cut_at_their_limit() {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = sizes.clone();
    let handler = move |batch: &Batch| {
        seen.lock().unwrap().push(batch.records().len());
        batch.reject(&batch.records()[0], 1001, "the first");
        Ok(())
    };
    let (code, _, err) = rehearse(Role::fixed(Work::Batches(2, Box::new(handler))), "{}\n{}\n{}", "");
    assert_eq!((code, &*sizes.lock().unwrap()), (1, &vec![2, 1]));
    assert!(err.ends_with("3 records: 1 accepted (1 filtered), 2 rejected, 0 to be retried, 0 released; 0 emitted\n"), "{err}");
}

#[test]
fn a_source_runs_until_its_limit() {
    let source = |last: u32| {
        Role::source(move |source: &Source| {
            let partition = source.claim("p")?;
            assert!(partition.checkpoint().is_empty());
            for number in 0..last {
                let payload = number.to_string();
                let output = Output { payload: payload.as_bytes(), ..Output::default() };
                partition.emit(&[output.clone(), output], b"")?;
            }
            partition.finish()
        })
    };
    let (code, out, err) = with_file(source(100), "", "");
    assert_eq!((code, out.as_str(), err.as_str()), (0, "{\"text\": \"0\"}\n{\"text\": \"0\"}\n{\"text\": \"1\"}\n", "3 emitted\n"));
    let (code, _, err) = with_file(source(1), "", "");
    assert_eq!((code, err.as_str()), (0, "2 emitted\n"));
    let failing = Role::source(|_: &Source| Ok("x".parse::<u8>().map(drop)?));
    let (code, _, err) = with_file(failing, "", "");
    assert!(code == 1 && err.contains("the source failed: invalid digit"), "{err}");
}
