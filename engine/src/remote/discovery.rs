//! Finding main PCs in the local network by mDNS. A hint only: many networks block it, anybody can
//! announce anything, and nobody is trusted for it. What is announced is the name, the port, the
//! fingerprint and the version; never a code.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use if_addrs::Interface;
use mdns_sd::{Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};

use super::text::printable_name;
use crate::{
    crew::DeviceId,
    error::{Error, ErrorKind, Result},
    protocol::VERSION,
    song::Wake,
};

/// What main PCs are listed under.
const SERVICE: &str = "_stemhive._udp.local.";

/// Key in the TXT record of the fingerprint: 16 hex digits.
const FINGERPRINT_KEY: &str = "fp";

/// Key in the TXT record of the protocol's version.
const VERSION_KEY: &str = "v";

/// Most main PCs that are listed.
const MAX_FOUND: usize = 32;

/// Most addresses that are listed of one.
const MAX_ADDRESSES: usize = 8;

/// Announces this main PC until it is dropped.
pub struct Announcement {
    daemon: ServiceDaemon,
}

impl Announcement {
    /// Announces `name`, which listens at UDP port `port`.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] when the system does not let us; the address can still be typed.
    pub fn start(name: &str, port: u16, device: DeviceId) -> Result<Self> {
        Self::on(ServiceDaemon::new().map_err(blocked)?, name, port, device)
    }

    fn on(daemon: ServiceDaemon, name: &str, port: u16, device: DeviceId) -> Result<Self> {
        // From here on dropping it ends the daemon.
        let announcement = Self { daemon };
        announcement.daemon.register(service(name, port, device)?).map_err(blocked)?;
        Ok(announcement)
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        shut_down(&self.daemon);
    }
}

/// A main PC that announces itself, or says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Name, to show.
    pub name: String,
    /// Where it may be, the best one first; 8 at most.
    pub addresses: Vec<IpAddr>,
    /// The UDP port there.
    pub port: u16,
    /// Its fingerprint as [`DeviceId::fingerprint`] writes it, so that one that is paired already is
    /// known again.
    pub fingerprint: String,
    /// Its [`VERSION`].
    pub version: u16,
}

/// Looks for main PCs until it is dropped.
pub struct Search {
    daemon: ServiceDaemon,
    found: Arc<Mutex<BTreeMap<String, Found>>>,
}

impl Search {
    /// Starts to look; `wake` is called from another thread whenever [`Self::found`] changed.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] when the system does not let us; the address can still be typed.
    pub fn start(wake: Wake) -> Result<Self> {
        Self::on(ServiceDaemon::new().map_err(blocked)?, wake)
    }

    fn on(daemon: ServiceDaemon, wake: Wake) -> Result<Self> {
        let search = Self { daemon, found: Arc::default() };
        let events = search.daemon.browse(SERVICE).map_err(blocked)?;
        let found = Arc::clone(&search.found);
        thread::Builder::new()
            .name("mDNS search".into())
            .spawn(move || listen(&events, &found, &wake))
            .map_err(blocked)?;
        Ok(search)
    }

    /// Those that are there now, by name; 32 at most.
    pub fn found(&self) -> Vec<Found> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = found.values().cloned().collect();
        found.sort_by(|a, b| (&a.name, &a.fingerprint).cmp(&(&b.name, &b.fingerprint)));
        found
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        // The thread ends with the daemon, which closes its channel.
        shut_down(&self.daemon);
    }
}

fn listen(events: &Receiver<ServiceEvent>, found: &Mutex<BTreeMap<String, Found>>, wake: &Wake) {
    while let Ok(event) = events.recv() {
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = match event {
            ServiceEvent::ServiceResolved(service) => match read(&service) {
                Some(new) if has_room(&found, &service.fullname) => {
                    found.insert(service.fullname.clone(), new.clone()) != Some(new)
                }
                _ => false,
            },
            ServiceEvent::ServiceRemoved(_, fullname) => found.remove(&fullname).is_some(),
            _ => false,
        };
        drop(found);
        if has_changed {
            wake();
        }
    }
}

