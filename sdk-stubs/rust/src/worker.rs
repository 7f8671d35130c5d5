//! The outermost loop: connections one after the other, and what each end of one means.
//!
//! ```text
//! attempt: connect -> adopt the Welcome -> serve -> judge how it ended
//!   Exit(code)   Close(0), a fault that trying again cannot mend, a signal, a source that failed
//!   Again        everything else, for a worker that somebody else than the broker started
//! ```
//!
//! The author's handler and a source's position outlive connections; credit, deliveries and windows do
//! not (EN-6).

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codes::Code;
use crate::console::Console;
use crate::emitter::port_names;
use crate::frame::Fault;
use crate::handshake::{connect, Identity};
use crate::hub::Hub;
use crate::keeper::Watch;
use crate::limits::{BACKOFF_FIRST, BACKOFF_LIMIT, BACKOFF_SILENCE};
use crate::pb;
use crate::producing;
use crate::role::{Role, SourceFunction, Work};
use crate::session::Session;
use crate::stage::Stage;
use crate::{consuming, crew, holding};

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
pub enum Ending {
    Exit(u8, String),
    Again(String),
}

/// How the work of a session ended.
pub enum Left {
    /// The session has ended, from the other side or by a fault.
    Over,
    /// This worker leaves: a signal came, or its source has stopped.
    Leaving(&'static str),
    /// A source has failed.
    Failed(String),
}

/// What outlives connections.
pub struct Worker {
    identity: Identity,
    timeout: Duration,
    role: Role,
    /// Of a source, once it is known.
    function: Option<SourceFunction>,
    hub: Arc<Hub>,
    socket: String,
    was_welcome: bool,
    console: Console,
}

impl Worker {
    pub fn new(stage: Stage, role: Role, stderr: Box<dyn Write + Send>) -> Self {
        // Hello goes out before the configuration is known, so the role itself has to say it.
        let holds = matches!(&role, Role::Consumer(consumer) if consumer.holds);
        let settles = matches!(&role, Role::Consumer(_));
        Worker {
            identity: Identity { version: stage.version, max_frame: stage.max_frame, holds, settles, ..Identity::default() },
            timeout: stage.timeout,
            role,
            function: None,
            hub: Arc::default(),
            socket: String::new(),
            was_welcome: false,
            console: Console::new(stderr),
        }
    }

    pub fn hub(&self) -> Arc<Hub> {
        self.hub.clone()
    }

    /// Serves sessions until one of them decides the exit code.
    pub fn run(&mut self, environment: &Environment) -> u8 {
        let (code, message) = match self.adopt_environment(environment) {
            Ok(()) => self.serve_sessions(),
            Err(message) => (2, message),
        };
        if !message.is_empty() {
            self.console.say(&message);
        }
        code
    }

    fn adopt_environment(&mut self, environment: &Environment) -> Result<(), String> {
        self.console.stage = environment.stage.clone();
        self.identity.stage = environment.stage.clone();
        self.identity.instance = environment.instance.clone();
        self.socket = environment.socket.clone();
        if self.socket.is_empty() {
            return Err("STAGEWIRE_SOCKET is not set; start this program with `stagewire run`, or set STAGEWIRE_SOCKET and STAGEWIRE_STAGE to attach to a running broker, or try it without one: --test FILE".into());
        }
        if self.identity.stage.is_empty() {
            return Err("STAGEWIRE_STAGE is not set: it names the stage of the pipeline that this program is".into());
        }
        self.identity.token =
            decode_hex(&environment.token).ok_or("STAGEWIRE_TOKEN is not hexadecimal; let the broker's host set it")?;
        Ok(())
    }

