use std::sync::mpsc::channel;

use super::*;
use crate::limits::MAX_CHECKPOINT;
use crate::output::Output;
use crate::source::Source;

fn source_welcome() -> pb::Welcome {
    pb::Welcome { inputs: Vec::new(), ..welcome_message() }
}

/// Emits `0..count`, one by one, from where its checkpoint says.
fn counting(count: u32) -> impl FnOnce() -> Role + Send {
    move || {
        Role::source(move |source: &Source| {
            let partition = source.claim("p")?;
            let start = std::str::from_utf8(partition.checkpoint())?.parse().unwrap_or(0);
            for number in start..count {
                let payload = number.to_string();
                let output = Output { payload: payload.as_bytes(), ..Output::default() };
                partition.emit(&[output], (number + 1).to_string().as_bytes())?;
            }
            Ok(())
        })
    }
}

impl Link {
    fn expect_claim(&mut self, last_emit_id: u64, checkpoint: &'static str) {
        let claim = self.expect(|m| matches!(m, Kind::Claim(_)));
        assert_eq!(claim, Kind::Claim(pb::Claim { partition: "p".into() }));
        let checkpoint = checkpoint.into();
        self.send(Kind::Claimed(pb::Claimed { partition: "p".into(), epoch: 1, last_emit_id, checkpoint }));
    }

    fn expect_emit(&mut self, id: u64, payload_is: &str) -> pb::Emit {
        match self.expect(|m| matches!(m, Kind::Emit(_))) {
            Kind::Emit(emit) => {
                assert_eq!((emit.emit_id, payload(&emit.emissions[0])), (id, payload_is.as_bytes()));
                emit
            }
            _ => unreachable!(),
        }
    }

    fn commit(&mut self, through: u64) {
        self.send(Kind::Committed(pb::Committed { partition: "p".into(), through, refused: Vec::new() }));
    }

    fn expect_finished(&mut self) {
        self.expect(|m| matches!(m, Kind::Finished(_)));
    }
}

#[test]
fn resumes_and_finishes_when_all_is_committed() {
    let broker = Broker::new("aa", counting(10));
    let mut link = broker.welcome(source_welcome());
    link.expect_claim(6, "7");
    link.credit(2, 100_000);
    assert_eq!(&link.expect_emit(7, "7").checkpoint[..], b"8");
    link.expect_emit(8, "8");
    link.credit(3, 100_000);
    link.expect_emit(9, "9");
    link.commit(8);
    link.ping();
    assert!(matches!(link.read(), Kind::Pong(_)), "nothing before the last commit");
    link.commit(9);
    assert!(matches!(link.read(), Kind::Finished(_)));
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn sends_again_what_was_not_committed() {
    let broker = Broker::new("", counting(6));
    let mut link = broker.welcome(source_welcome());
    link.expect_claim(0, "");
    link.credit(4, 100_000);
    (1..=4).for_each(|id: u64| drop(link.expect_emit(id, &(id - 1).to_string())));
    link.commit(1);
    drop(link);

    let mut link = broker.welcome(source_welcome());
    link.expect_claim(2, "2"); // 2 was applied, its confirmation was lost
    link.credit(100, 100_000);
    (3..=6).for_each(|id: u64| drop(link.expect_emit(id, &(id - 1).to_string())));
    link.commit(6);
    link.expect_finished();
    drop(link);

    // Finished may have been lost as well: it is said again.
    let mut link = broker.welcome(source_welcome());
    link.expect_claim(6, "6");
    link.expect_finished();
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn stopped_it_waits_for_its_commits() {
    let broker = Broker::new("", counting(1000));
    let mut link = broker.welcome(source_welcome());
    link.expect_claim(0, "");
    link.credit(1, 100_000);
    link.expect_emit(1, "0");
    link.send(Kind::Drain(pb::Drain { reason: pb::DrainReason::Shutdown as i32, deadline_ms: 10_000 }));
    link.ping();
    assert!(matches!(link.read(), Kind::Pong(_)), "nothing before the commit");
    link.credit(1000, 100_000);
    link.commit(1);
    match link.read() {
        Kind::Close(close) => assert_eq!(close.code, 0),
        other => panic!("{other:?}"),
    }
    drop(link);
    broker.expect_exit(0);
}

#[test]
fn refused_it_says_so() {
    let broker = Broker::new("", counting(3));
    let mut link = broker.welcome(source_welcome());
    link.expect_claim(0, "");
    link.credit(1, 100_000);
    link.expect_emit(1, "0");
    let error = pb::Error { code: 306, message: "a key of 2000 bytes".into(), indefinite: false };
    let refused = vec![pb::Refusal { id: 1, error: Some(error) }];
    link.send(Kind::Committed(pb::Committed { partition: "p".into(), through: 1, refused }));
    assert!(broker.expect_exit(1).contains("a key of 2000 bytes"));
}

#[test]
fn a_broker_that_forgot_is_not_believed() {
    let broker = Broker::new("", counting(3));
    let mut link = broker.welcome(source_welcome());
    link.expect_claim(0, "");
    link.credit(2, 100_000);
    link.expect_emit(1, "0");
    link.expect_emit(2, "1");
    link.commit(2);
    link.ping();
    link.read();
    drop(link);
    broker.welcome(source_welcome()).expect_claim(0, "");
    assert!(broker.expect_exit(1).contains("emit id 0"));
}

#[test]
fn emit_refuses_what_could_never_fit() {
    let (send, results) = channel();
    let broker = Broker::new("", move || {
        Role::source(move |source: &Source| {
            let p = source.claim("p")?;
            let large = vec![0; 1 << 20];
            send.send(p.emit(&[Output { payload: &large, ..Output::default() }], b""))?;
            send.send(p.emit(&vec![Output::default(); 4097], b""))?;
            send.send(p.emit(&[], &vec![0; MAX_CHECKPOINT + 1]))?;
            Ok(())
        })
    });
    let mut link = broker.welcome(source_welcome());
    link.expect_claim(0, "");
    for _ in 0..3 {
        assert!(results.recv_timeout(PATIENCE).unwrap().is_err());
    }
    link.expect_finished();
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn an_instance_without_work_finishes_a_partition_of_its_own_name() {
    let broker = Broker::new("", || Role::source(|_: &Source| Ok(())));
    let mut link = broker.welcome(pb::Welcome { instance: "p".into(), ..source_welcome() });
    link.expect_claim(0, "");
    assert!(matches!(link.read(), Kind::Finished(_)));
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn a_drain_without_deadline_waits_for_the_commits() {
    let broker = Broker::new("", counting(1000));
    let mut link = broker.welcome(source_welcome());
    link.expect_claim(0, "");
    link.credit(1, 100_000);
    link.expect_emit(1, "0");
    link.send(Kind::Drain(pb::Drain { reason: 99, deadline_ms: 0 })); // unknown: as a shutdown
    link.ping();
    assert!(matches!(link.read(), Kind::Pong(_)), "nothing before the commit");
    link.commit(1);
    assert!(matches!(link.read(), Kind::Close(_)));
    drop(link);
    broker.expect_exit(0);
}
