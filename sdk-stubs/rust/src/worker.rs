use std::any::Any;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, io, thread};

use prost::Message;
use serde::de::DeserializeOwned;

use crate::codes::Code;
use crate::emitter::{port_names, Emitter, IN_OUTCOME};
use crate::frame::{encode, find_deliver, read_frame, Fault};
use crate::limits::*;
use crate::pb::{self, envelope::Message as Kind};
use crate::record::Record;
use crate::session::{Hub, Session};
use crate::settle::Span;
use crate::source::{self, Source, SourceError};
use crate::verdict::Verdict;

/// A stage to be: set what differs from the defaults, then run it as what it is. The run functions
/// return when the pipeline has ended; hand their result on from `main`.
///
/// Exit codes: 0, the broker said so, or a source was shut down; 1, the connection broke under a worker
/// that the broker's host starts, or a source failed; 2, connecting again, unchanged, cannot help: the
/// sentence on stderr says what to do.
pub struct Stage {
    version: String,
    max_frame: u32,
}

impl Default for Stage {
    fn default() -> Self {
        Stage { version: String::new(), max_frame: DEFAULT_FRAME }
    }
}

type Handler = Box<dyn FnMut(&Record, &mut Emitter) -> Result<(), Verdict>>;
type Make = Box<dyn FnMut(&[u8]) -> Result<Handler, String>>;
type SourceFunction = Box<dyn FnOnce(&[u8], &Source) -> Result<(), SourceError> + Send>;

/// What a stage is.
pub enum Role {
    Handler { make: Make, current: Option<(Vec<u8>, Handler)> },
    Source(Option<SourceFunction>),
}

impl Stage {
    pub fn new() -> Self {
        Self::default()
    }

    /// The author's own version of the stage, shown in lineage; at most 128 bytes.
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// The largest frame to accept, in bytes; for pipelines with a large max_record. Default 4 MiB.
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.max_frame = bytes.min(CEILING_FRAME);
        self
    }

    /// Handles records one by one: what the handler emits and the settlement of the record are one
    /// step. `Ok` accepts the record (without emissions: filters it); see `Verdict` for the rest. Any
    /// other error, and a panic, ask for another attempt.
    pub fn transform(self, handler: impl FnMut(&Record, &mut Emitter) -> Result<(), Verdict> + 'static) -> ExitCode {
        self.run(Role::handler(handler))
    }

    /// As `transform`, with the stage's configuration (`config:` in pipeline.yaml) as serde reads it.
    pub fn transform_with<C, H>(self, make: impl FnMut(C) -> H + 'static) -> ExitCode
    where
        C: DeserializeOwned,
        H: FnMut(&Record, &mut Emitter) -> Result<(), Verdict> + 'static,
    {
        self.run(Role::configured(make))
    }

    /// Handles records and emits nothing.
    pub fn sink(self, mut handler: impl FnMut(&Record) -> Result<(), Verdict> + 'static) -> ExitCode {
        self.transform(move |record, _| handler(record))
    }

    /// Produces records. When the function returns `Ok`, all partitions are finished.
    pub fn source(self, function: impl FnOnce(&Source) -> Result<(), SourceError> + Send + 'static) -> ExitCode {
        self.run(Role::source(function))
    }

    /// As `source`, with the stage's configuration as serde reads it.
    pub fn source_with<C: DeserializeOwned>(
        self,
        function: impl FnOnce(C, &Source) -> Result<(), SourceError> + Send + 'static,
    ) -> ExitCode {
        self.run(Role::Source(Some(Box::new(move |config, source| {
            function(parse(config).map_err(SourceError::Failed)?, source)
        }))))
    }

    fn run(self, role: Role) -> ExitCode {
        let environment = Environment::take();
        ExitCode::from(Worker::new(self, role).run(&environment, &mut io::stderr()))
    }
}

impl Role {
    pub fn handler(handler: impl FnMut(&Record, &mut Emitter) -> Result<(), Verdict> + 'static) -> Self {
        let current = Some((Vec::new(), Box::new(handler) as Handler));
        Role::Handler { make: Box::new(|_| Err("made once".into())), current }
    }

