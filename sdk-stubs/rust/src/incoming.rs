use std::io::{self, ErrorKind, Read};
use std::os::unix::io::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags};
use nix::sys::socket::{recv, MsgFlags};

/// What the broker sends. Waits in `poll`: Linux wakes who sleeps in `read` on a Unix socket whenever the other side
/// has read something, too, and the broker would pay for that with every batch it takes.
pub struct Incoming {
    stream: UnixStream,
    timeout: Option<Duration>,
}

impl Incoming {
    /// `timeout`: how long a read waits before it fails with `TimedOut`; none: as long as it takes.
    pub fn new(stream: UnixStream, timeout: Option<Duration>) -> Self {
        Incoming { stream, timeout }
    }

    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Waits until there is something to read, an end and an error included.
    fn wait(&self) -> io::Result<()> {
        let milliseconds = self.timeout.map_or(-1, |timeout| i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
        let mut waiting = [PollFd::new(self.stream.as_raw_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, milliseconds)? {
            0 => Err(ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // First without waiting: where there is much to do there is always something, and one call is enough.
            match recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => self.wait()?,
                done => return Ok(done?),
            }
        }
    }
}
