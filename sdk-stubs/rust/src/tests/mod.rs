//! The other end of the socket, played by a test step by step.

mod adversity;
mod confirmations;
mod conformance;
mod crew;
mod incoming;
mod panes;
mod process;
mod rehearsal;
mod source;
mod throughput;
mod transform;
mod void;
mod vectors;
mod window;
mod wire;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;

use crate::codes::Code;
use crate::pb::{self, envelope::Message as Kind};
use crate::role::Role;
use crate::stage::Stage;
use crate::worker::{Environment, Worker};

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Broker {
    listening: Listening,
    directory: PathBuf,
    stderr: Written,
    exit: Option<Receiver<(u8, String)>>,
}

/// What was written to it, for all who have a clone.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One accepted connection. Checks on its own that the worker never overshoots output 0.
pub struct Link {
    pub stream: UnixStream,
    /// Granted on output 0, and used of it: records, bytes.
    pub limit: (u64, u64),
    pub used: (u64, u64),
    /// Granted to us on input 0.
    pub grant: (u64, u64),
    pub outcomes: Vec<pb::Outcome>,
    /// Pings that have not been answered.
    pub pings: Vec<u64>,
    /// A Settle that gives back was read, and no Ping behind it.
    owes_ping: bool,
    reserve: u64,
    next: u64,
}

impl Broker {
    /// Starts a worker that dials this broker.
    pub fn new(token: &str, role: impl FnOnce() -> Role + Send + 'static) -> Self {
        Broker::with(Stage::new().version("1.2"), token, role)
    }

    pub fn with(stage: Stage, token: &str, role: impl FnOnce() -> Role + Send + 'static) -> Self {
        let mut broker = Broker::listening();
        broker.exit = Some(broker.start(stage, token, role));
        broker
    }

    /// Starts a worker that finds no broker; `come` makes it one.
    pub fn absent(token: &str, role: impl FnOnce() -> Role + Send + 'static) -> Self {
        let mut broker = Broker::listening();
        std::fs::remove_file(broker.directory.join("s")).unwrap();
        broker.exit = Some(broker.start(Stage::new(), token, role));
        broker
    }

