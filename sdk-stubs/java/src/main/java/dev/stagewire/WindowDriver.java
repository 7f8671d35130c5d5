package dev.stagewire;
final class WindowDriver implements Driver {
    WindowDriver(Session s, Bounds b, WindowHandler h) {}
    public void deliver(Incoming f) {} public void run() {} public void drain() {} public void end() {}
    public boolean credit(int n, long r, long b) { return true; }
}
