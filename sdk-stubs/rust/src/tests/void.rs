//! What becomes of deliveries whose lane was given back (OR-3), and from when on the lane is worked on again.

use super::*;
use crate::record::Record;
use crate::role::Work;
use crate::verdict::Verdict;
use crate::window::Batch;
use crate::Emitter;

const ACCEPTED: i32 = pb::OutcomeKind::Accepted as i32;
const RETRY: i32 = pb::OutcomeKind::Retry as i32;
const RELEASED: i32 = pb::OutcomeKind::Released as i32;

/// Names each record that it handles; `again` and `release` go back at their first attempt, and `wait` takes
/// until the test says so.
struct Stage {
    broker: Broker,
    link: Link,
    handled: Receiver<String>,
    go: std::sync::mpsc::Sender<()>,
}

impl Stage {
    fn start(ordering: pb::Ordering) -> Self {
        let ((tell, handled), (go, wait)) = (channel(), channel());
        let broker = Broker::new("", move || {
            Role::records(move |record: &Record, _: &mut Emitter| {
                let text = String::from_utf8_lossy(record.payload()).into_owned();
                tell.send(text.clone()).unwrap();
                if text.starts_with("wait") {
                    wait.recv().unwrap();
                }
                match text.rsplit(' ').next().unwrap() {
                    "again" if record.attempt() == 1 => Err(Verdict::retry(Duration::ZERO, "not yet")),
                    "release" if record.attempt() == 1 => Err(Verdict::Release),
                    _ => Ok(()),
                }
            })
        });
        let link = broker.welcome(welcome_ordered(ordering));
        Stage { broker, link, handled, go }
    }

    /// Everything that was sent has been queued: the handler is at work meanwhile.
    fn let_it_queue(&mut self) {
        self.link.ping();
        self.link.expect(is_pong);
    }

    /// What was handled, from first to last.
    fn end(mut self) -> Vec<String> {
        self.link.close(Code::OK, "");
        self.broker.expect_exit(0);
        self.handled.try_iter().collect()
    }
}

fn kinds(outcomes: &BTreeMap<u64, pb::Outcome>) -> Vec<i32> {
    outcomes.values().map(|outcome| outcome.kind).collect()
}

#[test]
fn later_deliveries_of_the_key_go_back_unhandled() {
    let mut stage = Stage::start(pb::Ordering::Key);
    stage.link.deliver_keyed(&[("k", 0, "wait, then again"), ("k", 0, "a"), ("l", 0, "b"), ("", 0, "c")]);
    stage.link.deliver_keyed(&[("l", 0, "d"), ("k", 0, "e")]);
    stage.let_it_queue();
    stage.go.send(()).unwrap();
    assert_eq!(kinds(&stage.link.settled(6)), [RETRY, RELEASED, ACCEPTED, ACCEPTED, ACCEPTED, RELEASED]);
    let order: Vec<_> = stage.link.outcomes[..2].iter().map(|outcome| (outcome.first, outcome.more.clone())).collect();
    assert_eq!(order, [(1, vec![]), (2, vec![pb::Range { first: 6, last: 0 }])], "in the order of their ids");
    // Under way when the key was given back: before the Pong.
    stage.link.deliver_keyed(&[("k", 0, "f"), ("l", 0, "g"), ("", 0, "h")]);
    assert_eq!(kinds(&stage.link.taken_back(9))[6..], [RELEASED, ACCEPTED, ACCEPTED]);
    // Behind it: delivered anew.
    stage.link.deliver_again(&[(1, "k", 0, "again, 2", 2), (2, "k", 0, "a, 2", 1)]);
    assert_eq!(kinds(&stage.link.settled(11))[9..], [ACCEPTED, ACCEPTED]);
    assert_eq!(stage.end(), ["wait, then again", "b", "c", "d", "g", "h", "again, 2", "a, 2"]);
}

