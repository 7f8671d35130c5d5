//! RFC 3339 in the proleptic Gregorian calendar, to the microsecond.

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Microseconds since 1970 as text in UTC; outside of the years 1 to 9999 as the number.
pub fn event_time_text(time: i64) -> String {
    let (year, month, day) = date(time.div_euclid(DAY));
    if !(1..=9999).contains(&year) {
        return time.to_string();
    }
    let rest = time.rem_euclid(DAY);
    let (seconds, micros) = (rest / SECOND, rest % SECOND);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Microseconds since 1970 of a text with any offset and up to nine fractional digits.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let is_shaped = bytes.is_ascii()
        && bytes.len() >= 20
        && (bytes[4], bytes[7], bytes[13], bytes[16]) == (b'-', b'-', b':', b':')
        && matches!(bytes[10], b'T' | b't' | b' ');
    if !is_shaped {
        return None;
    }
    let (year, month, day) = (digits(&text[0..4])?, digits(&text[5..7])?, digits(&text[8..10])?);
    let (hour, minute, second) = (digits(&text[11..13])?, digits(&text[14..16])?, digits(&text[17..19])?);
    // 60: a leap second, which counts as the first of the next minute.
    let is_valid = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !is_valid {
        return None;
    }
    let (micros, zone) = fraction(&text[19..])?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    Some(seconds * SECOND + micros)
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The microseconds in front, and what is behind them. Further digits are cut off.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let rest = match text.strip_prefix('.') {
        Some(rest) => rest,
        None => return Some((0, text)),
    };
    let end = rest.bytes().position(|byte| !byte.is_ascii_digit())?;
    if !(1..=9).contains(&end) {
        return None;
    }
    let six: String = rest[..end].chars().chain("000000".chars()).take(6).collect();
    Some((digits(&six)?, &rest[end..]))
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    let (hours, minutes) = (digits(&zone[1..3])?, digits(&zone[4..6])?);
    (hours < 24 && minutes < 60).then(|| sign * (hours * 3600 + minutes * 60))
}

fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years begin in March, so that the day that comes and goes is the last one; 400
/// of them have 146,097 days.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// The inverse of `days`.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * of_era + of_era / 4 - of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + of_era + i64::from(month <= 2), month, day)
}
