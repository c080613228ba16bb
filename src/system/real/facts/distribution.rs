//! Which distribution this is, and what manages its packages and services.

use std::path::Path;

use super::{exists, link_name, output, text};
use crate::map;
use crate::program::{Map, Value};

/// `KEY=value` lines; quotes are taken off.
struct OsRelease(Vec<(String, String)>);

impl OsRelease {
    fn read() -> Self {
        let content = text("/etc/os-release").or_else(|| text("/usr/lib/os-release")).unwrap_or_default();
        Self::parse(&content)
    }

    fn parse(content: &str) -> Self {
        let pairs = content.lines().filter_map(|line| line.trim().split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.trim().trim_matches(['"', '\'']).to_owned())).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// What a distribution is, by Ansible's names.
#[derive(Default)]
struct Found {
    name: String,
    version: Option<String>,
    major: Option<String>,
    minor: Option<String>,
    release: Option<String>,
    /// The file that said so, and the family of files it is one of.
    file: Option<(&'static str, &'static str)>,
    search: Option<&'static str>,
    /// Ansible leaves this out where a file's mere presence says it all.
    parsed: bool,
}

pub(super) fn distribution() -> Map {
    let os = OsRelease::read();
    let debian_version = text("/etc/debian_version");
    let version = guessed_version(&os, debian_version.as_deref());
    let release = os.get("VERSION_CODENAME").or_else(|| os.get("UBUNTU_CODENAME"));
    let found = find(&os, debian_version.as_deref());
    let version = found.version.or(version).unwrap_or_else(|| "NA".to_owned());
    let family = family(&found.name);
    let mut facts = map! {
        "distribution" => found.name,
        "distribution_release" => found.release.as_deref().or(release).unwrap_or("NA"),
        "distribution_version" => version.as_str(),
        "distribution_major_version" => found.major.unwrap_or_else(|| version.split('.').next().unwrap_or("NA").to_owned()),
    };
    if let Some((path, variety)) = found.file {
        facts.insert("distribution_file_path".into(), path.into());
        facts.insert("distribution_file_variety".into(), variety.into());
        if found.parsed {
            facts.insert("distribution_file_parsed".into(), true.into());
        }
    }
    if let Some(search) = found.search {
        facts.insert("distribution_file_search_string".into(), search.into());
    }
    if let Some(minor) = found.minor {
        facts.insert("distribution_minor_version".into(), minor.into());
    }
    facts.insert("os_family".into(), family.into());
    facts
}

/// What os-release says, made more exact where the distribution has a file for that.
fn guessed_version(os: &OsRelease, debian_version: Option<&str>) -> Option<String> {
    let version = os.get("VERSION_ID").map(str::to_owned);
    match os.get("ID") {
        Some("debian") => {
            let exact =
                debian_version.filter(|exact| exact.matches('.').count() > version.as_deref().unwrap_or_default().matches('.').count());
            exact.map(str::to_owned).or(version)
        }
        Some("centos") => {
            let line = text("/etc/centos-release").unwrap_or_default();
            let exact = line.split_whitespace().find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()));
            exact.map(|exact| exact.split('.').take(2).collect::<Vec<_>>().join(".")).or(version)
        }
        _ => version,
    }
}

/// The files that tell distributions apart, in Ansible's order.
fn find(os: &OsRelease, debian_version: Option<&str>) -> Found {
    let named = |name: &str, path, variety| Found { name: name.to_owned(), file: Some((path, variety)), parsed: true, ..Found::default() };
    for (path, variety, search) in [("/etc/altlinux-release", "Altlinux", "ALT"), ("/etc/oracle-release", "OracleLinux", "Oracle Linux")] {
        if let Some(content) = text(path) {
            return searched(&content, path, variety, search);
        }
    }
    if let Some(content) = text("/etc/centos-release") {
        if content.contains("CentOS Stream") {
            return Found { release: Some("Stream".to_owned()), ..named("CentOS", "/etc/centos-release", "CentOS") };
        }
        if content.contains("TencentOS Server") {
            return named("TencentOS", "/etc/centos-release", "CentOS");
        }
    }
    if let Some(content) = text("/etc/redhat-release") {
        return searched(&content, "/etc/redhat-release", "RedHat", "Red Hat");
    }
    let content = text("/etc/os-release").unwrap_or_default();
    if content.contains("Amazon") {
        let version = os.get("VERSION_ID").unwrap_or("NA");
        let (major, minor) = version.split_once('.').unwrap_or((version, "NA"));
        return Found {
            version: Some(version.to_owned()),
            major: Some(major.to_owned()),
            minor: Some(minor.to_owned()),
            ..named("Amazon", "/etc/os-release", "Amazon")
        };
    }
    if let Some(version) = text("/etc/alpine-release") {
        return Found { version: Some(version), ..named("Alpine", "/etc/alpine-release", "Alpine") };
    }
    if exists("/etc/arch-release") {
        return Found { parsed: false, ..named("Archlinux", "/etc/arch-release", "Archlinux") };
    }
    if content.contains("Arch Linux") {
        return named("Archlinux", "/etc/os-release", "Archlinux");
    }
    if content.to_lowercase().contains("suse") {
        return suse(os, &content);
    }
    if let Some(found) = debian(os, &content, debian_version) {
        return Found { file: Some(("/etc/os-release", "Debian")), parsed: true, ..found };
    }
    let name = os.get("NAME").or_else(|| os.get("ID")).unwrap_or("OtherLinux");
    let version = os.get("VERSION_ID").is_none().then(|| os.get("VERSION")).flatten();
    Found { version: version.map(str::to_owned), ..named(name, "/etc/os-release", "NA") }
}

