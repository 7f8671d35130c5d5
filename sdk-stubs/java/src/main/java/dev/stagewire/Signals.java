package dev.stagewire;

import java.lang.reflect.Proxy;

/**
 * SIGTERM and SIGINT, without the JVM's own way of ending, whose exit code is not 0. The class for it is in every JDK's
 * module jdk.unsupported, but javac warns of it; hence the reflection. A JVM without it ends as it always does.
 */
final class Signals {
    private Signals() {}

    /** The first of these signals calls `leave`; a second one ends the process at once. */
    static void handle(Runnable leave) {
        boolean[] again = {false};
        for (String name : new String[] {"TERM", "INT"}) {
            try {
                Class<?> signal = Class.forName("sun.misc.Signal");
                Class<?> handler = Class.forName("sun.misc.SignalHandler");
                Object proxy = Proxy.newProxyInstance(handler.getClassLoader(), new Class<?>[] {handler}, (self, method, args) -> {
                    if (method.getName().equals("handle")) {
                        if (again[0]) {
                            Runtime.getRuntime().halt(name.equals("TERM") ? 143 : 130);
                        }
                        again[0] = true;
                        leave.run();
                        return null;
                    }
                    return method.getName().equals("hashCode") ? (Object) System.identityHashCode(self)
                            : method.getName().equals("equals") ? (Object) (self == args[0]) : (Object) "stagewire";
                });
                signal.getMethod("handle", signal, handler).invoke(null,
                        signal.getConstructor(String.class).newInstance(name), proxy);
            } catch (ReflectiveOperationException elsewhere) {
                return;
            }
        }
    }
}
