use super::*;
use crate::output::Output;
use crate::role::Work;
use crate::verdict::Verdict;
use crate::window::{Batch, Window};
use crate::windows::{Late, Windows};
use crate::Emitter;

/// Emits the payloads of a window, with commas; `!` behind one that is not complete.
fn join(windows: Windows) -> impl FnOnce() -> Role + Send {
    move || Role::windows(windows, join_window)
}

fn join_window(window: &Window, out: &mut Emitter) -> Result<(), Verdict> {
    let mut parts = Vec::new();
    for record in window.records() {
        match record.payload() {
            b"bad" => window.reject(record, 1001, "bad"),
            b"again" => return Err(Verdict::retry(Duration::from_millis(7), "not now")),
            b"release" => return Err(Verdict::Release),
            b"panic" => panic!("boom"),
            b"large" => out.emit(&Output { payload: &vec![0; 1 << 20], ..Output::default() }),
            payload => parts.push(String::from_utf8_lossy(payload).into_owned()),
        }
    }
    if !parts.is_empty() {
        let text = parts.join(",") + if window.is_complete() { "" } else { "!" };
        out.emit(&Output { payload: text.as_bytes(), key: window.key(), ..Output::default() });
    }
    Ok(())
}

fn unsettled(records: u64, bytes: u64) -> pb::Welcome {
    let input = pb::Input { max_unsettled_records: records, max_unsettled_bytes: bytes, ..pb::Input::default() };
    pb::Welcome { inputs: vec![input], ..welcome_message() }
}

fn drain(link: &mut Link, reason: pb::DrainReason) {
    link.send(Kind::Drain(pb::Drain { reason: reason as i32, deadline_ms: 10_000 }));
}

fn text(outcome: &pb::Outcome) -> &str {
    std::str::from_utf8(payload(&outcome.emissions[0])).unwrap()
}

fn end(mut link: Link, broker: &Broker) {
    link.close(Code::OK, "");
    broker.expect_exit(0);
}

#[test]
fn one_outcome_over_a_window() {
    let broker = Broker::new("", join(Windows::new().records(2).by_key()));
    let (mut link, hello) = broker.accept();
    assert_eq!(hello.required, ["holds"]);
    link.greet(welcome_message());
    link.credit(100, 1 << 20);
    link.deliver_keyed(&[("a", 0, "1"), ("b", 0, "2"), ("a", 0, "3")]);
    let got = link.settled(2);
    assert_eq!((got[&1].first, got[&1].last, got[&1].more.len(), text(&got[&1])), (1, 0, 1, "1,3"));
    assert_eq!(got[&1], got[&3]);
    link.deliver_keyed(&[("b", 0, "4")]);
    assert_eq!(text(&link.settled(4)[&4]), "2,4");
    end(link, &broker);
}

#[test]
fn verdicts_for_the_whole_window_and_for_one_record() {
    let broker = Broker::new("", join(Windows::new().records(2)));
    let mut link = broker.welcome(welcome_message());
    link.credit(100, 1 << 20);
    link.deliver(&["1", "bad", "bad", "bad", "2", "again", "3", "release", "4", "panic", "5", "large"]);
    let got = link.settled(12);
    let kinds: Vec<i32> = got.values().map(|outcome| outcome.kind).collect();
    assert_eq!(kinds, [1, 2, 2, 2, 3, 3, 4, 4, 3, 3, 2, 2]);
    assert_eq!((text(&got[&1]), got[&2].error.as_ref().unwrap().code), ("1", 1001));
    assert_eq!((got[&5].delay_ms, got[&9].error.as_ref().unwrap().message.as_str()), (7, "panic: boom"));
    assert_eq!(got[&11].error.as_ref().unwrap().code, 304);
    end(link, &broker);
}

