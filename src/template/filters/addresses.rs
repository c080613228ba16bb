//! `ipaddr` and its kin of `ansible.utils`: internet addresses and hardware addresses as texts.

use super::super::arguments::{Bound, integer, text};
use super::super::evaluate::Context;
use super::super::{Error, Result};
use super::network::{Network, address_of, networks, number, of_number};
use super::{Filter, hardware};
use crate::program::Value;

/// Collections that have them; the second leads to the first.
pub const COLLECTIONS: &[&str] = &["ansible.utils", "ansible.netcommon"];

pub const FILTERS: &[Filter] = &[
    Filter::new("cidr_merge", &["action"], cidr_merge),
    Filter::new("hwaddr", &["query", "alias"], |_, input, bound| hardware::filter(&text(&input)?, &bound.text(0, "")?)),
    Filter::new("ipaddr", &["query", "version", "alias"], |_, input, bound| {
        let version = bound.some(1).map(integer).transpose()?.and_then(|version| u8::try_from(version).ok());
        addressed(&input, &bound.text(0, "")?, version.filter(|version| *version != 0))
    }),
    Filter::new("ipmath", &["amount!"], ipmath),
    Filter::new("ipsubnet", &["query", "index"], ipsubnet),
    Filter::new("ipv4", &["query"], |_, input, bound| addressed(&input, &bound.text(0, "")?, Some(4))),
    Filter::new("ipv6", &["query"], |_, input, bound| addressed(&input, &bound.text(0, "")?, Some(6))),
    Filter::new("ipwrap", &["query"], ipwrap),
    Filter::new("macaddr", &["query"], |_, input, bound| hardware::filter(&text(&input)?, &bound.text(0, "")?)),
    Filter::new("network_in_network", &["test!"], |_, input, bound| {
        let (outer, inner) = (normal(&text(&input)?), normal(&bound.text(0, "")?));
        Ok(within(whole(inner), whole(outer)).into())
    }),
    Filter::new("network_in_usable", &["test!"], |_, input, bound| {
        let (outer, inner) = (normal(&text(&input)?), normal(&bound.text(0, "")?));
        let usable = outer.map_or((0, 0), |outer| outer.usable().unwrap_or((outer.address, outer.address)));
        Ok(within(whole(inner), usable).into())
    }),
    Filter::new("next_nth_usable", &["offset!"], |_, input, bound| nth_usable(&input, integer(&bound.value(0, Value::Null))?)),
    Filter::new("nthhost", &["query"], nthhost),
    Filter::new("previous_nth_usable", &["offset!"], |_, input, bound| nth_usable(&input, -integer(&bound.value(0, Value::Null))?)),
    Filter::new("reduce_on_network", &["network!"], reduce_on_network),
    Filter::new("slaac", &["query"], slaac),
];

/// An address or network as it was given.
struct Given {
    network: Network,
    /// Whether it was written with its network's length.
    is_network: bool,
    /// As it is given back.
    text: String,
}

impl Given {
    fn read(value: &Value, version: Option<u8>) -> Option<Self> {
        let given = match value {
            Value::Text(text) => text.as_str().to_owned(),
            Value::Int(number) if *number != 0 => number.to_string(),
            _ => return None,
        };
        if !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_digit()) {
            let address = number(&given)?;
            let network = if version == Some(6) { Network::new(6, address, 128) } else { Network::of_number(address, None) }?;
            return Some(Self { network, is_network: false, text: network.to_string() });
        }
        if let Some(network) = Network::parse(&given) {
            return Some(Self { network, is_network: given.contains('/'), text: given });
        }
        let (address, prefix) = given.split_once('/')?;
        let network = Network::of_number(number(address)?, Some(u32::try_from(number(prefix)?).ok()?))?;
        Some(Self { network, is_network: true, text: network.to_string() })
    }
}

/// The filter that asks something of an address, or of each in a list.
fn addressed(input: &Value, query: &str, version: Option<u8>) -> Result<Value> {
    match input {
        Value::List(items) => {
            let answers = items.iter().map(|item| ask(item, query, version));
            let answers: Vec<Value> =
                answers.filter(|answer| answer.as_ref().is_ok_and(Value::is_truthy) || answer.is_err()).collect::<Result<_>>()?;
            Ok(Value::list(answers))
        }
        Value::Text(_) | Value::Int(_) | Value::Bool(_) => ask(input, query, version),
        other => Err(Error::failed(format!("expected an address, a number or a list of them, not '{}'", other.type_name()))),
    }
}

