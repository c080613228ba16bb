//! Names of hosts as /etc/hosts has them.

/// The first name with a domain that the file has for a host's address, as `socket.getfqdn` finds it there; else the
/// address's first name; else the name itself. No name server is asked: this must not wait for the network.
pub fn full_name(nodename: &str, hosts: &str) -> String {
    let lines: Vec<Vec<&str>> = hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace().collect()).collect();
    let address = lines.iter().find(|words| words.iter().skip(1).any(|name| *name == nodename)).and_then(|words| words.first());
    let names = address.and_then(|address| lines.iter().find(|words| words.first() == Some(address))).map(|words| &words[1..]);
    let Some(names) = names else { return nodename.to_owned() };
    names.iter().find(|name| name.contains('.')).or(names.first()).map_or(nodename, |name| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_leads_to_the_name_with_a_domain() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 web web.example.com # ours\n10.0.0.9 db\n";
        assert_eq!(full_name("web", hosts), "web.example.com");
        assert_eq!(full_name("db", hosts), "db");
        assert_eq!(full_name("other", hosts), "other");
        assert_eq!(full_name("vm", "127.0.0.1 localhost\n127.0.0.1 vm\n"), "localhost");
    }
}