fn has_room(found: &BTreeMap<String, Found>, fullname: &str) -> bool {
    found.len() < MAX_FOUND || found.contains_key(fullname)
}

/// What is announced.
fn service(name: &str, port: u16, device: DeviceId) -> Result<ServiceInfo> {
    let shown = printable_name(name);
    let shown = if shown.is_empty() { "Computer" } else { &shown };
    // A label of DNS has 63 bytes at most.
    let label = &shown[..shown.floor_char_boundary(63)];
    let fingerprint = device.fingerprint().replace(' ', "");
    let host = format!("stemhive-{}.local.", fingerprint.to_ascii_lowercase());
    let version = VERSION.to_string();
    let txt = [(FINGERPRINT_KEY, fingerprint.as_str()), (VERSION_KEY, version.as_str())];
    let service = ServiceInfo::new(SERVICE, label, &host, "", port, &txt[..]).map_err(blocked)?;
    Ok(service.enable_addr_auto())
}

/// What somebody else announced; none if it is not as [`service`] makes it.
fn read(service: &ResolvedService) -> Option<Found> {
    let label = service.fullname.strip_suffix(SERVICE)?.strip_suffix('.')?;
    // Dots and backslashes in a label are written with a backslash before them.
    let mut name = String::new();
    let mut letters = label.chars();
    while let Some(letter) = letters.next() {
        name.push(if letter == '\\' { letters.next()? } else { letter });
    }
    let name = printable_name(&name);
    let digits = service.get_property_val_str(FINGERPRINT_KEY)?;
    if digits.len() != 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.to_ascii_uppercase();
    let groups = [&digits[..4], &digits[4..8], &digits[8..12], &digits[12..]];
    let version = service.get_property_val_str(VERSION_KEY)?.parse().ok()?;
    let mut addresses: Vec<_> = service.addresses.iter().map(|ip| ip.to_ip_addr()).collect();
    // One of IPv6 that is good on one link only says nothing without naming the link.
    addresses.retain(|ip| !is_link_local_v6(ip) && !ip.is_unspecified() && !ip.is_multicast());
    addresses.sort_by_key(|ip| (rank(ip), *ip));
    addresses.truncate(MAX_ADDRESSES);
    if name.is_empty() || addresses.is_empty() || service.port == 0 {
        return None;
    }
    Some(Found { name, addresses, port: service.port, fingerprint: groups.join(" "), version })
}

/// This computer's addresses as others may reach it, the best one first: those of the local network
/// before others, real network cards before those of virtual machines and VPNs. Loopback and
/// link-local ones only if there is nothing else.
pub fn own_addresses() -> Vec<IpAddr> {
    best_first(if_addrs::get_if_addrs().unwrap_or_default())
}

fn best_first(mut interfaces: Vec<Interface>) -> Vec<IpAddr> {
    let is_virtual = |interface: &Interface| {
        const NAMES: [&str; 9] =
            ["docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "vEthernet", "tun", "wg"];
        interface.is_p2p() || NAMES.iter().any(|name| interface.name.starts_with(name))
    };
    interfaces.retain(|interface| !is_link_local_v6(&interface.ip()));
    interfaces
        .sort_by_key(|i| (i.is_loopback() || i.is_link_local(), is_virtual(i), rank(&i.ip())));
    let has_good = interfaces.iter().any(|i| !i.is_loopback() && !i.is_link_local());
    let mut addresses = Vec::new();
    for interface in interfaces {
        let is_last_resort = interface.is_loopback() || interface.is_link_local();
        let is_known = addresses.contains(&interface.ip());
        if !is_known && (!is_last_resort || !has_good) {
            addresses.push(interface.ip());
        }
    }
    addresses
}

/// Lower is likelier to be right.
fn rank(ip: &IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if ip.is_private() => 0,
        IpAddr::V4(ip) if ip.is_loopback() => 5,
        IpAddr::V4(ip) if ip.is_link_local() => 4,
        IpAddr::V4(_) => 1,
        IpAddr::V6(ip) if ip.is_loopback() => 6,
        IpAddr::V6(ip) if ip.is_unique_local() => 2,
        IpAddr::V6(_) => 3,
    }
}

