#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a database server what its place in the shard says."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_server
short_description: Make a MariaDB server the primary or a replica of its shard
description:
  - Removes anonymous accounts, accounts of root that do not come over the socket, and the test database; makes the
    accounts of replication, of the Prometheus exporter and of the health responder.
  - Opens a primary for writing. Lets a replica follow the primary by GTID, over TLS, and repairs it; an empty one, or
    one whose replication cannot go on, first copies the primary's data through the primary's port.
  - Never moves the primary to another server, and never throws away what a server holds alone, unless it is told to.
version_added: 0.2.0
author:
  - Hostreeve maintainers (@hostreeve)
extends_documentation_fragment:
  - hostreeve.hosting.run
  - hostreeve.hosting.run.noted
options:
  mode:
    description: What the server shall be.
    type: str
    choices: [primary, replica]
    required: true
  promote:
    description: Make a replica the primary. For the playbooks that move a primary, which have fenced the old one.
    type: bool
    default: false
  accept_loss:
    description: With O(promote=true), become the primary although another server holds what this one lacks.
    type: bool
    default: false
  address:
    description: Address of this server within the shard.
    type: str
    default: ""
  primary:
    description: Address of the primary. Needed on a replica.
    type: str
    default: ""
  peers:
    description: Addresses of the shard's other servers.
    type: list
    elements: str
    default: []
  port:
    description: Port of all servers.
    type: int
    default: 3306
  replication_password:
    description: Password of the account C(hostreeve_replication), the same on all servers of the shard.
    type: str
  semi_sync:
    description: Whether the primary acknowledges a commit only once a replica has it.
    type: bool
    default: true
  proxies:
    description: Networks of load balancers whose word about a client's address is believed.
    type: list
    elements: str
    default: []
  tls_ca:
    description: Certificate of the authority that signed the servers' certificates, if there is one.
    type: path
  exporter:
    description: Make the account of the Prometheus exporter.
    type: bool
    default: true
  health:
    description: Make the account of the health responder.
    type: bool
    default: true
  rebuild:
    description: Put aside the data of a replica that holds what the primary lacks, and copy the primary.
    type: bool
    default: false
  wait:
    description: Seconds within which replication must run, and a server that takes writes must close.
    type: float
    default: 10
  client_file:
    description: Option file with the credentials of replication.
    type: path
    default: /etc/mysql/hostreeve-replication.cnf
requirements:
  - PyMySQL
attributes:
  check_mode:
    description: Predicts the result; a host without MariaDB changes.
    support: full
  diff_mode:
    description: There is none.
    support: none
"""

EXAMPLES = r"""
- name: Make a replica
  hostreeve.hosting.db_server:
    mode: replica
    address: 192.0.2.12
    primary: 192.0.2.11
    peers: [192.0.2.11]
    replication_password: "{{ db_replication_password }}"
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: [copied the primary, attached to the primary]
position:
  description: How far the server's data goes, as a GTID position.
  type: str
  returned: success
  sample: 0-1-42
