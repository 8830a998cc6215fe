// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a packet costs: over a cable, and through a device that executes rules on it, next to what
//! the kernel does without EKHO.
//!
//! ```text
//!   namespace "a"                 this one                 namespace "b"
//!   +-----------+        +-------------------------+        +-----------+
//!   | sender  p ==========  in  ── redirect ──> out  ========== p  receiver |
//!   +-----------+        +-------------------------+        +-----------+
//! ```
//!
//! `═` are cables of EKHO, or pairs of veth; without a device between them, one joins a and b.
//! Figures are named `packet/way-kind`: instructions of a packet from one socket to the other,
//! the system call that sends it included, and the one that receives it not (but of TCP).

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use ekho::kernel::netlink::device;
use nix::sched::{setns, CloneFlags};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use crate::figures::{Figures, PROFILE, ROUNDS, WARM_UP};
use crate::kernel::{self, Attached};
use crate::netlink::{self, Connection, Prefixes};
use crate::profile;

/// Packets of a round: fewer than a receive ring has room for, and a socket.
const PACKETS: usize = 100;

/// Bytes of a socket for them, with what the kernel adds to each.
const ROOM: usize = 1 << 20;

/// Bytes of the Ethernet header, of IPv4's and of UDP's.
const ETHERNET: usize = 14;
const UDP_HEADERS: usize = 28;

/// Bytes of a TCP segment in 1 500 bytes, with the timestamps that each has.
const SEGMENT: usize = 1_448;

/// Segments that are sent without an answer: TCP's initial window.
const WINDOW: usize = 10;

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";

/// Rules that aren't hit, in the tables in which lookups are measured.
pub const FEW: u32 = 1_000;
pub const MANY: u32 = 100_000;

/// By how many masks they are looked up, with that of the rule that is hit.
pub const MASKS: u32 = 8;
pub const MORE_MASKS: u32 = 64;

/// Room for what the kernel does later to be done.
const SETTLE: Duration = Duration::from_millis(50);

/// What joins interfaces, and executes rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum With {
    Ekho,
    Veth,
}

impl With {
    fn name(self) -> &'static str {
        match self {
            Self::Ekho => "ekho",
            Self::Veth => "veth",
        }
    }
}