fn ask(value: &Value, query: &str, version: Option<u8>) -> Result<Value> {
    if matches!(value, Value::List(_)) {
        return addressed(value, query, version);
    }
    let Some(given) = Given::read(value, version) else { return Ok(false.into()) };
    if version.is_some_and(|version| given.network.version != version) {
        return Ok(false.into());
    }
    answer(&given, query)
}

const NONE: Value = Value::Null;

fn answer(given: &Given, query: &str) -> Result<Value> {
    let Given { network, is_network, text } = given;
    let (size_is_two, single) = (network.span() == 1, network.is_single());
    let address = || network.show(network.address);
    let with_prefix = || Value::text(network.to_string());
    let is_first = network.address == network.first();
    let given_back = |holds: bool| if holds { Value::text(text.as_str()) } else { NONE };
    // Where the address stands for a host, not for its network.
    let is_host = size_is_two || (!single && !is_first);
    let of_network = || if *is_network { Ok(network.usable()) } else { Err(Error::failed("Not a network address")) };
    Ok(match query {
        "" if *is_network => with_prefix(),
        "" => address().into(),
        "6to4" => return Ok(six_to_four(given)),
        "address" | "ip" if single || !is_first || network.broadcast().is_none() || network.version == 6 => address().into(),
        "address" | "ip" => NONE,
        "address/prefix" | "gateway" | "gw" | "host/prefix" | "hostnet" | "router" => {
            let is_edge = network.broadcast().is_some_and(|broadcast| is_first || network.address == broadcast);
            if is_edge { false.into() } else { with_prefix() }
        }
        "bool" => true.into(),
        "broadcast" => network.broadcast().map_or(NONE, |broadcast| network.show(broadcast).into()),
        "cidr" => with_prefix(),
        "first_usable" => match of_network()? {
            Some((first, _)) => of_number(first).into(),
            None => NONE,
        },
        "last_usable" => match of_network()? {
            Some((_, last)) => of_number(last).into(),
            None => NONE,
        },
        "range_usable" => match of_network()? {
            Some((first, last)) => format!("{}-{}", of_number(first), of_number(last)).into(),
            None => NONE,
        },
        "next_usable" | "previous_usable" => {
            let near = if query == "next_usable" { network.address.checked_add(1) } else { network.address.checked_sub(1) };
            match (of_network()?, near) {
                (Some((first, last)), Some(near)) if (first..=last).contains(&near) => of_number(near).into(),
                (Some(_), None) => return Err(Error::failed("there is no address before it")),
                _ => NONE,
            }
        }
        "host" if single || !is_first || network.broadcast().is_none() => with_prefix(),
        "host" => NONE,
        "hostmask" | "wildcard" => network.show(network.hostmask()).into(),
        "int" if *is_network => format!("{}/{}", network.address, network.prefix).into(),
        "int" => whole_number(network.address),
        "ip/prefix" if is_host => with_prefix(),
        "ip_netmask" if is_host => format!("{} {}", address(), network.show(network.netmask())).into(),
        "ip/prefix" | "ip_netmask" => NONE,
        "ipv4" => as_version_4(given),
        "ipv6" if network.version == 4 => {
            Network { version: 6, address: MAPPED | network.address, prefix: network.prefix + 96 }.to_string().into()
        }
        "ipv6" => text.as_str().into(),
        "link-local" => given_back(network.host().is_any_of(&["169.254.0.0/16", "fe80::/10"])),
        "lo" | "loopback" => given_back(network.host().is_any_of(&["127.0.0.0/8", "::1"])),
        "multicast" => given_back(network.is_multicast()),
        "unicast" => given_back(!network.is_multicast()),
        "net" if !single && is_first => with_prefix(),
        "net" => NONE,
        "netmask" => network.show(network.netmask()).into(),
        "network" | "network_id" => network.show(network.first()).into(),
        "network/prefix" | "subnet" => network.cidr().to_string().into(),
        "network_netmask" => format!("{} {}", network.show(network.first()), network.show(network.netmask())).into(),
        "network_wildcard" => format!("{} {}", network.show(network.first()), network.show(network.hostmask())).into(),
        "peer" => return peer(given),
        "prefix" => i64::from(network.prefix).into(),
        "private" => given_back(!network.host().is_global()),
        "public" => given_back(is_public(network)),
        "revdns" => reverse(network).into(),
        "size" => network.span().checked_add(1).map_or_else(|| SIZE_OF_ALL.into(), whole_number),
        "size_usable" => whole_number(match network.span() {
            0 => 0,
            1 => 2,
            span => span - 1,
        }),
        "type" => if single || !is_first { "address" } else { "network" }.into(),
        "version" => i64::from(network.version).into(),
        "wrap" if network.version == 4 => text.as_str().into(),
        "wrap" if *is_network => format!("[{}]/{}", address(), network.prefix).into(),
        "wrap" => format!("[{}]", address()).into(),
        other => return inside_or_at(given, other),
    })
}

