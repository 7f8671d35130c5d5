package dev.stagewire;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A transform or sink with several handlers at once. Related records go one after another, in order, to whichever thread
 * is free; a lane that waits holds no thread.
 */
final class Parallel implements Driver {
    /** The records of one lane behind the one that a thread has. */
    private static final class Lane {
        final Object key;
        final ArrayDeque<StageRecord> waiting = new ArrayDeque<>();

        Lane(Object key) {
            this.key = key;
        }
    }

    private record Task(StageRecord record, Lane lane) {}

    private final Session session;
    private final Transform handler;
    private final int workers;
    private final Lanes closed = new Lanes();
    private final Map<Object, Lane> lanes = new HashMap<>();
    private final ArrayDeque<Task> ready = new ArrayDeque<>();
    private boolean ended;

    Parallel(Session session, Transform handler, int workers) {
        this.session = session;
        this.handler = handler;
        this.workers = workers;
    }

    @Override
    public void deliver(Incoming frame) {
        synchronized (this) {
            while (!frame.isEmpty()) {
                StageRecord record = frame.take();
                Object key = record.lane();
                Lane lane = key == null ? null : lanes.get(key);
                if (lane != null) {
                    lane.waiting.add(record);
                    continue;
                }
                if (key != null) {
                    lane = new Lane(key instanceof LaneKey view ? view.owned() : key);
                    lanes.put(lane.key, lane);
                }
                ready.add(new Task(record, lane));
            }
            notifyAll();
        }
    }

    @Override
    public synchronized void pong(long epoch) {
        if (!closed.isEmpty()) {
            // What is queued may be from before this Pong, and is void then: its lane has to stay closed.
            long oldest = epoch;
            for (Task task : ready) {
                oldest = Math.min(oldest, task.record.epoch);
            }
            for (Lane lane : lanes.values()) {
                oldest = lane.waiting.isEmpty() ? oldest : Math.min(oldest, lane.waiting.peek().epoch);
            }
            closed.forget(oldest);
        }
    }

    @Override
    public synchronized void drain() {
        notifyAll();
    }

    @Override
    public synchronized void end() {
        ended = true;
        notifyAll();
    }

    @Override
    public boolean credit(int number, long records, long bytes) {
        return session.settler.credit(number, records, bytes);
    }

    @Override
    public void run() {
        List<Thread> threads = new ArrayList<>();
        for (int i = 1; i < workers; i++) {
            Thread thread = new Thread(this::work, "stagewire-handler-" + (i + 1));
            thread.setDaemon(true);
            thread.start();
            threads.add(thread);
        }
        work();
        for (Thread thread : threads) {
            try {
                thread.join();
            } catch (InterruptedException stray) {
                return; // nobody waits for these threads then: the session's end does
            }
        }
        session.settler.flush();
    }

    private void work() {
        Handling handling = new Handling(session, closed, handler);
        try {
            for (Task task = next(null); task != null; task = next(task)) {
                if (session.taken(task.record)) {
                    handling.handle(task.record);
                } else {
                    closed.close(task.record.lane(), session.settler.release(task.record.delivery, task.record.delivery));
                }
            }
        } catch (SessionOver over) {
            end(); // the other threads, too
        }
    }

    /** Ends `done`, which lets the next of its lane go, and waits for the next task; null: there is none any more. */
    private Task next(Task done) {
        synchronized (this) {
            if (done != null && done.lane != null) {
                StageRecord next = done.lane.waiting.poll();
                if (next == null) {
                    lanes.remove(done.lane.key);
                } else {
                    ready.add(new Task(next, done.lane));
                }
            }
            Task task = take();
            if (task != null || ended) {
                return task;
            }
        }
        session.settler.flush(); // nothing to do is the time to send what is done
        synchronized (this) {
            while (true) {
                Task task = take();
                if (task != null || ended) {
                    return task;
                }
                try {
                    wait();
                } catch (InterruptedException stray) {
                    // Nobody interrupts us here; whoever did will be asked again.
                }
            }
        }
    }

    private Task take() {
        // While a handler is overdue no other begins: a Settle would renew the lease that is to run out.
        if (ended || (session.late() && !session.releasing())) {
            return null;
        }
        return ready.poll();
    }
}