#[test]
fn a_release_voids_as_a_retry_does_and_a_rejection_does_not() {
    let broker = Broker::new("", || {
        Role::records(|record: &Record, _: &mut Emitter| match record.payload() {
            b"reject" => Err(Verdict::reject(1001, "never")),
            b"release" => Err(Verdict::Release),
            b"panic" => panic!("boom"),
            _ => Ok(()),
        })
    });
    let mut link = broker.welcome(welcome_ordered(pb::Ordering::Key));
    link.deliver_keyed(&[("k", 0, "reject"), ("k", 0, "release"), ("k", 0, "a"), ("l", 0, "panic"), ("l", 0, "b")]);
    assert_eq!(kinds(&link.taken_back(5)), [pb::OutcomeKind::Rejected as i32, RELEASED, RELEASED, RETRY, RELEASED]);
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn under_total_everything_behind_it_is_void() {
    // An ordering that is not known is TOTAL, too.
    for ordering in [pb::Ordering::Total, pb::Ordering::Unspecified] {
        let mut stage = Stage::start(ordering);
        stage.link.deliver_keyed(&[("k", 0, "a"), ("k", 0, "again"), ("l", 0, "b"), ("", 0, "c")]);
        assert_eq!(kinds(&stage.link.taken_back(4)), [ACCEPTED, RETRY, RELEASED, RELEASED]);
        stage.link.deliver_again(&[(2, "k", 0, "again", 2), (3, "l", 0, "b", 1), (4, "", 0, "c", 1)]);
        stage.link.settled(7);
        assert_eq!(stage.end(), ["a", "again", "again", "b", "c"]);
    }
}

#[test]
fn without_order_nothing_is_void() {
    for (ordering, key) in [(pb::Ordering::None, "k"), (pb::Ordering::Key, "")] {
        let mut stage = Stage::start(ordering);
        stage.link.deliver_keyed(&[(key, 0, "again"), (key, 0, "a"), (key, 0, "release"), (key, 0, "b")]);
        assert_eq!(kinds(&stage.link.settled(4)), [RETRY, ACCEPTED, RELEASED, ACCEPTED]);
        stage.let_it_queue();
        assert!(stage.link.pings.is_empty(), "there is nothing to wait for");
        assert_eq!(stage.end(), ["again", "a", "release", "b"]);
    }
}

/// What is released behind a record given back may be released in truth: that record was not tried again but
/// became a dead letter, which voids nothing. So the lane waits for that, too.
#[test]
fn a_lane_given_back_twice_opens_at_the_last_pong() {
    let mut stage = Stage::start(pb::Ordering::Key);
    let pong = |link: &mut Link, nonce| link.send(Kind::Pong(pb::Pong { nonce }));
    stage.link.deliver_keyed(&[("k", 0, "again")]);
    stage.link.settled(1);
    stage.link.expect(|message| matches!(message, Kind::Ping(_)));
    pong(&mut stage.link, 1000); // an answer to nothing
    stage.link.deliver_keyed(&[("k", 0, "a")]);
    stage.link.settled(2);
    stage.link.expect(|message| matches!(message, Kind::Ping(_)));
    assert_eq!(stage.link.pings, [1, 2]);
    pong(&mut stage.link, 1);
    stage.link.deliver_keyed(&[("k", 0, "b"), ("l", 0, "c")]);
    assert_eq!(kinds(&stage.link.settled(4))[1..], [RELEASED, RELEASED, ACCEPTED]);
    stage.link.expect(|message| matches!(message, Kind::Ping(_)));
    pong(&mut stage.link, 2);
    pong(&mut stage.link, 3);
    stage.link.deliver_again(&[(1, "k", 0, "again", 2)]);
    assert_eq!(kinds(&stage.link.settled(5))[4], ACCEPTED);
    // Open again, and given back again.
    stage.link.deliver_keyed(&[("k", 0, "release"), ("k", 0, "d")]);
    assert_eq!(kinds(&stage.link.settled(7))[5..], [RELEASED, RELEASED]);
    assert_eq!(stage.end(), ["again", "c", "again", "release"]);
}

#[test]
fn a_new_session_begins_with_open_lanes() {
    let mut stage = Stage::start(pb::Ordering::Key);
    stage.link.deliver_keyed(&[("k", 0, "again"), ("k", 0, "a")]);
    stage.link.settled(2);
    drop(stage.link);
    stage.link = stage.broker.welcome(welcome_ordered(pb::Ordering::Key));
    stage.link.deliver_again(&[(1, "k", 0, "again", 2), (2, "k", 0, "a", 1)]);
    assert_eq!(kinds(&stage.link.settled(2)), [ACCEPTED, ACCEPTED]);
    assert_eq!(stage.end(), ["again", "again", "a"]);
}

/// Each of many records of a key is tried twice. Were those behind handled as well, each time one of them
/// goes back, that would be thousands of calls.
#[test]
fn many_retries_of_a_key_cost_two_calls_each() {
    const COUNT: usize = 100;
    let mut stage = Stage::start(pb::Ordering::Key);
    let mut waiting: Vec<(u8, u32)> = (1..=COUNT as u8).map(|id| (id, 1)).collect();
    let (mut seen, mut delivered) = (0, 0);
    while !waiting.is_empty() {
        stage.link.deliver_again(&waiting.iter().map(|(id, attempt)| (*id, "k", 0, "again", *attempt)).collect::<Vec<_>>());
        delivered += waiting.len();
        let got = stage.link.taken_back(delivered);
        let mut rest = Vec::new();
        for ((id, attempt), outcome) in waiting.iter().zip(kinds(&got).split_off(seen)) {
            match outcome {
                ACCEPTED => {}
                RETRY => rest.push((*id, attempt + 1)),
                _ => rest.push((*id, *attempt)),
            }
        }
        (waiting, seen) = (rest, delivered);
    }
    assert!(delivered > COUNT * COUNT / 2, "{delivered} deliveries");
    assert_eq!(stage.end().len(), 2 * COUNT);
}

#[test]
fn a_verdict_for_a_batch_closes_the_lanes_of_all_its_records() {
    let ((tell, handled), (go, wait)) = (channel(), channel::<()>());
    let broker = Broker::new("", move || {
        let handler = move |batch: &Batch| {
            let payloads: Vec<_> = batch.records().iter().map(|record| String::from_utf8_lossy(record.payload())).collect();
            tell.send(payloads.join(" ")).unwrap();
            wait.recv().unwrap();
            match batch.records().iter().any(|record| record.payload() == b"again" && record.attempt() == 1) {
                true => Err(Verdict::retry(Duration::ZERO, "not yet")),
                false => Ok(()),
            }
        };
        Role::fixed(Work::Batches(3, Box::new(handler)))
    });
    let mut link = broker.welcome(welcome_ordered(pb::Ordering::Key));
    let expect = |text: &str| assert_eq!(handled.recv_timeout(PATIENCE).unwrap(), text);
    link.deliver_keyed(&[("m", 0, "first")]);
    expect("first");
    link.deliver_keyed(&[("k", 0, "again"), ("l", 0, "a"), ("m", 0, "b"), ("m", 0, "c"), ("l", 0, "d"), ("n", 0, "e")]);
    link.deliver_keyed(&[("", 0, "f"), ("k", 0, "g"), ("n", 0, "h"), ("n", 0, "i")]);
    link.ping();
    link.expect(is_pong);
    (0..4).for_each(|_| go.send(()).unwrap());
    expect("again a b");
    expect("e f h");
    expect("i");
    let got = link.taken_back(11);
    let back = [RETRY, RETRY, RETRY, RELEASED, RELEASED];
    assert_eq!(kinds(&got), [&[ACCEPTED], &back[..], &[ACCEPTED, ACCEPTED, RELEASED, ACCEPTED, ACCEPTED]].concat());
    link.deliver_again(&[(2, "k", 0, "again", 2), (3, "l", 0, "a", 2)]);
    expect("again a");
    go.send(()).unwrap();
    assert_eq!(kinds(&link.settled(13))[11..], [ACCEPTED, ACCEPTED]);
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

/// What is void counts neither as handled nor as awaited by a window.
#[test]
fn windows_are_filled_with_what_is_delivered_anew() {
    let ((tell, handled), (go, wait)) = (channel(), channel::<()>());
    let broker = Broker::new("", move || {
        Role::windows(crate::Windows::new().records(2), move |window, _| {
            let payloads: Vec<_> = window.records().iter().map(|record| String::from_utf8_lossy(record.payload())).collect();
            tell.send(payloads.join(" ")).unwrap();
            wait.recv().unwrap();
            match payloads.contains(&"again".into()) && window.records().iter().any(|record| record.attempt() == 1) {
                true => Err(Verdict::Release),
                false => Ok(()),
            }
        })
    });
    let mut link = broker.welcome(welcome_ordered(pb::Ordering::Key));
    link.deliver_keyed(&[("l", 0, "a"), ("k", 0, "again"), ("k", 0, "b"), ("m", 0, "c"), ("l", 0, "d")]);
    link.deliver_keyed(&[("l", 0, "e"), ("m", 0, "f")]);
    link.ping();
    link.expect(is_pong);
    (0..4).for_each(|_| go.send(()).unwrap());
    // "l" is void as well: its window was given back with that of "k".
    let got = link.taken_back(7);
    assert_eq!(kinds(&got), [RELEASED, RELEASED, RELEASED, ACCEPTED, RELEASED, RELEASED, ACCEPTED]);
    link.deliver_again(&[(1, "l", 0, "a", 2), (2, "k", 0, "again", 2), (3, "k", 0, "b", 1), (5, "l", 0, "d", 1)]);
    assert_eq!(kinds(&link.settled(11))[7..], [ACCEPTED; 4]);
    link.close(Code::OK, "");
    broker.expect_exit(0);
    assert_eq!(handled.try_iter().collect::<Vec<_>>(), ["a again", "c f", "a again", "b d"]);
}
