//! What the SDK asks of its socket, and how it waits for it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::io::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use super::*;
use crate::handshake::{connect, Identity};
use crate::incoming::Incoming;
use crate::limits::SEND_BUFFER;

#[test]
fn the_kernel_is_asked_for_a_large_send_buffer() {
    let broker = Broker::listening();
    let path = broker.directory.join("s").to_str().unwrap().to_string();
    let worker = thread::spawn(move || connect(&path, &Identity { max_frame: 1 << 20, ..Identity::default() }).unwrap());
    let (mut link, _) = broker.accept();
    link.send(Kind::Welcome(welcome_message()));
    let (stream, _, _) = worker.join().unwrap();
    let (other, _peer) = UnixStream::pair().unwrap();
    setsockopt(other.as_raw_fd(), sockopt::SndBuf, &SEND_BUFFER).unwrap();
    let granted = getsockopt(other.as_raw_fd(), sockopt::SndBuf).unwrap();
    assert_eq!(getsockopt(stream.as_raw_fd(), sockopt::SndBuf).unwrap(), granted);
}

#[test]
fn a_read_waits_for_what_comes_and_for_the_end() {
    let (mut broker, stream) = UnixStream::pair().unwrap();
    let ours = stream.try_clone().unwrap();
    let mut input = Incoming::new(stream, None);
    let reader = thread::spawn(move || {
        let mut got = [0; 5];
        input.read_exact(&mut got).unwrap();
        (got, input.read(&mut [0; 8]).unwrap())
    });
    broker.write_all(b"he").unwrap();
    thread::sleep(Duration::from_millis(20)); // so that it waits in the middle, mostly
    broker.write_all(b"llo").unwrap();
    thread::sleep(Duration::from_millis(20));
    ours.shutdown(std::net::Shutdown::Both).unwrap(); // as `Session::shut` does, while the broker stays
    assert_eq!(reader.join().unwrap(), (*b"hello", 0));
}

#[test]
fn a_read_with_a_timeout_waits_no_longer() {
    let (mut broker, stream) = UnixStream::pair().unwrap();
    let mut input = Incoming::new(stream, Some(Duration::from_millis(20)));
    assert_eq!(input.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    broker.write_all(b"x").unwrap();
    assert_eq!(input.read(&mut [0; 8]).unwrap(), 1);
}
