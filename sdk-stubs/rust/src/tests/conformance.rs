//! The stage that the conformance suite tests, `examples/conformance.rs`: as a process, before a scripted broker.

use std::path::PathBuf;
use std::process::Command;

use super::process::Process;
use super::*;

const ACCEPTED: i32 = pb::OutcomeKind::Accepted as i32;
const REJECTED: i32 = pb::OutcomeKind::Rejected as i32;
const RETRY: i32 = pb::OutcomeKind::Retry as i32;
const RELEASED: i32 = pb::OutcomeKind::Released as i32;

/// Built by cargo before it runs the tests, beside their own directory.
fn program() -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/conformance");
    assert!(program.exists(), "`cargo test` without a selection builds the examples; `cargo build --examples` does, too");
    Command::new(program)
}

struct Stage {
    process: Process,
    link: Link,
    hello: pb::Hello,
    _broker: Broker,
}

impl Stage {
    fn start(name: &str, welcome: pb::Welcome) -> Self {
        let broker = Broker::listening();
        let process = Process::run(program().env("COLOUR", "blue"), name, &broker, "aa");
        let (mut link, hello) = broker.accept();
        let outputs = ["out", "side"].iter().enumerate().map(|(at, port)| pb::Output { number: 4 - at as u32, port: port.to_string() });
        link.greet(pb::Welcome { outputs: outputs.collect(), ..welcome });
        for number in [3, 4] {
            link.send(Kind::Credit(pb::Credit { number, records: 10_000, bytes: 8 << 20 }));
        }
        link.limit = (20_000, 16 << 20);
        Stage { process, link, hello, _broker: broker }
    }

    fn end(mut self) {
        self.link.close(Code::OK, "");
        self.process.expect_exit(0);
    }
}

fn configured(config: &str, inputs: usize) -> pb::Welcome {
    let mut welcome = welcome_ordered(pb::Ordering::Key);
    welcome.inputs.truncate(inputs);
    pb::Welcome { config: config.to_string().into(), ..welcome }
}

/// What an outcome emits: `PORT:PAYLOAD`, joined by `|`.
fn emitted(outcome: &pb::Outcome) -> String {
    let one = |emission: &pb::Emission| format!("{}:{}", emission.port, String::from_utf8_lossy(payload(emission)));
    outcome.emissions.iter().map(one).collect::<Vec<_>>().join("|")
}

#[test]
fn directives_that_emit() {
    let config = r#"{"limits": [1.50, 12345678901234567890123], "b": null}"#;
    let mut stage = Stage::start("transform", configured(config, 1));
    let cases = [
        ("", String::new()),
        ("echo", "4:echo".into()),
        ("emit 3", "4:0|4:1|4:2".into()),
        ("emit 2 3;emit 1 0 side", "4:0  |4:1  |3:0".into()),
        ("wait 1;attempt;id;config", format!("4:2|4:{}|4:{config}", "02".repeat(16))),
        ("env COLOUR;env STAGEWIRE_TOKEN;env NO_SUCH", "4:blue".into()),
    ];
    for (number, (directives, expected)) in cases.into_iter().enumerate() {
        let header = pb::Header { key: "k".into(), event_time: 7, schema: "s".into(), ..pb::Header::default() };
        let lineage = pb::Lineage { id: vec![2; 16].into(), ..pb::Lineage::default() };
        let record = pb::Record { header: Some(header.clone()), lineage: Some(lineage), payload: directives.into() };
        let first_delivery = number as u64 + 1;
        stage.link.send(Kind::Deliver(pb::Deliver { first_delivery, records: vec![record], attempts: vec![2], ..pb::Deliver::default() }));
        let outcome = stage.link.settled(number + 1)[&first_delivery].clone();
        assert_eq!((outcome.kind, emitted(&outcome)), (ACCEPTED, expected), "{directives}");
        let headers = outcome.emissions.iter().map(|emission| emission.output.as_ref().unwrap().header.clone());
        assert!(headers.eq(outcome.emissions.iter().map(|_| Some(header.clone()))), "{directives}");
    }
    stage.end();
}