"""

import os
import time
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.hostreeve.hosting.plugins.module_utils import fact, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import closing, copy, replication
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import (
    SOCKET,
    Client,
    ServerError,
    password_hash,
    when_started,
)

USER = "hostreeve_replication"
GRANTS = {
    "SELECT", "RELOAD", "PROCESS", "SHOW DATABASES", "LOCK TABLES", "EVENT", "TRIGGER", "SHOW VIEW", "BINLOG MONITOR",
    "REPLICATION SLAVE",
}  # fmt: skip
#: What a server says to a host from which nobody has an account there.
STRANGER = "is not allowed to connect"
EXPORTER = "prometheus"
EXPORTER_GRANTS = {"PROCESS", "BINLOG MONITOR", "SLAVE MONITOR", "SELECT"}
HEALTH = "hostreeve_health"
HEALTH_GRANTS = {"SLAVE MONITOR"}
#: Its statements may block while replication is being stopped: they must not pile up.
HEALTH_LIMIT = " WITH MAX_USER_CONNECTIONS 4"


class Server:
    """The host's own server, and what was done to it."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.done = []
        self.db = when_started()

    def state(self):
        """Read the server's state."""
        row = self.db.rows("SELECT @@GLOBAL.gtid_current_pos AS position, @@GLOBAL.read_only AS read_only")[0]
        slave = self.db.rows("SHOW SLAVE STATUS")
        return replication.State(row["position"], bool(row["read_only"]), slave[0] if slave else {})

    def run(self, what, statement, *values):
        """Note an action and, outside check mode, carry it out."""
        if what not in self.done:
            self.done.append(what)
        if not self.module.check_mode:
            self.db.run(statement, *values)

    # --- accounts -----------------------------------------------------------------------------------------------------

    def secure(self):
        """Remove what a fresh server lets in; each server for itself, so that a replica writes nothing of its own."""
        with self.db.unreplicated():
            for row in self.db.rows(
                "SELECT User, Host FROM mysql.global_priv "
                "WHERE User = '' OR User IN ('root', 'mysql') AND Host <> 'localhost'"
            ):
                self.run("removed open accounts", "DROP USER %s@%s", row["User"], row["Host"])
            tables = self.db.rows(
                "SELECT COUNT(TABLE_NAME) AS tables FROM information_schema.SCHEMATA "
                "LEFT JOIN information_schema.TABLES ON TABLE_SCHEMA = SCHEMA_NAME "
                "WHERE SCHEMA_NAME = 'test' GROUP BY SCHEMA_NAME"
            )
            if tables and not tables[0]["tables"]:
                self.run("removed the test database", "DROP DATABASE test")
            if self.db.rows("SELECT 1 FROM mysql.db WHERE User = '' LIMIT 1"):
                self.run("removed grants to everybody", "DELETE FROM mysql.db WHERE User = ''")
                self.run("removed grants to everybody", "FLUSH PRIVILEGES")
            if self.params["exporter"]:
                self.account(EXPORTER, "localhost", plugin="unix_socket", grants=EXPORTER_GRANTS)
            if self.params["health"]:
                self.account(HEALTH, "localhost", plugin="unix_socket", grants=HEALTH_GRANTS, options=HEALTH_LIMIT)

    def replication_accounts(self):
        """Make the account of replication for every address of the shard, and for no other."""
        wanted = {self.params["address"], *self.params["peers"]} if self.params["peers"] else set()
        have = {row["Host"] for row in self.db.rows("SELECT Host FROM mysql.global_priv WHERE User = %s", USER)}
        for host in sorted(have - wanted):
            self.run("removed an account of replication", "DROP USER %s@%s", USER, host)
        for host in sorted(wanted):
            hashed = password_hash(self.params["replication_password"])
            self.account(
                USER, host, plugin="mysql_native_password", grants=GRANTS, secret=hashed, options=" REQUIRE SSL"
            )

    def account(self, user, host, *, plugin, grants, secret="", options=""):
        """Make one account of the platform. The names of plugins and grants are this module's own."""
        what = "made the account %s" % user
        found = self.db.rows(
            "SELECT JSON_VALUE(Priv, '$.plugin') AS plugin, JSON_VALUE(Priv, '$.authentication_string') AS secret "
            "FROM mysql.global_priv WHERE User = %s AND Host = %s", user, host,
        )  # fmt: skip
        using = " USING %s" if secret else ""
        values = [user, host, *([secret] if secret else [])]
        if not found:
            self.run(what, "CREATE USER %s@%s IDENTIFIED VIA " + plugin + using + options, *values)
        elif found[0]["plugin"] != plugin or (found[0]["secret"] or "") != secret:
            self.run(what, "ALTER USER %s@%s IDENTIFIED VIA " + plugin + using + options, *values)
        rows = self.db.rows(
            "SELECT PRIVILEGE_TYPE AS name FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = %s",
            "'%s'@'%s'" % (user, host),
        )
        if not grants <= {row["name"] for row in rows}:
            self.run(what, "GRANT " + ", ".join(sorted(grants)) + " ON *.* TO %s@%s", user, host)

    # --- the place in the shard ---------------------------------------------------------------------------------------

    def ask(self, host, query):
        """Ask another server of the shard."""
        return copy.ask(self.params["client_file"], host, query)

    def become_primary(self):
        """Take writes, unless that could make a second primary."""
        writable, holding, silent = set(), {}, set()
        for peer in self.params["peers"]:
            try:
                closed, position = self.ask(peer, "SELECT @@GLOBAL.read_only, @@GLOBAL.gtid_current_pos")
            except ServerError as error:
                # One that lets none of the shard in has never had its data.
                if STRANGER in str(error):
                    holding[peer] = ""
                else:
                    silent.add(peer)
                continue
            holding[peer] = position
            if closed == "0":
                writable.add(peer)
        # Refused before anything is done: a replica that was detached would follow nobody.
        for action in replication.for_primary(
            self.state(),
            writable,
            holding,
            silent,
            promote=self.params["promote"],
            accept_loss=self.params["accept_loss"],
        ):
            getattr(self, action)()
        # Before commits wait for replicas, which cannot connect without them.
        self.replication_accounts()
        self.settings()

    def detach(self):
        """Follow nobody."""
        self.run("stopped replicating", "STOP SLAVE")
        self.run("stopped replicating", "RESET SLAVE ALL")

    def open(self):
        """Take writes."""
        self.run("opened for writing", "SET GLOBAL read_only = OFF")

    def become_replica(self):
        """Follow the primary; copy it first where that is needed."""
        state = self.state()
        primary = self.params["primary"]
        *reached, closed, version = self.ask(
            primary,
            "SELECT @@GLOBAL.gtid_current_pos, @@GLOBAL.gtid_binlog_state, @@GLOBAL.read_only, VERSION()",
        )
        own = self.db.value("SELECT VERSION()")
        if own.split(".")[:2] != version.split(".")[:2]:
            raise replication.Refused("the primary runs MariaDB %s, this host %s" % (version, own))
        source = {
            "Master_Host": primary,
            "Master_Port": self.params["port"],
            "Master_User": USER,
            "Master_SSL_Allowed": "Yes",
            "Master_SSL_CA_File": self.params["tls_ca"] or "",
            "Using_Gtid": "Slave_Pos",
        }
        replication.must_not_be_primary(state, primary, closed == "0")
        if not state.read_only and closed == "0":
            # Two servers take writes. Whatever else is wrong with this one, and refused below, it takes no more.
            self.close()
        for action in replication.for_replica(state, source, reached, self.params["rebuild"]):
            getattr(self, action)()
        self.settings()
        if not self.module.check_mode:
            self.wait()

    def close(self):
        """Take no more writes."""
        if "closed for writing" in self.done:
            return
        self.done.append("closed for writing")
        if not self.module.check_mode:
            closing.close(self.db, self.params["wait"])

    def seed(self):
        """Copy the primary into this empty server."""
        self.done.append("copied the primary")
        if not self.module.check_mode:
            position, broken = copy.copy(self.params["client_file"], self.params["primary"])
            if broken:
                self.done.append("left out broken views: %s" % ", ".join(broken[:10]))
            self.db.run("SET GLOBAL gtid_slave_pos = %s", position)
            self.secure()

    def rebuild(self):
        """Begin anew with a copy of the primary."""
        if not self.module.check_mode:
            self.db.close()
            aside = copy.empty_server(self.module, self.params["rebuild"])
            self.db = Client()
            if aside:
                self.done.append("put the data aside as %s" % aside)
        self.seed()

    def attach(self):
        """Follow the primary from the position that this server's data has."""
        what = "attached to the primary"
        self.run(what, "STOP SLAVE")
        # What a former primary wrote itself counts as well.
        self.run(what, "SET GLOBAL gtid_slave_pos = @@GLOBAL.gtid_current_pos")
        # Without an authority only MariaDB from 11.4 on can verify the primary: by the password.
        major, minor = (int(part) for part in self.db.value("SELECT VERSION()").split(".")[:2])
        verify = bool(self.params["tls_ca"]) or (major, minor) >= (11, 4)
        self.run(
            what,
            "CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %s, MASTER_USER = %s, MASTER_PASSWORD = %s, "
            "MASTER_SSL = 1, MASTER_SSL_CA = %s, MASTER_SSL_VERIFY_SERVER_CERT = %s, MASTER_USE_GTID = slave_pos, "
            "MASTER_CONNECT_RETRY = 2",
            self.params["primary"], self.params["port"], USER, self.params["replication_password"],
            self.params["tls_ca"] or "", int(verify),
        )  # fmt: skip
        self.start()

    def start(self):
        """Let replication go on."""
        self.run("started replication", "START SLAVE")

    def settings(self):
        """Set what follows the server's place, without a restart."""
        for name, value in replication.settings(
            self.params["mode"], self.params["semi_sync"], self.params["peers"]
        ).items():
            if bool(self.db.value("SELECT @@GLOBAL." + name)) != value:
                self.run("turned semi-synchronous replication over", "SET GLOBAL " + name + " = %s", int(value))
                if name == "rpl_semi_sync_slave_enabled" and not self.module.check_mode and self.state().slave:
                    # The receiver tells the primary when it connects.
                    self.db.run("STOP SLAVE IO_THREAD")
                    self.db.run("START SLAVE IO_THREAD")
        self.wait_for_replicas_again()

    def wait_for_replicas_again(self):
        """Let the next commit wait for a replica that has come back; by itself the server begins with the one after."""
        rows = self.db.rows("SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_master\\_%'")
        status = {row["Variable_name"].lower(): row["Value"] for row in rows}
        if (
            self.db.value("SELECT @@GLOBAL.rpl_semi_sync_master_enabled")
            and status.get("rpl_semi_sync_master_status") == "OFF"
            and int(status.get("rpl_semi_sync_master_clients") or 0)
        ):
            for value in (0, 1):
                self.run("waits for replicas again", "SET GLOBAL rpl_semi_sync_master_enabled = %s", value)

    def trust(self):
        """Believe the load balancers, without a restart."""
        networks = ",".join(self.params["proxies"])
        if self.db.value("SELECT @@GLOBAL.proxy_protocol_networks") != networks:
            self.run("changed who may speak for clients", "SET GLOBAL proxy_protocol_networks = %s", networks)

    def wait(self):
        """Raise ServerError unless replication runs."""
        deadline = time.monotonic() + self.params["wait"]
        while True:
            slave = self.state().slave
            if slave.get("Slave_IO_Running") == slave.get("Slave_SQL_Running") == "Yes":
                return
            if time.monotonic() > deadline:
                text = slave.get("Last_SQL_Error") or slave.get("Last_IO_Error") or "it is still connecting"
                raise ServerError("replication does not run: %s" % text)
            time.sleep(0.1)


