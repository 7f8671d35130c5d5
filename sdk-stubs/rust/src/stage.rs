use std::process::ExitCode;
use std::time::Duration;
use std::{env, io};

use serde::de::DeserializeOwned;

use crate::arguments::Arguments;
use crate::emitter::Emitter;
use crate::limits::{CEILING_FRAME, DEFAULT_FRAME, HANDLER_TIMEOUT};
use crate::record::Record;
use crate::rehearsal;
use crate::role::{Role, Work};
use crate::signals;
use crate::source::{Source, SourceError};
use crate::verdict::Verdict;
use crate::window::{Batch, Window};
use crate::windows::Windows;
use crate::worker::{Environment, Worker};
use crate::workers::Workers;

/// A stage to be: set what differs from the defaults, then run it as what it is. The run functions
/// return when the pipeline has ended; hand their result on from `main`.
///
/// Exit codes: 0, the broker is done with this worker, or a signal ended it cleanly; 1, the broker that
/// started it is gone, or a source failed; 2, trying again, unchanged, cannot help: the sentence on
/// stderr says what to do.
///
/// Every function that ends in `_with` takes one that makes the handler from the stage's configuration
/// (`config:` in pipeline.yaml), decoded by serde. A configuration that does not fit ends the worker
/// with exit code 2 and a sentence that names the field.
pub struct Stage {
    pub(crate) version: String,
    pub(crate) max_frame: u32,
    pub(crate) timeout: Duration,
}

impl Default for Stage {
    fn default() -> Self {
        Stage { version: String::new(), max_frame: DEFAULT_FRAME, timeout: HANDLER_TIMEOUT }
    }
}

impl Stage {
    /// A stage with the defaults.
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

    /// How long a handler may take; 300 s by default, zero: for ever. After that the lease is no longer
    /// extended: the broker takes the record back, and a worker whose handler still has not returned
    /// when its session is over ends with exit code 1.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Lets a transform or sink handle so many records at once in this process, in as many threads; those
    /// of one key one after the other.
    pub fn workers(self, count: usize) -> Workers {
        Workers { stage: self, count }
    }

    /// Handles records one by one: what the handler emits and the settlement of the record are one
    /// step. `Ok` accepts the record (without emissions: filters it); see `Verdict` for the rest. Any
    /// other error, and a panic, ask for another attempt.
    pub fn transform(self, handler: impl FnMut(&Record, &mut Emitter) -> Result<(), Verdict> + 'static) -> ExitCode {
        self.run(Role::records(handler))
    }

    /// As `transform`, with a configuration.
    pub fn transform_with<C, H>(self, mut make: impl FnMut(C) -> H + 'static) -> ExitCode
    where
        C: DeserializeOwned,
        H: FnMut(&Record, &mut Emitter) -> Result<(), Verdict> + 'static,
    {
        self.run(Role::configured(false, move |config| Work::Records(Box::new(make(config)))))
    }

    /// Handles records one by one and emits nothing.
    pub fn sink(self, mut handler: impl FnMut(&Record) -> Result<(), Verdict> + 'static) -> ExitCode {
        self.transform(move |record, _| handler(record))
    }

    /// As `sink`, with a configuration.
    pub fn sink_with<C, H>(self, mut make: impl FnMut(C) -> H + 'static) -> ExitCode
    where
        C: DeserializeOwned,
        H: FnMut(&Record) -> Result<(), Verdict> + 'static,
    {
        self.transform_with(move |config| {
            let mut handler = make(config);
            move |record: &Record, _: &mut Emitter| handler(record)
        })
    }

    /// Handles what has arrived, at most `limit` records at once, and emits nothing. A batch is never
    /// waited for. A verdict is for all of it; `Batch::reject` names single records.
    pub fn batch_sink(self, limit: usize, handler: impl FnMut(&Batch) -> Result<(), Verdict> + 'static) -> ExitCode {
        self.run(Role::fixed(Work::Batches(limit, Box::new(handler))))
    }

    /// As `batch_sink`, with a configuration.
    pub fn batch_sink_with<C, H>(self, limit: usize, mut make: impl FnMut(C) -> H + 'static) -> ExitCode
    where
        C: DeserializeOwned,
        H: FnMut(&Batch) -> Result<(), Verdict> + 'static,
    {
        self.run(Role::configured(false, move |config| Work::Batches(limit, Box::new(make(config)))))
    }

    /// Handles windows: many records and all that is emitted for them are one step.
    pub fn window(
        self,
        windows: Windows,
        handler: impl FnMut(&Window, &mut Emitter) -> Result<(), Verdict> + 'static,
    ) -> ExitCode {
        self.run(Role::windows(windows, handler))
    }

    /// As `window`, with a configuration, from which the windows' bounds may come too.
    pub fn window_with<C, H>(self, mut make: impl FnMut(C) -> (Windows, H) + 'static) -> ExitCode
    where
        C: DeserializeOwned,
        H: FnMut(&Window, &mut Emitter) -> Result<(), Verdict> + 'static,
    {
        self.run(Role::configured(true, move |config| {
            let (windows, handler) = make(config);
            Work::Windows(windows, Box::new(handler))
        }))
    }

    /// Produces records. When the function returns `Ok`, all partitions are finished.
    pub fn source(self, function: impl FnOnce(&Source) -> Result<(), SourceError> + Send + 'static) -> ExitCode {
        self.run(Role::source(function))
    }

    /// As `source`, with a configuration.
    pub fn source_with<C: DeserializeOwned + Send + 'static>(
        self,
        function: impl FnOnce(C, &Source) -> Result<(), SourceError> + Send + 'static,
    ) -> ExitCode {
        self.run(Role::source_with(function))
    }

    pub(crate) fn run(self, role: Role) -> ExitCode {
        let arguments = match Arguments::parse(env::args_os().skip(1), role.is_source()) {
            Ok(arguments) => arguments,
            Err(message) => {
                eprintln!("stagewire: {message}");
                return ExitCode::from(2);
            }
        };
        if let Some(test) = arguments {
            return ExitCode::from(rehearsal::run(role, &test, &mut io::stdout(), &mut io::stderr()));
        }
        let environment = Environment::take();
        let mut worker = Worker::new(self, role, Box::new(io::stderr()));
        signals::watch(worker.hub(), !environment.token.is_empty());
        ExitCode::from(worker.run(&environment))
    }
}
