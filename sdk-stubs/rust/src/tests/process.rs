//! Workers that are processes: what signals and endless handlers do. The test program is the worker too,
//! when it is started again with one of its ignored tests.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::output::Output;
use crate::record::Record;
use crate::role::Work;
use crate::source::Source;
use crate::{signals, Emitter};

const TIMEOUT: Duration = Duration::from_millis(300);

/// Serves whoever has started this process, and never returns.
fn serve(role: Role) -> ! {
    let environment = Environment::take();
    let mut worker = Worker::new(Stage::new().timeout(TIMEOUT), role, Box::new(std::io::stderr()));
    signals::watch(worker.hub(), !environment.token.is_empty());
    std::process::exit(worker.run(&environment).into());
}

#[test]
#[ignore = "a worker, started by other tests"]
fn worker_that_handles() {
    serve(Role::records(|record: &Record, out: &mut Emitter| {
        if record.payload() == b"for ever" {
            loop {
                thread::park();
            }
        }
        if let Ok(Ok(pause)) = std::str::from_utf8(record.payload()).map(str::parse) {
            eprintln!("begun");
            thread::sleep(Duration::from_millis(pause));
        }
        out.emit(&Output { payload: record.payload(), ..Output::default() });
        Ok(())
    }))
}

#[test]
#[ignore = "a worker, started by other tests"]
fn worker_of_two() {
    serve(Role::fixed(Work::Shared(2, Box::new(|record, _| {
        eprintln!("begun");
        thread::sleep(Duration::from_millis(std::str::from_utf8(record.payload())?.parse()?));
        Ok(())
    }))))
}

#[test]
#[ignore = "a worker, started by other tests"]
fn worker_that_holds() {
    serve(Role::windows(crate::Windows::new().records(1000), |_, _| Ok(())))
}

#[test]
#[ignore = "a worker, started by other tests"]
fn worker_that_waits_for_its_own_input() {
    serve(Role::source(|source: &Source| {
        let partition = source.claim("p")?;
        partition.emit(&[Output::default()], b"1")?;
        loop {
            thread::park(); // as in a read from somewhere that does not know of us
        }
    }))
}

/// A worker process that is killed at the latest when the test ends.
pub struct Process(Child);

impl Process {
    fn start(test: &str, broker: &Broker, token: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("tests::process::{test}"), "--ignored", "--nocapture"]);
        Process::run(&mut command, "double", broker, token)
    }

    pub fn run(command: &mut Command, stage: &str, broker: &Broker, token: &str) -> Self {
        let child = command
            .env("STAGEWIRE_SOCKET", broker.directory.join("s"))
            .env("STAGEWIRE_STAGE", stage)
            .env("STAGEWIRE_INSTANCE", "double-1")
            .env("STAGEWIRE_TOKEN", token)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Process(child)
    }

    fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for a line on its standard error.
    fn expect_line(&mut self, wanted: &str) {
        let stderr = self.0.stderr.as_mut().unwrap();
        let mut line = Vec::new();
        while !line.ends_with(wanted.as_bytes()) {
            let mut byte = [0];
            stderr.read_exact(&mut byte).expect("the line comes");
            line.push(byte[0]);
        }
    }

    pub fn expect_exit(mut self, code: i32) -> String {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.0.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)), // a real process
                None => panic!("the worker does not end"),
            }
        };
        let mut stderr = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{status:?}: {stderr}");
        stderr
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn expect_close(link: &mut Link) {
    match link.expect(|m| matches!(m, Kind::Close(_))) {
        Kind::Close(close) => assert_eq!(close.code, 0, "{close:?}"),
        _ => unreachable!(),
    }
}

#[test]
fn a_signal_lets_it_finish_what_is_at_hand_and_gives_back_the_rest() {
    let broker = Broker::listening();
    let mut process = Process::start("worker_that_handles", &broker, "aa");
    let mut link = broker.welcome(welcome_message());
    link.credit(100, 1 << 20);
    link.deliver(&["200", "2", "3"]);
    process.expect_line("begun");
    process.terminate();
    expect_close(&mut link);
    assert_eq!(link.settled(1).keys().collect::<Vec<_>>(), [&1], "the others go back with the Close");
    drop(link);
    process.expect_exit(0);
}

