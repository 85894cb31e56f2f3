//! Sizes and speeds as people read them.

/// "86.5 MB", "433 MB", "1.6 GB", "41 GB"; powers of 1000, as disks are sold.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return if bytes == 1 { "1 byte".into() } else { format!("{bytes} bytes") };
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let figures = if value >= 99.95 { format!("{value:.0}") } else { format!("{value:.1}") };
    format!("{} {}", figures.trim_end_matches(".0"), UNITS[unit])
}

/// "3.2 GiB", for what the cache holds and may hold.
pub fn gib(bytes: u64) -> String {
    let value = bytes as f64 / f64::from(1u32 << 30);
    let figures = if value >= 99.95 { format!("{value:.0}") } else { format!("{value:.1}") };
    format!("{} GiB", figures.trim_end_matches(".0"))
}

/// "2.1×", "31×".
pub fn times(factor: f32) -> String {
    if factor >= 9.95 { format!("{factor:.0}×") } else { format!("{factor:.1}×") }
}

/// "1 file", "5 files".
pub fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// "One try", "Two tries", "3 tries".
pub fn tries(left: u32) -> String {
    match left {
        1 => "One try".into(),
        2 => "Two tries".into(),
        n => format!("{n} tries"),
    }
}

/// "Drums", "Drums and Bass", "Drums, Bass and Vocals".
pub fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).into(),
        [many @ .., last] => format!("{} and {last}", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_in_the_design() {
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(bytes(1_600_000_000), "1.6 GB");
        assert_eq!(bytes(86_512_044), "86.5 MB");
        assert_eq!(bytes(432_560_000), "433 MB");
        assert_eq!(bytes(999_700), "1 MB");
        assert_eq!(bytes(41_000_000_000), "41 GB");
        assert_eq!(bytes(u64::MAX), "18446744 TB");
        assert_eq!(times(2.14), "2.1×");
        assert_eq!(times(30.0), "30×");
        assert_eq!(gib(20 << 30), "20 GiB");
        assert_eq!(gib(3_400_000_000), "3.2 GiB");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(list(&["Drums", "Other", "Vocals"]), "Drums, Other and Vocals");
    }
}