/// Files whose first word names the distribution, unless they hold the family's own name.
fn searched(content: &str, path: &'static str, variety: &'static str, search: &'static str) -> Found {
    let found = Found { file: Some((path, variety)), parsed: true, ..Found::default() };
    if content.contains(search) {
        return Found { name: variety.to_owned(), search: Some(search), ..found };
    }
    Found { name: content.split_whitespace().next().unwrap_or(variety).to_owned(), ..found }
}

fn suse(os: &OsRelease, content: &str) -> Found {
    let id: String =
        os.get("VERSION_ID").unwrap_or_default().chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    let (major, minor) = id.split_once('.').unwrap_or((&id, ""));
    let release = if content.to_lowercase().contains("open") {
        minor
    } else if minor.is_empty() {
        "0"
    } else {
        minor
    };
    let name = match os.get("VARIANT_ID") {
        Some("server-sap" | "sles-sap") => "SLES_SAP",
        Some("transactional") => "SL-Micro",
        _ => os.get("NAME").unwrap_or("SUSE"),
    };
    Found {
        name: name.to_owned(),
        version: Some(id.clone()),
        major: Some(major.to_owned()),
        release: Some(release.to_owned()),
        file: Some(("/etc/os-release", "SUSE")),
        parsed: true,
        ..Found::default()
    }
}

/// Debian and who is made from it, by the words in os-release.
fn debian(os: &OsRelease, content: &str, debian_version: Option<&str>) -> Option<Found> {
    let has = |word: &str| content.contains(word);
    let plain = |name: &str| Found { name: name.to_owned(), ..Found::default() };
    let version = os.get("VERSION_ID").map(str::to_owned);
    let major = version.as_deref().and_then(|version| version.split('.').next()).map(str::to_owned);
    let codename = os.get("VERSION_CODENAME").map(str::to_owned);
    let versioned = |name: &str| Found { version: version.clone(), major: major.clone(), ..plain(name) };
    let parenthesised =
        os.get("PRETTY_NAME").and_then(|pretty| pretty.split_once('(')).map(|(_, rest)| rest.split(')').next().unwrap_or(rest).to_owned());
    Some(if has("Debian") || has("Raspbian") {
        let minor = debian_version
            .and_then(|exact| exact.split_once('.'))
            .map(|(_, minor)| minor.chars().take_while(char::is_ascii_digit).collect());
        Found { release: parenthesised, minor, ..plain("Debian") }
    } else if has("Ubuntu") {
        plain("Ubuntu")
    } else if has("SteamOS") {
        plain("SteamOS")
    } else if has("Kali") {
        plain("Kali")
    } else if has("Parrot") {
        plain("Parrot")
    } else if has("Devuan") {
        Found { release: parenthesised, major: version.clone(), version, ..plain("Devuan") }
    } else if has("Cumulus") {
        Found { release: os.get("VERSION").map(str::to_owned), ..versioned("Cumulus Linux") }
    } else if has("Mint") {
        versioned("Linux Mint")
    } else if ["UOS", "Uos", "uos"].iter().any(|word| has(word)) {
        Found { release: codename, ..versioned("Uos") }
    } else if has("Deepin") || has("deepin") {
        Found { release: codename, ..versioned("Deepin") }
    } else if has("LMDE") {
        plain("Linux Mint Debian Edition")
    } else {
        return None;
    })
}