    fn serve_sessions(&mut self) -> (u8, String) {
        let mut delay = BACKOFF_FIRST;
        let mut silent_until = None;
        loop {
            self.was_welcome = false;
            let reason = match self.attempt() {
                Ending::Exit(code, message) => return (code, message),
                Ending::Again(reason) => reason,
            };
            if let Some(message) = self.hub.lock().source.failure() {
                return (1, message);
            }
            // A broker that let us in was well: the next failure is a new one.
            if self.was_welcome {
                (delay, silent_until) = (BACKOFF_FIRST, None);
            }
            let now = Instant::now();
            if silent_until.map_or(true, |until| now >= until) {
                self.console.say(&format!("{reason}; trying again until it works"));
                silent_until = Some(now + BACKOFF_SILENCE);
            }
            if self.hub.is_left_within(jitter(delay)) {
                return (0, String::new());
            }
            delay = (delay * 2).min(BACKOFF_LIMIT);
        }
    }

    /// One connection from beginning to end.
    fn attempt(&mut self) -> Ending {
        let (stream, input, welcome) = match connect(&self.socket, &self.identity) {
            Ok(connection) => connection,
            Err(fault) => return self.judge(fault),
        };
        self.was_welcome = true;
        let welcome = Arc::new(welcome);
        if let Err((code, message)) = self.adopt(&welcome) {
            return Ending::Exit(code, message);
        }
        let watches: Arc<[Watch]> = (0..self.role.callers()).map(|_| Watch::new(self.timeout)).collect();
        let started = Session::start(self.hub.clone(), stream, input, welcome, self.identity.max_frame, &watches, &self.console);
        let mut session = match started {
            Ok(session) => session,
            Err(fault) => return self.judge(fault),
        };
        let left = self.serve(&mut session);
        if let Left::Leaving(why) = left {
            session.writer.flush();
            session.leave(why);
        }
        // Before the threads end: shutting the socket down would look like an end, too.
        let fault = session.hub.lock().ended.clone();
        session.shut();
        match left {
            Left::Leaving(_) => Ending::Exit(0, String::new()),
            Left::Failed(message) => Ending::Exit(1, message),
            Left::Over => self.judge(fault.expect("a session that is over has a reason")),
        }
    }

    fn serve(&mut self, session: &mut Session) -> Left {
        match &mut self.role {
            Role::Source(_) => producing::serve(session, &mut self.function),
            Role::Consumer(consumer) => match consumer.current() {
                Work::Records(handler) => consuming::serve_records(session, handler, &mut self.console),
                Work::Shared(_, handler) => crew::serve(session, handler, &mut self.console),
                Work::Batches(limit, handler) => consuming::serve_batches(session, *limit, handler, &mut self.console),
                Work::Windows(windows, handler) => holding::serve(session, windows, handler, &mut self.console),
            },
        }
    }

    /// What the end of a connection means for the worker (EN-5).
    fn judge(&self, fault: Fault) -> Ending {
        match &fault {
            Fault::Closed { code: Code::OK, is_remote: true, .. } => Ending::Exit(0, String::new()),
            Fault::Closed { code, .. } if !code.is_retryable() => Ending::Exit(2, fault.to_string()),
            Fault::Eof | Fault::Broken(_) if !self.identity.token.is_empty() => Ending::Exit(1, fault.to_string()),
            _ => Ending::Again(fault.to_string()),
        }
    }

    /// Takes over what a Welcome says about the stage.
    fn adopt(&mut self, welcome: &Arc<pb::Welcome>) -> Result<(), (u8, String)> {
        match &mut self.role {
            Role::Consumer(consumer) => consumer.configure(&welcome.config).map_err(|message| (2, message)),
            Role::Source(make) => {
                // The first Welcome decides; a running function cannot be given another configuration.
                if let Some(make) = make.take() {
                    self.function = Some(make(&welcome.config).map_err(|message| (2, message))?);
                }
                let known = &mut self.hub.lock().source.welcome;
                if known.as_ref().map_or(false, |before| port_names(before) != port_names(welcome)) {
                    return Err((1, "the stage's outputs have changed; start the source again".into()));
                }
                *known = Some(welcome.clone());
                Ok(())
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
