//! Names of hosts in known_hosts: patterns and hashes. Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};

use super::glob::wildcards;

/// Whether a line's first field names the host.
pub fn names(patterns: &str, name: &str) -> bool {
    if let Some(hashed) = patterns.strip_prefix("|1|") {
        return hashed_name(hashed, name).unwrap_or(false);
    }
    let mut matched = false;
    for pattern in patterns.split(',') {
        let pattern = pattern.to_lowercase();
        match pattern.strip_prefix('!') {
            Some(pattern) if wildcards(pattern, name) => return false,
            Some(_) => {}
            None => matched |= wildcards(&pattern, name),
        }
    }
    matched
}

/// `SALT|HASH`, both base64: HASH is HMAC-SHA1 of the name under SALT.
fn hashed_name(text: &str, name: &str) -> Option<bool> {
    let (salt, hash) = text.split_once('|')?;
    let decode = |text: &str| STANDARD.decode(text).ok();
    Some(code(&decode(salt)?, name)?.verify_slice(&decode(hash)?).is_ok())
}

/// The name as `|1|SALT|HASH`, under this salt.
pub fn hash(salt: &[u8], name: &str) -> String {
    let encode = |bytes: &[u8]| STANDARD.encode(bytes);
    let code = code(salt, name).map(|code| code.finalize().into_bytes().to_vec()).unwrap_or_default();
    format!("|1|{}|{}", encode(salt), encode(&code))
}

fn code(salt: &[u8], name: &str) -> Option<Hmac<sha1::Sha1>> {
    Some(Hmac::new_from_slice(salt).ok()?.chain_update(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `ssh-keygen -H` of OpenSSH 9.2.
    const HASHED: [(&str, &str); 3] = [
        ("host.example.org", "|1|T3kz1tndkysppq/D+ke0ZO0tLCA=|HMRpHbDO4JNi4UNdQdvbOBL97GM="),
        ("[host.example.org]:2222", "|1|XxMD/k354Ry5V3UELmjheG5y9Xw=|LJcP+FlG0bXynP/Psne8lRgkMGE="),
        ("10.1.2.3", "|1|3p0sVDuin3PwRyTAJ/ZxjAmcYP0=|P1KeP9k2hodbX47LF/toPl3fCVg="),
    ];

    #[test]
    fn hashes_are_ssh_keygens() {
        for (name, hashed) in HASHED {
            assert!(names(hashed, name), "{name}");
            assert!(!names(hashed, "other"), "{name}");
            let salt = STANDARD.decode(hashed.split('|').nth(2).expect("a salt")).expect("base64");
            assert_eq!(hash(&salt, name), hashed);
        }
    }

    #[test]
    fn patterns_name_hosts_and_leave_some_out() {
        for (patterns, name, named) in [
            ("a.example.org,10.0.0.1", "10.0.0.1", true),
            ("*.Example.org", "a.example.org", true),
            ("*.example.org,!b.example.org", "b.example.org", false),
            ("[a]:2222", "[a]:2222", true),
            ("[a]:2222", "a", false),
            ("|1|not|right", "a", false),
        ] {
            assert_eq!(names(patterns, name), named, "{patterns} {name}");
        }
    }
}