#[test]
fn directives_that_judge() {
    let mut stage = Stage::start("transform", configured("{}", 1));
    let cases = [
        ("reject", REJECTED, 0, 1000, ""),
        ("echo;reject 1002 no such unit;echo", REJECTED, 0, 1002, "no such unit"),
        ("retry", RETRY, 0, 1000, ""),
        ("retry 70", RETRY, 70, 1000, ""),
        ("retry 70 1003 not now", RETRY, 70, 1003, "not now"),
        ("release", RELEASED, 0, 0, ""),
        ("throw it away", RETRY, 0, 1000, "it away"),
        ("bogus", REJECTED, 0, 1999, "no such directive: bogus"),
        ("echo;", REJECTED, 0, 1999, "no such directive: "),
        ("emit x", REJECTED, 0, 1999, "no such directive: emit x"),
        ("retry soon", REJECTED, 0, 1999, "no such directive: retry soon"),
    ];
    let keys: Vec<String> = (0..cases.len()).map(|number| number.to_string()).collect();
    stage.link.deliver_keyed(&keys.iter().zip(cases).map(|(key, case)| (key.as_str(), 0, case.0)).collect::<Vec<_>>());
    let got = stage.link.settled(cases.len());
    for ((directives, kind, delay, code, text), outcome) in cases.into_iter().zip(got.values()) {
        let error = outcome.error.clone().unwrap_or_default();
        let is = (outcome.kind, outcome.delay_ms, error.code, error.message.as_str());
        assert_eq!(is, (kind, delay, code, text), "{directives}");
        assert!(outcome.emissions.is_empty());
    }
    stage.end();
}

#[test]
fn exit_ends_the_process_with_what_is_at_hand() {
    let mut stage = Stage::start("transform", configured("{}", 1));
    stage.link.deliver(&["exit 7"]);
    stage.process.expect_exit(7);
    assert!(stage.link.outcomes.is_empty());
}

#[test]
fn what_is_behind_a_retry_is_void() {
    let mut stage = Stage::start("transform", configured("{}", 1));
    stage.link.deliver_keyed(&[("k", 0, "retry"), ("k", 0, "exit 1"), ("l", 0, "echo")]);
    let kinds: Vec<i32> = stage.link.taken_back(3).values().map(|outcome| outcome.kind).collect();
    assert_eq!(kinds, [RETRY, RELEASED, ACCEPTED]);
    stage.link.deliver_keyed(&[("k", 0, "attempt")]);
    assert_eq!(emitted(&stage.link.settled(4)[&4]), "4:1");
    stage.end();
}

#[test]
fn a_broker_that_sends_garbage_ends_it_with_2() {
    let mut stage = Stage::start("transform", configured("{}", 1));
    stage.link.stream.write_all(b"\x00\x00\x00\x02\xff\xff").unwrap();
    stage.link.expect(|m| matches!(m, Kind::Close(close) if Code(close.code) == Code::MALFORMED_FRAME));
    drop(stage.link);
    assert!(stage.process.expect_exit(2).contains("MALFORMED_FRAME (100)"));
}

/// Answers a Claim.
fn claimed(link: &mut Link, partition: &str, last_emit_id: u64, checkpoint: &'static str) {
    link.expect(|m| matches!(m, Kind::Claim(claim) if claim.partition == partition));
    let claimed = pb::Claimed { partition: partition.into(), epoch: 1, last_emit_id, checkpoint: checkpoint.into() };
    link.send(Kind::Claimed(claimed));
}

/// The next Emit: its id, `KEY:PAYLOAD` of each record, and the checkpoint.
fn emit(link: &mut Link) -> (u64, String, String) {
    let emit = match link.expect(|m| matches!(m, Kind::Emit(_))) {
        Kind::Emit(emit) => emit,
        _ => unreachable!(),
    };
    link.send(Kind::Committed(pb::Committed { partition: emit.partition.clone(), through: emit.emit_id, refused: Vec::new() }));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let one = |emission: &pb::Emission| {
        let output = emission.output.clone().unwrap();
        format!("{}:{}", text(&output.header.unwrap().key), text(&output.payload))
    };
    (emit.emit_id, emit.emissions.iter().map(one).collect::<Vec<_>>().join("|"), text(&emit.checkpoint))
}