fn is_link_local_v6(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn shut_down(daemon: &ServiceDaemon) {
    // It says goodbye to the network by itself; an error means that it is gone already.
    let _ = daemon.shutdown();
}

fn blocked(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Network, "This network cannot be searched for computers")
        .caused_by(error)
        .advice("Type the address of the main PC instead")
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, Ipv6Addr, UdpSocket},
        time::{Duration, Instant},
    };

    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr};
    use mdns_sd::IfKind;

    use super::*;

    fn announced(name: &str, address: &str) -> ResolvedService {
        let mut service = service(name, 47110, DeviceId([7; 32])).unwrap();
        for address in address.split(',').filter(|text| !text.is_empty()) {
            service = with_address(service, address.parse().unwrap());
        }
        service.as_resolved_service()
    }

    fn with_address(old: ServiceInfo, address: IpAddr) -> ServiceInfo {
        let label = old.get_fullname().strip_suffix(SERVICE).unwrap().trim_end_matches('.');
        let label = label.replace("\\.", ".").replace("\\\\", "\\");
        let txt: Vec<_> = old
            .get_properties()
            .iter()
            .map(|property| (property.key().to_owned(), property.val_str().to_owned()))
            .collect();
        let mut addresses: Vec<IpAddr> = old.get_addresses().iter().copied().collect();
        addresses.push(address);
        let host = old.get_hostname().to_owned();
        ServiceInfo::new(SERVICE, &label, &host, &addresses[..], old.get_port(), &txt[..]).unwrap()
    }

    #[test]
    fn what_is_announced_is_read_again() {
        let service = announced("Anna's PC. 2\\", "192.168.1.24,10.0.0.3,fd00::1,8.8.8.8,fe80::1");
        let found = read(&service).unwrap();
        assert_eq!(found.name, "Anna's PC. 2\\");
        let addresses = ["10.0.0.3", "192.168.1.24", "8.8.8.8", "fd00::1"];
        assert_eq!(found.addresses, addresses.map(|a| a.parse::<IpAddr>().unwrap()));
        assert_eq!((found.port, found.version), (47110, VERSION));
        assert_eq!(found.fingerprint, DeviceId([7; 32]).fingerprint());
        let keys: Vec<_> = service.txt_properties.iter().map(|p| p.key().to_owned()).collect();
        assert_eq!(keys, ["fp", "v"], "nothing else is told to everybody");
    }

    #[test]
    fn names_are_made_harmless_both_ways() {
        let long = "夜の列車".repeat(30);
        let found = read(&announced(&long, "10.0.0.3")).unwrap();
        assert!(long.starts_with(&found.name) && found.name.len() <= 63);
        assert_eq!(read(&announced("", "10.0.0.3")).unwrap().name, "Computer");

        let mut service = announced("x", "10.0.0.3");
        service.fullname = format!("\u{1b}[2J\u{202e}Anna\u{200b}.{SERVICE}");
        assert_eq!(read(&service).unwrap().name, "[2JAnna");
        for name in ["\u{200b}\u{7}", "", "Anna\\"] {
            service.fullname = format!("{name}.{SERVICE}");
            assert_eq!(read(&service), None, "{name:?}");
        }
        service.fullname = "Anna._other._udp.local.".into();
        assert_eq!(read(&service), None);
    }

    #[test]
    fn what_is_not_as_we_announce_it_is_left_out() {
        assert_eq!(read(&announced("Anna", "fe80::1")), None);
        assert_eq!(read(&announced("Anna", "")), None);
        let with = |port: u16, txt: &[(&str, &str)]| {
            let info = ServiceInfo::new(SERVICE, "A", "a.local.", "10.0.0.3", port, txt).unwrap();
            read(&info.as_resolved_service())
        };
        let good = [("fp", "0123456789abcdef"), ("v", "1")];
        assert_eq!(with(1, &good).unwrap().fingerprint, "0123 4567 89AB CDEF");
        assert_eq!(with(0, &good), None);
        for fingerprint in ["", "0123", "0123456789abcdeg", "0123456789abcdef0", "äöüäöüäö"]
        {
            assert_eq!(with(1, &[("fp", fingerprint), ("v", "1")]), None);
        }
        for version in ["", "-1", "one", "70000"] {
            assert_eq!(with(1, &[good[0], ("v", version)]), None);
        }
        assert_eq!(with(1, &good[..1]), None);
        let many: Vec<_> = (0..40).map(|n| format!("10.0.0.{n}")).collect();
        let found = read(&announced("Anna", &many.join(","))).unwrap();
        assert_eq!(found.addresses.len(), MAX_ADDRESSES);
    }

    fn interface(name: &str, ip: &str) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr {
                ip,
                netmask: Ipv4Addr::UNSPECIFIED,
                prefixlen: 0,
                broadcast: None,
            }),
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr {
                ip,
                netmask: Ipv6Addr::UNSPECIFIED,
                prefixlen: 0,
                broadcast: None,
            }),
        };
        let name = name.to_owned();
        let oper_status = IfOperStatus::Up;
        Interface { name, addr, index: None, oper_status, is_p2p: false }
    }

    #[test]
    fn the_best_address_comes_first() {
        let best = |list: &[(&str, &str)]| {
            let list = list.iter().map(|(name, ip)| interface(name, ip)).collect();
            best_first(list).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let all = [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("docker0", "172.17.0.1"),
            ("eth0", "2001:db8::1"),
            ("eth0", "fd00::1"),
            ("eth0", "fe80::1"),
            ("eth1", "169.254.3.4"),
            ("ppp0", "203.0.113.9"),
            ("wlan0", "192.168.1.24"),
            ("wlan0", "192.168.1.24"),
        ];
        let order = ["192.168.1.24", "203.0.113.9", "fd00::1", "2001:db8::1", "172.17.0.1"];
        assert_eq!(best(&all), order);
        let poor = [("lo", "127.0.0.1"), ("eth1", "169.254.3.4"), ("eth0", "fe80::1")];
        assert_eq!(best(&poor), ["169.254.3.4", "127.0.0.1"]);
        assert_eq!(best(&[]), [""; 0]);
        assert!(own_addresses().iter().all(|ip| !ip.is_unspecified()));
    }

    /// On loopback alone, and at a port of its own, so that no network hears of it. Many machines
    /// that run tests have no multicast there; then this says so and checks nothing.
    #[test]
    fn main_pcs_are_found_where_the_network_lets_them() {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let daemon = || -> mdns_sd::Result<ServiceDaemon> {
            let daemon = ServiceDaemon::new_with_port(port)?;
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(IfKind::LoopbackV4)?;
            Ok(daemon)
        };
        let device = DeviceId([9; 32]);
        let other = DeviceId([7; 32]);
        let (Ok(first), Ok(second), Ok(there)) = (daemon(), daemon(), daemon()) else {
            eprintln!("SKIPPED: no mDNS on this machine");
            return;
        };
        let studio = Announcement::on(first, "Studio", 47111, other).unwrap();
        let anna = Announcement::on(second, "Anna-Desktop", 47110, device).unwrap();
        let search = Search::on(there, Arc::new(|| {})).unwrap();
        let start = Instant::now();
        while search.found().len() < 2 && start.elapsed() < Duration::from_secs(4) {
            thread::sleep(Duration::from_millis(20));
        }
        let found = search.found();
        if found.is_empty() {
            eprintln!("SKIPPED: multicast does not come back on this machine");
            return;
        }
        // One of them alone is what a slow machine has by now; it is as it should be, too.
        let known = [("Anna-Desktop", 47110, device), ("Studio", 47111, other)];
        for found in &found {
            let is_it = |(name, port, device): &&(&str, u16, DeviceId)| {
                (*name, *port, device.fingerprint())
                    == (found.name.as_str(), found.port, found.fingerprint.clone())
            };
            assert!(known.iter().any(|main| is_it(&main)), "{found:?}");
        }
        assert!(found.is_sorted_by(|a, b| a.name < b.name), "listed by name, each once: {found:?}");
        drop((studio, anna));
    }
}