/// 2^128, the addresses of `::/0`.
const SIZE_OF_ALL: &str = "340282366920938463463374607431768211456";

/// `::ffff:0:0`
const MAPPED: u128 = 0xffff_0000_0000;

/// A number; one that is too large for templates here as its digits.
fn whole_number(number: u128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::text(number.to_string()), Value::Int)
}

/// A query that is no word: a network that it may lie in, or an index into its own.
fn inside_or_at(given: &Given, query: &str) -> Result<Value> {
    let network = &given.network;
    let is_index = !query.is_empty() && query.bytes().all(|byte| byte.is_ascii_digit());
    if !is_index && let Some(outer) = Network::parse(query) {
        return Ok(if outer.contains(network) { given.text.as_str().into() } else { NONE });
    }
    if query.trim().parse::<f64>().is_err() {
        return Err(Error::failed(format!("unknown filter type: {query}")));
    }
    if network.is_single() {
        return Ok(if given.is_network { network.to_string() } else { network.show(network.address) }.into());
    }
    let Some(found) = query.trim().parse().ok().and_then(|index| nth(network, index)) else { return Ok(false.into()) };
    Ok(format!("{}/{}", network.show(found), network.prefix).into())
}

/// The address at an index; a negative one counts from the end.
fn nth(network: &Network, index: i128) -> Option<u128> {
    let offset = index.unsigned_abs();
    if index < 0 {
        return (offset - 1 <= network.span()).then(|| network.last() - (offset - 1));
    }
    (offset <= network.span()).then(|| network.first() + offset)
}

fn is_public(network: &Network) -> bool {
    let host = network.host();
    !host.is_multicast() && host.is_global() && !host.is_any_of(&["127.0.0.0/8", "::1"]) && !host.is_mask()
}

fn six_to_four(given: &Given) -> Value {
    let network = &given.network;
    let is_host = network.address != network.first();
    let is_six_to_four = || network.host().is_in("2002::/16");
    match network.version {
        4 if (network.is_single() || is_host) && (is_public(network) || !network.host().is_global()) => {
            let [a, b, c, d] = (network.address as u32).to_be_bytes();
            format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1/48").into()
        }
        6 if (!given.is_network || is_host) && is_six_to_four() => given.text.as_str().into(),
        _ => false.into(),
    }
}

fn as_version_4(given: &Given) -> Value {
    let network = &given.network;
    if network.version == 4 {
        return given.text.as_str().into();
    }
    let four = u128::from(u32::MAX);
    let address = if network.address <= four {
        Some(network.address)
    } else {
        network.address.checked_sub(MAPPED).filter(|address| *address <= four)
    };
    let prefix = network.prefix.checked_sub(96);
    let network = address.zip(prefix).and_then(|(address, prefix)| Network::new(4, address, prefix));
    network.map_or_else(|| false.into(), |network| network.to_string().into())
}

/// The other end of a line between two.
fn peer(given: &Given) -> Result<Value> {
    let network = &given.network;
    if !given.is_network {
        return Err(Error::failed("Not a network address"));
    }
    match (network.span(), network.address % 4) {
        (1, _) => Ok(of_number(network.address ^ 1).into()),
        (3, 0) => Err(Error::failed("Network address of /30 has no peer")),
        (3, 3) => Err(Error::failed("Broadcast address of /30 has no peer")),
        (3, _) => Ok(of_number(network.address ^ 3).into()),
        _ => Err(Error::failed("Not a point-to-point network")),
    }
}

/// The name whose record names the host.
fn reverse(network: &Network) -> String {
    if network.version == 4 {
        let [a, b, c, d] = (network.address as u32).to_be_bytes();
        return format!("{d}.{c}.{b}.{a}.in-addr.arpa.");
    }
    let digits: Vec<String> = format!("{:032x}", network.address).chars().rev().map(String::from).collect();
    format!("{}.ip6.arpa.", digits.join("."))
}

fn ipwrap(_: &Context, input: Value, bound: Bound) -> Result<Value> {
    let query = bound.text(0, "")?;
    let wrapped = |value: &Value| -> Result<Value> {
        let found = ask(value, &query, None)?;
        if found.is_truthy() { ask(&found, "wrap", None) } else { Ok(value.clone()) }
    };
    match &input {
        Value::List(items) => {
            let each = |item: &Value| {
                if ask(item, &query, None)?.is_truthy() { ask(item, "wrap", None) } else { Ok(item.clone()) }
            };
            Ok(items.iter().map(each).collect::<Result<Vec<_>>>().map_or(input.clone(), Value::list))
        }
        Value::Text(_) | Value::Bool(_) => Ok(wrapped(&input).unwrap_or(input)),
        other => Err(Error::failed(format!("expected an address or a list of them, not '{}'", other.type_name()))),
    }
}