/// `os_family`; a distribution that stands alone is its own.
fn family(name: &str) -> String {
    const FAMILIES: &[(&str, &[&str])] = &[
        (
            "RedHat",
            &[
                "RedHat",
                "RHEL",
                "Fedora",
                "CentOS",
                "Scientific",
                "SLC",
                "Ascendos",
                "CloudLinux",
                "PSBM",
                "OracleLinux",
                "OVS",
                "OEL",
                "Amazon",
                "Amzn",
                "Virtuozzo",
                "XenServer",
                "Alibaba",
                "EulerOS",
                "openEuler",
                "AlmaLinux",
                "Rocky",
                "TencentOS",
                "EuroLinux",
                "Kylin Linux Advanced Server",
                "MIRACLE",
            ],
        ),
        (
            "Debian",
            &[
                "Debian",
                "Ubuntu",
                "Raspbian",
                "Neon",
                "KDE neon",
                "Linux Mint",
                "SteamOS",
                "Devuan",
                "Kali",
                "Cumulus Linux",
                "Pop!_OS",
                "Parrot",
                "Pardus GNU/Linux",
                "Uos",
                "Deepin",
                "OSMC",
                "Linux Mint Debian Edition",
            ],
        ),
        (
            "Suse",
            &[
                "SuSE",
                "SLES",
                "SLED",
                "openSUSE",
                "openSUSE Tumbleweed",
                "SLES_SAP",
                "SUSE_LINUX",
                "openSUSE Leap",
                "ALP-Dolomite",
                "SL-Micro",
                "openSUSE MicroOS",
            ],
        ),
        ("Archlinux", &["Archlinux", "Antergos", "Manjaro"]),
        ("Mandrake", &["Mandrake", "Mandriva"]),
        ("Gentoo", &["Gentoo", "Funtoo"]),
        ("ClearLinux", &["Clear Linux OS", "Clear Linux Mix"]),
    ];
    FAMILIES.iter().find(|(_, members)| members.contains(&name)).map_or(name, |(family, _)| family).to_owned()
}

/// What `lsb_release -a` says, from the files it reads; empty where neither the program nor its file is there.
pub(super) fn lsb() -> Map {
    let file = text("/etc/lsb-release").map(|content| OsRelease::parse(&content)).filter(|lsb| lsb.get("DISTRIB_ID").is_some());
    let mut facts = Map::new();
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            facts.insert(name.into(), value.into());
        }
    };
    if let Some(lsb) = file {
        add("id", lsb.get("DISTRIB_ID"));
        add("description", lsb.get("DISTRIB_DESCRIPTION"));
        add("release", lsb.get("DISTRIB_RELEASE"));
        add("codename", lsb.get("DISTRIB_CODENAME"));
    } else if super::super::files::executable("lsb_release").is_some() {
        let os = OsRelease::read();
        let id = os.get("ID").map(|id| id[..1].to_uppercase() + &id[1..]);
        add("id", id.as_deref());
        add("description", os.get("PRETTY_NAME"));
        add("release", os.get("VERSION_ID"));
        add("codename", os.get("VERSION_CODENAME"));
    }
    let major = facts.get("release").and_then(Value::as_str).and_then(|release| release.split('.').next()).map(Value::text);
    if let Some(major) = major {
        facts.insert("major_release".into(), major);
    }
    map! { "lsb" => facts }
}

/// The last of these that is there, unless the family has a fixed one.
pub(super) fn package_manager(distribution: &Map) -> Map {
    const MANAGERS: &[(&str, &str)] = &[
        ("/usr/bin/rpm-ostree", "atomic_container"),
        ("/usr/bin/yum", "dnf"),
        ("/usr/bin/dnf-3", "dnf"),
        ("/usr/bin/dnf5", "dnf5"),
        ("/usr/bin/apt-get", "apt"),
        ("/usr/bin/zypper", "zypper"),
        ("/usr/sbin/urpmi", "urpmi"),
        ("/usr/bin/pacman", "pacman"),
        ("/bin/opkg", "opkg"),
        ("/usr/pkg/bin/pkgin", "pkgin"),
        ("/usr/local/bin/brew", "homebrew"),
        ("/sbin/apk", "apk"),
        ("/usr/bin/emerge", "portage"),
        ("/usr/bin/xbps-install", "xbps"),
        ("/usr/bin/swupd", "swupd"),
        ("/usr/sbin/sorcery", "sorcery"),
    ];
    let found = || MANAGERS.iter().rev().find(|(path, _)| exists(path)).map_or("unknown", |(_, name)| name);
    let manager = match distribution.get("os_family").and_then(Value::as_str) {
        Some("Debian") => "apt",
        Some("RedHat") if exists("/run/ostree-booted") => "atomic_container",
        Some("RedHat") => ["/usr/bin/dnf", "/usr/bin/microdnf"].iter().find(|path| exists(path)).map_or("unknown", |path| {
            if std::fs::canonicalize(path).is_ok_and(|real| real == Path::new("/usr/bin/dnf5")) { "dnf5" } else { "dnf" }
        }),
        Some("Altlinux") if found() == "apt" => "apt_rpm",
        _ => found(),
    };
    map! { "pkg_mgr" => manager }
}