#[test]
fn a_signal_lets_all_handlers_finish() {
    let broker = Broker::listening();
    let mut process = Process::start("worker_of_two", &broker, "aa");
    let mut link = broker.welcome(welcome_ordered(pb::Ordering::Key));
    link.deliver_keyed(&[("a", 0, "1500"), ("a", 0, "1"), ("b", 0, "1500"), ("c", 0, "2")]);
    process.expect_line("begun");
    process.expect_line("begun");
    process.terminate();
    expect_close(&mut link);
    assert_eq!(link.settled(2).keys().collect::<Vec<_>>(), [&1, &3], "the others go back with the Close");
    drop(link);
    process.expect_exit(0);
}

#[test]
fn after_a_signal_it_does_not_wait_for_credit_for_ever() {
    let broker = Broker::listening();
    let mut process = Process::start("worker_that_handles", &broker, "aa");
    let mut link = broker.welcome(welcome_message());
    link.deliver(&["1"]);
    process.expect_line("begun");
    process.terminate();
    expect_close(&mut link);
    assert!(link.outcomes.is_empty());
    drop(link);
    process.expect_exit(0);
}

#[test]
fn a_signal_ends_a_worker_that_holds_windows_or_waits() {
    for payloads in [&[][..], &["1", "2"]] {
        let broker = Broker::listening();
        let process = Process::start("worker_that_holds", &broker, "aa");
        let mut link = broker.welcome(welcome_message());
        if !payloads.is_empty() {
            link.deliver(payloads);
        }
        link.ping();
        link.expect(is_pong);
        process.terminate();
        expect_close(&mut link);
        assert!(link.outcomes.is_empty());
        drop(link);
        process.expect_exit(0);
    }
}

#[test]
fn a_signal_ends_a_worker_without_a_broker() {
    let broker = Broker::listening();
    let mut process = Process::start("worker_that_handles", &broker, "");
    drop(broker.accept());
    std::fs::remove_file(broker.directory.join("s")).unwrap();
    process.expect_line("trying again");
    process.terminate();
    process.expect_exit(0);
}

#[test]
fn a_signal_ends_a_source_that_waits_for_its_own_input() {
    let broker = Broker::listening();
    let process = Process::start("worker_that_waits_for_its_own_input", &broker, "aa");
    let mut link = broker.welcome(pb::Welcome { inputs: Vec::new(), ..welcome_message() });
    link.expect(|m| matches!(m, Kind::Claim(_)));
    link.send(Kind::Claimed(pb::Claimed { partition: "p".into(), epoch: 1, ..pb::Claimed::default() }));
    link.credit(10, 10_000);
    link.expect(|m| matches!(m, Kind::Emit(_)));
    process.terminate();
    link.send(Kind::Committed(pb::Committed { partition: "p".into(), through: 1, refused: Vec::new() }));
    expect_close(&mut link);
    drop(link);
    process.expect_exit(0);
}

#[test]
fn an_endless_handler_loses_its_lease_and_its_process() {
    let broker = Broker::listening();
    let process = Process::start("worker_that_handles", &broker, "");
    let mut link = broker.welcome(pb::Welcome { lease_ms: 90, ..welcome_message() });
    link.deliver(&["for ever"]);
    link.expect(|m| matches!(m, Kind::Extend(_)));
    // The broker's part: without an Extend for a lease, it ends the session.
    link.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut extends = 1;
    let mut prefix = [0; 4];
    while link.stream.read_exact(&mut prefix).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
        link.stream.read_exact(&mut frame).unwrap();
        extends += 1;
        assert!(extends < 100, "extended for ever");
    }
    link.close(Code::LEASE_EXPIRED, "no progress for 90 ms");
    let stderr = process.expect_exit(1);
    assert!(stderr.contains("a handler has taken more than 300ms"), "{stderr}");
    assert!(stderr.contains("the handler has not returned"), "{stderr}");
}
