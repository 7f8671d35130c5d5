//! The smallest useful transform: every record goes on with its payload in capitals.

use stagewire::{Output, Stage};

fn main() -> std::process::ExitCode {
    Stage::new().transform(|record, out| {
        let upper = record.payload().to_ascii_uppercase();
        out.emit(&Output { payload: &upper, ..record.output() });
        Ok(())
    })
}
