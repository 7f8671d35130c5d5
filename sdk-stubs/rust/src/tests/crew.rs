//! Several handlers at once.

use std::sync::atomic::AtomicI64;
use std::sync::mpsc::Sender;
use std::sync::Barrier;

use super::*;
use crate::credit::{Charge, OutputCredit};
use crate::hub::State;
use crate::role::Work;
use crate::{Emitter, Output, Record, Verdict};

fn shared(count: usize, handler: impl Fn(&Record, &mut Emitter) -> Result<(), Verdict> + Send + Sync + 'static) -> Role {
    Role::fixed(Work::Shared(count, Box::new(handler)))
}

type Answer = Result<(), Verdict>;

/// Holds handlers until the test lets them go, by payload.
struct Gates {
    entered: Receiver<String>,
    held: BTreeMap<String, Sender<Answer>>,
}

impl Gates {
    /// Of a stage with three handlers.
    fn start(ordering: pb::Ordering, held: &[&str]) -> (Broker, Link, Gates) {
        Gates::start_as(Stage::new(), welcome_ordered(ordering), "", held)
    }

    fn start_as(stage: Stage, welcome: pb::Welcome, token: &str, held: &[&str]) -> (Broker, Link, Gates) {
        let (send, entered) = channel();
        let (mut gates, mut waiting) = (Gates { entered, held: BTreeMap::new() }, BTreeMap::new());
        for payload in held {
            let (open, gate) = channel();
            gates.held.insert(payload.to_string(), open);
            waiting.insert(payload.to_string(), Mutex::new(gate));
        }
        let send = Mutex::new(send);
        let broker = Broker::with(stage, token, move || {
            shared(3, move |record, _| {
                let payload = String::from_utf8(record.payload().to_vec()).unwrap();
                let gate = waiting.get(&payload);
                send.lock().unwrap().send(payload).unwrap();
                gate.map_or(Ok(()), |gate| gate.lock().unwrap().recv().unwrap())
            })
        });
        let link = broker.welcome(welcome);
        (broker, link, gates)
    }

    /// Waits until so many handlers more have been called.
    fn await_calls(&self, calls: usize) -> Vec<String> {
        (0..calls).map(|_| self.entered.recv_timeout(PATIENCE).expect("a handler is called")).collect()
    }

    fn open(&self, payload: &str, answer: Answer) {
        self.held[payload].send(answer).unwrap();
    }
}

fn kinds(settled: &BTreeMap<u64, pb::Outcome>) -> Vec<(u64, pb::OutcomeKind)> {
    settled.iter().map(|(delivery, outcome)| (*delivery, pb::OutcomeKind::from_i32(outcome.kind).unwrap())).collect()
}

fn end(broker: &Broker, mut link: Link) {
    link.close(Code::OK, "");
    drop(link);
    broker.expect_exit(0);
}

/// Everything before has been dealt with.
fn barrier(link: &mut Link) {
    link.ping();
    link.expect(is_pong);
}

use pb::OutcomeKind::{Accepted, Rejected, Released, Retry};

#[test]
fn a_held_key_holds_no_other_back() {
    let (broker, mut link, gates) = Gates::start(pb::Ordering::Key, &["a1", "b1"]);
    let records = [("a", 0, "a1"), ("a", 0, "a2"), ("b", 0, "b1"), ("c", 0, "c"), ("b", 0, "b2"), ("", 0, "d"), ("", 0, "e")];
    link.deliver_keyed(&records);
    assert_eq!(kinds(&link.settled(3)), [(4, Accepted), (6, Accepted), (7, Accepted)]);
    gates.await_calls(5);
    barrier(&mut link); // answered while handlers work
    gates.open("b1", Ok(()));
    assert_eq!(kinds(&link.settled(5)), [3, 4, 5, 6, 7].map(|delivery| (delivery, Accepted)));
    gates.open("a1", Err(Verdict::reject(1001, "never"))); // voids nothing
    assert_eq!(kinds(&link.settled(7))[..2], [(1, Rejected), (2, Accepted)]);
    end(&broker, link);
}