/// What process 1 is, or what the machine would start as it.
pub(super) fn service_manager(distribution: &Map) -> Map {
    let first = text("/proc/1/comm").or_else(|| link_name("/sbin/init")).filter(|name| name != "init" && !name.ends_with("sh"));
    let has = |program: &str| super::super::files::executable(program).is_some();
    let name = match first.as_deref() {
        Some("procd") => "openwrt_init".to_owned(),
        Some("runit-init") => "runit".to_owned(),
        Some("svscan") => "svc".to_owned(),
        Some("openrc-init") => "openrc".to_owned(),
        Some(other) => other.to_owned(),
        None => if distribution.get("distribution").and_then(Value::as_str) == Some("OpenWrt") {
            "openwrt_init"
        } else if booted_systemd() {
            "systemd"
        } else if has("initctl") && exists("/etc/init/") {
            "upstart"
        } else if exists("/sbin/openrc") {
            "openrc"
        } else if has("systemctl") && link_name("/sbin/init").as_deref() == Some("systemd") {
            "systemd"
        } else if exists("/etc/init.d/") {
            "sysvinit"
        } else if exists("/etc/dinit.d/") {
            "dinit"
        } else {
            "service"
        }
        .to_owned(),
    };
    map! { "service_mgr" => name }
}

fn booted_systemd() -> bool {
    super::super::files::executable("systemctl").is_some()
        && ["/run/systemd/system/", "/dev/.run/systemd/", "/dev/.systemd/"].iter().any(|path| exists(path))
}

/// `ansible_systemd`, where systemd is what booted.
pub(super) fn systemd() -> Option<Value> {
    if !booted_systemd() {
        return None;
    }
    let said = output("systemctl", &["--version"])?;
    let features = said.lines().nth(1)?.to_owned();
    let version: i64 = said.split_whitespace().nth(1)?.parse().ok()?;
    Some(map! { "features" => features, "version" => version }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_ubuntu_are_told_apart() {
        let content = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        let os = OsRelease::parse(content);
        let found = debian(&os, content, Some("12.11")).expect("a Debian");
        assert_eq!((found.name.as_str(), found.release.as_deref(), found.minor.as_deref()), ("Debian", Some("bookworm"), Some("11")));
        assert_eq!(guessed_version(&os, Some("12.11")).as_deref(), Some("12.11"));
        assert_eq!(guessed_version(&os, Some("trixie/sid")).as_deref(), Some("12"));

        let content = "NAME=\"Ubuntu\"\nID=ubuntu\nVERSION_ID=\"24.04\"\nHOME_URL=\"https://www.ubuntu.com/\"\n";
        assert_eq!(debian(&OsRelease::parse(content), content, Some("trixie/sid")).expect("an Ubuntu").name, "Ubuntu");
    }

    #[test]
    fn families_are_those_of_ansible() {
        assert_eq!(family("Ubuntu"), "Debian");
        assert_eq!(family("Rocky"), "RedHat");
        assert_eq!(family("NixOS"), "NixOS");
    }

    #[test]
    fn release_files_name_by_their_first_word() {
        let rocky = searched("Rocky Linux release 9.3 (Blue Onyx)", "/etc/redhat-release", "RedHat", "Red Hat");
        assert_eq!((rocky.name.as_str(), rocky.search), ("Rocky", None));
        let redhat = searched("Red Hat Enterprise Linux release 9.3", "/etc/redhat-release", "RedHat", "Red Hat");
        assert_eq!((redhat.name.as_str(), redhat.search), ("RedHat", Some("Red Hat")));
    }
}
