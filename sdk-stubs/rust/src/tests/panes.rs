use std::time::{Duration, Instant};

use crate::output::Output;
use crate::panes::{Added, Panes};
use crate::pb;
use crate::record::{Context, Record};
use crate::window::Window;
use crate::windows::{Late, Windows};

const SECOND: i64 = 1_000_000;

fn record(number: u64, key: &str, event_time: i64, payload: &str) -> Record {
    again(number, key, event_time, payload, 1)
}

fn again(number: u64, key: &str, event_time: i64, payload: &str, attempt: u32) -> Record {
    let mut encoded = Vec::new();
    Output { key: key.as_bytes(), event_time, payload: payload.as_bytes(), ..Output::default() }.append_to(&mut encoded);
    Record::with_context(encoded, number, attempt, Context::default())
}

fn payloads(window: &Window) -> String {
    window.records().iter().map(|record| String::from_utf8_lossy(record.payload()).into_owned()).collect()
}

/// What ends, window by window.
fn ended(panes: &mut Panes, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| panes.next(now)).map(|window| payloads(&window)).collect()
}

/// Adds one record of each character; a letter's case is its key.
fn add_all(panes: &mut Panes, now: Instant, letters: &str) {
    for (number, letter) in (1..).zip(letters.chars()) {
        let key = if letter.is_uppercase() { "upper" } else { "lower" };
        assert_eq!(panes.add(record(number, key, 0, &letter.to_string()), now), Added::Held);
    }
}

#[test]
fn by_count_and_by_key() {
    let now = Instant::now();
    let mut panes = Panes::new(&Windows::new().records(2));
    add_all(&mut panes, now, "aBcDe");
    assert_eq!(ended(&mut panes, now), ["aB", "cD"]);
    assert!(!panes.is_empty());
    panes.end_all();
    assert_eq!(ended(&mut panes, now), ["e"]);
    assert!(panes.is_empty());

    let mut panes = Panes::new(&Windows::new().records(2).by_key());
    add_all(&mut panes, now, "aBcDe");
    let keys: Vec<_> = std::iter::from_fn(|| panes.next(now)).map(|window| (payloads(&window), window.key().to_vec())).collect();
    assert_eq!(keys, [("ac".to_string(), b"lower".to_vec()), ("BD".to_string(), b"upper".to_vec())]);
}

#[test]
fn by_bytes_before_there_are_more() {
    let now = Instant::now();
    let mut panes = Panes::new(&Windows::new().bytes(5));
    for (number, payload) in (1..).zip(["aaa", "bb", "cccc", "dd", "eeeeeeee", "f"]) {
        panes.add(record(number, "", 0, payload), now);
    }
    panes.end_all();
    assert_eq!(ended(&mut panes, now), ["aaabb", "cccc", "dd", "eeeeeeee", "f"]);
}

#[test]
fn by_time_since_the_first_record() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut panes = Panes::new(&Windows::new().seconds(10).records(3));
    assert_eq!(panes.deadline(), None);
    panes.add(record(1, "", 0, "a"), at(0));
    panes.add(record(2, "", 0, "b"), at(9));
    assert_eq!(panes.deadline(), Some(at(10)));
    assert!(ended(&mut panes, at(9)).is_empty());
    assert_eq!(ended(&mut panes, at(10)), ["ab"]);
    add_all(&mut panes, at(11), "cde");
    assert_eq!((ended(&mut panes, at(11)), panes.deadline()), (vec!["cde".to_string()], None));
}

#[test]
fn by_event_time_with_lateness() {
    let now = Instant::now();
    let mut panes = Panes::new(&Windows::new().event_time(10, 5));
    let add = |panes: &mut Panes, seconds: i64, payload: &str| panes.add(record(1, "", seconds * SECOND, payload), now);
    assert_eq!(add(&mut panes, 0, "x"), Added::Timeless);
    for (seconds, payload) in [(1, "a"), (12, "b"), (9, "c"), (14, "d")] {
        assert_eq!(add(&mut panes, seconds, payload), Added::Held);
    }
    assert!(ended(&mut panes, now).is_empty(), "14 less 5 is before the end of the first window");
    assert_eq!(add(&mut panes, 15, "e"), Added::Held);
    assert_eq!(ended(&mut panes, now), ["ac"]);
    assert_eq!(add(&mut panes, 9, "late"), Added::Late("late: its window ended at 1970-01-01T00:00:10.000000Z".into()));
    assert_eq!(add(&mut panes, 10, "f"), Added::Held);
    assert_eq!(add(&mut panes, 100, "g"), Added::Held);
    let window = panes.next(now).unwrap();
    assert_eq!((payloads(&window).as_str(), window.start(), window.end()), ("bdef", Some(10 * SECOND), Some(20 * SECOND)));
    assert!(window.is_complete());
}