#[test]
fn the_source_goes_on_from_its_checkpoint() {
    let mut stage = Stage::start("source", configured(r#"{"partition": "q", "records": 7, "size": 3, "pause_ms": 1}"#, 0));
    claimed(&mut stage.link, "q", 9, "4");
    assert_eq!(emit(&mut stage.link), (10, "k2:5  |k0:6  ".into(), "6".into()));
    assert_eq!(emit(&mut stage.link), (11, "k1:7  ".into(), "7".into()));
    stage.link.expect(|m| matches!(m, Kind::Finished(finished) if finished.partition == "q"));
    stage.end();
}

#[test]
fn the_source_stays_until_it_is_told_to_stop() {
    let config = r#"{"records": 3, "per_emit": 5, "keys": 2, "stay": true}"#;
    let mut stage = Stage::start("source", configured(config, 0));
    claimed(&mut stage.link, "p", 0, "");
    assert_eq!(emit(&mut stage.link), (1, "k1:1|k0:2|k1:3".into(), "3".into()));
    stage.link.send(Kind::Drain(pb::Drain { reason: pb::DrainReason::Shutdown as i32, deadline_ms: 10_000 }));
    let last = stage.link.expect(|m| matches!(m, Kind::Finished(_) | Kind::Close(_)));
    assert!(matches!(last, Kind::Close(close) if close.code == 0), "it has not finished");
    drop(stage.link);
    stage.process.expect_exit(0);
}

#[test]
fn windows_are_joined_unless_a_record_wants_something_else() {
    let mut stage = Stage::start("window", configured(r#"{"records": 2, "by_key": true}"#, 1));
    stage.link.deliver_keyed(&[("a", 0, "1"), ("b", 0, "2"), ("a", 0, "3"), ("b", 0, "wait 1")]);
    stage.link.deliver_keyed(&[("c", 0, "4"), ("c", 0, "reject 1002 no"), ("d", 0, "retry 5"), ("d", 0, "release")]);
    let got = stage.link.settled(8);
    let key = |outcome: &pb::Outcome| outcome.emissions[0].output.clone().unwrap().header.unwrap().key;
    assert_eq!((emitted(&got[&1]), key(&got[&1])), ("4:1,3".into(), "a".into()));
    assert_eq!((emitted(&got[&2]), key(&got[&2])), ("4:2,wait 1".into(), "b".into()));
    assert_eq!((got[&5].kind, got[&5].error.as_ref().unwrap().code, &got[&5]), (REJECTED, 1002, &got[&6]));
    assert_eq!((got[&7].kind, got[&7].delay_ms, &got[&7]), (RETRY, 5, &got[&8]));
    stage.end();
}

#[test]
fn the_window_has_three_records_or_seconds() {
    let mut stage = Stage::start("window", configured("{}", 1));
    stage.link.deliver_keyed(&[("a", 0, "1"), ("b", 0, "2"), ("c", 0, "3")]);
    let outcome = stage.link.settled(3)[&3].clone();
    assert_eq!(emitted(&outcome), "4:1,2,3");
    assert!(outcome.emissions[0].output.clone().unwrap().header.unwrap_or_default().key.is_empty());
    stage.end();
    let mut stage = Stage::start("window", configured(r#"{"records": 0, "seconds": 0.05}"#, 1));
    stage.link.deliver(&["1"]);
    assert_eq!(emitted(&stage.link.settled(1)[&1]), "4:1");
    stage.end();
}

#[test]
fn another_name_is_refused() {
    let broker = Broker::listening();
    let stderr = Process::run(&mut program(), "other", &broker, "aa").expect_exit(2);
    assert!(stderr.contains("\"other\""), "{stderr}");
}

/// Of four slow keys three keep a thread each; the fourth thread goes on.
#[test]
fn ordered_has_four_handlers() {
    let mut stage = Stage::start("ordered", configured("{}", 1));
    let slow = "wait 600000";
    stage.link.deliver_keyed(&[("a", 0, slow), ("a", 0, "echo"), ("b", 0, slow), ("c", 0, slow), ("d", 0, "attempt;wait 1"), ("", 0, "echo")]);
    let settled = stage.link.settled(2);
    assert_eq!((emitted(&settled[&5]), emitted(&settled[&6])), ("4:1".into(), "4:echo".into()));
}

/// What the suite is told of this SDK is what Hello says.
#[test]
fn the_features_are_those_of_hello() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let file = std::fs::read_to_string(directory.join("conformance.yaml")).unwrap();
    let told: Vec<&str> = file.split("\nfeatures:\n").nth(1).unwrap().lines().map(str::trim).collect();
    let said = ["transform", "ordered", "source", "window"].map(|name| {
        let stage = Stage::start(name, configured("{}", usize::from(name != "source")));
        let features = [&stage.hello.offered[..], &stage.hello.required[..]].concat().join(", ");
        stage.end();
        format!("{name}: [{features}]")
    });
    assert_eq!(told, said);
}