#[test]
fn without_room_the_oldest_ends_early() {
    let broker = Broker::new("", join(Windows::new().records(100).by_key()));
    let mut link = broker.welcome(unsettled(3, 0));
    link.credit(100, 1 << 20);
    link.deliver_keyed(&[("a", 0, "1"), ("b", 0, "2"), ("a", 0, "3")]);
    let got = link.settled(2);
    assert_eq!((text(&got[&1]), text(&got[&3]), got.contains_key(&2)), ("1,3!", "1,3!", false));
    drain(&mut link, pb::DrainReason::InputEnded);
    assert_eq!(text(&link.settled(3)[&2]), "2");
    end(link, &broker);

    // In bytes: less than max_record is left.
    let broker = Broker::new("", join(Windows::new().records(100)));
    let mut link = broker.welcome(pb::Welcome { max_record: 100, stamp_reserve: 10, ..unsettled(1000, 150) });
    link.credit(100, 1 << 20);
    let payload = "x".repeat(30); // 37 bytes with the key; two of them leave less than 100 of 150
    link.deliver(&[&payload]);
    link.deliver(&[&payload]);
    assert_eq!(text(&link.settled(2)[&2]), format!("{payload},{payload}!"));
    end(link, &broker);
}

#[test]
fn when_the_input_has_ended_every_window_does() {
    let broker = Broker::new("", join(Windows::new().records(100)));
    let mut link = broker.welcome(welcome_message());
    link.credit(100, 1 << 20);
    link.deliver(&["1", "2"]);
    drain(&mut link, pb::DrainReason::InputEnded);
    assert_eq!(text(&link.settled(2)[&2]), "1,2");
    // What comes again afterwards does not wait either.
    link.deliver(&["3"]);
    assert_eq!(text(&link.settled(3)[&3]), "3");
    end(link, &broker);
}

#[test]
fn a_shutdown_gives_windows_back() {
    let broker = Broker::new("", join(Windows::new().records(100)));
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["1", "2"]);
    drain(&mut link, pb::DrainReason::Shutdown);
    link.deliver(&["3"]);
    assert!(link.settled(3).values().all(|outcome| outcome.kind == pb::OutcomeKind::Released as i32));
    end(link, &broker);
}

#[test]
fn leases_are_extended_while_a_window_waits_and_time_ends_it() {
    let broker = Broker::new("", join(Windows::new().seconds(0.4)));
    let mut link = broker.welcome(pb::Welcome { lease_ms: 90, ..welcome_message() });
    link.credit(100, 1 << 20);
    link.deliver(&["1"]);
    link.expect(|m| matches!(m, Kind::Extend(_)));
    link.expect(|m| matches!(m, Kind::Extend(_)));
    assert!(link.outcomes.is_empty());
    assert_eq!(text(&link.settled(1)[&1]), "1");
    end(link, &broker);
}

#[test]
fn event_time_lateness_and_idleness() {
    const SECOND: i64 = 1_000_000;
    for (late, kind) in [(Late::Reject, pb::OutcomeKind::Rejected), (Late::Accept, pb::OutcomeKind::Accepted)] {
        let broker = Broker::new("", join(Windows::new().event_time(10, 2).idle(0.2).late(late)));
        let mut link = broker.welcome(welcome_message());
        link.credit(100, 1 << 20);
        link.deliver_keyed(&[("", 3 * SECOND, "1"), ("", 0, "no time"), ("", 12 * SECOND, "2"), ("", 4 * SECOND, "late")]);
        let got = link.settled(4); // the second window by idleness
        assert_eq!((text(&got[&1]), text(&got[&3])), ("1", "2"));
        assert_eq!((got[&2].kind, got[&4].kind), (pb::OutcomeKind::Rejected as i32, kind as i32));
        if late == Late::Reject {
            assert!(got[&4].error.as_ref().unwrap().message.starts_with("late: its window ended at 1970-01-01T00:00:10"));
        }
        end(link, &broker);
    }
}

