//! A pipeline under the real broker, whose workers are killed in the middle: nothing is lost, nothing
//! doubled. Needs the broker's path in STAGEWIRE_BROKER (`make build` makes build/bin/stagewire):
//!
//!     STAGEWIRE_BROKER=build/bin/stagewire cargo test --test pipeline -- --ignored --exact killed_workers
//!
//! This program is the pipeline's workers, too, when it is started with the name of one of its tests.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stagewire::{Batch, Output, Stage, Windows};

const NUMBERS: u64 = 300_000;
const OF_A_WINDOW: usize = 70;
const PATIENCE: Duration = Duration::from_secs(120);

/// libtest would turn the result of a stage into its own.
fn end(code: ExitCode) -> ! {
    let is_good = format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS);
    std::process::exit(if is_good { 0 } else { 1 })
}

#[test]
#[ignore = "a worker"]
fn numbers() {
    end(Stage::new().source(|source| {
        let partition = source.claim("numbers")?;
        let last = std::str::from_utf8(partition.checkpoint())?.parse().unwrap_or(0);
        for number in last + 1..=NUMBERS {
            let text = number.to_string();
            let key = [number as u8 % 5];
            partition.emit(&[Output { payload: text.as_bytes(), key: &key, ..Output::default() }], text.as_bytes())?;
        }
        Ok(())
    }))
}

#[test]
#[ignore = "a worker"]
fn copy() {
    end(Stage::new().transform(|record, out| {
        out.emit(&record.output());
        Ok(())
    }))
}

/// The first, the last, how many and their sum.
#[test]
#[ignore = "a worker"]
fn sums() {
    end(Stage::new().window(Windows::new().records(OF_A_WINDOW).seconds(2).by_key(), |window, out| {
        let numbers: Result<Vec<u64>, _> =
            window.records().iter().map(|record| String::from_utf8_lossy(record.payload()).parse::<u64>()).collect();
        let numbers = numbers?;
        let text = format!("{} {} {} {}", numbers[0], numbers[numbers.len() - 1], numbers.len(), numbers.iter().sum::<u64>());
        out.emit(&Output { payload: text.as_bytes(), key: window.key(), ..Output::default() });
        Ok(())
    }))
}

#[test]
#[ignore = "a worker"]
fn collect() {
    let mut file = File::create(std::env::var_os("COLLECTED").expect("where to")).expect("a new file");
    end(Stage::new().batch_sink(1000, move |batch: &Batch| {
        for record in batch.records() {
            writeln!(file, "{} {}", record.key()[0], String::from_utf8_lossy(record.payload()))?;
        }
        Ok(())
    }))
}

struct Broker(Child);

impl Broker {
    /// The first process of a stage.
    fn worker(&self, stage: &str) -> Option<u32> {
        let status = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let is_child = |pid: &u32| status(*pid).rsplit(')').next().and_then(|rest| rest.split(' ').nth(2)?.parse().ok()) == Some(self.0.id());
        let is_stage = |pid: &u32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.split(|byte| *byte == 0).any(|argument| argument == stage.as_bytes())
        };
        let processes = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        processes.filter(is_child).find(is_stage)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pipeline(directory: &Path) -> PathBuf {
    let program = std::env::current_exe().expect("a path");
    let run = |stage: &str| format!("run: [{:?}, --exact, {stage}, --ignored, --nocapture]", program.display());
    let env = format!("env: {{COLLECTED: {:?}}}", directory.join("collected").display());
    let stages = [
        ("numbers", "source: true"),
        ("copy", "from: numbers\n    ordering: key\n    workers: 2"),
        ("sums", "from: copy\n    ordering: key"),
        ("collect", &format!("from: sums\n    {env}")),
    ];
    let stages: String = stages.iter().map(|(name, rest)| format!("  {name}:\n    {}\n    {rest}\n", run(name))).collect();
    let text = format!("pipeline: killed\ndurability: memory\nstages:\n{stages}");
    let file = directory.join("pipeline.yaml");
    fs::write(&file, text).expect("a file");
    file
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_there() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        thread::sleep(Duration::from_millis(5)); // real processes
    }
}

#[test]
#[ignore = "needs the broker, in STAGEWIRE_BROKER"]
fn killed_workers() {
    let program = std::env::var_os("STAGEWIRE_BROKER").expect("STAGEWIRE_BROKER: the path of stagewire");
    let directory = std::env::temp_dir().join(format!("stagewire-pipeline-{}", std::process::id()));
    fs::create_dir(&directory).expect("a directory");
    let collected = directory.join("collected");
    let size = || fs::metadata(&collected).map_or(0, |data| data.len());
    let child = Command::new(program).arg("run").arg(pipeline(&directory)).stdout(Stdio::null()).spawn().expect("the broker starts");
    let mut broker = Broker(child);
    let mut killed = 0;
    for stage in ["copy", "sums", "copy", "sums", "numbers"] {
        let before = size();
        wait_for("progress", || size() > before + 2000 || broker.0.try_wait().expect("a status").is_some());
        if let Some(pid) = broker.worker(stage) {
            assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill runs").success());
            killed += 1;
        }
    }
    wait_for("the end", || broker.0.try_wait().expect("a status").is_some());
    assert!(broker.0.wait().expect("a status").success());
    assert!(killed >= 3, "only {killed} were killed: the pipeline was too fast");
    check(&fs::read_to_string(&collected).expect("what was collected"));
    fs::remove_dir_all(&directory).expect("it is ours");
}

