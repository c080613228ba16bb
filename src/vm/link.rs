//! The link between a node and this machine, made by requests to the kernel (rtnetlink(7)): programs that were run for it were a tenth
//! of what a node's boot costs.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::net::if_::if_nametoindex;

use super::address::Network;

/// What a node calls its end.
const INSIDE: &str = "eth0";

/// Makes a pair of links: `name` is a port of `bridge` here, its other end is in the network namespace of a process.
pub fn connect(name: &str, bridge: &str, hardware: [u8; 6], process: u32) -> Result<()> {
    let mut peer = LinkMessage::default();
    peer.attributes =
        vec![LinkAttribute::IfName(INSIDE.to_owned()), LinkAttribute::Address(hardware.to_vec()), LinkAttribute::NetNsPid(process)];
    let mut link = LinkMessage::default();
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Controller(index(bridge)?),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)))]),
    ];
    Kernel::open()?.ask(RouteNetlinkMessage::NewLink(link), NEW)
}

/// Gives the namespace that we are in its loopback, and its end of the pair an address of `network` and the way out.
pub fn configure(address: Ipv4Addr, network: Network) -> Result<()> {
    let kernel = Kernel::open()?;
    kernel.up("lo")?;
    let inside = index(INSIDE)?;
    let mut own = AddressMessage::default();
    own.header.family = AddressFamily::Inet;
    own.header.prefix_len = network.prefix();
    own.header.index = inside;
    own.attributes = vec![AddressAttribute::Local(IpAddr::V4(address)), AddressAttribute::Address(IpAddr::V4(address))];
    kernel.ask(RouteNetlinkMessage::NewAddress(own), NEW).with_context(|| format!("the address {address}"))?;
    kernel.up(INSIDE)?;
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.table = MAIN_TABLE;
    route.header.protocol = RouteProtocol::Boot;
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(network.gateway())), RouteAttribute::Oif(inside)];
    kernel.ask(RouteNetlinkMessage::NewRoute(route), NEW).with_context(|| format!("the route by {}", network.gateway()))
}

/// RT_TABLE_MAIN of linux/rtnetlink.h.
const MAIN_TABLE: u8 = 254;

/// Bytes of struct nlmsghdr.
const HEADER: usize = 16;

/// Something that was not there before.
const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

fn index(name: &str) -> Result<u32> {
    if_nametoindex(name).with_context(|| format!("finding the link {name}"))
}

/// The kernel's ear in the network namespace that we are in.
struct Kernel(Socket);

impl Kernel {
    fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).context("opening a netlink socket")?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    fn up(&self, name: &str) -> Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index(name)?;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.ask(RouteNetlinkMessage::SetLink(link), 0).with_context(|| format!("setting {name} up"))
    }

    /// Asks for a change, and waits until it is done or refused.
    fn ask(&self, change: RouteNetlinkMessage, flags: u16) -> Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(change));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.0.send(&bytes, 0).context("asking the kernel")?;
        let (answer, _) = self.0.recv_from_full().context("reading the kernel's answer")?;
        // Behind the header an NLMSG_ERROR has the negated error number, 0 for none. Its type's own reader would bring the readers of all
        // messages that there are, half a megabyte.
        match answer.get(HEADER..).and_then(|error| error.first_chunk()).map(|error| i32::from_ne_bytes(*error)) {
            Some(0) => Ok(()),
            Some(error) => Err(std::io::Error::from_raw_os_error(-error).into()),
            None => bail!("the kernel's answer is cut"),
        }
    }
}
