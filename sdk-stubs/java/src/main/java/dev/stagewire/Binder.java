package dev.stagewire;

import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Makes Java values of parsed JSON. What does not fit is named by its path: `config.limits[2].name`. */
final class Binder {
    private final boolean strict;

    /** `strict`: names that a record class does not have are errors. */
    Binder(boolean strict) {
        this.strict = strict;
    }

    Object bind(Object value, Type type, String path) {
        if (type instanceof ParameterizedType generic) {
            return generic(value, (Class<?>) generic.getRawType(), generic.getActualTypeArguments(), path);
        }
        if (!(type instanceof Class<?> plain)) {
            throw new IllegalArgumentException(type + " is a type that JSON cannot be decoded into");
        }
        if (plain == Object.class) {
            return value;
        }
        if (plain == Map.class || plain == List.class || plain == Optional.class) {
            return generic(value, plain, new Type[] {plain == Map.class ? String.class : Object.class, Object.class}, path);
        }
        if (plain.isRecord()) {
            return record(value, plain, path);
        }
        if (plain == String.class) {
            return fits(value, String.class, "a string", path);
        }
        if (plain == boolean.class || plain == Boolean.class) {
            return fits(value, Boolean.class, "true or false", path);
        }
        if (plain.isEnum()) {
            return constant(value, plain, path);
        }
        return number(value, plain, path);
    }

    private Object generic(Object value, Class<?> raw, Type[] arguments, String path) {
        if (raw == Optional.class) {
            return value == null ? Optional.empty() : Optional.of(bind(value, arguments[0], path));
        }
        if (raw == List.class) {
            List<Object> result = new ArrayList<>();
            for (Object each : fits(value, List.class, "a list", path)) {
                result.add(bind(each, arguments[0], path + "[" + result.size() + "]"));
            }
            return result;
        }
        if (raw == Map.class && arguments[0] == String.class) {
            Map<String, Object> result = new LinkedHashMap<>();
            for (Object each : fits(value, Map.class, "a mapping", path).entrySet()) {
                Map.Entry<?, ?> entry = (Map.Entry<?, ?>) each;
                result.put((String) entry.getKey(), bind(entry.getValue(), arguments[1], child(path, (String) entry.getKey())));
            }
            return result;
        }
        throw new IllegalArgumentException(raw + " is a type that JSON cannot be decoded into");
    }

    private Object record(Object value, Class<?> type, String path) {
        Map<?, ?> members = fits(value, Map.class, "a mapping", path);
        RecordComponent[] components = type.getRecordComponents();
        Object[] arguments = new Object[components.length];
        Set<Object> unknown = new LinkedHashSet<>(members.keySet());
        for (int i = 0; i < components.length; i++) {
            String name = components[i].getName();
            String key = members.containsKey(name) ? name : snake(name);
            unknown.remove(key);
            arguments[i] = members.containsKey(key) ? bind(members.get(key), components[i].getGenericType(), child(path, key))
                    : missing(components[i], child(path, key));
        }
        if (strict && !unknown.isEmpty()) {
            throw new Json.Invalid(child(path, String.valueOf(unknown.iterator().next())) + ": unknown; there are "
                    + String.join(", ", Arrays.stream(components).map(each -> snake(each.getName())).toList()));
        }
        return construct(type, components, arguments, path);
    }

    private Object missing(RecordComponent component, String path) {
        Default fallback = component.getAnnotation(Default.class);
        if (fallback != null) {
            return bind(Json.parse(fallback.value()), component.getGenericType(), path);
        }
        if (component.getType() == Optional.class) {
            return Optional.empty();
        }
        throw new Json.Invalid(path + ": missing");
    }

    private static Object construct(Class<?> type, RecordComponent[] components, Object[] arguments, String path) {
        try {
            Constructor<?> constructor = type.getDeclaredConstructor(
                    Arrays.stream(components).map(RecordComponent::getType).toArray(Class<?>[]::new));
            constructor.setAccessible(true);
            return constructor.newInstance(arguments);
        } catch (InvocationTargetException refused) {
            // The class's own check of its values.
            throw new Json.Invalid((path.isEmpty() ? "" : path + ": ") + refused.getCause().getMessage());
        } catch (ReflectiveOperationException impossible) {
            throw new IllegalArgumentException(type + " cannot be made: " + impossible, impossible);
        }
    }

    private static Object constant(Object value, Class<?> type, String path) {
        String name = fits(value, String.class, "a string", path);
        for (Object each : type.getEnumConstants()) {
            if (((Enum<?>) each).name().equalsIgnoreCase(name)) {
                return each;
            }
        }
        throw new Json.Invalid(at(path) + "expected one of " + Arrays.toString(type.getEnumConstants()) + ", got \"" + name + '"');
    }

    private static Object number(Object value, Class<?> type, String path) {
        boolean whole = value instanceof Long || value instanceof BigInteger;
        if (type == double.class || type == Double.class) {
            return fits(value, Number.class, "a number", path).doubleValue();
        }
        if (type == float.class || type == Float.class) {
            return fits(value, Number.class, "a number", path).floatValue();
        }
        if (type == BigDecimal.class) {
            return new BigDecimal(fits(value, Number.class, "a number", path).toString());
        }
        if (type != int.class && type != Integer.class && type != long.class && type != Long.class && type != BigInteger.class) {
            throw new IllegalArgumentException(type + " is a type that JSON cannot be decoded into");
        }
        if (!whole) {
            throw new Json.Invalid(at(path) + "expected an integer, got " + kind(value));
        }
        if (type == BigInteger.class) {
            return value instanceof BigInteger ? value : BigInteger.valueOf((Long) value);
        }
        boolean small = type == int.class || type == Integer.class;
        if (value instanceof BigInteger || small && ((Long) value).intValue() != (Long) value) {
            throw new Json.Invalid(at(path) + "expected an integer of " + (small ? 32 : 64) + " bits, got " + value);
        }
        return small ? (Object) ((Long) value).intValue() : value;
    }

    private static <T> T fits(Object value, Class<T> type, String expected, String path) {
        if (!type.isInstance(value)) {
            throw new Json.Invalid(at(path) + "expected " + expected + ", got " + kind(value));
        }
        return type.cast(value);
    }

    private static String kind(Object value) {
        return value == null ? "null" : value instanceof String ? "a string" : value instanceof Boolean ? value.toString()
                : value instanceof Number ? "the number " + value : value instanceof List ? "a list" : "a mapping";
    }

    private static String at(String path) {
        return path.isEmpty() ? "" : path + ": ";
    }

    private static String child(String path, String name) {
        return path.isEmpty() ? name : path + "." + name;
    }

    /** `perHour` as `per_hour`. */
    private static String snake(String name) {
        StringBuilder result = new StringBuilder();
        for (char each : name.toCharArray()) {
            if (Character.isUpperCase(each)) {
                result.append('_');
            }
            result.append(Character.toLowerCase(each));
        }
        return result.toString();
    }
}