def converge(module):
    """Make the server what it shall be; return (actions, position)."""
    if module.check_mode and not os.path.exists(SOCKET):
        return ["would be made"], ""
    server = Server(module)
    server.secure()
    server.trust()
    if module.params["mode"] == "primary":
        server.become_primary()
    else:
        server.become_replica()
    return server.done, server.state().position


def main():
    module = AnsibleModule(
        {
            "mode": {"choices": ["primary", "replica"], "required": True},
            "promote": {"type": "bool", "default": False},
            "accept_loss": {"type": "bool", "default": False},
            "address": {"default": ""},
            "primary": {"default": ""},
            "peers": {"type": "list", "elements": "str", "default": []},
            "port": {"type": "int", "default": 3306},
            "replication_password": {"no_log": True},
            "semi_sync": {"type": "bool", "default": True},
            "proxies": {"type": "list", "elements": "str", "default": []},
            "tls_ca": {"type": "path"},
            "exporter": {"type": "bool", "default": True},
            "health": {"type": "bool", "default": True},
            "rebuild": {"type": "bool", "default": False},
            "wait": {"type": "float", "default": 10},
            "client_file": {"type": "path", "default": "/etc/mysql/hostreeve-replication.cnf"},
            **{name: whole_list.ARGUMENTS[name] for name in ("job", "audit_head", "fence")},
        },
        supports_check_mode=True,
    )
    try:
        with whole_list.guard(module):
            actions, position = converge(module)
            result = {"changed": bool(actions), "actions": actions, "position": position}
            fact.remember(module, result)
    except (whole_list.Stale, replication.Refused, ServerError, OSError) as error:
        module.fail_json(msg=str(error))
    except ImportError:
        module.fail_json(msg=missing_required_lib("PyMySQL"), exception=traceback.format_exc())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