#[test]
fn before_1970_windows_are_aligned_too() {
    let now = Instant::now();
    let mut panes = Panes::new(&Windows::new().event_time(10, 0));
    panes.add(record(1, "", -SECOND, "a"), now);
    panes.add(record(2, "", SECOND, "b"), now);
    let window = panes.next(now).unwrap();
    assert_eq!((payloads(&window).as_str(), window.start(), window.end()), ("a", Some(-10 * SECOND), Some(0)));
}

#[test]
fn idle_ends_what_is_held() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut panes = Panes::new(&Windows::new().event_time(10, 0).idle(4).by_key().late(Late::Reject));
    panes.add(record(1, "a", 15 * SECOND, "a"), at(0));
    panes.add(record(2, "b", 16 * SECOND, "b"), at(1));
    assert_eq!(panes.deadline(), Some(at(5)));
    panes.rest(at(4));
    assert!(ended(&mut panes, at(4)).is_empty());
    panes.rest(at(5));
    assert_eq!(ended(&mut panes, at(5)), ["a", "b"]);
    assert!(matches!(panes.add(record(3, "c", 19 * SECOND, "c"), at(6)), Added::Late(_)));

    let mut never = Panes::new(&Windows::new().event_time(10, 0).idle(0));
    never.add(record(1, "a", 15 * SECOND, "a"), at(0));
    assert_eq!(never.deadline(), None);
}

#[test]
fn what_is_tried_again_is_not_late() {
    let start = Instant::now();
    let mut panes = Panes::new(&Windows::new().event_time(10, 0));
    panes.add(record(1, "", SECOND, "a"), start);
    panes.add(record(2, "", 2 * SECOND, "b"), start);
    panes.add(record(3, "", 11 * SECOND, "c"), start);
    let window = panes.next(start).unwrap();
    panes.give_back(&window, start);
    // Released or retried by this worker: the window is whole when both are there.
    assert_eq!(panes.add(record(4, "", SECOND, "a"), start), Added::Held);
    assert!(ended(&mut panes, start).is_empty());
    assert_eq!(panes.deadline(), Some(start + Duration::from_secs(10)), "idle: the window of c; the retry has 15 s");
    assert_eq!(panes.add(record(5, "", 2 * SECOND, "b"), start), Added::Held);
    assert_eq!(ended(&mut panes, start), ["ab"]);
    assert!(matches!(panes.add(record(6, "", SECOND, "a"), start), Added::Late(_)), "a newcomer is");
    // From elsewhere, as a further attempt: nobody knows how many there are.
    assert_eq!(panes.add(again(7, "", SECOND, "a", 2), start), Added::Held);
    assert_eq!(panes.add(again(8, "", 3 * SECOND, "d", 2), start), Added::Held);
    assert!(ended(&mut panes, start).is_empty());
    let later = panes.deadline().unwrap();
    assert_eq!(ended(&mut panes, later), ["ad"]);
}

/// Of an input that keeps keys in order.
fn keyed(number: u64, key: &str, seconds: i64, payload: &str) -> Record {
    let mut encoded = Vec::new();
    Output { key: key.as_bytes(), event_time: seconds * SECOND, payload: payload.as_bytes(), ..Output::default() }.append_to(&mut encoded);
    let input = pb::Input { ordering: pb::Ordering::Key as i32, ..pb::Input::default() };
    Record::with_context(encoded, number, 1, Context { inputs: vec![input], ..Context::default() })
}

/// Gives back the first window of key k, whose records will not come again; key l goes on to 100 s.
fn given_back_for_good(rules: Windows, start: Instant) -> Panes {
    let mut panes = Panes::new(&rules);
    let records = [("k", 1, "a"), ("k", 2, "b"), ("k", 11, "void"), ("l", 12, "x"), ("l", 100, "y")];
    for (number, (key, seconds, payload)) in (1..).zip(records) {
        panes.add(keyed(number, key, seconds, payload), start);
        if let Some(window) = panes.next(start).filter(|_| number == 3) {
            let void: Vec<u64> = panes.give_back(&window, start).iter().map(Record::delivery).collect();
            assert_eq!((payloads(&window).as_str(), void), ("ab", vec![3]));
        }
    }
    panes
}