/// Every number once, and those of a key in order.
fn check(collected: &str) {
    let (mut count, mut sum) = (0, 0);
    let mut last = [0; 256];
    for line in collected.lines() {
        let fields: Vec<u64> = line.split(' ').map(|field| field.parse().expect("a number")).collect();
        let key = fields[0] as usize;
        assert!(fields[1] > last[key], "{line}: behind {}", last[key]);
        last[key] = fields[2];
        count += fields[3];
        sum += fields[4];
    }
    assert_eq!((count, sum), (NUMBERS, NUMBERS * (NUMBERS + 1) / 2));
}

const TIMED: u64 = 600;

/// Five keys, a record of one of them each second.
#[test]
#[ignore = "a worker"]
fn timed() {
    end(Stage::new().source(|source| {
        let partition = source.claim("timed")?;
        let last = std::str::from_utf8(partition.checkpoint())?.parse().unwrap_or(0);
        for number in last + 1..=TIMED {
            let text = number.to_string();
            let (key, event_time) = ([b'a' + number as u8 % 5], number as i64 * 1_000_000);
            let output = Output { payload: text.as_bytes(), key: &key, event_time, ..Output::default() };
            partition.emit(&[output], text.as_bytes())?;
        }
        Ok(())
    }))
}

/// Every third window is tried again, once. STAGEWIRE_WINDOWS may name another program to do so.
#[test]
#[ignore = "a worker"]
fn tried() {
    end(Stage::new().window(Windows::new().event_time(20, 0).by_key().idle(60), |window, out| {
        let numbers: Vec<_> = window.records().iter().map(|record| String::from_utf8_lossy(record.payload())).collect();
        if window.start().unwrap_or(0) / 20_000_000 % 3 == 0 && window.records().iter().all(|record| record.attempt() == 1) {
            return Err(stagewire::Verdict::retry(Duration::from_millis(20), "once more"));
        }
        out.emit(&Output { payload: numbers.join(" ").as_bytes(), key: window.key(), ..Output::default() });
        Ok(())
    }))
}

/// Every third record is tried again, once; what is handled is written down, as an effect outside.
#[test]
#[ignore = "a worker"]
fn effects() {
    let mut file = File::create(std::env::var_os("EFFECTS").expect("where to")).expect("a new file");
    end(Stage::new().sink(move |record| {
        let number: u64 = std::str::from_utf8(record.payload())?.parse()?;
        if number % 3 == 0 && record.attempt() == 1 {
            return Err(stagewire::Verdict::retry(Duration::from_millis(1), "once more"));
        }
        Ok(writeln!(file, "{number}")?)
    }))
}

/// Each number once, and those of a key in order: what is void has no effect.
fn check_effects(effects: &str) {
    let numbers: Vec<u64> = effects.lines().map(|line| line.parse().expect("a number")).collect();
    for key in 0..5 {
        let is_of_key = |number: &u64| *number as u8 % 5 == key; // as `timed` makes it
        let of_key: Vec<u64> = numbers.iter().copied().filter(is_of_key).collect();
        assert_eq!(of_key, (1..=TIMED).filter(is_of_key).collect::<Vec<_>>());
    }
}

/// Every record is in one window, however far the watermark was when it came again; a late one would be a
/// dead letter, and missing.
#[test]
#[ignore = "needs the broker, in STAGEWIRE_BROKER"]
fn windows_tried_again() {
    let broker = std::env::var_os("STAGEWIRE_BROKER").expect("STAGEWIRE_BROKER: the path of stagewire");
    let directory = std::env::temp_dir().join(format!("stagewire-tried-{}", std::process::id()));
    fs::create_dir(&directory).expect("a directory");
    let program = std::env::current_exe().expect("a path").display().to_string();
    let run = |stage: &str| format!("run: [{program:?}, --exact, {stage}, --ignored, --nocapture]");
    let tried = std::env::var("STAGEWIRE_WINDOWS").map_or_else(|_| run("tried"), |other| format!("run: [{other:?}]"));
    let (collected, effects) = (directory.join("collected"), directory.join("effects"));
    let text = format!(
        "pipeline: tried\ndurability: memory\nstages:\n  timed:\n    {}\n    source: true\n  tried:\n    {tried}\n    \
         from: timed\n    ordering: key\n  collect:\n    {}\n    from: tried\n    env: {{COLLECTED: {collected:?}}}\n  \
         effects:\n    {}\n    from: timed\n    ordering: key\n    env: {{EFFECTS: {effects:?}}}\n",
        run("timed"),
        run("collect"),
        run("effects")
    );
    let file = directory.join("pipeline.yaml");
    fs::write(&file, text).expect("a file");
    let child = Command::new(broker).arg("run").arg(file).stdout(Stdio::null()).spawn().expect("the broker starts");
    let mut broker = Broker(child);
    wait_for("the end", || broker.0.try_wait().expect("a status").is_some());
    let status = broker.0.wait().expect("a status");
    let windows = fs::read_to_string(&collected).expect("what was collected");
    let mut numbers: Vec<u64> = Vec::new();
    for window in windows.lines() {
        numbers.extend(window.split(' ').skip(1).map(|field| field.parse::<u64>().expect("a number")));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=TIMED).collect::<Vec<_>>());
    assert_eq!(windows.lines().count(), 151, "30 windows of 20 s for each of 5 keys, and one for the last record");
    assert!(status.success());
    check_effects(&fs::read_to_string(&effects).expect("what had an effect"));
    fs::remove_dir_all(&directory).expect("it is ours");
}