#[test]
fn total_is_one_at_a_time_and_none_is_not() {
    for ordering in [pb::Ordering::Total, pb::Ordering::None] {
        let (broker, mut link, gates) = Gates::start(ordering, &["first"]);
        link.deliver_keyed(&[("k", 0, "first"), ("k", 0, "second"), ("o", 0, "third")]);
        if ordering == pb::Ordering::None {
            assert_eq!(kinds(&link.settled(2)), [(2, Accepted), (3, Accepted)]);
        } else {
            assert_eq!(gates.await_calls(1), ["first"]);
            barrier(&mut link);
            assert!(link.outcomes.is_empty());
        }
        gates.open("first", Ok(()));
        assert_eq!(link.settled(3).len(), 3);
        if ordering == pb::Ordering::Total {
            assert_eq!(gates.await_calls(2), ["second", "third"]);
        }
        end(&broker, link);
    }
}

/// Records of eight keys, handled as the scheduler likes, with every kind of outcome that voids nothing.
#[test]
fn a_lane_is_handled_and_settled_in_order() {
    const RECORDS: u64 = 3000;
    let lanes: Arc<Vec<(AtomicI64, AtomicI64)>> = Arc::new((0..8).map(|_| Default::default()).collect());
    let wrong = Arc::new(AtomicU32::new(0));
    let faults = wrong.clone();
    let broker = Broker::new("", move || {
        shared(4, move |record, out| {
            let number: i64 = std::str::from_utf8(record.payload()).unwrap().parse().unwrap();
            let (at_work, last) = &lanes[number as usize % 8];
            let is_ordered = number % 8 > 0; // those without a key are in no order
            if is_ordered && (at_work.fetch_add(1, Ordering::SeqCst) != 0 || last.swap(number, Ordering::SeqCst) >= number) {
                faults.fetch_add(1, Ordering::SeqCst);
            }
            (0..number % 13).for_each(|_| thread::yield_now());
            if is_ordered {
                at_work.fetch_sub(1, Ordering::SeqCst);
            }
            match number % 5 {
                0 => return Err(Verdict::reject(1001, "never")),
                1 | 2 => out.emit(&record.output()),
                _ => {}
            }
            Ok(())
        })
    });
    let mut link = broker.welcome(welcome_ordered(pb::Ordering::Key));
    for first in (1..=RECORDS).step_by(100) {
        let texts: Vec<_> = (first..first + 100)
            .map(|number| (if number % 8 > 0 { format!("key{}", number % 8) } else { String::new() }, number.to_string()))
            .collect();
        link.deliver_keyed(&texts.iter().map(|(key, payload)| (&key[..], 0, &payload[..])).collect::<Vec<_>>());
        link.credit(first + 99, 1 << 40); // never more than there is to emit
    }
    let settled = link.settled(RECORDS as usize);
    assert_eq!(wrong.load(Ordering::SeqCst), 0);
    let mut before = [0; 8];
    for outcome in &link.outcomes {
        let own = pb::Range { first: outcome.first, last: outcome.last };
        for id in std::iter::once(&own).chain(&outcome.more).flat_map(|range| range.first..=range.last.max(range.first)) {
            let before = &mut before[id as usize % 8];
            assert!(*before < id || id % 8 == 0, "delivery {id} is settled after {before}");
            *before = id;
        }
    }
    for (id, outcome) in settled {
        assert_eq!((id % 5 == 0, [1, 2].contains(&(id % 5))), (outcome.kind == Rejected as i32, outcome.emissions.len() == 1), "{id}");
    }
    end(&broker, link);
}