    pub fn configured<C, H>(mut make: impl FnMut(C) -> H + 'static) -> Self
    where
        C: DeserializeOwned,
        H: FnMut(&Record, &mut Emitter) -> Result<(), Verdict> + 'static,
    {
        Role::Handler { make: Box::new(move |config| Ok(Box::new(make(parse(config)?)))), current: None }
    }

    pub fn source(function: impl FnOnce(&Source) -> Result<(), SourceError> + Send + 'static) -> Self {
        Role::Source(Some(Box::new(move |_, source| function(source))))
    }
}

fn parse<C: DeserializeOwned>(config: &[u8]) -> Result<C, String> {
    let config = if config.is_empty() { b"{}" } else { config };
    serde_json::from_slice(config)
        .map_err(|error| format!("the stage's `config` in the pipeline does not fit this program: {error}"))
}

/// What the broker's host, or whoever starts the worker, tells it.
#[derive(Clone, Default)]
pub struct Environment {
    pub socket: String,
    pub stage: String,
    pub instance: String,
    pub token: String,
}

impl Environment {
    /// Children must not inherit what lets them in under our name: the token is forgotten.
    pub fn take() -> Self {
        let get = |name| env::var(name).unwrap_or_default();
        let environment = Environment {
            socket: get("STAGEWIRE_SOCKET"),
            stage: get("STAGEWIRE_STAGE"),
            instance: get("STAGEWIRE_INSTANCE"),
            token: get("STAGEWIRE_TOKEN"),
        };
        env::remove_var("STAGEWIRE_TOKEN");
        environment
    }
}

/// How an attempt ended.
enum Ending {
    Exit(u8, String),
    Again(String),
}

/// What outlives connections.
pub struct Worker {
    stage: Stage,
    role: Role,
    hub: Arc<Hub>,
    name: String,
    instance: String,
    socket: String,
    token: Vec<u8>,
    was_welcome: bool,
}

impl Worker {
    pub fn new(stage: Stage, role: Role) -> Self {
        Worker {
            stage,
            role,
            hub: Arc::default(),
            name: String::new(),
            instance: String::new(),
            socket: String::new(),
            token: Vec::new(),
            was_welcome: false,
        }
    }

    /// Serves sessions until one of them decides the exit code.
    pub fn run(&mut self, environment: &Environment, stderr: &mut dyn Write) -> u8 {
        let (code, message) = match self.adopt_environment(environment) {
            Ok(()) => self.serve_sessions(stderr),
            Err(message) => (2, message),
        };
        if !message.is_empty() {
            let name = if self.name.is_empty() { "(unknown)" } else { &self.name };
            let _ = writeln!(stderr, "stagewire: stage {name}: {message}");
        }
        code
    }

    fn adopt_environment(&mut self, environment: &Environment) -> Result<(), String> {
        self.name = environment.stage.clone();
        self.instance = environment.instance.clone();
        self.socket = environment.socket.clone();
        if self.socket.is_empty() {
            return Err("STAGEWIRE_SOCKET is not set; start this program with `stagewire run`, or set STAGEWIRE_SOCKET and STAGEWIRE_STAGE to attach to a running broker".into());
        }
        if self.name.is_empty() {
            return Err("STAGEWIRE_STAGE is not set: it names the stage of the pipeline that this program is".into());
        }
        self.token = decode_hex(&environment.token).ok_or("STAGEWIRE_TOKEN is not hexadecimal; let the broker's host set it")?;
        Ok(())
    }

    fn serve_sessions(&mut self, stderr: &mut dyn Write) -> (u8, String) {
        let mut delay = BACKOFF_FIRST;
        loop {
            self.was_welcome = false;
            let reason = match self.attempt() {
                Ending::Exit(code, message) => return (code, message),
                Ending::Again(reason) => reason,
            };
            if self.was_welcome {
                delay = BACKOFF_FIRST;
            }
            let pause = jitter(delay);
            let _ = writeln!(stderr, "stagewire: stage {}: {reason}; trying again in {} ms", self.name, pause.as_millis());
            thread::sleep(pause);
            delay = (delay * 2).min(BACKOFF_LIMIT);
        }
    }

