//! Input that is bad, late, odd, or in pieces.

use super::transform::double;
use super::*;
use crate::output::{Attribute, Output};
use crate::record::Record;
use crate::source::Source;
use crate::Emitter;

#[test]
fn the_broker_comes_later() {
    let broker = Broker::absent("", double);
    broker.expect_said("trying again");
    let mut link = broker.come().welcome(welcome_message());
    link.credit(10, 10_000);
    link.deliver(&["1"]);
    link.settled(1);
    link.close(Code::OK, "");
    let stderr = broker.expect_exit(0);
    assert_eq!(stderr.matches("trying again").count(), 1, "said once, not at each attempt: {stderr}");
}

#[test]
fn without_its_broker_a_spawned_worker_ends() {
    let broker = Broker::absent("aa", double);
    assert!(broker.expect_exit(1).contains("the connection to the broker broke"));
}

#[test]
fn what_can_never_fit_waits_for_no_credit() {
    let broker = Broker::new("", || {
        Role::records(|record: &Record, out: &mut Emitter| {
            match record.payload() {
                b"record" => out.emit(&Output { payload: &vec![0; 1 << 20], ..Output::default() }),
                _ => (0..4097).for_each(|_| out.emit(&Output::default())),
            }
            Ok(())
        })
    });
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["record", "step"]);
    let codes: Vec<u32> = link.settled(2).values().map(|outcome| outcome.error.as_ref().unwrap().code).collect();
    assert_eq!(codes, [304, 305]);
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

/// Text cannot be invalid here; what else the broker refuses in a header is found before it is sent.
#[test]
fn invalid_outputs_are_found_before_the_broker_refuses_them() {
    fn emit(record: &Record, out: &mut Emitter) {
        let (key, long) = ([b'k'; 1025], "x".repeat(20_000));
        match record.payload() {
            b"key" => out.emit(&Output { key: &key, ..Output::default() }),
            b"attributes" => out.emit(&Output { attributes: vec![Attribute::flag("a", true); 65], ..Output::default() }),
            _ => out.emit(&Output { schema: &long, ..Output::default() }),
        }
    }
    let broker = Broker::new("", || {
        Role::records(|record: &Record, out: &mut Emitter| {
            emit(record, out);
            Ok(())
        })
    });
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["key", "attributes", "header"]);
    let got = link.settled(3);
    for (delivery, text) in [(1, "a key of 1025 bytes"), (2, "65 attributes"), (3, "at most 16384")] {
        let error = got[&delivery].error.as_ref().unwrap();
        assert_eq!(error.code, 306);
        assert!(error.message.contains(text), "{error:?}");
    }
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn an_error_is_told_with_its_causes() {
    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no level")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let broker = Broker::new("", || Role::records(|_: &Record, _: &mut Emitter| Ok("x".parse::<u8>().map(drop).map_err(Outer)?)));
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["1"; 30]);
    let error = link.settled(30)[&30].error.clone().unwrap();
    assert_eq!((error.code, error.message.as_str()), (1000, "no level: invalid digit found in string"));
    link.close(Code::OK, "");
    let stderr = broker.expect_exit(0);
    assert_eq!(stderr.matches("no level: invalid digit").count(), 20, "{stderr}");
    assert!(stderr.contains("further failures are not shown"));
}