#[test]
fn what_waits_behind_a_retry_is_released_in_order() {
    let (broker, mut link, gates) = Gates::start(pb::Ordering::Key, &["a1", "b"]);
    link.deliver_keyed(&[("a", 0, "a1"), ("b", 0, "b"), ("a", 0, "a2"), ("c", 0, "c"), ("a", 0, "a3")]);
    gates.await_calls(3);
    gates.open("a1", Err(Verdict::retry(Duration::ZERO, "later")));
    assert_eq!(kinds(&link.settled(4)), [(1, Retry), (3, Released), (4, Accepted), (5, Released)]);
    // Under way, and of another lane.
    link.deliver_keyed(&[("a", 0, "a4"), ("d", 0, "d")]);
    assert_eq!(kinds(&link.taken_back(6))[4..], [(6, Released), (7, Accepted)]);
    barrier(&mut link);
    link.deliver_keyed(&[("a", 0, "again")]);
    assert_eq!(kinds(&link.settled(7))[6], (8, Accepted));
    gates.open("b", Ok(()));
    link.settled(8);
    let given: Vec<u64> = link.outcomes.iter().filter(|o| o.kind != Accepted as i32).map(|o| o.first).collect();
    assert_eq!(given, [1, 3, 6]); // 5 is in the outcome of 3
    assert_eq!(gates.await_calls(2), ["d", "again"]);
    end(&broker, link);
}

#[test]
fn who_waits_for_credit_holds_no_other_output_back() {
    let broker = Broker::new("", || {
        shared(4, |record, out| {
            let ports = std::str::from_utf8(record.payload()).unwrap();
            ports.split_terminator("").skip(1).for_each(|port| out.emit(&Output { port, ..Output::default() }));
            Ok(())
        })
    });
    let mut welcome = welcome_ordered(pb::Ordering::Key);
    welcome.outputs = vec![pb::Output { number: 0, port: "x".into() }, pb::Output { number: 1, port: "y".into() }];
    let mut link = broker.welcome(welcome);
    link.limit = (1 << 40, 1 << 40); // counted by this test
    let credit = |link: &mut Link, number, records| link.send(Kind::Credit(pb::Credit { number, records, bytes: 1 << 40 }));
    credit(&mut link, 1, 1);
    link.deliver_keyed(&[("a", 0, "xxx"), ("a", 0, "")]);
    barrier(&mut link);
    link.deliver_keyed(&[("b", 0, "y"), ("c", 0, "")]);
    assert_eq!(kinds(&link.settled(2)), [(3, Accepted), (4, Accepted)]);
    credit(&mut link, 0, 2);
    link.deliver_keyed(&[("a", 0, "")]);
    barrier(&mut link);
    assert_eq!(link.settled(2).len(), 2);
    // Many wait for both, in whatever order: what there is suffices for all of them.
    for round in 0..10 {
        link.deliver_keyed(&[("d", 0, "xy"), ("e", 0, "x"), ("", 0, "yyy")]);
        credit(&mut link, 1, 5 + 4 * round);
        credit(&mut link, 0, 5 + 2 * round);
    }
    link.settled(35);
    end(&broker, link);
}

/// What needs less of the same output does not overtake what has waited longer, or that might wait for ever.
#[test]
fn credit_is_taken_in_the_order_of_waiting() {
    let mut state = State::default();
    state.outputs = (0..2).map(OutputCredit::new).collect();
    state.outputs.iter_mut().for_each(|output| output.raise(3, 1000));
    let charges = |records: [u64; 2]| records.map(|records| Charge { records, bytes: 0 });
    let [large, small, other, both] = [[3, 0], [1, 0], [0, 1], [1, 1]].map(|records| state.claim(&charges(records)));
    let may_go = |state: &State, tickets: &[u64]| tickets.iter().map(|ticket| state.may_go(*ticket)).collect::<Vec<_>>();
    assert_eq!(may_go(&state, &[large, small, other, both]), [true, false, true, false]);
    state.withdraw(large);
    assert_eq!(may_go(&state, &[small, other, both]), [true, true, false]);
    state.withdraw(other);
    state.withdraw(small);
    assert_eq!(may_go(&state, &[both]), [true]);
    state.use_up(&charges([3, 0]));
    assert_eq!(may_go(&state, &[both]), [false]);
}

