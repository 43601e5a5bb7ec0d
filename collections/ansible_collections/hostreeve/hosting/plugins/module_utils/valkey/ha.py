# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The texts of a highly available instance: replication, its Sentinel, and who may ask that.

Each such instance has a Sentinel of its own on every node: usual clients ask a Sentinel for all that it watches and
listen to all its events, so one for all tenants would tell each of the others.
"""

from __future__ import annotations

import json

from ansible_collections.hostreeve.hosting.plugins.module_utils.files import MARK
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import acl, config

STATE, RUN, ROLES = "/var/lib/hostreeve-valkey-sentinel", "/run/hostreeve-valkey-sentinel", "/run/hostreeve-valkey-role"
HELPER = "/usr/local/sbin/hostreeve-valkey-role"
#: The user as which replicas follow, and Sentinels watch and talk to each other; the same on all nodes.
USER = "hostreeve-ha"
#: A Sentinel's port is its instance's less this: outside the ports that the kernel gives to outgoing connections.
BELOW = 10_000
#: Milliseconds without an answer after which a primary is down, and that a failover may take.
TIMES = {"down-after-milliseconds": "5000", "failover-timeout": "15000"}
#: Seconds after which a primary that no replica hears takes no more writes.
LAG = 5

_HELLO = "resetchannels &__sentinel__:hello -@all +auth +hello +ping +info +publish +subscribe +client|setname"
_INSTANCE = "+psync +replconf +role +multi +exec +slaveof +replicaof +config|rewrite +client|kill +script|kill"
_SENTINEL = "+sentinel|is-master-down-by-addr +sentinel|master +sentinel|failover"
#: What the users of an instance may ask its Sentinel: what clients need to find the primary, and nothing that alters.
_CLIENT = (
    "resetkeys &* -@all +auth +hello +ping +command +role +client|setname +client|getname +client|setinfo +client|id "
    "+subscribe +unsubscribe +psubscribe +punsubscribe +sentinel|get-master-addr-by-name +sentinel|master "
    "+sentinel|masters +sentinel|replicas +sentinel|slaves +sentinel|sentinels +sentinel|myid"
)


def is_on(values):
    """Tell whether the settings of an instance are those of a highly available one."""
    return values.get("masteruser") == USER


def settings(item, address):
    """Return the settings of a highly available instance on the node with this address."""
    return {
        "masteruser": USER,
        "masterauth": item.replication_password,
        "replica-announce-ip": address,
        "min-replicas-to-write": "1",
        "min-replicas-max-lag": str(LAG),
        # A replica that keeps nothing need not keep what it was sent either.
        "rdb-del-sync-files": "yes",
        # Whom it follows is not the platform's to say: the unit asks the Sentinels before each start.
        "include": "%s/%s.conf" % (ROLES, item.name),
    }


def line(sha256):
    """Return the line of USER in an instance's ACL file."""
    return "user %s on sanitize-payload #%s %s %s" % (USER, sha256, _HELLO, _INSTANCE)


def drop_in(name):
    """Return what the unit of a highly available instance is told besides."""
    rows = ["ExecStartPre=+/usr/bin/python3 -I %s start %s" % (HELPER, name), "[Unit]"]
    return "\n".join([*rows, "After=hostreeve-valkey-sentinel@%s.service" % name, ""])


def nodes(item, here, addresses):
    """Return the file by which the unit finds the Sentinels of all nodes; addresses: {node: address}."""
    found = {"name": item.name, "user": USER, "password": item.replication_password, "port": item.port}
    found.update(sentinel=item.port - BELOW, here=addresses[here], home=addresses[item.node])
    return json.dumps({**found, "nodes": sorted(addresses.values())}, sort_keys=True) + "\n"


def quorum(count):
    """Return how many Sentinels must agree that a primary is down: more than half."""
    return str(count // 2 + 1)


def sentinel_drop_in(name, tenant):
    """Return what a Sentinel's unit is told beyond the template."""
    rows = ["[Service]", "User=%s" % name, "Group=%s" % name, "Slice=hostreeve-tenant-%s.slice" % tenant, ""]
    return MARK + "\n".join(rows)


def sentinel_acl(name, admin_sha256, lines, sha256):
    """Return the ACL file of a Sentinel; lines: {user: line of the instance's ACL file}."""
    own = ["user %s on sanitize-payload #%s %s %s" % (USER, sha256, _HELLO, _SENTINEL)]
    users = {
        user: "user %s on sanitize-payload %s %s" % (user, acl.hash_of(one), _CLIENT) for user, one in lines.items()
    }
    return acl.render(admin_sha256, users, own)


def state(name):
    """Return the directory in which a Sentinel keeps what it knows."""
    return "%s/%s" % (STATE, name)


def socket(name):
    """Return the path of a Sentinel's socket."""
    return "%s/%s/sentinel.sock" % (RUN, name)


def seed(ha, primary, listen):
    """Return the configuration with which a Sentinel begins; from then on it is the Sentinel's. ha: see nodes()."""
    name, password = ha["name"], ha["password"]
    rows = [
        "bind %s" % " ".join(listen),
        "port %d" % ha["sentinel"],
        "protected-mode yes",
        "supervised systemd",
        "dir %s" % state(name),
        "unixsocket %s" % socket(name),
        "unixsocketperm 700",
        "aclfile %s/%s.sentinel" % (config.ETC, name),
        "sentinel announce-ip %s" % ha["here"],
        "sentinel announce-port %d" % ha["sentinel"],
        "sentinel sentinel-user %s" % USER,
        "sentinel sentinel-pass %s" % password,
        "sentinel monitor %s %s %d %s" % (name, primary, ha["port"], quorum(len(ha["nodes"]))),
        "sentinel auth-user %s %s" % (name, USER),
        "sentinel auth-pass %s %s" % (name, password),
        *("sentinel %s %s %s" % (option, name, value) for option, value in TIMES.items()),
    ]
    return "\n".join([*rows, ""])
