//! Every record goes on as it is: the worker of the pipeline benchmark (`make bench` in the root, docs/BENCHMARKS.md).

use stagewire::Stage;

fn main() -> std::process::ExitCode {
    Stage::new().transform(|record, out| {
        out.emit(&record.output());
        Ok(())
    })
}
