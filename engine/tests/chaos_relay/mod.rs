//! A UDP relay that treats packets badly: loses, delays (and so reorders), duplicates and corrupts
//! them, or swallows all. What happens to the n-th packet depends on the seed only. And a main PC and
//! a worker with such a relay between them.
#![allow(dead_code, unreachable_pub, reason = "every test program uses some of it")]

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use engine::model::Separator;

use super::remote_rig::{Main, Shop, Worker};

/// What a narrow link's buffer holds.
const LONGEST_QUEUE: Duration = Duration::from_millis(100);

/// What happens to packets, as shares 0.0..=1.0.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chaos {
    pub lost: f64,
    pub duplicated: f64,
    pub corrupted: f64,
    /// Everything is lost.
    pub black_hole: bool,
    /// Least and most time on the way, one way.
    pub delay_ms: (u64, u64),
    /// What each way carries; more waits for its turn, and what would wait for long is lost.
    pub bytes_per_sec: Option<f64>,
}

/// Relays between one worker at a time and a main PC until it is dropped.
pub struct Relay {
    pub address: SocketAddr,
    chaos: Arc<Mutex<Chaos>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub fn start(main: SocketAddr, seed: u64, chaos: Chaos) -> Self {
        let front = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let back = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        front.set_nonblocking(true).unwrap();
        back.set_nonblocking(true).unwrap();
        let address = front.local_addr().unwrap();
        let chaos = Arc::new(Mutex::new(chaos));
        let stop = Arc::new(AtomicBool::new(false));
        let pump = Pump {
            front,
            back,
            main,
            worker: None,
            random: seed,
            count: 0,
            on_the_way: BinaryHeap::new(),
            free_at: [Instant::now(); 2],
        };
        let thread = std::thread::spawn({
            let (chaos, stop) = (Arc::clone(&chaos), Arc::clone(&stop));
            move || pump.run(&chaos, &stop)
        });
        Self { address, chaos, stop, thread: Some(thread) }
    }

    pub fn set(&self, chaos: Chaos) {
        *self.chaos.lock().unwrap() = chaos;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A packet on its way: when it is due, its number, whether to the main PC, and what it holds.
type Packet = Reverse<(Instant, u64, bool, Vec<u8>)>;

struct Pump {
    front: UdpSocket,
    back: UdpSocket,
    main: SocketAddr,
    worker: Option<SocketAddr>,
    random: u64,
    count: u64,
    on_the_way: BinaryHeap<Packet>,
    /// When each way, to the worker and to the main PC, has carried all it was given.
    free_at: [Instant; 2],
}

impl Pump {
    fn run(mut self, chaos: &Mutex<Chaos>, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            let chaos = *chaos.lock().unwrap();
            let taken = self.take(chaos, true) | self.take(chaos, false);
            let sent = self.send_due();
            if !taken && !sent {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
    }

    fn take(&mut self, chaos: Chaos, to_main: bool) -> bool {
        let mut packet = vec![0; 65_536];
        let socket = if to_main { &self.front } else { &self.back };
        match socket.recv_from(&mut packet) {
            Ok((bytes, from)) => {
                packet.truncate(bytes);
                if to_main {
                    self.worker = Some(from);
                }
                self.treat(chaos, to_main, packet);
                true
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            // The other end is gone for now.
            Err(_) => false,
        }
    }

    fn treat(&mut self, chaos: Chaos, to_main: bool, mut packet: Vec<u8>) {
        let dice = [(); 4].map(|()| self.share());
        if chaos.black_hole || dice[0] < chaos.lost {
            return;
        }
        if dice[1] < chaos.corrupted && !packet.is_empty() {
            let at = (dice[2] * packet.len() as f64) as usize;
            packet[at] ^= 0x10;
        }
        let copies = if dice[3] < chaos.duplicated { 2 } else { 1 };
        for _ in 0..copies {
            let Some(carried) = self.carry(chaos, to_main, packet.len()) else { return };
            let (least, most) = chaos.delay_ms;
            let delay = least as f64 + self.share() * (most - least) as f64;
            let due = carried + Duration::from_secs_f64(delay / 1000.0);
            self.count += 1;
            self.on_the_way.push(Reverse((due, self.count, to_main, packet.clone())));
        }
    }

    /// When a packet has left the link's narrow place.
    fn carry(&mut self, chaos: Chaos, to_main: bool, bytes: usize) -> Option<Instant> {
        let now = Instant::now();
        let Some(bytes_per_sec) = chaos.bytes_per_sec else { return Some(now) };
        let free_at = &mut self.free_at[usize::from(to_main)];
        let starts = (*free_at).max(now);
        if starts - now > LONGEST_QUEUE {
            return None;
        }
        *free_at = starts + Duration::from_secs_f64(bytes as f64 / bytes_per_sec);
        Some(*free_at)
    }

    fn send_due(&mut self) -> bool {
        let mut has_sent = false;
        while self.on_the_way.peek().is_some_and(|Reverse(next)| next.0 <= Instant::now()) {
            let Some(Reverse((_, _, to_main, packet))) = self.on_the_way.pop() else { break };
            // What does not fit into a buffer is lost, as on any network.
            let _ = match (to_main, self.worker) {
                (true, _) => self.back.send_to(&packet, self.main),
                (false, Some(worker)) => self.front.send_to(&packet, worker),
                (false, None) => Ok(0),
            };
            has_sent = true;
        }
        has_sent
    }

    /// SplitMix64 (Steele, Lea and Flood 2014), as 0.0..1.0.
    fn share(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A main PC and a worker with a relay in between, and what they compute with.
pub fn apart(
    here: &Arc<dyn Separator>,
    there: Arc<dyn Separator>,
    chaos: Chaos,
) -> (Main, Worker, Relay) {
    let mut worker = Worker::new("Spare", Shop::new(vec![there]));
    let mut main = Main::with(vec![Arc::clone(here)], &[]);
    main.close();
    main.pair(&worker);
    main.open();
    let relay = Relay::start(main.address(), 1, chaos);
    worker.pair_at(&main, relay.address);
    worker.start();
    (main, worker, relay)
}