#[test]
fn an_overdue_handler_is_what_the_broker_charges() {
    let mut welcome = welcome_ordered(pb::Ordering::Key);
    welcome.lease_ms = 30;
    let stage = Stage::new().timeout(Duration::from_millis(20));
    let (broker, mut link, gates) = Gates::start_as(stage, welcome, "", &["older", "slow"]);
    link.deliver_keyed(&[("a", 0, "older"), ("b", 0, "before"), ("a", 0, "behind"), ("c", 0, "slow"), ("a", 0, "last")]);
    gates.await_calls(3);
    // Both are overdue: no more Extend can come, and nothing later is begun.
    let mut extends = 0;
    link.stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap(); // many times the timeout
    let mut prefix = [0; 4];
    while link.stream.read_exact(&mut prefix).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
        link.stream.read_exact(&mut frame).unwrap();
        let message = pb::Envelope::decode(&frame[..]).unwrap().message.unwrap();
        extends += usize::from(matches!(message, Kind::Extend(_)));
        link.book(&message);
        assert!(extends < 100, "the lease of overdue handlers is renewed for ever");
    }
    link.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    link.deliver_keyed(&[("d", 0, "younger")]);
    barrier(&mut link);
    assert_eq!(kinds(&link.settled(1)), [(2, Accepted)]);
    // What is older than the other one may go now: with it settled, the broker finds the right one.
    gates.open("older", Ok(()));
    assert_eq!(kinds(&link.settled(3)), [(1, Accepted), (2, Accepted), (3, Accepted)]);
    assert_eq!(gates.await_calls(1), ["behind"]);
    (0..100).for_each(|_| barrier(&mut link)); // whoever was to begin what is later would have
    assert!(gates.entered.try_recv().is_err(), "what came later keeps the lease alive");
    gates.open("slow", Ok(()));
    link.settled(6);
    end(&broker, link);
}

#[test]
fn a_shutdown_releases_what_no_handler_has() {
    let (broker, mut link, gates) = Gates::start(pb::Ordering::Key, &["a1", "b1"]);
    link.deliver_keyed(&[("a", 0, "a1"), ("a", 0, "a2"), ("b", 0, "b1"), ("a", 0, "a3"), ("b", 0, "b2")]);
    gates.await_calls(2);
    link.send(Kind::Drain(pb::Drain { reason: pb::DrainReason::Shutdown as i32, deadline_ms: 0 }));
    barrier(&mut link);
    gates.open("a1", Ok(()));
    gates.open("b1", Err(Verdict::Release));
    link.deliver_keyed(&[("", 0, "late")]);
    assert_eq!(kinds(&link.settled(6))[..2], [(1, Accepted), (2, Released)]);
    assert!(kinds(&link.settled(6))[1..].iter().all(|(_, kind)| *kind == Released));
    assert!(gates.entered.try_recv().is_err());
    end(&broker, link);
}

#[test]
fn panics_in_many_handlers_are_retries() {
    let all = Barrier::new(3);
    let broker = Broker::new("", || {
        shared(3, move |_, _| {
            all.wait();
            panic!("boom")
        })
    });
    let mut link = broker.welcome(welcome_ordered(pb::Ordering::None));
    link.deliver(&["a", "b", "c"]);
    let settled = link.settled(3);
    assert_eq!(kinds(&settled), [(1, Retry), (2, Retry), (3, Retry)]);
    assert!(settled[&1].error.as_ref().unwrap().message.contains("boom"));
    end(&broker, link);
}

#[test]
fn no_handler_is_none() {
    let broker = Broker::new("", || shared(0, |_, _| Ok(())));
    broker.accept().0.send(Kind::Welcome(welcome_message()));
    assert!(broker.expect_exit(2).contains("at least one worker"));
}