    /// One connection from beginning to end.
    fn attempt(&mut self) -> Ending {
        let (stream, input, welcome) = match self.connect() {
            Ok(connection) => connection,
            Err(fault) => return self.judge(fault),
        };
        self.was_welcome = true;
        let welcome = Arc::new(welcome);
        if let Err((code, message)) = self.adopt(&welcome) {
            return Ending::Exit(code, message);
        }
        let mut session = match Session::start(self.hub.clone(), stream, input, welcome, self.stage.max_frame) {
            Ok(session) => session,
            Err(fault) => return self.judge(fault),
        };
        let ending = match self.role {
            Role::Handler { .. } => self.serve(&mut session),
            Role::Source(_) => self.serve_source(&session),
        };
        session.shut();
        ending
    }

    fn judge(&self, fault: Fault) -> Ending {
        match &fault {
            Fault::Closed { code: Code::OK, is_remote: true, .. } => Ending::Exit(0, String::new()),
            Fault::Closed { code, .. } if !code.is_retryable() => Ending::Exit(2, fault.to_string()),
            Fault::Eof | Fault::Broken(_) if !self.token.is_empty() => Ending::Exit(1, fault.to_string()),
            _ => Ending::Again(fault.to_string()),
        }
    }

    /// Dials, says Hello and reads the answer.
    fn connect(&self) -> Result<(UnixStream, BufReader<UnixStream>, pb::Welcome), Fault> {
        let mut stream = UnixStream::connect(&self.socket).map_err(|e| Fault::Broken(format!("{}: {e}", self.socket)))?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        stream.write_all(&encode(Kind::Hello(pb::Hello {
            min_version: PROTOCOL_VERSION,
            max_version: PROTOCOL_VERSION,
            stage: self.name.clone(),
            instance: self.instance.clone(),
            stage_version: self.stage.version.clone(),
            max_frame: u64::from(self.stage.max_frame),
            token: self.token.clone().into(),
            sdk: SDK_NAME.into(),
            language: "rust".into(),
            ..pb::Hello::default()
        })))?;
        let mut input = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
        match self.read_welcome(&mut input) {
            Ok(welcome) => {
                stream.set_read_timeout(None)?;
                Ok((stream, input, welcome))
            }
            Err(fault) => {
                if let Fault::Closed { code, message, is_remote: false } = &fault {
                    let close = pb::Close { code: code.0, message: message.clone() };
                    stream.write_all(&encode(Kind::Close(close)))?;
                }
                Err(fault)
            }
        }
    }

    /// Reads the answer to Hello; kinds that we do not know are ignored.
    fn read_welcome(&self, input: &mut BufReader<UnixStream>) -> Result<pb::Welcome, Fault> {
        loop {
            let frame = read_frame(input, self.stage.max_frame)?;
            find_deliver(&frame)?;
            let envelope = pb::Envelope::decode(&frame[..]).map_err(|error| {
                Fault::local(Code::MALFORMED_FRAME, format!("the broker's answer to Hello cannot be decoded: {error}"))
            })?;
            match envelope.message {
                None => {}
                Some(Kind::Welcome(welcome)) if welcome.version == PROTOCOL_VERSION => return Ok(welcome),
                Some(Kind::Welcome(welcome)) => {
                    let message =
                        format!("the broker chose protocol {}, this worker offered {PROTOCOL_VERSION} only", welcome.version);
                    return Err(Fault::local(Code::UNSUPPORTED_VERSION, message));
                }
                Some(Kind::Close(close)) => {
                    return Err(Fault::Closed { code: Code(close.code), message: close.message, is_remote: true });
                }
                Some(_) => {
                    let message = "the broker answered Hello with something else than Welcome or Close";
                    return Err(Fault::local(Code::UNEXPECTED_MESSAGE, message.into()));
                }
            }
        }
    }

    /// Takes over what a Welcome says about the stage.
    fn adopt(&mut self, welcome: &Arc<pb::Welcome>) -> Result<(), (u8, String)> {
        match &mut self.role {
            Role::Handler { current: Some((config, _)), .. } if config.is_empty() || welcome.config == *config => {}
            Role::Handler { make, current } => {
                let handler = make(&welcome.config).map_err(|message| (2, message))?;
                *current = Some((welcome.config.to_vec(), handler));
            }
            Role::Source(_) => {
                let known = &mut self.hub.lock().source.welcome;
                if known.as_ref().map_or(false, |before| port_names(before) != port_names(welcome)) {
                    return Err((1, "the stage's outputs have changed; start the source again".into()));
                }
                *known = Some(welcome.clone());
            }
        }
        Ok(())
    }

