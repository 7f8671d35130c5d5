use std::process::ExitCode;

use serde::de::DeserializeOwned;

use crate::emitter::Emitter;
use crate::record::Record;
use crate::role::{Role, Work};
use crate::stage::Stage;
use crate::verdict::Verdict;

/// A stage that handles several records at once: `Stage::workers` makes it. Its handlers are called by so
/// many threads, so they are `Fn`, `Send` and `Sync`.
///
/// Records that have an order (of one key; under `ordering: total`, of one input) are handled one after the
/// other all the same, and in it.
pub struct Workers {
    pub(crate) stage: Stage,
    pub(crate) count: usize,
}

impl Workers {
    /// As `Stage::transform`.
    pub fn transform(self, handler: impl Fn(&Record, &mut Emitter) -> Result<(), Verdict> + Send + Sync + 'static) -> ExitCode {
        self.stage.run(Role::fixed(Work::Shared(self.count, Box::new(handler))))
    }

    /// As `Stage::transform_with`.
    pub fn transform_with<C, H>(self, mut make: impl FnMut(C) -> H + 'static) -> ExitCode
    where
        C: DeserializeOwned,
        H: Fn(&Record, &mut Emitter) -> Result<(), Verdict> + Send + Sync + 'static,
    {
        let count = self.count;
        self.stage.run(Role::configured(false, move |config| Work::Shared(count, Box::new(make(config)))))
    }

    /// As `Stage::sink`.
    pub fn sink(self, handler: impl Fn(&Record) -> Result<(), Verdict> + Send + Sync + 'static) -> ExitCode {
        self.transform(move |record, _| handler(record))
    }

    /// As `Stage::sink_with`.
    pub fn sink_with<C, H>(self, mut make: impl FnMut(C) -> H + 'static) -> ExitCode
    where
        C: DeserializeOwned,
        H: Fn(&Record) -> Result<(), Verdict> + Send + Sync + 'static,
    {
        self.transform_with(move |config| {
            let handler = make(config);
            move |record: &Record, _: &mut Emitter| handler(record)
        })
    }
}