/// Runs lines of shell.
fn shell(source: &Path, script: &str) -> Result<()> {
    let tools = source.join("userspace/target/release");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-euc", script])
        .env("PATH", format!("{}:{path}", tools.display()))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{script}`: {said}");
    Ok(())
}

/// Does something in a network namespace with a name; sockets stay there.
fn within<T: Send>(namespace: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = File::open(format!("/run/netns/{namespace}"))?;
    thread::scope(|scope| {
        let run = || {
            setns(file, CloneFlags::CLONE_NEWNET).context("enter a network namespace")?;
            work()
        };
        scope.spawn(run).join().expect("no panic")
    })
}

/// Namespaces a and b, each with an interface that leads towards the other.
struct Hosts<'a>(&'a Path);

impl<'a> Hosts<'a> {
    /// Makes them; `join` makes an interface `p` in each, with the script's variables `$a` and `$b`
    /// for the options of a link.
    fn new(source: &'a Path, join: &str) -> Result<Self> {
        let hosts = Self(source);
        // No traffic but what is measured: no IPv6, no address to be resolved.
        let script = format!(
            "for n in a b; do
                ip netns add $n
                ip netns exec $n sysctl -qw net.ipv6.conf.all.disable_ipv6=1 \
                    net.ipv6.conf.default.disable_ipv6=1
            done
            a='address 02:00:00:00:00:0a' b='address 02:00:00:00:00:0b'
            {join}
            ip -n a addr add {A}/24 dev p
            ip -n b addr add {B}/24 dev p
            ip -n a link set p up
            ip -n b link set p up
            ip -n a neigh add {B} lladdr 02:00:00:00:00:0b dev p
            ip -n b neigh add {A} lladdr 02:00:00:00:00:0a dev p"
        );
        shell(source, &script)?;
        Ok(hosts)
    }

    /// Hosts on both sides of a device, or of two interfaces.
    fn around(source: &'a Path, with: With) -> Result<Self> {
        let [first, second] = INTERFACES;
        let join = match with {
            With::Ekho => format!(
                "ekho-fw device add nic0 --ports 2
                ip link set nic0p0 name {first}
                ip link set nic0p1 name {second}
                ip -n a link add p $a type ekho
                ip -n b link add p $b type ekho
                ekho-fw cable connect p@a {first}
                ekho-fw cable connect p@b {second}"
            ),
            With::Veth => format!(
                "ip link add {first} type veth peer name p $a netns a
                ip link add {second} type veth peer name p $b netns b"
            ),
        };
        let quiet = format!(
            "{join}
            for i in {first} {second}; do
                sysctl -qw net.ipv6.conf.$i.disable_ipv6=1
                ip link set $i up
            done"
        );
        Self::new(source, &quiet)
    }

    fn set_offloads(&self, on: bool) -> Result<()> {
        let to = if on { "on" } else { "off" };
        let script =
            format!("for n in a b; do ip netns exec $n ethtool -K p tso {to} gso {to}; done");
        shell(self.0, &script)
    }

    fn remove(self) -> Result<()> {
        shell(self.0, "ip netns del a; ip netns del b")?;
        // Their interfaces go later.
        sleep(10 * SETTLE);
        Ok(())
    }
}

/// A round of packets, each of which must arrive.
struct Udp {
    from: UdpSocket,
    to: UdpSocket,
    payload: Vec<u8>,
}

impl Udp {
    /// With frames of so many bytes, or one more header than a frame of 1 500 has.
    fn new(payload: usize) -> Result<Self> {
        let to = within("b", || {
            let to = UdpSocket::bind((B, 7))?;
            to.set_nonblocking(true)?;
            // For all packets of a round.
            setsockopt(&to, RcvBufForce, &ROOM)?;
            Ok(to)
        })?;
        let from = within("a", || {
            let from = UdpSocket::bind((A, 0))?;
            from.connect((B, 7))?;
            Ok(from)
        })?;
        let payload = vec![0; payload];
        Ok(Self { from, to, payload })
    }

    /// Nanoseconds of each.
    fn round(&self) -> Result<f64> {
        sleep(SETTLE);
        let start = Instant::now();
        self.send()?;
        let time = start.elapsed();
        self.receive()?;
        Ok(time.as_nanos() as f64 / PACKETS as f64)
    }

    fn send(&self) -> Result<()> {
        for _ in 0..PACKETS {
            self.from.send(&self.payload)?;
        }
        Ok(())
    }

    fn receive(&self) -> Result<()> {
        let mut room = vec![0; self.payload.len()];
        let mut arrived = 0;
        loop {
            match self.to.recv(&mut room) {
                Ok(n) => {
                    ensure!(n == self.payload.len(), "a packet of {n} bytes arrived");
                    arrived += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        ensure!(
            arrived == PACKETS,
            "{arrived} of {PACKETS} packets had arrived when they were sent"
        );
        Ok(())
    }
}

/// A connection, of which each write is a packet, or ten.
struct Tcp {
    from: TcpStream,
    to: TcpStream,
    chunk: Vec<u8>,
    /// Packets of a chunk.
    packets: usize,
}

impl Tcp {
    fn new(payload: usize, packets: usize) -> Result<Self> {
        let listener = within("b", || Ok(TcpListener::bind((B, 7))?))?;
        let from = within("a", || Ok(TcpStream::connect((B, 7))?))?;
        let (to, _) = listener.accept()?;
        from.set_nodelay(true)?;
        to.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self {
            from,
            to,
            chunk: vec![0; payload * packets],
            packets,
        })
    }

    /// Nanoseconds of each packet, those that confirm it included, and the system call that receives
    /// it.
    fn round(&mut self) -> Result<f64> {
        sleep(SETTLE);
        let mut room = vec![0; self.chunk.len()];
        let start = Instant::now();
        for _ in 0..PACKETS / self.packets {
            self.from.write_all(&self.chunk)?;
            self.to.read_exact(&mut room)?;
        }
        Ok(start.elapsed().as_nanos() as f64 / PACKETS as f64)
    }
}

/// What is measured, into figures.
pub struct Packets<'a> {
    pub source: &'a Path,
    pub figures: &'a mut Figures,
    pub connection: &'a mut Connection,
}

impl Packets<'_> {
    fn rounds(&mut self, name: &str, mut round: impl FnMut() -> Result<f64>) -> Result<()> {
        for n in 0..WARM_UP + ROUNDS {
            let sample = round().with_context(|| name.to_owned())?;
            if n >= WARM_UP {
                self.figures.push(name, sample);
            }
        }
        Ok(())
    }

    fn small_udp(&mut self, way: &str) -> Result<()> {
        let udp = Udp::new(64 - ETHERNET - UDP_HEADERS)?;
        self.rounds(&format!("packet/{way}-udp64"), || udp.round())
    }

    /// `profile` of small packets: the functions that the kernel is in most, in per cent of its time.
    fn profile(&mut self, way: &str) -> Result<()> {
        const ROUNDS: usize = 200;
        const MOST: usize = 60;
        let udp = Udp::new(64 - ETHERNET - UDP_HEADERS)?;
        let shares = profile::shares(|sampler| {
            for _ in 0..ROUNDS {
                udp.send()?;
                sampler.pause(|| udp.receive())?;
            }
            Ok(())
        })?;
        let mut shares: Vec<_> = shares.into_iter().collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (function, share) in shares.into_iter().take(MOST) {
            self.figures
                .push(&format!("{PROFILE}packet-{way}/{function}"), share * 100.0);
        }
        Ok(())
    }

    /// Of 64 and 1 500 bytes, with UDP and TCP.
    fn kinds(&mut self, hosts: &Hosts<'_>, way: &str) -> Result<()> {
        self.small_udp(way)?;
        self.profile(way)?;
        let udp = Udp::new(1_500 - UDP_HEADERS)?;
        self.rounds(&format!("packet/{way}-udp1500"), || udp.round())?;
        drop(udp);
        let mut tcp = Tcp::new(1, 1)?;
        self.rounds(&format!("packet/{way}-tcp64"), || tcp.round())?;
        // As frames on a wire: else both sides hand over as much as is written in one.
        hosts.set_offloads(false)?;
        let mut tcp = Tcp::new(SEGMENT, WINDOW)?;
        self.rounds(&format!("packet/{way}-tcp1500"), || tcp.round())?;
        hosts.set_offloads(true)
    }

    /// From one host to the other.
    fn cable(&mut self, with: With) -> Result<()> {
        let join = match with {
            With::Ekho => {
                "ip -n a link add p $a type ekho
                ip -n b link add p $b type ekho
                ekho-fw cable connect p@a p@b"
            }
            With::Veth => "ip link add p netns a $a type veth peer name p $b netns b",
        };
        let hosts = Hosts::new(self.source, join)?;
        self.kinds(&hosts, &format!("cable-{}", with.name()))?;
        hosts.remove()
    }

    /// Through a device, or through two interfaces of which software redirects from one to the other.
    fn redirect(&mut self, with: With) -> Result<()> {
        let hosts = Hosts::around(self.source, with)?;
        let firmware = match with {
            With::Ekho => Some(Attached::new(
                self.source,
                "nic",
                device::ifindex(INTERFACES[0])?,
            )?),
            With::Veth => None,
        };
        let skip = match with {
            With::Ekho => "skip_sw",
            With::Veth => "skip_hw",
        };
        for (interface, other, address) in [
            (INTERFACES[0], INTERFACES[1], B),
            (INTERFACES[1], INTERFACES[0], A),
        ] {
            let ifindex = device::ifindex(interface)?;
            kernel::take_filters(self.connection, ifindex)?;
            let script = format!(
                "tc filter add dev {interface} ingress protocol ip pref 2 handle 1 flower {skip} \
                dst_ip {address} action mirred egress redirect dev {other}"
            );
            shell(self.source, &script)?;
        }
        // A carrier comes a little later.
        sleep(20 * SETTLE);
        self.kinds(&hosts, &format!("redirect-{}", with.name()))?;
        if with == With::Ekho {
            self.lookups()?;
        }
        drop(firmware);
        hosts.remove()?;
        let remove = match with {
            With::Ekho => "ekho-fw device del nic0",
            // They have gone with their peers.
            With::Veth => "true",
        };
        shell(self.source, remove)
    }

    /// Behind rules that aren't hit: few and many of some masks, and few of many masks.
    fn lookups(&mut self) -> Result<()> {
        let ifindex = device::ifindex(INTERFACES[0])?;
        let mut there = 0;
        for (rules, masks) in [(FEW, MASKS), (MANY, MASKS)] {
            self.fill(ifindex, there + 1..=rules, masks - 1)?;
            there = rules;
            self.small_udp(&format!("lookup@{rules}x{masks}"))?;
        }
        self.connection
            .send(&netlink::delete_filters(ifindex, FILL))?;
        self.fill(ifindex, 1..=FEW, MORE_MASKS - 1)?;
        self.small_udp(&format!("lookup@{FEW}x{MORE_MASKS}"))?;
        self.connection
            .send(&netlink::delete_filters(ifindex, FILL))
    }

    fn fill(
        &mut self,
        ifindex: u32,
        rules: std::ops::RangeInclusive<u32>,
        masks: u32,
    ) -> Result<()> {
        for rule in rules {
            let prefixes = Prefixes::nth(rule % masks);
            self.connection
                .send(&netlink::add_prefix_filter(ifindex, FILL, rule, prefixes))
                .with_context(|| format!("add rule {rule}"))?;
        }
        Ok(())
    }

    /// Measures all of it. The module is loaded.
    pub fn measure(&mut self) -> Result<()> {
        for with in [With::Veth, With::Ekho] {
            self.cable(with)?;
            self.redirect(with)?;
        }
        Ok(())
    }
}

/// Those of the device in the middle.
const INTERFACES: [&str; 2] = ["in", "out"];

/// The preference of rules that aren't hit, before that of the one that is.
const FILL: u16 = 1;