#[test]
fn frames_may_come_byte_by_byte_or_together() {
    let broker = Broker::new("", double);
    let (mut link, _) = broker.accept();
    let trickle = |link: &mut Link, message: Kind| {
        crate::frame::encode(message).chunks(1).for_each(|byte| link.stream.write_all(byte).unwrap());
    };
    trickle(&mut link, Kind::Welcome(welcome_message()));
    link.limit = (10, 10_000);
    trickle(&mut link, Kind::Credit(pb::Credit { number: 0, records: 10, bytes: 10_000 }));
    let record = pb::Record { payload: "ab".into(), ..pb::Record::default() };
    let deliver = |first_delivery| pb::Deliver { first_delivery, records: vec![record.clone()], ..pb::Deliver::default() };
    trickle(&mut link, Kind::Deliver(deliver(1)));
    assert_eq!(payload(&link.settled(1)[&1].emissions[0]), b"abab");
    let many: Vec<u8> = (2..50).flat_map(|id| crate::frame::encode(Kind::Deliver(deliver(id)))).collect();
    link.limit = (100, 1 << 20);
    link.send(Kind::Credit(pb::Credit { number: 0, records: 100, bytes: 1 << 20 }));
    link.stream.write_all(&many).unwrap();
    link.settled(49);
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

/// Appends an unknown field, number 1000, to the message that is the last field of an Envelope.
fn with_unknown_field(frame: &[u8]) -> Vec<u8> {
    let envelope = pb::Envelope::decode(&frame[4..]).unwrap();
    let inner = match envelope.message.unwrap() {
        Kind::Deliver(deliver) => (8u8, deliver.encode_to_vec()),
        Kind::Welcome(welcome) => (3, welcome.encode_to_vec()),
        other => panic!("{other:?}"),
    };
    let mut body = inner.1;
    body.extend_from_slice(&[0xc2, 0x3e, 2, b'h', b'i']); // field 1000, two bytes
    let mut envelope = vec![0x08, 0xe8, 0x07, inner.0 << 3 | 2];
    crate::wire::append_varint(&mut envelope, body.len() as u64);
    envelope.extend_from_slice(&body);
    envelope.extend_from_slice(&[0x98, 0x3f, 5]); // field 1011 of the Envelope itself
    [&(envelope.len() as u32).to_be_bytes()[..], &envelope].concat()
}

#[test]
fn unknown_fields_and_kinds_are_passed_over() {
    // version 1000 and field 30, a message with four bytes
    const UNKNOWN: &[u8] = b"\x00\x00\x00\x0a\x08\xe8\x07\xf2\x01\x04abcd";
    let broker = Broker::new("", double);
    let (mut link, _) = broker.accept();
    link.stream.write_all(UNKNOWN).unwrap();
    link.stream.write_all(&with_unknown_field(&crate::frame::encode(Kind::Welcome(welcome_message())))).unwrap();
    link.credit(10, 10_000);
    link.stream.write_all(UNKNOWN).unwrap();
    let record = pb::Record { payload: "ab".into(), ..pb::Record::default() };
    let deliver = pb::Deliver { first_delivery: 1, records: vec![record], ..pb::Deliver::default() };
    link.stream.write_all(&with_unknown_field(&crate::frame::encode(Kind::Deliver(deliver)))).unwrap();
    assert_eq!(payload(&link.settled(1)[&1].emissions[0]), b"abab");
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn nested_configuration_names_the_field() {
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(rename = "limits")]
        _limits: Vec<Limit>,
    }
    #[derive(serde::Deserialize)]
    struct Limit {
        #[serde(rename = "above")]
        _above: u32,
    }
    let problem = |json: &str| crate::config::decode::<Config>(json.as_bytes()).err().unwrap();
    assert!(problem(r#"{"limits": [{"above": 1}, {"above": -1}]}"#).contains("`limits[1].above`: invalid value: integer `-1`"));
    assert!(problem(r#"{"limits": [{}]}"#).contains("`limits[0]`: missing field `above`"));
    assert!(problem("").ends_with("missing field `limits`"));
    assert!(problem("[").contains("EOF"));
}

#[test]
fn a_source_with_a_wrong_configuration_never_starts() {
    #[derive(serde::Deserialize)]
    struct Config {
        count: u32,
    }
    let broker = Broker::new("", || {
        Role::source_with(|config: Config, _: &Source| panic!("started with {}", config.count))
    });
    let (mut link, _) = broker.accept();
    link.send(Kind::Welcome(pb::Welcome { inputs: Vec::new(), config: r#"{"count": "x"}"#.into(), ..welcome_message() }));
    assert!(broker.expect_exit(2).contains("`count`: invalid type"));
}

#[test]
fn a_source_that_panics_has_failed() {
    let broker = Broker::new("", || Role::source(|_: &Source| panic!("no such file")));
    let _link = broker.welcome(pb::Welcome { inputs: Vec::new(), ..welcome_message() });
    assert!(broker.expect_exit(1).contains("the source failed: panic: no such file"));
}

#[test]
fn a_source_that_fails_while_the_broker_is_away_does_not_wait_for_it() {
    let (fail, wait) = channel();
    let broker = Broker::new("", || Role::source(move |_: &Source| Ok(wait.recv()?)));
    let link = broker.welcome(pb::Welcome { inputs: Vec::new(), ..welcome_message() });
    std::fs::remove_file(broker.directory.join("s")).unwrap();
    drop(link);
    broker.expect_said("trying again");
    drop::<std::sync::mpsc::Sender<()>>(fail);
    assert!(broker.expect_exit(1).contains("the source failed"));
}

type MakeRole = fn() -> Role;

fn roles() -> [(MakeRole, pb::Welcome); 3] {
    let windows = || Role::windows(crate::Windows::new().records(2), |_, _| Ok(()));
    let source = || {
        Role::source(|source: &Source| {
            source.claim("p")?;
            source.sleep(PATIENCE)
        })
    };
    let no_inputs = pb::Welcome { inputs: Vec::new(), ..welcome_message() };
    [(double, welcome_message()), (windows, welcome_message()), (source, no_inputs)]
}

/// It is the same program and the same broker the next time: trying again makes no sense.
#[test]
fn after_a_close_of_its_own_the_worker_exits_with_2() {
    let too_long = (3u32 << 20).to_be_bytes();
    let faults: [(&[u8], Code); 3] = [
        (b"\x00\x00\x00\x02\xff\xff", Code::MALFORMED_FRAME),
        (b"\x00\x00\x00\x06\x08\xe8\x07\x42\x01\x08", Code::MALFORMED_FRAME), // a Deliver that is cut off
        (&too_long, Code::FRAME_TOO_LARGE), // of what Welcome says, not of what we could take
    ];
    for ((role, welcome), (bytes, code)) in roles().into_iter().flat_map(|role| faults.map(|fault| (role.clone(), fault))) {
        for token in ["", "aa"] {
            let broker = Broker::new(token, role);
            let mut link = broker.welcome(pb::Welcome { max_frame: 2 << 20, ..welcome.clone() });
            link.stream.write_all(bytes).unwrap();
            match link.expect(|m| matches!(m, Kind::Close(_))) {
                Kind::Close(close) => assert!(Code(close.code) == code && !close.message.is_empty(), "{close:?}"),
                _ => unreachable!(),
            }
            drop(link);
            assert!(broker.expect_exit(2).contains(&code.to_string()));
        }
    }
}

#[test]
fn before_the_welcome_too_and_whether_the_broker_hears_of_it_or_not() {
    let faults: [(&[u8], Code); 2] =
        [(b"\x00\x00\x00\x02\xff\xff", Code::MALFORMED_FRAME), (b"\x7f\x00\x00\x00", Code::FRAME_TOO_LARGE)];
    for ((bytes, code), is_listening) in faults.into_iter().flat_map(|fault| [(fault, true), (fault, false)]) {
        for token in ["", "aa"] {
            let broker = Broker::new(token, double);
            let (mut link, _) = broker.accept();
            link.stream.write_all(bytes).unwrap();
            if is_listening {
                assert!(matches!(link.read(), Kind::Close(close) if Code(close.code) == code));
            }
            drop(link);
            assert!(broker.expect_exit(2).contains(&code.to_string()));
        }
    }
}

/// What the session delivered goes to somebody else when it is over.
#[test]
fn nothing_is_handled_after_the_end() {
    let ((started, is_started), (go, wait)) = (channel(), channel::<()>());
    let broker = Broker::new("aa", move || {
        Role::records(move |_: &Record, _: &mut Emitter| {
            started.send(()).unwrap();
            Ok(wait.recv()?)
        })
    });
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["1", "2", "3"]);
    is_started.recv().unwrap();
    link.stream.write_all(b"\x00\x00\x00\x02\xff\xff").unwrap();
    link.expect(|m| matches!(m, Kind::Close(_)));
    (0..3).for_each(|_| go.send(()).unwrap());
    drop(link);
    broker.expect_exit(2);
    assert_eq!(is_started.try_iter().count(), 0, "the first was at hand");
}
