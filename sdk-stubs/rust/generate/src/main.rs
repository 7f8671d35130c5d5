//! Writes `src/pb.rs` of the SDK from `proto/`. Arguments: the directory of the protos, the file to write.

use std::path::PathBuf;
use std::{env, fs, process};

fn main() {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if arguments.len() != 2 {
        eprintln!("usage: stagewire-generate <directory of the protos> <file to write>");
        process::exit(2);
    }
    if let Err(error) = generate(&arguments[0], &arguments[1]) {
        eprintln!("stagewire-generate: {error}");
        process::exit(1);
    }
}

fn generate(protos: &PathBuf, target: &PathBuf) -> std::io::Result<()> {
    let scratch = env::temp_dir().join(format!("stagewire-generate-{}", process::id()));
    fs::create_dir_all(&scratch)?;
    let files = ["stagewire/v1/record.proto", "stagewire/v1/envelope.proto"].map(|file| protos.join(file));
    prost_build::Config::new()
        .bytes(["."])
        .out_dir(&scratch)
        .compile_protos(&files, &[protos])?;
    let code = fs::read_to_string(scratch.join("stagewire.v1.rs"))?;
    fs::remove_dir_all(&scratch)?;
    fs::write(target, format!("// Generated from proto/ by prost-build 0.11. Do not edit.\n{code}"))
}
