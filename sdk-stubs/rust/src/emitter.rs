use std::collections::BTreeSet;
use std::sync::Arc;

use crate::codes::Code;
use crate::credit::Charge;
use crate::limits::{DEFAULT_FRAME, MAX_TEXT, RANGE};
use crate::output::Output;
use crate::pb;
use crate::record::Record;
use crate::verdict::Verdict;
use crate::window::Window;
use crate::wire::{append_head, append_tag, append_uint, append_varint, BYTES};
use crate::wire::{bytes_size, bytes_size_always, uint_size, varint_size};

/// Fields named `emissions` in the messages that hold them.
pub const IN_OUTCOME: u32 = 4;
pub const IN_EMIT: u32 = 3;

/// Collects what a handler produces. It becomes visible together with the settlement of the record, or
/// of the window, or not at all.
pub struct Emitter {
    welcome: Arc<pb::Welcome>,
    field: u32,
    pub(crate) body: Vec<u8>,
    /// By index in `welcome.outputs`.
    pub(crate) charges: Vec<Charge>,
    failure: Option<(Code, String)>,
    /// Deliveries that emissions name as their parents.
    named: BTreeSet<u64>,
    /// Takes any port: nobody has said which there are.
    is_recorder: bool,
}

impl Emitter {
    pub(crate) fn new(welcome: Arc<pb::Welcome>, field: u32) -> Self {
        let charges = vec![Charge::default(); welcome.outputs.len()];
        Emitter { welcome, field, body: Vec::new(), charges, failure: None, named: BTreeSet::new(), is_recorder: false }
    }

    pub(crate) fn reset(&mut self) {
        self.body.clear();
        self.failure = None;
        self.named.clear();
        self.charges.fill(Charge::default());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty() && self.failure.is_none()
    }

    /// Adds one record to the outcome. An output that the pipeline can never take (unknown port, too
    /// large, too long a key) makes the whole outcome a rejection.
    pub fn emit(&mut self, output: &Output) {
        self.append(&[], output);
    }

    /// As `emit`, with the records of the window that it comes from: the lineage names them in place of
    /// all the window's.
    pub fn emit_from(&mut self, parents: &[&Record], output: &Output) {
        let mut deliveries: Vec<u64> = parents.iter().map(|record| record.delivery()).collect();
        deliveries.sort_unstable();
        deliveries.dedup();
        self.named.extend(&deliveries);
        self.append(&deliveries, output);
    }

    fn append(&mut self, parents: &[u64], output: &Output) {
        let index = match self.find_port(output.port) {
            Some(index) => index,
            None => {
                let names = port_names(&self.welcome);
                return self.fail(Code::INVALID_OUTPUT, format!("this stage has no output port “{}”; it has {names}", output.port));
            }
        };
        let header = output.header_size();
        let size = output.size(header) as u64;
        self.append_emission(self.welcome.outputs[index].number, parents, output, header);
        self.charges[index].records += 1;
        self.charges[index].bytes += size;
        if let Some(problem) = output.problem(header) {
            self.fail(Code::INVALID_OUTPUT, problem);
        }
        let (limit, reserve) = (self.welcome.max_record, self.welcome.stamp_reserve);
        if size.saturating_add(reserve) > limit {
            self.fail(
                Code::OUTPUT_TOO_LARGE,
                format!("an output of {size} bytes is larger than the pipeline's max_record of {limit} less {reserve} for lineage"),
            );
        }
    }

    fn append_emission(&mut self, port: u32, parents: &[u64], output: &Output, header: usize) {
        let named: usize = parents.iter().map(|parent| varint_size(*parent)).sum();
        let (record, trace) = (output.size(header), output.trace.size());
        let size = uint_size(u64::from(port)) + bytes_size(named) + bytes_size_always(record) + bytes_size(trace);
        let body = &mut self.body;
        append_head(body, self.field, size);
        append_uint(body, 1, u64::from(port));
        append_head(body, 2, named);
        parents.iter().for_each(|parent| append_varint(body, *parent));
        // An empty record is a record nevertheless: the field must stand there.
        append_tag(body, 3, BYTES);
        append_varint(body, record as u64);
        output.append_with(header, body);
        append_head(body, 4, trace);
        output.trace.append_to(body);
    }