#[test]
fn a_window_that_is_tried_again_is_not_late() {
    let broker = Broker::new("", || {
        Role::windows(Windows::new().event_time(10, 0), |window, out| {
            if window.records().iter().all(|record| record.attempt() == 1) && window.end() == Some(10_000_000) {
                return Err(Verdict::retry(Duration::ZERO, "not yet"));
            }
            join_window(window, out)
        })
    });
    let mut link = broker.welcome(welcome_ordered(pb::Ordering::Total));
    link.credit(100, 1 << 20);
    link.deliver_again(&[(1, "", 1_000_000, "1", 1), (2, "", 2_000_000, "2", 1), (3, "", 30_000_000, "3", 1)]);
    assert_eq!(link.taken_back(3)[&2].kind, pb::OutcomeKind::Retry as i32);
    link.deliver_again(&[(1, "", 1_000_000, "1", 2), (2, "", 2_000_000, "2", 2)]);
    // The third was void with the first two (OR-3), and has come again behind them.
    link.deliver_again(&[(3, "", 30_000_000, "3", 1), (4, "", 40_000_000, "4", 1)]);
    let got = link.settled(6);
    assert_eq!((text(&got[&4]), got[&4].last), ("1,2", 5));
    assert_eq!((got[&3].kind, text(&got[&6])), (pb::OutcomeKind::Released as i32, "3"));
    end(link, &broker);
}

/// While a key waits for what it gave back, the others move the watermark.
#[test]
fn a_key_that_lags_is_not_late() {
    let broker = Broker::new("", || {
        Role::windows(Windows::new().event_time(10, 0).by_key().idle(0), |window, out| {
            if window.key() == b"k" && window.records()[0].attempt() == 1 && window.start() == Some(0) {
                return Err(Verdict::Release);
            }
            join_window(window, out)
        })
    });
    let mut link = broker.welcome(welcome_ordered(pb::Ordering::Key));
    link.credit(100, 1 << 20);
    const SECOND: i64 = 1_000_000;
    link.deliver_again(&[(1, "k", SECOND, "a", 1), (2, "k", 11 * SECOND, "b", 1), (3, "l", 12 * SECOND, "x", 1)]);
    let got = link.settled(2);
    assert_eq!([got[&1].kind, got[&2].kind], [pb::OutcomeKind::Released as i32; 2], "2 is void with 1");
    // 5 was under way and is void too; the watermark is far ahead when the key comes again.
    link.deliver_again(&[(4, "l", 95 * SECOND, "y", 1), (5, "k", 13 * SECOND, "c", 1)]);
    let got = link.taken_back(4);
    assert_eq!((text(&got[&3]), got[&5].kind), ("x", pb::OutcomeKind::Released as i32));
    link.deliver_again(&[(1, "k", SECOND, "a", 2), (6, "k", 9 * SECOND, "new", 1), (2, "k", 11 * SECOND, "b", 1)]);
    let got = link.settled(6);
    assert_eq!((text(&got[&6]), &got[&6]), ("a,new", &got[&7]));
    link.deliver_again(&[(5, "k", 13 * SECOND, "c", 1), (7, "k", 96 * SECOND, "d", 1), (8, "k", 19 * SECOND, "late", 1)]);
    let got = link.settled(9);
    assert_eq!((text(&got[&8]), &got[&8]), ("b,c", &got[&9]));
    assert_eq!(got[&11].kind, pb::OutcomeKind::Rejected as i32, "it has caught up");
    end(link, &broker);
}

/// Windows that have ended already and wait for the handler are void as well.
#[test]
fn void_deliveries_are_not_handled() {
    let broker = Broker::new("", join(Windows::new().records(2).by_key()));
    let mut link = broker.welcome(welcome_ordered(pb::Ordering::Key));
    link.credit(100, 1 << 20);
    let first = [(1, "k", 0, "again", 1), (2, "l", 0, "x", 1), (3, "k", 0, "b", 1), (4, "k", 0, "c", 1), (5, "l", 0, "y", 1)];
    link.deliver_again(&first);
    let got = link.taken_back(5);
    assert_eq!((got[&1].kind, text(&got[&2])), (pb::OutcomeKind::Retry as i32, "x,y"));
    assert_eq!(got[&4].kind, pb::OutcomeKind::Released as i32, "it was queued");
    link.deliver_again(&[(1, "k", 0, "a", 2), (3, "k", 0, "b", 1), (4, "k", 0, "c", 1), (6, "k", 0, "d", 1)]);
    let got = link.settled(9);
    assert_eq!((text(&got[&6]), text(&got[&8])), ("a,b", "c,d"));
    end(link, &broker);
}

