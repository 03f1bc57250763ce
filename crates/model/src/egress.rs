//! Egress rules: where an app's objects may send requests. Nothing is allowed that no rule names.
//!
//! A name has to be allowed by a rule for names, and the address behind it has to be public or allowed by a
//! rule for networks. So whoever controls a name's records cannot lead a request to this machine, to the
//! network around it, or to a cloud's metadata, unless a rule says that one may go there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::EGRESS_RULES_MAX;

/// Longest rule, in bytes: the longest name of a host, and a port.
const RULE_BYTES_MAX: usize = 260;

/// Where requests may go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EgressRules {
    texts: Vec<String>,
    rules: Vec<Rule>,
}

/// A list of rules that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressRuleError(String);

impl fmt::Display for EgressRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EgressRuleError {}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    target: Target,
    /// Every port, if none is given.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// `*`: every name, and every public address.
    Any,
    /// One name.
    Name(String),
    /// `*.example.org`, without the star: every name that ends so.
    Below(String),
    /// An address, or a network.
    Network(IpAddr, u8),
}

impl EgressRules {
    /// Reads a list of rules: `api.example.com`, `*.example.org:443`, `10.0.0.0/8`, `[fd00::/8]:80`, `*`.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, EgressRuleError> {
        let texts: Vec<String> = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
        if texts.len() > EGRESS_RULES_MAX {
            let text = format!("there are {} egress rules, the limit is {EGRESS_RULES_MAX}", texts.len());
            return Err(EgressRuleError(text));
        }
        let rules = texts.iter().map(|text| rule(text)).collect::<Result<_, _>>()?;
        Ok(Self { texts, rules })
    }

    /// The rules as they were given.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether a request to `host` (a name, or an address without brackets) may go out at all, whatever
    /// addresses the name has.
    pub fn allows_host(&self, host: &str, port: u16) -> bool {
        match host.parse::<IpAddr>() {
            Ok(address) => self.allows_address(host, port, address),
            Err(_) => self.names(host, port),
        }
    }

    /// Whether a request to `host` may be sent to this address of it.
    pub fn allows_address(&self, host: &str, port: u16, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_literal = host.parse::<IpAddr>().is_ok();
        let of_port = || self.rules.iter().filter(|rule| rule.port.is_none_or(|allowed| allowed == port));
        let is_in_network = of_port().any(|rule| rule.target.contains(address));
        let is_any = of_port().any(|rule| rule.target == Target::Any);
        let is_named = if is_literal { is_in_network || is_any } else { self.names(host, port) };
        is_named && (is_in_network || is_public(address))
    }

    fn names(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let mut of_port = self.rules.iter().filter(|rule| rule.port.is_none_or(|allowed| allowed == port));
        of_port.any(|rule| match &rule.target {
            Target::Any => true,
            Target::Name(name) => *name == host,
            Target::Below(end) => host.len() > end.len() && host.ends_with(end.as_str()),
            Target::Network(..) => false,
        })
    }
}

impl Target {
    fn contains(&self, address: IpAddr) -> bool {
        let Target::Network(network, bits) = self else { return false };
        match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same_start(network.to_bits().into(), address.to_bits().into(), 32, *bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same_start(network.to_bits(), address.to_bits(), 128, *bits)
            }
            _ => false,
        }
    }
}

fn same_start(one: u128, other: u128, width: u8, bits: u8) -> bool {
    let differing = one ^ other;
    bits == 0 || differing >> (width - bits) == 0
}

fn rule(text: &str) -> Result<Rule, EgressRuleError> {
    let invalid = |reason: &str| {
        let shown: String = text.chars().take(80).collect();
        EgressRuleError(format!(
            "egress rule `{}` {reason}; write a name, an address or a network, and a port if need be: \
             `api.example.com`, `*.example.org:443`, `10.0.0.0/8`, `[fd00::/8]:80`",
            shown.escape_debug()
        ))
    };
    if text.len() > RULE_BYTES_MAX {
        return Err(invalid("is too long"));
    }
    let (target, port) = split_port(text);
    let port = port
        .map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(|| invalid("has no valid port")));
    let port = port.transpose()?;
    let network = target.strip_prefix('[').and_then(|target| target.strip_suffix(']')).unwrap_or(target);
    let (address, bits) = network.split_once('/').map_or((network, None), |(one, bits)| (one, Some(bits)));
    if let Ok(address) = address.parse::<IpAddr>() {
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 = match bits {
            None => width,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= width)
                .ok_or_else(|| invalid("has no valid length of its network"))?,
        };
        // An address of the old kind in the new one's clothes is the old one.
        let (address, bits) = match (address.to_canonical(), bits.checked_sub(96)) {
            (canonical @ IpAddr::V4(_), Some(bits)) if address.is_ipv6() => (canonical, bits),
            _ => (address, bits),
        };
        return Ok(Rule { target: Target::Network(address, bits), port });
    }
    let name = target.to_ascii_lowercase();
    let target = if name == "*" {
        Target::Any
    } else if let Some(end) = name.strip_prefix('*').filter(|end| end.len() > 1 && end.starts_with('.')) {
        Target::Below(end.to_owned())
    } else {
        Target::Name(name.clone())
    };
    let checked = name.strip_prefix("*.").unwrap_or(&name);
    if target != Target::Any && !is_name(checked) {
        return Err(invalid("is neither a name nor an address"));
    }
    Ok(Rule { target, port })
}

