use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of one line; a longer one is no line of a CSV file of readings.
const LONGEST: usize = 64 * 1024;

/// A place in a file: behind `line` lines, which took `offset` bytes.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Position {
    pub offset: u64,
    pub line: u64,
}

impl Position {
    /// As a checkpoint. Empty: the beginning.
    pub fn decode(checkpoint: &[u8]) -> Result<Self, String> {
        if checkpoint.is_empty() {
            return Ok(Position::default());
        }
        let value: Option<serde_json::Value> = serde_json::from_slice(checkpoint).ok();
        let number = |name| value.as_ref().and_then(|value| value.get(name)).and_then(|number| number.as_u64());
        match (number("offset"), number("line")) {
            (Some(offset), Some(line)) => Ok(Position { offset, line }),
            _ => Err(format!("the checkpoint {} is not one of this program", String::from_utf8_lossy(checkpoint))),
        }
    }

    pub fn encode(self) -> Vec<u8> {
        serde_json::json!({ "offset": self.offset, "line": self.line }).to_string().into_bytes()
    }
}

/// One line without its ending; `number` counts from 1, the header included.
#[derive(Debug, PartialEq)]
pub struct Line {
    pub number: u64,
    pub text: Vec<u8>,
}

/// Reads a file's lines from a position on; the first line of the file is its header and left out.
pub struct Lines {
    reader: BufReader<File>,
    position: Position,
}

impl Lines {
    pub fn open(path: &Path, position: Position) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        if position.offset > length {
            return Err(format!(
                "the checkpoint stands at byte {}, but the file has only {length}: it is not the file that was read before",
                position.offset
            ));
        }
        file.seek(SeekFrom::Start(position.offset)).map_err(|error| error.to_string())?;
        let mut lines = Lines { reader: BufReader::new(file), position };
        if position.line == 0 {
            lines.next()?;
        }
        Ok(lines)
    }

    /// Behind the last line that was read.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Up to `limit` further lines; none: the end.
    pub fn read(&mut self, limit: usize) -> Result<Vec<Line>, String> {
        let mut lines = Vec::with_capacity(limit);
        while lines.len() < limit {
            match self.next()? {
                Some(line) => lines.push(line),
                None => break,
            }
        }
        Ok(lines)
    }

    fn next(&mut self) -> Result<Option<Line>, String> {
        let mut text = Vec::new();
        let number = self.position.line + 1;
        let mut bounded = (&mut self.reader).take(LONGEST as u64 + 1);
        let size = bounded.read_until(b'\n', &mut text).map_err(|error| format!("line {number}: {error}"))?;
        if size == 0 {
            return Ok(None);
        }
        if size > LONGEST {
            return Err(format!("line {number} is longer than {LONGEST} bytes"));
        }
        self.position = Position { offset: self.position.offset + size as u64, line: number };
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        if text.last() == Some(&b'\r') {
            text.pop();
        }
        Ok(Some(Line { number, text }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, content: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("stagewire-ingest-{}-{name}.csv", std::process::id()));
            std::fs::write(&path, content).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| std::str::from_utf8(&line.text).unwrap()).collect()
    }

    #[test]
    fn every_line_after_the_header_once_wherever_it_is_resumed() {
        let file = Scratch::new("resume", b"timestamp,value\r\na,1\r\n\nb,2\nc,3");
        let mut lines = Lines::open(&file.0, Position::default()).unwrap();
        let mut read = Vec::new();
        loop {
            let one = lines.read(1).unwrap();
            if one.is_empty() {
                break;
            }
            read.extend(one);
            let position = Position::decode(&lines.position().encode()).unwrap();
            let rest = Lines::open(&file.0, position).unwrap().read(100).unwrap();
            let together: Vec<&str> = texts(&read).into_iter().chain(texts(&rest)).collect();
            assert_eq!(together, ["a,1", "", "b,2", "c,3"]);
        }
        assert_eq!(read.iter().map(|line| line.number).collect::<Vec<_>>(), [2, 3, 4, 5]);
    }

    #[test]
    fn empty_files_and_headers_alone_have_no_lines() {
        for content in [&b""[..], b"timestamp,value", b"timestamp,value\n"] {
            let file = Scratch::new("empty", content);
            assert_eq!(Lines::open(&file.0, Position::default()).unwrap().read(10).unwrap(), []);
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let file = Scratch::new("odd", &vec![b'x'; LONGEST + 2]);
        assert!(Lines::open(&file.0, Position::default()).err().unwrap().contains("line 1"));
        assert!(Lines::open(&file.0, Position { offset: 1 << 40, line: 9 }).err().unwrap().contains("not the file"));
        assert!(Lines::open(Path::new("/nonexistent.csv"), Position::default()).is_err());
        assert!(Position::decode(b"{\"offset\": -1}").is_err());
        assert!(Position::decode(b"\xff").is_err());
    }
}
