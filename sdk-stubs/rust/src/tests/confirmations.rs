use std::sync::{Arc, Mutex};

use super::*;
use crate::output::Output;
use crate::role::Work;
use crate::verdict::Verdict;
use crate::window::Window;
use crate::windows::Windows;
use crate::{Emitter, Record};

/// What was done, in order.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn write_of(&self, record: &Record) {
        let (journal, text) = (self.clone(), String::from_utf8_lossy(record.payload()).into_owned());
        record.on_confirmed(move || {
            match text.as_str() {
                "error" => return Err("the file is\u{1b} gone"),
                "panic" => panic!("boom"),
                _ => journal.0.lock().unwrap().push(text),
            }
            Ok(())
        });
    }

    fn expect(&self, expected: &[&str]) {
        assert_eq!(*self.0.lock().unwrap(), expected);
    }
}

fn settled(link: &mut Link, through: u64, refused: &[u64]) {
    let error = pb::Error { code: 306, message: "no\u{1b} output".into(), ..pb::Error::default() };
    let refused = refused.iter().map(|&id| pb::Refusal { id, error: Some(error.clone()) }).collect();
    link.send(Kind::Settled(pb::Settled { through, refused }));
}

fn sink(journal: &Journal) -> impl FnOnce() -> Role + Send + 'static {
    let journal = journal.clone();
    move || {
        Role::records(move |record: &Record, _: &mut Emitter| {
            journal.write_of(record);
            match record.payload() {
                b"reject" => Err(Verdict::reject(1001, "no")),
                b"retry" => Err(Verdict::retry(Duration::from_millis(1), "later")),
                b"release" => Err(Verdict::Release),
                _ => Ok(()),
            }
        })
    }
}

#[test]
fn only_what_is_confirmed_is_done_and_in_order() {
    let journal = Journal::default();
    let broker = Broker::new("beef", sink(&journal));
    let (mut link, hello) = broker.accept();
    assert_eq!(hello.offered, ["settle-confirm"]);
    link.greet(welcome_message());
    link.deliver(&["a", "b", "c", "d"]);
    link.settled(4);
    for through in [1, 3, 3] {
        settled(&mut link, through, &[]);
    }
    link.close(Code::OK, "");
    broker.expect_exit(0);
    journal.expect(&["a", "b", "c"]);
}

#[test]
fn several_handlers_are_confirmed_in_order() {
    let journal = Journal::default();
    let shared = journal.clone();
    let broker = Broker::new("beef", move || {
        Role::fixed(Work::Shared(
            4,
            Box::new(move |record: &Record, _: &mut Emitter| {
                shared.write_of(record);
                Ok(())
            }),
        ))
    });
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["a", "b", "c", "d"]);
    link.settled(4);
    settled(&mut link, 4, &[]);
    link.close(Code::OK, "");
    broker.expect_exit(0);
    journal.expect(&["a", "b", "c", "d"]);
}

#[test]
fn what_is_not_accepted_is_not_done() {
    let journal = Journal::default();
    let broker = Broker::new("beef", sink(&journal));
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["reject", "retry", "release", "good"]);
    link.settled(4);
    settled(&mut link, 4, &[]);
    link.close(Code::OK, "");
    broker.expect_exit(0);
    journal.expect(&["good"]);
}

#[test]
fn what_the_broker_refuses_is_said_and_not_done() {
    let journal = Journal::default();
    let kept = journal.clone();
    let broker = Broker::new("beef", move || {
        Role::records(move |record: &Record, out: &mut Emitter| {
            kept.write_of(record);
            out.emit(&Output { payload: record.payload(), ..Output::default() });
            Ok(())
        })
    });
    let mut link = broker.welcome(welcome_message());
    link.credit(100, 1 << 20);
    link.deliver(&["a", "b", "c"]);
    link.settled(3);
    settled(&mut link, 1, &[2]); // a refusal may come before its outcome is confirmed
    settled(&mut link, 3, &[]);
    link.close(Code::OK, "");
    let said = broker.expect_exit(0);
    assert!(said.contains("refused what delivery 2 emitted, which is a dead letter now: no\\u{1b} output [INVALID_OUTPUT (306)]"), "{said}");
    journal.expect(&["a", "c"]);
}

#[test]
fn a_refused_window_is_named_by_its_first_record() {
    let journal = Journal::default();
    let kept = journal.clone();
    let broker = Broker::new("beef", move || {
        Role::windows(Windows::new().records(2), move |window: &Window, out: &mut Emitter| {
            window.records().iter().for_each(|record| kept.write_of(record));
            out.emit(&Output::default());
            Ok(())
        })
    });
    let mut link = broker.welcome(welcome_message());
    link.credit(100, 1 << 20);
    link.deliver(&["a", "b", "c", "d"]);
    link.settled(4);
    settled(&mut link, 4, &[1]);
    link.close(Code::OK, "");
    broker.expect_exit(0);
    journal.expect(&["c", "d"]);
}

#[test]
fn an_action_that_fails_is_shown_and_ends_nothing() {
    let journal = Journal::default();
    let broker = Broker::new("beef", sink(&journal));
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["error", "panic", "good"]);
    link.settled(3);
    settled(&mut link, 3, &[]);
    link.close(Code::OK, "");
    let said = broker.expect_exit(0);
    assert!(said.contains("the file is\\u{1b} gone") && said.contains("panic: boom"), "{said}");
    journal.expect(&["good"]);
}

#[test]
fn without_a_broker_nothing_is_confirmed() {
    Record::testing(&Output::default()).on_confirmed(|| -> Result<(), String> { panic!("it is not durable") });
}
