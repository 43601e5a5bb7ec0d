"""Where messages may go: the grammar of addresses, and which machines behind them are nobody's business.

The grammar holds when an address is written. What its name resolves to is checked when it is used, and the connection
goes to what was checked (``api.notify.http``).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import httpx

LONGEST = 2000
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
)
#: Addresses of the internet; all others are local, mapped, translated or reserved, and so are these parts of them.
_V6 = ipaddress.IPv6Network("2000::/3")
_V6_SPECIAL = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
#: What clouds tell their machines, credentials included: refused even inside an allowed network.
METADATA = tuple(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)


class Refused(ValueError):
    """The target is not one to which anything is sent."""


@dataclass(frozen=True)
class Policy:
    """What the operator allows beyond the internet; only the platform's own messages may make use of it."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def everywhere(cls) -> Policy:
        """Return the policy that refuses nothing but what is no URL: to read what was checked before."""
        return cls((ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0")))

    def allows(self, address: Address) -> bool:
        """Tell whether an address lies in an allowed network."""
        return any(address.version == network.version and address in network for network in self.networks)


def policy_of(text: str) -> Policy:
    """Return the policy of ``HOSTREEVE_NOTIFY_ALLOW``, networks separated by commas; ValueError if one is none."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        return Policy(tuple(ipaddress.ip_network(word) for word in words))
    except ValueError as error:
        raise ValueError(f"HOSTREEVE_NOTIFY_ALLOW: {error}") from None


def address_of(text: str) -> Address | None:
    """Return the address that a text is, without its zone; None if it is none."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


def check_address(address: Address, policy: Policy, *, plain: bool = False) -> None:
    """Refuse an address; ``plain`` is a connection without TLS, which never leaves the allowed networks."""
    if address in METADATA:
        raise Refused("the address tells machines their credentials")
    if policy.allows(address):
        return
    if isinstance(address, ipaddress.IPv4Address):
        special = any(address in network for network in _V4)
    else:
        special = address not in _V6 or any(address in network for network in _V6_SPECIAL)
    if special:
        raise Refused(f"{address} is not an address of the internet")
    if plain:
        raise Refused("needs https")


def parse(text: str, policy: Policy) -> httpx.URL:
    """Return the URL of a webhook; Refused with the reason. Nothing is resolved."""
    if not 1 <= len(text) <= LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise Refused(f"must be a URL of at most {LONGEST} visible ASCII characters")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise Refused("must be a URL such as https://example.com/hook") from None
    if url.scheme != "https" and not (url.scheme == "http" and policy.networks):
        raise Refused("must begin with https://")
    # Not what the parser made of it: others that read the same text may see another host.
    if url.userinfo or "@" in re.split("[/?]", text.partition("://")[2])[0] or "\\" in text:
        raise Refused("must hold no user and no password")
    if url.fragment or "#" in text:
        raise Refused("must hold no fragment")
    # A dot at the end names the same machine and would slip past a comparison.
    host = url.raw_host.decode("ascii", "replace").removesuffix(".")
    literal = address_of(host)
    if literal is not None:
        check_address(literal, policy, plain=url.scheme == "http")
    elif not _HOST.fullmatch(host) or host.rpartition(".")[2].isdigit():
        raise Refused("must name a host")
    elif host == "localhost" or host.endswith(".localhost"):
        check_address(ipaddress.ip_address("127.0.0.1"), policy)
    if url.port is not None and not 1 <= url.port <= 65535:
        raise Refused("must name a port")
    return url


def origin(url: httpx.URL) -> str:
    """Return scheme, host and port."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
