use serde::de::DeserializeOwned;

use crate::config;
use crate::emitter::Emitter;
use crate::record::Record;
use crate::source::{Source, SourceError};
use crate::verdict::Verdict;
use crate::window::{Batch, Window};
use crate::windows::Windows;

pub type RecordHandler = Box<dyn FnMut(&Record, &mut Emitter) -> Result<(), Verdict>>;
/// Called by several threads.
pub type SharedHandler = Box<dyn Fn(&Record, &mut Emitter) -> Result<(), Verdict> + Send + Sync>;
pub type BatchHandler = Box<dyn FnMut(&Batch) -> Result<(), Verdict>>;
pub type WindowHandler = Box<dyn FnMut(&Window, &mut Emitter) -> Result<(), Verdict>>;
pub type SourceFunction = Box<dyn FnOnce(&Source) -> Result<(), SourceError> + Send>;
type MakeWork = Box<dyn FnMut(&[u8]) -> Result<Work, String>>;
pub type MakeSource = Box<dyn FnOnce(&[u8]) -> Result<SourceFunction, String>>;

/// What a stage does with records.
pub enum Work {
    Records(RecordHandler),
    /// So many records at once.
    Shared(usize, SharedHandler),
    /// At most so many records at once.
    Batches(usize, BatchHandler),
    Windows(Windows, WindowHandler),
}

impl Work {
    fn check(&self) -> Result<(), String> {
        match self {
            Work::Batches(0, _) => Err("a batch holds at least one record, not 0".into()),
            Work::Shared(0, _) => Err("a stage has at least one worker, not 0".into()),
            Work::Records(_) | Work::Shared(..) | Work::Batches(..) => Ok(()),
            Work::Windows(windows, _) => windows.check(),
        }
    }
}

/// What a stage is.
pub enum Role {
    Consumer(Consumer),
    /// Taken when the function starts: it runs once, however many sessions there are.
    Source(Option<MakeSource>),
}

/// What handles records, made anew whenever a session brings another configuration.
pub struct Consumer {
    make: Option<MakeWork>,
    config: Vec<u8>,
    work: Option<Work>,
    /// Whether deliveries are held for windows.
    pub holds: bool,
}

impl Consumer {
    /// Makes the work as `config` wants it.
    pub fn configure(&mut self, config: &[u8]) -> Result<(), String> {
        match (&mut self.make, &self.work) {
            (None, Some(work)) => return work.check(),
            (Some(_), Some(_)) if self.config == config => {}
            (Some(make), _) => {
                let work = make(config)?;
                work.check()?;
                (self.work, self.config) = (Some(work), config.to_vec());
            }
            (None, None) => unreachable!("work that takes no configuration is there from the beginning"),
        }
        Ok(())
    }

    pub fn current(&mut self) -> &mut Work {
        self.work.as_mut().expect("configured before")
    }
}

impl Role {
    /// Work that takes no configuration.
    pub fn fixed(work: Work) -> Self {
        let holds = matches!(work, Work::Windows(..));
        Role::Consumer(Consumer { make: None, config: Vec::new(), work: Some(work), holds })
    }

    pub fn records(handler: impl FnMut(&Record, &mut Emitter) -> Result<(), Verdict> + 'static) -> Self {
        Role::fixed(Work::Records(Box::new(handler)))
    }

    pub fn configured<C: DeserializeOwned>(holds: bool, mut make: impl FnMut(C) -> Work + 'static) -> Self {
        let make: MakeWork = Box::new(move |config| Ok(make(config::decode(config)?)));
        Role::Consumer(Consumer { make: Some(make), config: Vec::new(), work: None, holds })
    }

    pub fn windows(windows: Windows, handler: impl FnMut(&Window, &mut Emitter) -> Result<(), Verdict> + 'static) -> Self {
        Role::fixed(Work::Windows(windows, Box::new(handler)))
    }

    pub fn source(function: impl FnOnce(&Source) -> Result<(), SourceError> + Send + 'static) -> Self {
        Role::Source(Some(Box::new(move |_| Ok(Box::new(function)))))
    }

    pub fn source_with<C: DeserializeOwned + Send + 'static>(
        function: impl FnOnce(C, &Source) -> Result<(), SourceError> + Send + 'static,
    ) -> Self {
        Role::Source(Some(Box::new(move |config| {
            let config = config::decode(config)?;
            Ok(Box::new(move |source: &Source| function(config, source)))
        })))
    }

    /// How many handlers there may be at once.
    pub fn callers(&self) -> usize {
        match self {
            Role::Consumer(Consumer { work: Some(Work::Shared(count, _)), .. }) => *count,
            _ => 1,
        }
    }

    pub fn is_source(&self) -> bool {
        matches!(self, Role::Source(_))
    }
}