#[test]
fn a_key_whose_window_became_dead_letters_does_not_lag_for_ever() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    // Nothing comes: the key is given up.
    let rules = Windows::new().event_time(10, 0).by_key().idle(0);
    let mut panes = given_back_for_good(rules.clone(), start);
    let until = panes.deadline().expect("it is waited for");
    assert!(until <= at(15) && ended(&mut panes, until).is_empty());
    assert_eq!(panes.deadline(), None, "nothing more is waited for");
    assert!(matches!(panes.add(keyed(6, "k", 50, "late"), until), Added::Late(_)));
    // What the broker kept behind the dead letters comes: the key catches up with it.
    let mut panes = given_back_for_good(rules, start);
    for (number, seconds, payload) in [(6, 11, "c"), (7, 35, "d"), (8, 101, "e")] {
        assert_eq!(panes.add(keyed(number, "k", seconds, payload), start), Added::Held, "not late: {payload}");
    }
    assert_eq!((ended(&mut panes, start), panes.deadline()), (vec!["c".to_string(), "d".to_string()], None));
    assert!(matches!(panes.add(keyed(9, "k", 39, "late"), start), Added::Late(_)));
}

#[test]
fn a_key_that_is_given_up_holds_nothing_back() {
    let start = Instant::now();
    // Windows of all keys together wait for the one that lags.
    let mut panes = Panes::new(&Windows::new().event_time(10, 0).idle(0));
    panes.add(keyed(1, "k", 1, "a"), start);
    panes.add(keyed(2, "l", 11, "b"), start);
    let window = panes.next(start).unwrap();
    assert!(panes.give_back(&window, start).is_empty());
    panes.add(keyed(3, "l", 50, "c"), start);
    assert!(ended(&mut panes, start).is_empty());
    let until = panes.deadline().unwrap();
    assert_eq!(ended(&mut panes, until), ["b"]);
    assert_eq!(panes.deadline(), None);
}

#[test]
fn the_oldest_ends_for_want_of_room() {
    let now = Instant::now();
    let mut panes = Panes::new(&Windows::new().records(10).by_key());
    add_all(&mut panes, now, "Abc");
    let held = panes.held(0);
    assert_eq!(held.records, 3);
    panes.end_oldest();
    let window = panes.next(now).unwrap();
    assert_eq!((payloads(&window).as_str(), window.is_complete()), ("A", false));
    assert_eq!((panes.held(0).records, panes.held(0).bytes), (2, held.bytes * 2 / 3));
}

#[test]
fn bounds_are_checked() {
    let good = [
        Windows::new().records(1),
        Windows::new().bytes(1).seconds(0.5).records(7),
        Windows::new().event_time(60, 0).idle(0),
        Windows::new().event_time(0.000001, 3),
    ];
    good.iter().for_each(|windows| assert_eq!(windows.check(), Ok(())));
    let bad = [
        (Windows::new(), "no bound"),
        (Windows::new().records(0), "`records` is 0"),
        (Windows::new().bytes(0), "`bytes` is 0"),
        (Windows::new().seconds(0), "`seconds` is 0"),
        (Windows::new().seconds(f64::NAN), "`seconds` is NaN"),
        (Windows::new().event_time(0, 0), "size by `event_time`"),
        (Windows::new().event_time(1e-9, 0), "size by `event_time`"),
        (Windows::new().event_time(10, -1), "lateness of `event_time`"),
        (Windows::new().event_time(10, 1).idle(-1), "`idle` is -1"),
        (Windows::new().event_time(10, 1).records(3), "stands alone"),
    ];
    for (windows, problem) in bad {
        assert!(windows.check().unwrap_err().contains(problem), "{windows:?}: {:?}", windows.check());
    }
}

/// Whatever comes in whatever order: every record is in exactly one window, or late.
#[test]
fn nothing_is_lost_and_nothing_doubled() {
    const SEED: u64 = 11;
    let mut state = SEED;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let start = Instant::now();
    for rules in [Windows::new().event_time(10, 7).by_key(), Windows::new().records(5).bytes(9).seconds(3).by_key()] {
        let mut panes = Panes::new(&rules);
        let (mut held, mut ended) = (Vec::new(), Vec::new());
        for number in 1..=5000 {
            let now = start + Duration::from_secs(number / 3);
            let key = ["a", "b", "c"][below(3) as usize];
            let time = (number + 1 + below(30)) as i64 * SECOND;
            if panes.add(record(number, key, time, "xxx"), now) == Added::Held {
                held.push(number);
            }
            if below(50) == 0 {
                panes.end_oldest();
            }
            while let Some(window) = panes.next(now) {
                assert!(window.records().iter().all(|record| record.key() == window.key()), "seed {SEED}");
                ended.extend(window.records().iter().map(Record::delivery));
            }
            assert_eq!(panes.held(0).records, (held.len() - ended.len()) as u64, "seed {SEED}, record {number}");
        }
        panes.end_all();
        while let Some(window) = panes.next(start) {
            ended.extend(window.records().iter().map(Record::delivery));
        }
        ended.sort_unstable();
        assert_eq!(ended, held, "seed {SEED}");
        assert!(panes.is_empty() && panes.held(0).bytes == 0);
    }
}