    /// Handles records until the session ends.
    fn serve(&mut self, session: &mut Session) -> Ending {
        let handler = match &mut self.role {
            Role::Handler { current: Some((_, handler)), .. } => handler,
            _ => unreachable!("adopt has made a handler"),
        };
        let mut emitter = Emitter::new(session.welcome.clone(), IN_OUTCOME);
        while let Some(record) = session.next() {
            if session.stopping.load(Ordering::Relaxed) {
                settle(session, &record, Err(Verdict::Release), &emitter);
                continue;
            }
            emitter.reset();
            let mut result = call(handler, &record, &mut emitter);
            if result.is_ok() && !emitter.is_empty() {
                result = emitter.verdict();
            }
            settle(session, &record, result, &emitter);
        }
        let fault = session.hub.lock().ended.clone();
        self.judge(fault.expect("`next` returns None at the end only"))
    }

    /// Attaches a source to a session and waits for its end.
    fn serve_source(&mut self, session: &Session) -> Ending {
        source::attach(session);
        if let Role::Source(function) = &mut self.role {
            if let Some(function) = function.take() {
                let (hub, config) = (self.hub.clone(), session.welcome.config.clone());
                thread::spawn(move || run_source(hub, function, &config));
            }
        }
        let ending = self.watch_source(session);
        self.hub.lock().source.writer = None;
        ending
    }

    fn watch_source(&self, session: &Session) -> Ending {
        let mut state = self.hub.lock();
        loop {
            let source = &mut state.source;
            if let Some(Err(SourceError::Failed(message))) = &source.result {
                return Ending::Exit(1, format!("the source failed: {message}"));
            }
            if let Some(message) = &source.fatal {
                return Ending::Exit(1, message.clone());
            }
            let is_done = source.result.is_some();
            let (is_drained, is_stopped) = (is_done && source.is_drained(), source.is_stopped);
            if is_done && !is_stopped {
                source.finish_all();
            }
            if let Some(fault) = state.ended.clone() {
                return self.judge(fault);
            }
            let deadline = state.drain_deadline;
            let is_late = deadline.map_or(false, |deadline| Instant::now() >= deadline);
            if is_stopped && (is_drained || is_late) {
                drop(state);
                session.leave("the source has stopped");
                return Ending::Exit(0, String::new());
            }
            let number = state.session;
            state.source.tell_finished(number);
            state = match deadline {
                Some(deadline) if is_stopped => self.hub.wait_until(state, deadline),
                _ => self.hub.wait(state),
            };
        }
    }
}

/// Runs the author's function; a panic is its error.
fn run_source(hub: Arc<Hub>, function: SourceFunction, config: &[u8]) {
    let source = Source::new(hub.clone());
    let result = panic::catch_unwind(AssertUnwindSafe(|| function(config, &source).and_then(|()| source.claim_own())))
        .unwrap_or_else(|payload| Err(SourceError::Failed(panic_text(payload))));
    hub.lock().source.result = Some(result);
    hub.notify();
}

/// Runs the handler. A panic costs the record an attempt, not the process its life.
fn call(handler: &mut Handler, record: &Record, emitter: &mut Emitter) -> Result<(), Verdict> {
    panic::catch_unwind(AssertUnwindSafe(|| handler(record, emitter)))
        .unwrap_or_else(|payload| Err(Verdict::retry(Duration::ZERO, panic_text(payload))))
}

fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| s.to_string()).or_else(|| payload.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_else(|| "(not a text)".into()))
}

fn settle(session: &Session, record: &Record, result: Result<(), Verdict>, emitter: &Emitter) {
    let delivery = record.delivery();
    match result {
        Err(verdict) => session.writer.settle(&[Span::one(delivery)], verdict.outcome(), &[]),
        Ok(()) if emitter.is_empty() => session.writer.accept(delivery),
        Ok(()) => {
            if session.reserve(&emitter.charges) {
                session.writer.accept_with(delivery, &emitter.body);
            }
        }
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// 80 to 120 percent, so that workers that lost one broker do not come back in step.
fn jitter(delay: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    delay * (80 + (random % 41) as u32) / 100
}
