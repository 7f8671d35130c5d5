//! Lanes: what the broker keeps in order. All of an input under ordering TOTAL, the records of a key under
//! KEY, nothing under NONE or without a key.
//!
//! When a delivery is given back, the later ones of its lane in this session are void (OR-3), queued and
//! under way. They are settled at once and never handled:
//!
//! ```text
//! to the broker     Settle{1: RETRY, 3: RELEASED} Ping{1}     Settle{5: RELEASED} Ping{2}
//!                        |  closed . . . . . . . . . . . . . . . . . . . . . . . . . . . | open
//! from the broker   1 2 3                        4 5    Pong{1}                       Pong{2}  6 = 1 again
//! ```
//!
//! (2 and 4 are of another lane.) What is read behind the last Pong was delivered after the broker had
//! taken the last of it back (LV-1).

use std::collections::{HashMap, VecDeque};

use crate::pb;

/// An input's number, and the key or nothing.
pub type Lane<'a> = (u32, &'a [u8]);

/// The lane of a record of that input and key.
pub fn lane_of<'a>(inputs: &[pb::Input], number: u32, key: &'a [u8]) -> Option<Lane<'a>> {
    let input = inputs.iter().find(|input| input.number == number)?;
    match pb::Ordering::from_i32(input.ordering) {
        Some(pb::Ordering::None) => None,
        Some(pb::Ordering::Key) => (!key.is_empty()).then(|| (number, key)),
        _ => Some((number, &[])), // one that we do not know is TOTAL (HS-6)
    }
}

/// The lanes that are closed, each until the Pong to the Ping that was written last for it.
#[derive(Default)]
pub struct Lanes {
    /// By input and key: the number of that Ping.
    closed: HashMap<u32, HashMap<Vec<u8>, u64>>,
    /// In the order of their Pings; a lane stands here once for each.
    pings: VecDeque<(u64, u32, Vec<u8>)>,
}

impl Lanes {
    pub fn close(&mut self, (input, key): Lane, ping: u64) {
        self.closed.entry(input).or_default().insert(key.to_vec(), ping);
        self.pings.push_back((ping, input, key.to_vec()));
    }

    pub fn is_closed(&self, (input, key): Lane) -> bool {
        self.closed.get(&input).map_or(false, |keys| keys.contains_key(key))
    }

    pub fn are_all_open(&self) -> bool {
        self.pings.is_empty()
    }

    /// A Pong has come.
    pub fn open(&mut self, pong: u64) {
        while let Some((ping, input, key)) = self.pings.front().filter(|(ping, ..)| *ping <= pong) {
            let keys = self.closed.entry(*input).or_default();
            if keys.get(key) == Some(ping) {
                keys.remove(key);
            }
            self.pings.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lane_is() {
        let input = |number, ordering: i32| pb::Input { number, ordering, ..pb::Input::default() };
        let inputs = [input(0, 1), input(1, 2), input(2, 3), input(3, 0), input(4, 99)];
        let lanes: Vec<_> = (0..6).map(|number| lane_of(&inputs, number, b"k")).collect();
        let all: &[u8] = b"";
        assert_eq!(lanes, [Some((0, &b"k"[..])), None, Some((2, all)), Some((3, all)), Some((4, all)), None]);
        assert_eq!((lane_of(&inputs, 0, b""), lane_of(&inputs, 2, b"")), (None, Some((2, all))));
    }

    #[test]
    fn a_lane_opens_at_the_last_of_its_pongs() {
        let mut lanes = Lanes::default();
        lanes.close((0, b"k"), 1);
        lanes.close((1, b"k"), 1);
        lanes.close((0, b"l"), 2);
        lanes.close((0, b"k"), 3);
        lanes.open(1);
        let open = |lanes: &Lanes| [(0, b"k"), (1, b"k"), (0, b"l")].map(|(input, key)| !lanes.is_closed((input, key)));
        assert_eq!(open(&lanes), [false, true, false]);
        lanes.open(2);
        assert_eq!((open(&lanes), lanes.are_all_open()), ([false, true, true], false));
        lanes.open(3);
        assert_eq!((open(&lanes), lanes.are_all_open()), ([true; 3], true));
    }
}
