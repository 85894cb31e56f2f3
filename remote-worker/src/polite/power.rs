//! Mains or battery, as Linux tells it in `/sys/class/power_supply`.

use std::path::Path;

use engine::store::read_bounded;

/// Whether the computer below `root` runs on its battery. Where nothing is known, it does not. A
/// supply that is on counts for more than a battery that empties, and batteries of mice and the
/// like do not count.
pub fn on_battery(root: &Path) -> bool {
    let Ok(supplies) = std::fs::read_dir(root.join("sys/class/power_supply")) else {
        return false;
    };
    let mut empties = false;
    for supply in supplies.flatten() {
        let word = |file: &str| {
            let bytes = read_bounded(&supply.path().join(file), 256).unwrap_or_default();
            String::from_utf8_lossy(&bytes).trim().to_owned()
        };
        if word("scope") == "Device" {
            continue;
        }
        match word("type").as_str() {
            "Battery" => empties |= word("status") == "Discharging",
            _ if word("online") == "1" => return false,
            _ => {}
        }
    }
    empties
}