    fn find_port(&mut self, port: &str) -> Option<usize> {
        let found = self.welcome.outputs.iter().position(|o| port.is_empty() || o.port == port);
        if found.is_some() || !self.is_recorder {
            return found;
        }
        let outputs = &mut Arc::make_mut(&mut self.welcome).outputs;
        outputs.push(pb::Output { number: outputs.len() as u32, port: port.into() });
        self.charges.push(Charge::default());
        Some(self.charges.len() - 1)
    }

    fn fail(&mut self, code: Code, message: String) {
        self.failure.get_or_insert((code, message));
    }

    /// Finds what the broker would refuse, or what could never fit the credit and would wait for ever.
    /// `head` bytes stand in the same frame, beside the emissions.
    pub(crate) fn check(&mut self, head: usize) -> Result<(), (Code, String)> {
        let records: u64 = self.charges.iter().map(|c| c.records).sum();
        let bytes: u64 = self.charges.iter().map(|c| c.bytes + c.records * self.welcome.stamp_reserve).sum();
        let welcome = &self.welcome;
        let problem = if records > welcome.max_step_records || bytes > welcome.max_step_bytes {
            Some(format!(
                "one step emitted {records} records charged {bytes} bytes; the pipeline takes at most {} records and {} bytes",
                welcome.max_step_records, welcome.max_step_bytes
            ))
        } else if (self.body.len() + head) as u64 > welcome.max_frame {
            Some(format!("one step emitted {} bytes; a frame holds at most {}", self.body.len(), welcome.max_frame))
        } else {
            None
        };
        if let Some(problem) = problem {
            self.fail(Code::STEP_TOO_LARGE, problem);
        }
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// For what was emitted for one delivery.
    pub(crate) fn verdict(&mut self, delivery: u64) -> Result<(), Verdict> {
        if self.named.iter().any(|parent| *parent != delivery) {
            return Err(Verdict::Failed("emit_from names another record than the one that is handled".into()));
        }
        self.checked(MAX_TEXT)
    }

    pub(crate) fn checked(&mut self, head: usize) -> Result<(), Verdict> {
        self.check(head).map_err(|(code, message)| Verdict::Reject { code: code.0, message })
    }

    /// For what was emitted for a window.
    pub(crate) fn verdict_for(&mut self, window: &Window) -> Result<(), Verdict> {
        if self.is_empty() {
            return Ok(());
        }
        let rest = window.batch().rest();
        if rest.is_empty() {
            return Err(Verdict::Failed("the handler has rejected all records of the window, and emitted for it".into()));
        }
        if self.named.iter().any(|parent| !rest.iter().any(|span| span.contains(*parent))) {
            return Err(Verdict::Failed("emit_from names a record that is rejected or not one of this window".into()));
        }
        self.checked(MAX_TEXT + rest.len() * RANGE)
    }

    /// An emitter for testing a handler without a broker. It takes any port.
    pub fn recorder() -> Self {
        let welcome = pb::Welcome {
            max_record: 1 << 20,
            max_step_records: 4096,
            max_step_bytes: 1 << 20,
            max_frame: u64::from(DEFAULT_FRAME),
            outputs: vec![pb::Output::default()],
            ..pb::Welcome::default()
        };
        Emitter { is_recorder: true, ..Emitter::new(Arc::new(welcome), IN_OUTCOME) }
    }

    /// What a `recorder` has collected.
    pub fn recorded(&self) -> Vec<Record> {
        Record::of_emissions(&self.body).into_iter().map(|(_, record)| record).collect()
    }

    /// The same, each with its port; empty: the first one.
    pub fn recorded_with_ports(&self) -> Vec<(String, Record)> {
        let name = |number| self.welcome.outputs.get(number as usize).map_or_else(String::new, |output| output.port.clone());
        Record::of_emissions(&self.body).into_iter().map(|(number, record)| (name(number), record)).collect()
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
