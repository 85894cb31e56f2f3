//! Tickets as text: what is written is read again, a typo is noticed, and nothing breaks the reader.

use std::net::{IpAddr, SocketAddr};

use engine::{
    ErrorKind,
    crew::DeviceId,
    remote::{MAX_TICKET_ADDRESSES, Ticket},
};
use proptest::prelude::*;

fn addresses(most: usize) -> impl Strategy<Value = Vec<SocketAddr>> {
    let address = (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from);
    prop::collection::vec(address, 1..=most)
}

fn tickets(most_addresses: usize) -> impl Strategy<Value = Ticket> {
    let parts = (addresses(most_addresses), any::<[u8; 32]>(), any::<[u8; 16]>());
    parts.prop_map(|(addresses, key, secret)| Ticket { addresses, device: DeviceId(key), secret })
}

fn kind(text: &str) -> ErrorKind {
    let error = text.parse::<Ticket>().expect_err("it is no ticket");
    assert!(error.advice.is_some(), "{error}");
    error.kind
}

#[test]
fn the_text_stays_as_it_is() {
    let ticket = Ticket {
        addresses: vec!["192.168.1.24:47110".parse().unwrap(), "[fd00::7]:47110".parse().unwrap()],
        device: DeviceId([7; 32]),
        secret: [9; 16],
    };
    // Other versions of the program must read it; what changes it changes the version in it.
    let text = ticket.to_string();
    assert_eq!(
        text,
        "stemhive1-aiambkabdcdpaaqb7uaaaaaaaaaaaaaaaaaaaaaaa6dpaaqha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4eqscijbeeqscijbeeqscijbeetkxevga"
    );
    assert_eq!(text.parse::<Ticket>().unwrap(), ticket);
    let shown = format!("{ticket:?}");
    assert!(!shown.contains("9, 9") && shown.contains(&ticket.device.fingerprint()), "{shown}");
}

#[test]
fn what_is_wrong_is_told_apart() {
    for text in ["", " ", "-", "hello", "stemhive", "stemhive1", "stemhivex-aa", "http://x-y"] {
        assert_eq!(kind(text), ErrorKind::Invalid, "{text}");
    }
    assert_eq!(kind(&"stemhive1-a".repeat(1000)), ErrorKind::Invalid);
    assert_eq!(kind("stemhive2-aaaa"), ErrorKind::Unsupported);
    for text in
        ["stemhive1-", "stemhive1-a", "stemhive1-aaaaaaaaaa", "stemhive1-a b", "stemhive1-ä"]
    {
        assert_eq!(kind(text), ErrorKind::Damaged, "{text}");
    }
    let nowhere = Ticket { addresses: vec![], device: DeviceId([7; 32]), secret: [9; 16] };
    assert_eq!(kind(&nowhere.to_string()), ErrorKind::Damaged);
}

proptest! {
    #[test]
    fn a_ticket_is_one_short_line_and_reads_itself(ticket in tickets(MAX_TICKET_ADDRESSES)) {
        let text = ticket.to_string();
        prop_assert!(text.len() <= 400 && text.starts_with("stemhive1-"));
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        prop_assert_eq!(&text.parse::<Ticket>().unwrap(), &ticket);
        let shouted = format!(" {}\r\n", text.to_uppercase());
        prop_assert_eq!(&shouted.parse::<Ticket>().unwrap(), &ticket);
    }

    #[test]
    fn of_many_addresses_the_first_are_kept(ticket in tickets(20)) {
        let read: Ticket = ticket.to_string().parse().unwrap();
        let kept = ticket.addresses.len().min(MAX_TICKET_ADDRESSES);
        prop_assert_eq!(&read.addresses[..], &ticket.addresses[..kept]);
    }

    #[test]
    fn a_typo_is_a_typo(ticket in tickets(3), at: prop::sample::Index, other in "[a-z2-7]") {
        let text = ticket.to_string();
        let start = "stemhive1-".len();
        let at = start + at.index(text.len() - start);
        let typo = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        prop_assume!(typo != text);
        prop_assert_eq!(kind(&typo), ErrorKind::Damaged);
        let twisted = format!("{}{}{}", &text[..at], &text[at + 1..], &text[at..=at]);
        if twisted != text {
            prop_assert_eq!(kind(&twisted), ErrorKind::Damaged);
        }
    }

    #[test]
    fn a_ticket_cut_short_or_grown_is_no_ticket(ticket in tickets(3), cut: prop::sample::Index) {
        let text = ticket.to_string();
        let cut = &text[..cut.index(text.len())];
        let is_told = matches!(kind(cut), ErrorKind::Damaged | ErrorKind::Invalid);
        prop_assert!(is_told);
        prop_assert_eq!(kind(&format!("{text}a")), ErrorKind::Damaged);
        prop_assert_eq!(kind(&format!("{text}{text}")), ErrorKind::Damaged);
    }
}
