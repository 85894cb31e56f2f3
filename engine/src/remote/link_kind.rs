//! Cable or Wi-Fi: what carries a connection at this end, as Linux tells it in `/sys/class/net`.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
};

use crate::{protocol::LinkKind, store::read_bounded};

/// `ARPHRD_ETHER` of `linux/if_arp.h`, as the file `type` says it; Wi-Fi has it too.
const ETHERNET: &str = "1";

/// What carries packets to `address`; `None` where that is not known, as with loopback, tunnels,
/// bridges and systems other than Linux. Reads files.
pub(super) fn link_kind_to(address: SocketAddr) -> Option<LinkKind> {
    kind_of(Path::new("/sys/class/net"), &interface_to(address)?)
}

/// The network card by which the system sends to `address`; `None` where that is this computer's own.
/// Nothing is sent for that.
fn interface_to(address: SocketAddr) -> Option<String> {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(address).ok()?;
    let own = socket.local_addr().ok()?.ip();
    if own == address.ip() {
        return None;
    }
    let mut interfaces = if_addrs::get_if_addrs().ok()?.into_iter();
    interfaces.find(|interface| interface.ip() == own).map(|interface| interface.name)
}

/// What the network card `name` is. Only what has a device of its own is told apart: bridges,
/// tunnels and the like hide what carries them.
fn kind_of(classes: &Path, name: &str) -> Option<LinkKind> {
    let card = classes.join(name);
    let has = |file: &str| card.join(file).exists();
    if has("wireless") || has("phy80211") {
        return Some(LinkKind::WiFi);
    }
    let kind = read_bounded(&card.join("type"), 64).ok()?;
    let is_ethernet = String::from_utf8_lossy(&kind).trim() == ETHERNET;
    (is_ethernet && has("device")).then_some(LinkKind::Cable)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::remote::own_addresses;

    #[test]
    fn cards_are_told_apart_and_the_rest_is_not_guessed() {
        let dir = tempfile::tempdir().unwrap();
        let card = |name: &str, kind: &str, folders: &[&str]| {
            let card = dir.path().join(name);
            fs::create_dir(&card).unwrap();
            fs::write(card.join("type"), format!("{kind}\n")).unwrap();
            folders.iter().for_each(|folder| fs::create_dir(card.join(folder)).unwrap());
        };
        card("enp3s0", "1", &["device", "statistics"]);
        card("wlp2s0", "1", &["device", "wireless", "phy80211"]);
        card("wlan1", "1", &["device", "phy80211"]);
        card("lo", "772", &[]);
        card("br0", "1", &["bridge"]);
        card("tun0", "65534", &[]);
        card("wwan0", "519", &["device"]);
        let kind = |name| kind_of(dir.path(), name);
        assert_eq!(kind("enp3s0"), Some(LinkKind::Cable));
        assert_eq!(kind("wlp2s0"), Some(LinkKind::WiFi));
        assert_eq!(kind("wlan1"), Some(LinkKind::WiFi));
        for unknown in ["lo", "br0", "tun0", "wwan0", "gone"] {
            assert_eq!(kind(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_stays_on_this_computer_has_no_kind() {
        for ip in own_addresses().into_iter().chain([Ipv4Addr::LOCALHOST.into()]) {
            assert_eq!(link_kind_to(SocketAddr::new(ip, 9)), None, "{ip}");
        }
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        assert_eq!(link_kind_to(SocketAddr::new(mapped.into(), 9)), None);
        // Another address of loopback is reached by its card, as others are by theirs.
        let other = SocketAddr::from(([127, 0, 0, 2], 9));
        assert!(interface_to(other).is_none_or(|name| name.starts_with("lo")));
    }
}