    pub fn come(&self) -> Listening {
        let listener = UnixListener::bind(self.directory.join("s")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Listening(listener)
    }

    /// Waits for a sentence on the worker's standard error.
    pub fn expect_said(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.stderr.text().contains(text) {
            assert!(Instant::now() < deadline, "it said: {}", self.stderr.text());
            thread::sleep(Duration::from_millis(2)); // nothing else tells
        }
    }

    /// Without a worker yet.
    pub fn listening() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("stagewire-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(unique);
        std::fs::create_dir(&directory).unwrap();
        let listener = UnixListener::bind(directory.join("s")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Broker { listening: Listening(listener), directory, stderr: Written::default(), exit: None }
    }

    fn start(&self, stage: Stage, token: &str, role: impl FnOnce() -> Role + Send + 'static) -> Receiver<(u8, String)> {
        let environment = Environment {
            socket: self.directory.join("s").to_str().unwrap().into(),
            stage: "double".into(),
            instance: "double-1".into(),
            token: token.into(),
        };
        let (send, exit) = channel();
        let stderr = self.stderr.clone();
        thread::spawn(move || {
            let code = Worker::new(stage, role(), Box::new(stderr.clone())).run(&environment);
            let _ = send.send((code, stderr.text()));
        });
        exit
    }

    pub fn accept(&self) -> (Link, pb::Hello) {
        self.listening.accept()
    }

    pub fn welcome(&self, welcome: pb::Welcome) -> Link {
        self.listening.welcome(welcome)
    }

    pub fn expect_exit(&self, code: u8) -> String {
        let exit = self.exit.as_ref().expect("a worker that this broker has started");
        let (got, stderr) = exit.recv_timeout(PATIENCE).expect("the worker exits");
        assert_eq!(got, code, "it said: {stderr}");
        stderr
    }
}

pub struct Listening(UnixListener);

impl Listening {
    /// Takes the next connection up to and including its Hello.
    pub fn accept(&self) -> (Link, pb::Hello) {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match self.0.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(2)) // std has no accept with a timeout
                }
                Err(error) => panic!("no worker dialled: {error}"),
            }
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut link = Link::new(stream);
        match link.read() {
            Kind::Hello(hello) => (link, hello),
            other => panic!("the first frame is {other:?}"),
        }
    }

    /// Accepts a worker, and waits for its first Credit if it has an input.
    pub fn welcome(&self, welcome: pb::Welcome) -> Link {
        let (mut link, _) = self.accept();
        link.greet(welcome);
        link
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub fn welcome_message() -> pb::Welcome {
    pb::Welcome {
        version: 1000,
        session: 1,
        max_frame: 4 << 20,
        max_record: 1 << 20,
        stamp_reserve: 500,
        max_step_records: 4096,
        max_step_bytes: 1 << 20,
        heartbeat_ms: 10_000,
        idle_ms: 30_000,
        lease_ms: 30_000,
        config: "{}".into(),
        inputs: vec![pb::Input { stage: "up".into(), port: "out".into(), ordering: pb::Ordering::None as i32, ..pb::Input::default() }],
        outputs: vec![pb::Output { number: 0, port: "out".into() }],
        ..pb::Welcome::default()
    }
}

pub fn welcome_ordered(ordering: pb::Ordering) -> pb::Welcome {
    let mut welcome = welcome_message();
    welcome.inputs[0].ordering = ordering as i32;
    welcome
}

impl Link {
    fn new(stream: UnixStream) -> Self {
        Link {
            stream,
            limit: (0, 0),
            used: (0, 0),
            grant: (0, 0),
            outcomes: Vec::new(),
            pings: Vec::new(),
            owes_ping: false,
            reserve: 0,
            next: 1,
        }
    }

    pub fn greet(&mut self, welcome: pb::Welcome) {
        self.reserve = welcome.stamp_reserve;
        let has_input = !welcome.inputs.is_empty();
        self.send(Kind::Welcome(welcome));
        if has_input {
            self.expect(|m| matches!(m, Kind::Credit(_)));
        }
    }

    pub fn send(&mut self, message: Kind) {
        self.stream.write_all(&crate::frame::encode(message)).unwrap();
    }

    pub fn read_bytes(&mut self) -> Vec<u8> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).expect("the worker sends");
        let mut frame = vec![0; u32::from_be_bytes(prefix) as usize];
        self.stream.read_exact(&mut frame).expect("the worker sends");
        frame
    }

    pub fn read(&mut self) -> Kind {
        let frame = self.read_bytes();
        let envelope = pb::Envelope::decode(&frame[..]).unwrap();
        assert_eq!(envelope.version, 1000);
        let message = envelope.message.expect("a known kind");
        self.book(&message);
        message
    }

    fn book(&mut self, message: &Kind) {
        let emissions: Vec<&pb::Emission> = match message {
            Kind::Settle(settle) => {
                self.outcomes.extend(settle.outcomes.iter().cloned());
                self.owes_ping |= settle.outcomes.iter().any(|outcome| outcome.kind >= pb::OutcomeKind::Retry as i32);
                settle.outcomes.iter().flat_map(|o| &o.emissions).collect()
            }
            Kind::Emit(emit) => emit.emissions.iter().collect(),
            Kind::Credit(credit) => {
                self.grant = (credit.records, credit.bytes);
                Vec::new()
            }
            Kind::Ping(ping) => {
                self.pings.push(ping.nonce);
                self.owes_ping = false;
                Vec::new()
            }
            _ => Vec::new(),
        };
        for emission in emissions {
            self.used.0 += 1;
            self.used.1 += emission.output.as_ref().unwrap().encoded_len() as u64 + self.reserve;
        }
        let (used, limit) = (self.used, self.limit);
        assert!(used.0 <= limit.0 && used.1 <= limit.1, "the worker overshot: used {used:?} of {limit:?}");
    }

    /// Reads until a frame fits.
    pub fn expect(&mut self, fits: impl Fn(&Kind) -> bool) -> Kind {
        loop {
            let message = self.read();
            if fits(&message) {
                return message;
            }
        }
    }

    /// Reads until `count` deliveries have been settled since the link began.
    pub fn settled(&mut self, count: usize) -> BTreeMap<u64, pb::Outcome> {
        loop {
            let mut by_delivery = BTreeMap::new();
            for outcome in &self.outcomes {
                let own = pb::Range { first: outcome.first, last: outcome.last };
                for range in std::iter::once(&own).chain(&outcome.more) {
                    for id in range.first..=range.last.max(range.first) {
                        assert!(by_delivery.insert(id, outcome.clone()).is_none(), "delivery {id} settled twice");
                    }
                }
            }
            if by_delivery.len() >= count {
                return by_delivery;
            }
            self.expect(|m| matches!(m, Kind::Settle(_)));
        }
    }

    /// As `settled`, of ordered records, and answers the Pings that stand behind what was given back.
    pub fn taken_back(&mut self, count: usize) -> BTreeMap<u64, pb::Outcome> {
        let settled = self.settled(count);
        while self.owes_ping {
            self.read();
        }
        for nonce in std::mem::take(&mut self.pings) {
            self.send(Kind::Pong(pb::Pong { nonce }));
        }
        settled
    }

    pub fn credit(&mut self, records: u64, bytes: u64) {
        self.limit = (records, bytes);
        self.send(Kind::Credit(pb::Credit { number: 0, records, bytes }));
    }

    pub fn deliver(&mut self, payloads: &[&str]) {
        self.deliver_keyed(&payloads.iter().map(|payload| ("k", 0, *payload)).collect::<Vec<_>>());
    }

    /// Key, event time and payload of each record.
    pub fn deliver_keyed(&mut self, records: &[(&str, i64, &str)]) {
        let record = |(key, event_time, payload): &(&str, i64, &str)| pb::Record {
            header: Some(pb::Header { key: key.to_string().into(), event_time: *event_time, ..pb::Header::default() }),
            payload: payload.to_string().into(),
            ..pb::Record::default()
        };
        let records: Vec<_> = records.iter().map(record).collect();
        let first_delivery = self.next;
        self.next += records.len() as u64;
        self.send(Kind::Deliver(pb::Deliver { first_delivery, records, ..pb::Deliver::default() }));
    }

    /// Id, key, event time, payload and attempt of each record.
    pub fn deliver_again(&mut self, records: &[(u8, &str, i64, &str, u32)]) {
        let record = |(id, key, event_time, payload, _): &(u8, &str, i64, &str, u32)| pb::Record {
            lineage: Some(pb::Lineage { id: vec![*id; 16].into(), ..pb::Lineage::default() }),
            header: Some(pb::Header { key: key.to_string().into(), event_time: *event_time, ..pb::Header::default() }),
            payload: payload.to_string().into(),
        };
        let attempts = records.iter().map(|(.., attempt)| *attempt).collect();
        let first_delivery = self.next;
        self.next += records.len() as u64;
        let records = records.iter().map(record).collect();
        self.send(Kind::Deliver(pb::Deliver { first_delivery, records, attempts, ..pb::Deliver::default() }));
    }

    /// Answered Ping: everything before has been dealt with.
    pub fn ping(&mut self) {
        self.send(Kind::Ping(pb::Ping { nonce: 7 }));
    }

    pub fn close(&mut self, code: Code, message: &str) {
        self.send(Kind::Close(pb::Close { code: code.0, message: message.into() }));
    }
}

pub fn is_pong(message: &Kind) -> bool {
    matches!(message, Kind::Pong(_))
}

pub fn payload(emission: &pb::Emission) -> &[u8] {
    &emission.output.as_ref().unwrap().payload
}
