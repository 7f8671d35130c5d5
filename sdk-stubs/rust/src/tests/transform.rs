use std::io::Write;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde::Deserialize;

use super::*;
use crate::limits::DEFAULT_FRAME;
use crate::output::{Attribute, Output};
use crate::record::Record;
use crate::role::Work;
use crate::verdict::Verdict;
use crate::Emitter;

pub fn double() -> Role {
    Role::records(|record: &Record, out: &mut Emitter| {
        out.emit(&Output { key: record.key(), payload: &record.payload().repeat(2), ..Output::default() });
        Ok(())
    })
}

fn drop_all() -> Role {
    Role::records(|_: &Record, _: &mut Emitter| Ok(()))
}

#[test]
fn hello_says_who_we_are() {
    let broker = Broker::new("beef", double);
    let (mut link, hello) = broker.accept();
    assert_eq!((hello.stage.as_str(), hello.instance.as_str(), hello.stage_version.as_str()), ("double", "double-1", "1.2"));
    assert_eq!((hello.min_version, hello.max_version, hello.max_frame), (1000, 1000, u64::from(DEFAULT_FRAME)));
    assert_eq!((&hello.token[..], hello.language.as_str()), (&[0xbe, 0xef][..], "rust"));
    link.greet(welcome_message());
    assert!(link.grant.0 > 0 && link.grant.1 >= 1 << 20, "an empty queue leaves room for a record of max_record");
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn the_token_is_forgotten() {
    std::env::set_var("STAGEWIRE_TOKEN", "beef");
    assert_eq!(Environment::take().token, "beef");
    assert!(std::env::var_os("STAGEWIRE_TOKEN").is_none());
}

fn outcomes_of_all_kinds(record: &Record, out: &mut Emitter) -> Result<(), Verdict> {
    match record.payload() {
        b"two" => {
            out.emit(&Output { payload: b"a", ..Output::default() });
            let attributes = vec![Attribute::flag("f", false)];
            out.emit(&Output { payload: b"b", key: b"other", attributes, ..Output::default() });
        }
        b"reject" => {
            out.emit(&Output { payload: b"must not be sent", ..Output::default() });
            return Err(Verdict::reject(1001, "never"));
        }
        b"retry" => return Err(Verdict::retry(Duration::from_micros(1500), "later")),
        b"release" => return Err(Verdict::Release),
        b"error" => {
            "x".parse::<u32>()?;
        }
        b"panic" => panic!("boom"),
        b"port" => out.emit(&Output { port: "nowhere", ..Output::default() }),
        b"large" => out.emit(&Output { payload: &vec![0; 1 << 20], ..Output::default() }),
        b"step" => (0..4097).for_each(|_| out.emit(&Output::default())),
        _ => {}
    }
    Ok(())
}

#[test]
fn every_kind_of_outcome() {
    let broker = Broker::new("", || Role::records(outcomes_of_all_kinds));
    let mut link = broker.welcome(welcome_message());
    link.credit(100, 1 << 20);
    link.deliver(&["two", "reject", "retry", "release", "error", "panic", "port", "large", "step", "drop", "drop"]);
    let got = link.settled(11);
    use pb::OutcomeKind::*;
    let expected = [
        (Accepted, 0, ""),
        (Rejected, 1001, "never"),
        (Retry, 1000, "later"),
        (Released, 0, ""),
        (Retry, 1000, "invalid digit"),
        (Retry, 1000, "panic: boom"),
        (Rejected, 306, "nowhere"),
        (Rejected, 304, "max_record"),
        (Rejected, 305, "4097 records"),
        (Accepted, 0, ""),
        (Accepted, 0, ""),
    ];
    for (index, (kind, code, text)) in expected.iter().enumerate() {
        let outcome = &got[&(index as u64 + 1)];
        let error = outcome.error.clone().unwrap_or_default();
        assert_eq!((outcome.kind, error.code), (*kind as i32, *code), "{outcome:?}");
        assert!(error.message.contains(text), "{outcome:?}");
        assert!(index == 0 || outcome.emissions.is_empty(), "{outcome:?}");
    }
    assert_eq!(got[&3].delay_ms, 2, "a delay rounds up");
    let two = &got[&1].emissions;
    assert_eq!((payload(&two[0]), payload(&two[1])), (&b"a"[..], &b"b"[..]));
    assert_eq!((got[&10].first, got[&10].last), (10, 11), "neighbouring empty acceptances are one outcome");
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn settles_wait_for_credit_and_are_split_to_fit() {
    let broker = Broker::new("", double);
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd", "eeeeeeeeee"]);
    // Without credit nothing may come; Ping is answered nevertheless.
    link.ping();
    assert!(is_pong(&link.read()));
    let size = 500 + 27; // output: header 2+3, payload 2+20, and the reserve
    for settled in [1, 3, 5] {
        link.credit(settled, 5 * size);
        link.settled(settled as usize);
        assert_eq!(link.outcomes.len(), settled as usize);
    }
    // A limit that does not grow changes nothing; bytes bind as records do.
    link.deliver(&["ffffffffff", "gggggggggg"]);
    link.send(Kind::Credit(pb::Credit { number: 0, records: 1, bytes: 1 }));
    link.credit(100, 6 * size - 1);
    link.credit(100, 6 * size);
    link.settled(6);
    link.credit(100, 7 * size);
    link.settled(7);
    assert_eq!(link.used.1, 7 * size);
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn heartbeats_and_leases_under_a_long_handler() {
    let (release, wait) = channel::<()>();
    let broker = Broker::new("", move || {
        Role::records(move |record: &Record, _: &mut Emitter| {
            if record.payload() == b"slow" {
                let _ = wait.recv();
            }
            Ok(())
        })
    });
    let mut link = broker.welcome(pb::Welcome { lease_ms: 90, ..welcome_message() });
    link.deliver(&["quick", "slow"]);
    // What the handler has finished does not wait for what it is doing.
    assert!(link.settled(1).contains_key(&1));
    link.ping();
    link.expect(is_pong);
    link.expect(|m| matches!(m, Kind::Extend(_)));
    link.expect(|m| matches!(m, Kind::Extend(_)));
    release.send(()).unwrap();
    link.settled(2);
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn input_credit_is_topped_up_by_halves() {
    let broker = Broker::new("", drop_all);
    let mut link = broker.welcome(welcome_message());
    let payload = "x".repeat(100_000);
    let size = payload.len() as u64 + 5 + 4; // header 2+3, the payload's tag and length 4
    let (mut sent, mut grants) = (0, 0);
    for _ in 0..200 {
        while sent + size > link.grant.1 {
            link.expect(|m| matches!(m, Kind::Credit(_)));
            grants += 1;
        }
        sent += size;
        link.deliver(&[&payload]);
    }
    link.settled(200);
    assert!((1..=12).contains(&grants), "20 MB through a window of 4 MiB took {grants} grants");
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn a_broker_that_overshoots_is_told_so() {
    let (release, wait) = channel::<()>();
    let broker = Broker::new("", move || {
        Role::records(move |_: &Record, _: &mut Emitter| {
            let _ = wait.recv();
            Ok(())
        })
    });
    let mut link = broker.welcome(welcome_message());
    let payload = "x".repeat(1 << 20);
    (0..5).for_each(|_| link.deliver(&[&payload]));
    match link.expect(|m| matches!(m, Kind::Close(_))) {
        Kind::Close(close) => assert_eq!(Code(close.code), Code::CREDIT_EXCEEDED),
        _ => unreachable!(),
    }
    drop((release, link));
    broker.expect_exit(2);
}

#[test]
fn shutdown_releases_what_has_not_begun() {
    let ((started, is_started), (finish, wait)) = (channel(), channel::<()>());
    let broker = Broker::new("", move || {
        Role::records(move |_: &Record, _: &mut Emitter| {
            started.send(()).unwrap();
            let _ = wait.recv();
            Ok(())
        })
    });
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["a", "b", "c"]);
    is_started.recv().unwrap();
    link.send(Kind::Drain(pb::Drain { reason: pb::DrainReason::Shutdown as i32, deadline_ms: 10_000 }));
    link.ping();
    link.expect(is_pong);
    finish.send(()).unwrap();
    let kinds: Vec<i32> = link.settled(3).values().map(|o| o.kind).collect();
    assert_eq!(kinds, [1, 4, 4]);
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn input_ended_goes_on() {
    let broker = Broker::new("", double);
    let mut link = broker.welcome(welcome_message());
    link.credit(10, 10_000);
    link.send(Kind::Drain(pb::Drain { reason: pb::DrainReason::InputEnded as i32, deadline_ms: 0 }));
    link.deliver(&["a"]);
    assert_eq!(link.settled(1)[&1].kind, 1);
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn refused_for_good() {
    let broker = Broker::new("", double);
    broker.accept().0.close(Code::UNKNOWN_STAGE, "there is no stage double; did you mean treble?");
    assert!(broker.expect_exit(2).contains("did you mean treble?"));
}

#[test]
fn refused_by_another_major() {
    let broker = Broker::new("", double);
    let (mut link, _) = broker.accept();
    // version 2000 and close{code: 102, message: "speak 2"}
    link.stream.write_all(b"\x00\x00\x00\x10\x08\xd0\x0f\x22\x0b\x08\x66\x12\x07speak 2").unwrap();
    assert!(broker.expect_exit(2).contains("speak 2"));
}

#[test]
fn refused_for_now() {
    let broker = Broker::new("aa", double);
    broker.accept().0.close(Code::DUPLICATE_INSTANCE, "double-1 is attached");
    broker.welcome(welcome_message()).close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn eof_ends_a_worker_that_the_host_starts() {
    let broker = Broker::new("aa", double);
    drop(broker.welcome(welcome_message()));
    broker.expect_exit(1);
}

#[test]
fn eof_makes_an_external_worker_come_back() {
    let broker = Broker::new("", double);
    drop(broker.welcome(welcome_message()));
    let mut link = broker.welcome(welcome_message());
    link.credit(10, 10_000);
    link.deliver(&["again"]);
    link.settled(1);
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn garbage_is_answered_with_a_close() {
    let broker = Broker::new("", double);
    let mut link = broker.welcome(welcome_message());
    link.stream.write_all(b"\x00\x00\x00\x02\xff\xff").unwrap();
    match link.expect(|m| matches!(m, Kind::Close(_))) {
        Kind::Close(close) => assert_eq!(Code(close.code), Code::MALFORMED_FRAME),
        _ => unreachable!(),
    }
    drop(link);
    broker.expect_exit(2);
}

#[test]
fn without_a_socket_it_says_what_to_do() {
    let stderr = Written::default();
    assert_eq!(Worker::new(Stage::new(), double(), Box::new(stderr.clone())).run(&Environment::default()), 2);
    assert!(stderr.text().contains("STAGEWIRE_SOCKET"));
}

#[derive(Deserialize)]
struct Config {
    threshold: f64,
}

fn tell_threshold() -> Role {
    Role::configured(false, |config: Config| {
        Work::Records(Box::new(move |_, out| {
            out.emit(&Output { payload: config.threshold.to_string().as_bytes(), ..Output::default() });
            Ok(())
        }))
    })
}

#[test]
fn configuration_is_typed() {
    let broker = Broker::new("", tell_threshold);
    let mut link = broker.welcome(pb::Welcome { config: r#"{"threshold": 3.5}"#.into(), ..welcome_message() });
    link.credit(10, 10_000);
    link.deliver(&["x"]);
    assert_eq!(payload(&link.settled(1)[&1].emissions[0]), b"3.5");
    link.close(Code::OK, "");
    broker.expect_exit(0);

    let broker = Broker::new("", tell_threshold);
    let (mut link, _) = broker.accept();
    link.send(Kind::Welcome(pb::Welcome { config: r#"{"threshold": "high"}"#.into(), ..welcome_message() }));
    assert!(broker.expect_exit(2).contains("`threshold`: invalid type: string \"high\", expected f64"));
}
