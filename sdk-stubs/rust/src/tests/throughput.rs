//! `cargo test --release throughput -- --ignored --nocapture`

use super::*;
use crate::output::Output;
use crate::record::Record;
use crate::Emitter;

/// One worker that copies records of 100 bytes, as it looks to a broker that decodes nothing but counts.
#[test]
#[ignore = "a measurement, not a check"]
fn throughput() {
    const BATCH: u64 = 500;
    const FRAMES: u64 = 8000;
    let broker = Broker::new("", || {
        Role::records(|record: &Record, out: &mut Emitter| {
            out.emit(&Output { key: record.key(), schema: "bench.row", schema_version: 1, payload: record.payload(), ..Output::default() });
            Ok(())
        })
    });
    let mut link = broker.welcome(welcome_message());
    link.credit(1 << 60, 1 << 60);
    let header = pb::Header { schema: "bench.row".into(), schema_version: 1, key: "sensor-1".into(), ..pb::Header::default() };
    let hops = vec![pb::Hop { run: 1, delta: 1000, attempt: 0 }];
    let lineage = pb::Lineage { id: vec![0; 16].into(), root: vec![0; 16].into(), ingest_time: 1, hops, ..pb::Lineage::default() };
    let record = pb::Record { lineage: Some(lineage), header: Some(header), payload: vec![0; 100].into() };
    let size = record.encoded_len() as u64;
    let mut deliver = pb::Deliver { records: vec![record; BATCH as usize], ..pb::Deliver::default() };
    let mut sending = link.stream.try_clone().unwrap();
    let (credits, granted) = channel();
    credits.send(link.grant).unwrap();
    let started = Instant::now();
    thread::spawn(move || {
        let mut grant = (0, 0);
        for frame in 0..FRAMES {
            while grant.0 < (frame + 1) * BATCH || grant.1 < (frame + 1) * BATCH * size {
                grant = granted.recv().unwrap();
            }
            deliver.first_delivery = (1 << 40) + frame * BATCH; // ids of constant length
            sending.write_all(&crate::frame::encode(Kind::Deliver(deliver.clone()))).unwrap();
        }
    });
    let mut settled = 0;
    while settled < FRAMES * BATCH {
        let frame = link.read_bytes();
        if frame[3] == (crate::frame::SETTLE << 3 | 2) as u8 {
            settled += frame.windows(9).filter(|w| w == b"bench.row").count() as u64;
        } else if let Ok(pb::Envelope { message: Some(Kind::Credit(credit)), .. }) = pb::Envelope::decode(&frame[..]) {
            let _ = credits.send((credit.records, credit.bytes));
        }
    }
    let rate = settled as f64 / started.elapsed().as_secs_f64();
    println!("{settled} records, {rate:.0} per second, {:.0} ns each", 1e9 / rate);
    link.close(Code::OK, "");
    broker.expect_exit(0);
}
