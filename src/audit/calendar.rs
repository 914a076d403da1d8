//! Instants as dates, for lines that people and log shippers read.

use std::fmt::Write as _;

/// The day of an instant in seconds since 1970, as `2023-10-20`; of one before that, its beginning.
#[must_use]
pub fn date_of(secs: i64) -> String {
    let (year, month, day) = civil_date(u64::try_from(secs).unwrap_or(0) / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// As `2023-10-20T12:53:37.758Z`.
#[must_use]
pub fn timestamp(now_ms: u64) -> String {
    let mut text = String::new();
    write_timestamp(now_ms, &mut text);
    text
}

/// The second of a time like `2023-10-20T12:53:37Z`, as [`timestamp`] writes it or without its fraction.
#[must_use]
pub fn read_timestamp(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let (date, time) = (numbers(date, '-', [4, 2, 2])?, numbers(time, ':', [2, 2, 2])?);
    let ([_, month, day], [hour, minute, second]) = (date, time);
    let plain = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || hour > 23 || minute > 59 || second > 59 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let days = days_of(date)?;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// The day, counted from 1970-01-01; `None` if there is no such day. Years count 365 days and a leap day now and then, so
/// the first guess is at most a year off, and the calendar itself has the last word.
fn days_of([year, month, day]: [u64; 3]) -> Option<u64> {
    let first = year.checked_sub(1970)? * 365;
    (first..first + 3_700).find(|days| civil_date(*days) == (year, month, day))
}

/// Three numbers with so many digits.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

/// Appends `2023-10-20T12:53:37.758Z`.
pub(super) fn write_timestamp(now_ms: u64, into: &mut String) {
    let (days, in_day) = (now_ms / 86_400_000, now_ms % 86_400_000);
    let (year, month, day) = civil_date(days);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    let _ = write!(into, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
}

/// The Gregorian date of a day counted from 1970-01-01: eras of 400 years, years that start in March, so that the
/// leap day is a year's last.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days_are_right() {
        for (secs, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut text = String::new();
            write_timestamp(secs * 1000, &mut text);
            assert_eq!(text, expected);
            assert_eq!(read_timestamp(expected), Some(secs));
        }
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        assert_eq!(read_timestamp("2024-02-29T23:59:59Z"), Some(1_709_251_199));
        assert_eq!(read_timestamp("9999-12-31T23:59:59Z"), Some(253_402_300_799));
        for text in [
            "",
            "2024-02-29",
            "2024-02-29T23:59:59",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00.Z",
            "2024-1-01T00:00:00Z",
            "+024-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2024-01-01-01T00:00:00Z",
        ] {
            assert_eq!(read_timestamp(text), None, "{text}");
        }
    }
}