/// Splits a port off; the colons of an address without brackets are none of a port.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((target, port)) if target.ends_with(']') || !target.contains(':') => (target, Some(port)),
        _ => (text, None),
    }
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // What looks like a number would be taken for an address by a resolver.
    name.split('.').all(is_label) && !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Whether an address belongs to the public internet: not to this machine, its networks, a cloud's
/// metadata, documentation, translation, or many receivers.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    /// IANA's registry of special addresses, what is multicast or reserved, and a cloud's own address.
    const SPECIAL: [(Ipv4Addr, u8); 16] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8),
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(168, 63, 129, 16), 32),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 0, 0, 0), 24),
        (Ipv4Addr::new(192, 0, 2, 0), 24),
        (Ipv4Addr::new(192, 88, 99, 0), 24),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
        (Ipv4Addr::new(198, 51, 100, 0), 24),
        (Ipv4Addr::new(203, 0, 113, 0), 24),
        (Ipv4Addr::new(224, 0, 0, 0), 4),
        (Ipv4Addr::new(240, 0, 0, 0), 4),
    ];
    !SPECIAL
        .iter()
        .any(|(network, bits)| same_start(network.to_bits().into(), address.to_bits().into(), 32, *bits))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    /// What is in the one block of public addresses and leads elsewhere.
    const SPECIAL: [(Ipv6Addr, u8); 4] = [
        (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
        (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
        (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    ];
    let is_in = |network: &Ipv6Addr, bits| same_start(network.to_bits(), address.to_bits(), 128, bits);
    is_in(&Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
        && !SPECIAL.iter().any(|(network, bits)| is_in(network, *bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "93.184.216.34";

    fn allows(rules: &[&str], host: &str, port: u16, address: &str) -> bool {
        let rules = EgressRules::parse(rules).expect("rules");
        rules.allows_address(host, port, address.parse().expect("address"))
    }

    #[test]
    fn nothing_is_allowed_without_a_rule() {
        let none = EgressRules::default();
        assert!(!none.allows_host("example.com", 443) && !none.allows_host(PUBLIC, 443));
        assert!(!allows(&[], "example.com", 443, PUBLIC));
    }

    #[test]
    fn a_name_is_allowed_with_its_port_in_any_letter_case() {
        for (rule, host, port, is_allowed) in [
            ("api.example.com", "API.example.com", 443, true),
            ("API.example.com", "api.example.com.", 8080, true),
            ("api.example.com:443", "api.example.com", 80, false),
            ("api.example.com", "xapi.example.com", 443, false),
            ("api.example.com", "api.example.com.evil.org", 443, false),
            ("*.example.org:443", "a.b.example.org", 443, true),
            ("*.example.org", "example.org", 443, false),
            ("*.example.org", "evilexample.org", 443, false),
            ("*", "anything.example", 1, true),
        ] {
            assert_eq!(allows(&[rule], host, port, PUBLIC), is_allowed, "{rule} {host} {port}");
            let rules = EgressRules::parse([rule]).expect("rule");
            assert_eq!(rules.allows_host(host, port), is_allowed, "{rule} {host} {port}");
        }
    }

    #[test]
    fn a_name_does_not_lead_to_an_address_that_is_not_public_and_not_named() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "168.63.129.16",
            "0.0.0.0",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "::7f00:1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!allows(&["*", "api.example.com"], "api.example.com", 443, address), "{address}");
            assert!(!allows(&["*"], address, 443, address), "{address}");
            assert!(!is_public(address.parse().expect("address")), "{address}");
            assert!(allows(&[address], address, 443, address), "{address} by its own name");
        }
        assert!(allows(&["*"], "2606:2800:220:1::1", 443, "2606:2800:220:1::1"));
        assert!(allows(&["*"], PUBLIC, 443, PUBLIC));
    }

    #[test]
    fn a_network_allows_its_addresses_to_names_that_are_allowed_too() {
        let rules = ["db.internal:5432", "10.0.0.0/8", "[fd00::/8]:80", "127.0.0.1:9000"];
        assert!(allows(&rules, "db.internal", 5432, "10.9.8.7"));
        assert!(allows(&rules, "10.9.8.7", 1, "10.9.8.7"));
        assert!(allows(&rules, "fd12::1", 80, "fd12::1") && !allows(&rules, "fd12::1", 81, "fd12::1"));
        assert!(!allows(&rules, "db.internal", 5432, "192.168.0.1"));
        assert!(!allows(&rules, "other.internal", 5432, "10.9.8.7"));
        assert!(!allows(&rules, "11.0.0.1", 1, "11.0.0.1"));
        assert!(
            allows(&rules, "127.0.0.1", 9000, "127.0.0.1") && !allows(&rules, "127.0.0.1", 9001, "127.0.0.1")
        );
        assert!(allows(&rules, "::ffff:10.0.0.1", 1, "::ffff:10.0.0.1"));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_a_hint() {
        for text in [
            "",
            "a b",
            "http://example.com",
            "example.com/path",
            "example.com:",
            "example.com:0",
            "example.com:99999",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/8/9",
            "*example.org",
            "a.*.org",
            "**",
            "*.",
            "2130706433",
            "a..b",
            "[::1",
            "user@example.com",
        ] {
            let error = EgressRules::parse([text]).expect_err(text).to_string();
            assert!(error.contains("api.example.com"), "{text}: {error}");
        }
        assert!(EgressRules::parse(vec!["a.b"; EGRESS_RULES_MAX + 1]).is_err());
        let rules = EgressRules::parse(["::1", "[::1]:80", "10.0.0.0/8:80"]).expect("rules");
        assert_eq!(rules.texts(), ["::1", "[::1]:80", "10.0.0.0/8:80"]);
    }
}
