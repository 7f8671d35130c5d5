package dev.stagewire;
public final class Window {
    public void reject(StageRecord r, int code, String message) {}
}