/// A new session delivers what the one before held: windows begin anew, and so does the watermark.
#[test]
fn nothing_is_taken_over_to_a_new_session() {
    let broker = Broker::new("", join(Windows::new().event_time(10, 0)));
    let mut link = broker.welcome(welcome_message());
    link.deliver_keyed(&[("", 100_000_000, "1")]);
    link.ping();
    link.expect(is_pong);
    drop(link);
    let mut link = broker.welcome(welcome_message());
    link.credit(100, 1 << 20);
    link.deliver_keyed(&[("", 5_000_000, "2"), ("", 100_000_000, "1")]);
    assert_eq!(text(&link.settled(1)[&1]), "2");
    end(link, &broker);
}

#[test]
fn parents_are_named_and_checked() {
    let broker = Broker::new("", || {
        Role::windows(Windows::new().records(2), |window, out| {
            let records = window.records();
            if records[1].payload() == b"bad" {
                window.reject(&records[1], 1001, "bad");
            }
            out.emit_from(&[&records[1]], &Output::default());
            Ok(())
        })
    });
    let mut link = broker.welcome(welcome_message());
    link.credit(100, 1 << 20);
    link.deliver(&["1", "2", "3", "bad"]);
    let got = link.settled(4);
    assert_eq!(got[&1].emissions[0].parents, [2]);
    assert_eq!(got[&3].kind, pb::OutcomeKind::Retry as i32);
    assert!(got[&4].error.as_ref().unwrap().message.contains("emit_from"));
    end(link, &broker);
}

#[test]
fn bounds_that_cannot_be_end_the_worker() {
    let broker = Broker::new("", join(Windows::new()));
    let (mut link, _) = broker.accept();
    link.send(Kind::Welcome(welcome_message()));
    assert!(broker.expect_exit(2).contains("no bound"));
}

#[test]
fn a_batch_sink_gets_what_has_arrived() {
    let (started, is_started) = channel();
    let (go, wait) = channel::<()>();
    let broker = Broker::new("", move || {
        let handler = move |batch: &Batch| {
            started.send(batch.records().len()).unwrap();
            wait.recv().unwrap();
            match batch.records().iter().find(|record| record.payload() == b"bad") {
                Some(bad) => batch.reject(bad, 1001, "bad"),
                None if batch.records()[0].payload() == b"all" => return Err(Verdict::reject(1002, "all")),
                None => {}
            }
            Ok(())
        };
        Role::fixed(Work::Batches(4, Box::new(handler)))
    });
    let mut link = broker.welcome(welcome_message());
    let batches = |count| is_started.recv_timeout(PATIENCE).map(|got| assert_eq!(got, count)).unwrap();
    link.deliver(&["1"]);
    batches(1);
    link.deliver(&["2", "bad"]);
    link.deliver(&["3", "4", "5"]);
    link.ping();
    link.expect(is_pong);
    go.send(()).unwrap();
    batches(4); // out of two Delivers, and no more than asked for
    go.send(()).unwrap();
    batches(1);
    go.send(()).unwrap();
    assert_eq!(link.settled(6).values().map(|outcome| outcome.kind).collect::<Vec<_>>(), [1, 1, 2, 1, 1, 1]);
    link.deliver(&["all", "of them"]);
    batches(2);
    go.send(()).unwrap();
    assert_eq!(link.settled(8)[&8].error.as_ref().unwrap().code, 1002);
    end(link, &broker);
}
