package dev.stagewire;
final class Trial {
    Trial(Stage stage, Arguments o, java.io.InputStream in, java.io.PrintStream out, java.io.PrintStream err) {}
    int run() { return 0; }
}
