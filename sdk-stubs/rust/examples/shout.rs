//! The smallest useful transform: every record goes on with its payload in capitals.

use stagewire::{Output, Stage};

fn main() -> std::process::ExitCode {
    Stage::new().transform(|record, out| {
        let upper = std::str::from_utf8(record.payload())?.to_uppercase();
        out.emit(&Output { payload: upper.as_bytes(), ..record.output() });
        Ok(())
    })
}
