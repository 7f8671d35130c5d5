use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::hub::Hub;

/// Makes a signal end the worker in good order; a second one ends it at once. SIGINT counts for workers
/// that the broker did not start: in a terminal it goes to the whole group, and there the broker drains.
pub fn watch(hub: Arc<Hub>, is_spawned: bool) {
    let wanted: &[i32] = if is_spawned { &[SIGTERM] } else { &[SIGTERM, SIGINT] };
    let mut signals = match Signals::new(wanted) {
        Ok(signals) => signals,
        Err(error) => return eprintln!("stagewire: signals end this worker without letting it finish: {error}"),
    };
    thread::spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            match count {
                0 => hub.leave(),
                _ => drop(emulate_default_handler(signal)),
            }
        }
    });
}
