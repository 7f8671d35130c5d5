use std::sync::Arc;

use crate::codes::Code;
use crate::credit::Charge;
use crate::limits::{DEFAULT_FRAME, MAX_TEXT};
use crate::output::Output;
use crate::pb;
use crate::record::Record;
use crate::verdict::Verdict;
use crate::wire::{append_bytes_always, append_uint, wrap};

/// Fields named `emissions` in the messages that hold them.
pub const IN_OUTCOME: u32 = 4;
pub const IN_EMIT: u32 = 3;

/// Collects what a handler produces from one record. It becomes visible together with the record's
/// settlement, or not at all.
pub struct Emitter {
    welcome: Arc<pb::Welcome>,
    field: u32,
    pub(crate) body: Vec<u8>,
    /// By index in `welcome.outputs`.
    pub(crate) charges: Vec<Charge>,
    failure: Option<(Code, String)>,
}

impl Emitter {
    pub(crate) fn new(welcome: Arc<pb::Welcome>, field: u32) -> Self {
        let charges = vec![Charge::default(); welcome.outputs.len()];
        Emitter { welcome, field, body: Vec::new(), charges, failure: None }
    }

    pub(crate) fn reset(&mut self) {
        self.body.clear();
        self.failure = None;
        self.charges.fill(Charge::default());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty() && self.failure.is_none()
    }

    /// Adds one record to the outcome. An output that the pipeline can never take (unknown port, too
    /// large) makes the whole outcome a rejection.
    pub fn emit(&mut self, output: &Output) {
        let found = self.welcome.outputs.iter().position(|o| output.port.is_empty() || o.port == output.port);
        let index = match found {
            Some(index) => index,
            None => {
                let names = port_names(&self.welcome);
                return self.fail(Code::UNKNOWN_PORT, format!("this stage has no output port “{}”; it has {names}", output.port));
            }
        };
        let mark = self.body.len();
        append_uint(&mut self.body, 1, u64::from(self.welcome.outputs[index].number));
        let record_mark = self.body.len();
        output.append_to(&mut self.body);
        let size = (self.body.len() - record_mark) as u64;
        if size == 0 {
            // An empty record is a record nevertheless: the field must stand there.
            append_bytes_always(&mut self.body, 3, &[]);
        } else {
            wrap(&mut self.body, record_mark, 3);
        }
        output.trace.append_to(&mut self.body, 4);
        wrap(&mut self.body, mark, self.field);
        self.charges[index].records += 1;
        self.charges[index].bytes += size;
        let (limit, reserve) = (self.welcome.max_record, self.welcome.stamp_reserve);
        if size.saturating_add(reserve) > limit {
            self.fail(
                Code::OUTPUT_TOO_LARGE,
                format!("an output of {size} bytes is larger than the pipeline's max_record of {limit} less {reserve} for lineage"),
            );
        }
    }

    fn fail(&mut self, code: Code, message: String) {
        self.failure.get_or_insert((code, message));
    }

    /// Finds what the broker would refuse, or what could never fit the credit and would wait for ever.
    pub(crate) fn check(&mut self) -> Result<(), (Code, String)> {
        let records: u64 = self.charges.iter().map(|c| c.records).sum();
        let bytes: u64 = self.charges.iter().map(|c| c.bytes + c.records * self.welcome.stamp_reserve).sum();
        let welcome = &self.welcome;
        let problem = if records > welcome.max_step_records || bytes > welcome.max_step_bytes {
            Some(format!(
                "one step emitted {records} records charged {bytes} bytes; the pipeline takes at most {} records and {} bytes",
                welcome.max_step_records, welcome.max_step_bytes
            ))
        } else if (self.body.len() + MAX_TEXT) as u64 > welcome.max_frame {
            Some(format!("one step emitted {} bytes; a frame holds at most {}", self.body.len(), welcome.max_frame))
        } else {
            None
        };
        if let Some(problem) = problem {
            self.fail(Code::STEP_TOO_LARGE, problem);
        }
        self.failure.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn verdict(&mut self) -> Result<(), Verdict> {
        self.check().map_err(|(code, message)| Verdict::Reject { code: code.0, message })
    }

    /// An emitter for testing a handler without a broker.
    pub fn recorder() -> Self {
        let welcome = pb::Welcome {
            max_record: 1 << 20,
            max_step_records: 4096,
            max_step_bytes: 1 << 20,
            max_frame: u64::from(DEFAULT_FRAME),
            outputs: vec![pb::Output { number: 0, port: "out".into() }],
            ..pb::Welcome::default()
        };
        Emitter::new(Arc::new(welcome), IN_OUTCOME)
    }

    /// What a `recorder` has collected.
    pub fn recorded(&self) -> Vec<Record> {
        Record::of_emissions(&self.body)
    }
}

pub fn port_names(welcome: &pb::Welcome) -> String {
    let names: Vec<&str> = welcome.outputs.iter().map(|o| o.port.as_str()).collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}