/// The network of a text, without the host's bits, as filters of networks see it.
fn normal(text: &str) -> Option<Network> {
    Given::read(&text.into(), None).map(|given| given.network.cidr())
}

/// First and last address; what is no network counts as zero. Of two addresses the last is the first: netaddr has no broadcast there.
fn whole(network: Option<Network>) -> (u128, u128) {
    network.map_or((0, 0), |network| (network.first(), network.broadcast().unwrap_or(network.address)))
}

fn within(inner: (u128, u128), outer: (u128, u128)) -> bool {
    (outer.0..=outer.1).contains(&inner.0) && (outer.0..=outer.1).contains(&inner.1)
}

fn reduce_on_network(_: &Context, input: Value, bound: Bound) -> Result<Value> {
    let outer = whole(normal(&bound.text(0, "")?));
    let addresses = addresses(&input)?;
    let inside = addresses.into_iter().filter(|address| within(whole(normal(address)), outer));
    Ok(Value::list(inside.map(Value::text).collect::<Vec<_>>()))
}

/// A list of texts; a text is split at commas.
fn addresses(input: &Value) -> Result<Vec<String>> {
    match input {
        Value::List(items) => items.iter().map(text).collect(),
        Value::Text(text) => Ok(text.as_str().split(',').map(str::to_owned).collect()),
        other => Ok(vec![text(other)?]),
    }
}

fn ipmath(_: &Context, input: Value, bound: Bound) -> Result<Value> {
    let input = text(&input)?;
    let found =
        if input.contains('/') { Network::parse(&input).map(|network| (network.version, network.address)) } else { address_of(&input) };
    let Some((version, address)) = found else {
        return Err(Error::failed(format!("You must pass a valid IP address; {input} is invalid")));
    };
    let sum = address.checked_add_signed(integer(&bound.value(0, Value::Null))?.into());
    let sum =
        sum.and_then(|sum| Network::new(version, sum, 0)).ok_or_else(|| Error::failed("result outside valid IP address boundary!"))?;
    Ok(sum.show(sum.address).into())
}

fn nthhost(_: &Context, input: Value, bound: Bound) -> Result<Value> {
    let query = bound.text(0, "")?;
    let Some(given) = Given::read(&text(&input)?.into(), None) else { return Ok(false.into()) };
    let Ok(index) = query.trim().parse::<i128>() else { return Ok(false.into()) };
    match nth(&given.network, index) {
        Some(address) => Ok(given.network.show(address).into()),
        None if index < 0 => Err(Error::failed("index out range for address range size!")),
        None => Ok(false.into()),
    }
}

fn nth_usable(input: &Value, offset: i64) -> Result<Value> {
    let Some(given) = Given::read(&text(input)?.into(), None) else { return Ok(false.into()) };
    // A network's host bits are gone, an address counts from itself.
    let is_host = given.network.is_single() || given.network.address != given.network.first();
    let network = if is_host { given.network } else { given.network.cidr() };
    let Some((first, last)) = network.usable() else { return Ok(NONE) };
    let found = network.address.checked_add_signed(offset.into()).ok_or_else(|| Error::failed("there is no address before it"))?;
    Ok(if (first..=last).contains(&found) { of_number(found).into() } else { NONE })
}

fn cidr_merge(_: &Context, input: Value, bound: Bound) -> Result<Value> {
    let read = |text: &String| Network::parse(text).ok_or_else(|| Error::failed(format!("invalid IPNetwork {text}")));
    let mut given: Vec<Network> = addresses(&input)?.iter().map(read).collect::<Result<_>>()?;
    match bound.text(0, "merge")?.as_str() {
        "merge" => {
            given.sort_by_key(|network| (network.version, network.last(), network.first(), network.order()));
            Ok(Value::list(merged(&given).iter().map(|network| network.to_string().into()).collect::<Vec<Value>>()))
        }
        "span" => {
            given.sort_by_key(Network::order);
            match given.as_slice() {
                [] => Ok(NONE),
                [one] => Ok(one.to_string().into()),
                [least, .., most] if least.version == most.version => {
                    let mut span = Network { address: most.last(), ..*most };
                    while span.prefix > 0 && span.address > least.first() {
                        span.prefix -= 1;
                        span = span.cidr();
                    }
                    Ok(span.to_string().into())
                }
                _ => Err(Error::failed("IP sequence cannot contain both IPv4 and IPv6!")),
            }
        }
        other => Err(Error::failed(format!("invalid action '{other}'"))),
    }
}

