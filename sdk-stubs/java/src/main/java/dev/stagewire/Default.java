package dev.stagewire;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** What a component of a configuration's record class is when its name is missing: a JSON value. */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
public @interface Default {
    /** JSON, such as {@code "21.5"}, {@code "\"text\""} or {@code "[]"}. */
    String value();
}
