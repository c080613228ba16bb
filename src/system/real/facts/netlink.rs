//! Addresses and routes as the kernel knows them: rtnetlink(7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::os::fd::AsRawFd;

const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
const GET_ADDRESS: u16 = 22;
const NEW_ADDRESS: u16 = 20;
const GET_ROUTE: u16 = 26;
const NEW_ROUTE: u16 = 24;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// An address of an interface.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// The interface's number.
    pub index: u32,
    pub own: IpAddr,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    pub broadcast: Option<IpAddr>,
    pub prefix: u8,
    /// rtnetlink's number: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// `eth0`, or an alias: `eth0:1`. IPv4 only.
    pub label: Option<String>,
    /// A further IPv4 address of the same network, or a temporary IPv6 one.
    pub secondary: bool,
}

/// Where packets to somewhere go.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    pub index: Option<u32>,
    pub gateway: Option<IpAddr>,
    pub source: Option<IpAddr>,
}

/// Every address of every interface, in the kernel's order.
pub(super) fn addresses() -> Vec<Address> {
    [AddressFamily::Inet, AddressFamily::Inet6]
        .into_iter()
        .flat_map(|family| {
            // struct ifaddrmsg: family, prefix, flags, scope, index.
            let body = [family as u8, 0, 0, 0, 0, 0, 0, 0];
            ask(GET_ADDRESS, DUMP, &body).unwrap_or_default()
        })
        .filter(|message| message.kind == NEW_ADDRESS)
        .filter_map(|message| address(&message.body))
        .collect()
}

fn address(body: &[u8]) -> Option<Address> {
    let head = body.get(..8)?;
    let attributes = Attributes(body.get(8..)?);
    let flags = attributes.get(8).and_then(number).unwrap_or(u32::from(head[2]));
    let (local, other) = (attributes.get(2).and_then(ip), attributes.get(1).and_then(ip));
    let own = local.or(other)?;
    Some(Address {
        index: number(&head[4..8])?,
        own,
        peer: other.filter(|other| *other != own),
        broadcast: attributes.get(4).and_then(ip),
        prefix: head[1],
        scope: head[3],
        label: attributes.get(3).map(|bytes| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()),
        secondary: flags & 1 != 0,
    })
}

/// The route that packets to an address would take; `None` where there is none.
pub(super) fn route_to(address: IpAddr) -> Option<Route> {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    // struct rtmsg: family, destination length, source length, tos, table, protocol, scope, type, flags.
    let mut body = vec![family as u8, (bytes.len() * 8) as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    body.extend(((bytes.len() + 4) as u16).to_ne_bytes());
    body.extend(1u16.to_ne_bytes());
    body.extend(bytes);
    let message = ask(GET_ROUTE, 0, &body)?.into_iter().find(|message| message.kind == NEW_ROUTE)?;
    let attributes = Attributes(message.body.get(12..)?);
    Some(Route {
        index: attributes.get(4).and_then(number),
        gateway: attributes.get(5).and_then(ip),
        source: attributes.get(7).and_then(ip),
    })
}

/// Destinations that are this machine itself (the table `local`), with their prefix length.
pub(super) fn local_destinations(version_6: bool) -> Vec<(IpAddr, u8)> {
    const LOCAL_TABLE: u32 = 255;
    const LOCAL_TYPE: u8 = 2;
    const CLONED: u32 = 0x200;
    let family = if version_6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let body = [family as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let messages = ask(GET_ROUTE, DUMP, &body).unwrap_or_default();
    let destination = |message: &Message| {
        let head = message.body.get(..12)?;
        let attributes = Attributes(message.body.get(12..)?);
        let table = attributes.get(15).and_then(number).unwrap_or(u32::from(head[4]));
        let wanted = table == LOCAL_TABLE && head[7] == LOCAL_TYPE && number(&head[8..12])? & CLONED == 0;
        wanted.then(|| Some((attributes.get(1).and_then(ip)?, head[1])))?
    };
    messages.iter().filter(|message| message.kind == NEW_ROUTE).filter_map(destination).collect()
}

struct Message {
    kind: u16,
    body: Vec<u8>,
}

/// One request and all messages of its answer; `None` where the kernel refuses.
fn ask(kind: u16, flags: u16, body: &[u8]) -> Option<Vec<Message>> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute).ok()?;
    let mut request = Vec::with_capacity(16 + body.len());
    request.extend(((16 + body.len()) as u32).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend((REQUEST | flags).to_ne_bytes());
    request.extend([0u8; 8]);
    request.extend(body);
    send(socket.as_raw_fd(), &request, MsgFlags::empty()).ok()?;
    let mut messages = Vec::new();
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).ok().filter(|length| *length > 0)?;
        let mut rest = &buffer[..length];
        while let Some(head) = rest.get(..16) {
            let size = number(&head[..4])? as usize;
            let kind = u16::from_ne_bytes([head[4], head[5]]);
            match kind {
                DONE => return Some(messages),
                ERROR => return None,
                _ => messages.push(Message { kind, body: rest.get(16..size)?.to_vec() }),
            }
            rest = rest.get(aligned(size)..).unwrap_or_default();
        }
        if flags & DUMP == 0 {
            return Some(messages);
        }
    }
}

/// Attributes after a message's head: length, kind, value, each aligned to four bytes.
struct Attributes<'body>(&'body [u8]);

impl<'body> Attributes<'body> {
    fn get(&self, wanted: u16) -> Option<&'body [u8]> {
        let mut rest = self.0;
        while let Some(head) = rest.get(..4) {
            let length = u16::from_ne_bytes([head[0], head[1]]) as usize;
            let kind = u16::from_ne_bytes([head[2], head[3]]) & 0x3fff;
            if length < 4 {
                return None;
            }
            if kind == wanted {
                return rest.get(4..length);
            }
            rest = rest.get(aligned(length)..)?;
        }
        None
    }
}

fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        16 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))),
        _ => None,
    }
}