/// Sorted networks with neighbours and those within others joined; one that stays alone is as it was given.
fn merged(given: &[Network]) -> Vec<Network> {
    let mut ranges: Vec<(u8, u128, u128, Option<Network>)> =
        given.iter().map(|network| (network.version, network.first(), network.last(), Some(*network))).collect();
    for index in (1..ranges.len()).rev() {
        let (version, first, last, _) = ranges[index];
        let before = &mut ranges[index - 1];
        if before.0 == version && first.saturating_sub(1) <= before.2 {
            *before = (version, before.1.min(first), last, None);
            ranges.remove(index);
        }
    }
    let each = |(version, first, last, one): &(u8, u128, u128, Option<Network>)| {
        one.map_or_else(|| networks(*version, *first, *last), |one| vec![one])
    };
    ranges.iter().flat_map(each).collect()
}

fn ipsubnet(_: &Context, input: Value, bound: Bound) -> Result<Value> {
    let query = bound.text(0, "")?;
    let index = bound.some(1).map(integer).transpose()?;
    let Some(network) = normal(&text(&input)?) else { return Ok(false.into()) };
    if query.is_empty() {
        return Ok(network.to_string().into());
    }
    let width = network.width();
    if !query.bytes().all(|byte| byte.is_ascii_digit()) {
        return place(&network, &query);
    }
    let Some(prefix) = number(&query).and_then(|prefix| u32::try_from(prefix).ok()).filter(|prefix| *prefix <= width) else {
        return Ok(false.into());
    };
    if network.is_single() {
        // Each network around the address, from this length on.
        let around = i64::from(width - prefix);
        let index = index.unwrap_or(0);
        let bits = i64::from(width);
        if bound.some(1).is_some() && (index > bits + 1 - index || index < i64::from(prefix) - bits) {
            return Ok(false.into());
        }
        let at = if index < 0 { index + around } else { index };
        let at = u32::try_from(at).ok().filter(|at| i64::from(*at) < around).ok_or_else(|| Error::failed("list index out of range"))?;
        return Ok(Network { prefix: prefix + at, ..network }.cidr().to_string().into());
    }
    let Some(index) = index else {
        let bits =
            prefix.checked_sub(network.prefix).ok_or_else(|| Error::failed(format!("Requested subnet size of {prefix} is invalid")))?;
        return Ok(1_u128.checked_shl(bits).map_or_else(|| SIZE_OF_ALL.to_owned(), |subnets| subnets.to_string()).into());
    };
    let bits = prefix.saturating_sub(network.prefix);
    let last = if bits == 0 { 0 } else { u128::MAX >> (128 - bits) };
    let offset = u128::from(index.unsigned_abs());
    let at = match index {
        0.. => Some(offset).filter(|offset| *offset <= last),
        _ if prefix < network.prefix => None,
        _ => (offset - 1).le(&last).then(|| last - (offset - 1)),
    };
    let address = at.map(|at| network.address + at.checked_shl(width - prefix).unwrap_or(0));
    Ok(address.map_or_else(|| false.into(), |address| Network { address, prefix, ..network }.to_string().into()))
}

/// The how-manieth of its kind a network is in another, from one on.
fn place(network: &Network, outer: &str) -> Result<Value> {
    let Some(given) = Given::read(&outer.into(), None) else {
        return Err(Error::failed(format!("You must pass a valid subnet or IP address; {outer} is invalid")));
    };
    let outer = given.network;
    let is_in = outer.version == network.version && (network.address ^ outer.address) & outer.netmask() == 0;
    if !is_in || network.prefix < outer.prefix {
        return Err(Error::failed(format!("{network} is not in the subnet {}", outer.cidr())));
    }
    let place = (network.address & outer.hostmask()) >> (network.width() - network.prefix).min(127);
    Ok((place + 1).to_string().into())
}

fn slaac(_: &Context, input: Value, bound: Bound) -> Result<Value> {
    let Some(given) = Given::read(&text(&input)?.into(), None).filter(|given| given.network.version == 6) else { return Ok(false.into()) };
    let Some(hardware) = hardware::Address::parse(&bound.text(0, "")?) else { return Ok(false.into()) };
    let address = given.network.first().checked_add(hardware.interface());
    Ok(address.map_or_else(|| false.into(), |address| given.network.show(address).into()))
}
