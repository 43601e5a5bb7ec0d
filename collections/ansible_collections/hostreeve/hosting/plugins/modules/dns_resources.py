#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole-list module of the name servers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_resources
short_description: Make the zones and records that PowerDNS serves equal to a list
description:
  - Makes zones with all their records on a primary, and the zones that are transferred from it on a secondary. The same
    list goes to both.
  - Reads PowerDNS's SQLite database and writes through its HTTP API on loopback, all records of a zone in one step. A
    zone's serial rises only when something of it changed.
  - Every item is checked on its own. A record that is refused is reported as failed and its rrset keeps its previous
    version; all others are applied.
  - On a secondary a zone is reported once it was transferred, so that a report says what the host serves. Making or
    removing a zone is a change of that host. What a zone holds changes on the primary and counts there only.
  - Zones of another account than C(hostreeve) are never touched, and refused if they stand in the list.
version_added: 0.1.0
author:
  - Hostreeve maintainers (@hostreeve)
extends_documentation_fragment:
  - hostreeve.hosting.run
  - hostreeve.hosting.run.noted
options:
  zones:
    description:
      - The zones, each a mapping of C(name) (lower-case, no trailing dot), C(state) (V(present), the default, or
        V(absent)), C(dnssec) (false by default), C(hostmaster) (a mail address), C(nameservers) (two to eight host
        names, the first is the primary's name in the SOA), C(records) and C(id) (what the result calls it; the name by
        default). The list may be partial; a zone's records are always all its records.
      - A record is a mapping of C(name) (relative to the zone, C(@) is the zone itself), C(type) (A, AAAA, CAA, CNAME,
        MX, NAPTR, NS, PTR, SRV, SSHFP, TLSA or TXT), C(content) in presentation form (host names in it are absolute;
        TXT is the raw text without quotes), C(ttl) (30 to 604800 seconds, 3600 by default), C(state) and C(id)
        (C(zone/name/type/content) by default).
    type: list
    elements: raw
    required: true
  mode:
    description: Whether this host makes the zones or transfers them.
    type: str
    choices: [primary, secondary]
    required: true
  primary:
    description: Address that a secondary transfers from.
    type: str
  secondaries:
    description: Addresses that a primary tells of changes. PowerDNS knows them from its configuration.
    type: list
    elements: str
    default: []
  tsig_name:
    description: Name of the key (hmac-sha256) that transfers and notifications are signed with.
    type: str
    required: true
  tsig_secret:
    description: Its secret in base64. Without it the key must be on the host already.
    type: str
  soa:
    description: Timers of every zone and the TTL of its SOA and NS records, in seconds.
    type: dict
    default: {}
    suboptions:
      ttl:
        description: TTL of the zone's SOA and NS records.
        type: int
        default: 3600
      refresh:
        description: How often a secondary asks for the serial if it got no notification.
        type: int
        default: 10800
      retry:
        description: How soon it asks again if the primary did not answer.
        type: int
        default: 3600
      expire:
        description: How long it serves a zone without any answer of the primary.
        type: int
        default: 604800
      minimum:
        description: How long resolvers remember that a name does not exist.
        type: int
        default: 300
  wait:
    description: Seconds that a secondary waits for the next transfer to end before it gives up on those that are left.
    type: float
    default: 5
  purge:
    description: Remove every zone of ours that is not in the list.
    type: bool
    default: false
  database:
    description: PowerDNS's SQLite database.
    type: path
    default: /var/lib/powerdns/hostreeve.sqlite3
  api_key_file:
    description: Configuration file of PowerDNS that holds the API's key.
    type: path
    default: /etc/powerdns/pdns.d/hostreeve-key.conf
  api_port:
    description: Port of the API on 127.0.0.1.
    type: int
    default: 8081
requirements:
  - dnspython on a secondary
attributes:
  check_mode:
    description:
      - Predicts the result, also on a host without PowerDNS. A secondary counts on the primary to serve the list.
    support: full
  diff_mode:
    description: Shows the records of at most 200 changes.
    support: full
"""

EXAMPLES = r"""
- name: Serve a zone
  hostreeve.hosting.dns_resources:
    mode: primary
    tsig_name: hostreeve
    secondaries: [192.0.2.54]
    zones:
      - name: example.com
        hostmaster: hostmaster@example.net
        nameservers: [ns1.example.net, ns2.example.net]
        dnssec: true
        records:
          - {name: "@", type: A, content: 192.0.2.1, ttl: 300}
          - {name: www, type: CNAME, content: example.com}
          - {name: "@", type: MX, content: 10 mail.example.net}
          - {name: "@", type: TXT, content: v=spf1 mx -all}

- name: Transfer these zones and no others from the primary
  hostreeve.hosting.dns_resources:
    mode: secondary
    primary: 192.0.2.53
    tsig_name: hostreeve
    zones: "{{ dns_zones }}"
    purge: true
"""

RETURN = r"""
resources:
  description: What changed or failed, by id. The message of a zone that was signed holds its DS records.
  type: dict
  returned: always
  sample: {example.com: {changed: true, failed: false, msg: created}}
unchanged:
  description: How many zones and records were as wanted.
  type: int
  returned: always
node:
  description: The job and the audit head that the host carried before this job, and that it carries now.
  returned: always
  type: dict
  sample: {before: {job: "", audit_head: ""}, now: {job: 0b6f, audit_head: "12:9f86"}}
"""

import base64
import binascii
import ipaddress
import time
import traceback
from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.hostreeve.hosting.plugins.module_utils import fact, grammar, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.dns import powerdns, zones

ALGORITHM = "hmac-sha256"
POLL = 0.05  # seconds between two looks at the transfers under way


def ensure_tsig(module, api, database):
    """Make the transfer key equal to the arguments; return whether it changes. Raises ValueError, ApiError."""
    name, secret = module.params["tsig_name"], module.params["tsig_secret"]
    if not grammar.LABEL.fullmatch(name):
        raise ValueError("tsig_name must be lower-case letters, digits and dashes")
    have = database.tsig_key(name)
    if not secret:
        if have is None and not module.check_mode:
            raise ValueError(f"this host has no transfer key {name} yet: give its tsig_secret")
        return False
    try:
        if len(base64.b64decode(secret, validate=True)) < 16:
            raise ValueError
    except (binascii.Error, ValueError):
        raise ValueError("tsig_secret must be base64 of 16 bytes or more") from None
    if have == (ALGORITHM, secret):
        return False
    if not module.check_mode:
        body = {"name": name, "algorithm": ALGORITHM, "key": secret}
        api.call("PUT" if have else "POST", f"/tsigkeys/{name}." if have else "/tsigkeys", body)
    return True


class Server:
    """What primary and secondary share: the arguments, the way to read and to report a zone."""

    kind = ""
    key_kind = ""
    key_field = ""

    def __init__(self, module, api, database, report):
        self.module, self.api, self.database, self.report = module, api, database, report
        params = module.params
        self.key = params["tsig_name"]
        # PowerDNS keeps addresses in their canonical form.
        self.primaries = (str(ipaddress.ip_address(params["primary"])),) if params["mode"] == "secondary" else ("",)
        self.settings = (self.kind, self.primaries, frozenset({(self.key_kind, self.key)}))
        self.timers = params["soa"]

    def soa(self, zone):
        """The zone's start of authority in the shape of Live.soa."""
        timers = self.timers
        rname = zone.rname.removesuffix(".")
        return (
            zone.nameservers[0].removesuffix("."),
            rname,
            *(timers[name] for name in ("refresh", "retry", "expire", "minimum")),
            timers["ttl"],
        )

    def plan(self, zone, live, report):
        """Return (rrsets that the zone shall have, Change)."""
        wanted = zones.settle(zone, live.rrsets if live else {}, self.timers["ttl"], report)
        return wanted, zones.compare(zone, wanted, live, self.soa(zone), self.settings)

    def configuration(self):
        """The zone's settings as the API takes them."""
        return {
            "kind": self.kind.capitalize(),
            "masters": [address for address in self.primaries if address],
            self.key_field: [self.key + "."],
            "soa_edit_api": "",
        }

    def prepare(self, zone, live):
        """Refuse what must not be touched; change the settings of a zone that is there. Raises ValueError, ApiError."""
        if live and live.settings != self.settings:
            if live.settings[0] != self.kind and live.signed:
                raise ValueError(f"is a signed {live.settings[0].lower()} zone on this host; remove it by hand first")
            if not self.module.check_mode:
                self.api.zone("PUT", zone.name, body=self.configuration())

    def remove(self, name):
        """Remove a zone from this host."""
        if not self.module.check_mode:
            self.api.zone("DELETE", name)

    def absent(self, zone, live):
        """Make a zone of the list absent and report it."""
        if live:
            self.remove(zone.name)
        zones.tell_removed(zone, live, self.report)


class Primary(Server):
    """Makes the zones."""

    kind, key_kind, key_field = "MASTER", "TSIG-ALLOW-AXFR", "master_tsig_key_ids"

    def converge(self, wanted, lives):
        """Make each zone as wanted; a failure stays with its zone."""
        for zone in wanted:
            live = lives.get(zone.name)
            try:
                if zone.present:
                    self.present(zone, live)
                else:
                    self.absent(zone, live)
            except (ValueError, powerdns.ApiError) as error:
                zone.failed(self.report, str(error))

    def present(self, zone, live):
        """Make one zone and report it."""
        self.prepare(zone, live)
        wanted, change = self.plan(zone, live, self.report)
        note = ""
        if change and not self.module.check_mode:
            refused = self.apply(zone, live, change)
            self.fail_records(zone, refused)
            note = self.delegation(zone) if change.signing and zone.dnssec else ""
            if self.module.params["secondaries"]:
                self.api.zone("PUT", zone.name, "/notify")
        zones.tell(zone, wanted, change, live, self.report, note=note)

    def fail_records(self, zone, refused):
        """Report the records of the rrsets that PowerDNS refused, although their grammar was right."""
        for id_, record in zone.records.items():
            if record[:2] in refused:
                self.report.failed(id_, refused[record[:2]])
        rest = {
            key: reason for key, reason in refused.items() if all(record[:2] != key for record in zone.records.values())
        }
        for reason in rest.values():
            self.report.failed(zone.id, reason)

    def start_of_authority(self, zone, serial):
        """The rrset entry that gives the zone its SOA."""
        mname, rname, *timers, ttl = self.soa(zone)
        content = " ".join(map(str, (mname + ".", rname + ".", serial, *timers)))
        return self.entry(zone, ("@", "SOA"), zones.Rrset(ttl, frozenset({content})))

    @staticmethod
    def entry(zone, key, rrset):
        """An rrset as the API takes it; None deletes it."""
        name = zone.name if key[0] == "@" else f"{key[0]}.{zone.name}"
        entry = {"name": name + ".", "type": key[1], "changetype": "DELETE"}
        if rrset:
            entries = [{"content": content, "disabled": False} for content in sorted(rrset.contents)]
            entry.update(changetype="REPLACE", ttl=rrset.ttl, records=entries)
        return entry

    def apply(self, zone, live, change):
        """Carry out a change; return ``{(owner, type): reason}`` of the rrsets that PowerDNS refused."""
        # Seconds since 1970, and one more than before where a zone changes twice in a second (or the clock went back).
        serial = max(int(time.time()), live.serial + 1 if live else 0)
        # Deletions first: a CNAME must be gone before another type takes its place.
        entries = [(key, None) for key in sorted(change.remove)] + sorted(change.replace.items())
        if change.create:
            body = {"name": zone.name + ".", "account": powerdns.ACCOUNT, "nameservers": [], **self.configuration()}
            if zone.dnssec:
                body.update(dnssec=True, api_rectify=True)
            body["rrsets"] = [self.start_of_authority(zone, serial)] + [self.entry(zone, *each) for each in entries]
            try:
                self.make(zone, body)
                return {}
            except powerdns.ApiError as error:
                if error.status != 422:
                    raise
            # Some rrset is refused: make the zone with its name servers alone and find out which.
            body["rrsets"] = [body["rrsets"][0], self.entry(zone, zones.APEX_NS, change.replace[zones.APEX_NS])]
            self.make(zone, body)
            entries = [each for each in entries if each[0] != zones.APEX_NS]
            serial += 1
        elif change.signing:
            self.api.zone("PUT", zone.name, body={"dnssec": zone.dnssec, "api_rectify": zone.dnssec})
        return self.patch(zone, entries, serial)[0]

    def make(self, zone, body):
        """Make a zone. PowerDNS would go on for 20 seconds to refuse the names that somebody asked for before."""
        self.api.call("POST", "/zones", body)
        self.api.call("PUT", f"/cache/flush?domain={zone.name}.")

    def patch(self, zone, entries, serial):
        """Write rrsets and the serial in one step, in halves where PowerDNS refuses some.

        Returns ({key: reason} of the refused, the next free serial).
        """
        body = [self.entry(zone, *each) for each in entries] + [self.start_of_authority(zone, serial)]
        try:
            self.api.zone("PATCH", zone.name, body={"rrsets": body})
        except powerdns.ApiError as error:
            if error.status != 422 or not entries:
                raise
            if len(entries) == 1:
                return {entries[0][0]: str(error)}, serial
            middle = len(entries) // 2
            first, serial = self.patch(zone, entries[:middle], serial)
            second, serial = self.patch(zone, entries[middle:], serial)
            return {**first, **second}, serial
        return {}, serial + 1

    def delegation(self, zone):
        """The DS records that the parent zone needs, as the end of a message."""
        keys = self.api.zone("GET", zone.name, "/cryptokeys")
        records = sorted(ds for key in keys for ds in key.get("ds", []) if ds.split()[2] == "2")
        return "; DS for the parent: " + ", ".join(records)


class Secondary(Server):
    """Transfers the zones from the primary."""

    kind, key_kind, key_field = "SLAVE", "AXFR-MASTER-TSIG", "slave_tsig_key_ids"

    def converge(self, wanted, lives):
        """Make each zone a copy of the primary's and report what is served then."""
        present = []
        for zone in wanted:
            live = lives.get(zone.name)
            try:
                if not zone.present:
                    self.absent(zone, live)
                    continue
                self.prepare(zone, live)
                if self.module.check_mode:
                    self.tell(zone, live, *self.plan(zone, live, self.report))
                    continue
                if live is None:
                    body = {"name": zone.name + ".", "account": powerdns.ACCOUNT, **self.configuration()}
                    self.api.call("POST", "/zones", body)
            except (ValueError, powerdns.ApiError) as error:
                zone.failed(self.report, str(error))
                continue
            present.append(zone)
        if present:
            self.transfer(present, lives)

    def transfer(self, present, lives):
        """Bring the zones that are behind up to the primary's serial, then report all of them."""
        names = [zone.name for zone in present]
        try:
            serials = powerdns.soa_serials(self.primaries[0], names, self.module.params["wait"])
        except OSError:
            serials = {}
        behind = {}
        for zone in present:
            live, serial = lives.get(zone.name), serials.get(zone.name)
            _rrsets, change = self.plan(zone, live, whole_list.Report())
            if serial is not None and (change or live is None or live.serial != serial):
                behind[zone.name] = serial
        late = self.retrieve(behind)
        after = {**lives, **self.database.zones(behind)} if behind else lives
        for zone in present:
            rrsets, left = self.plan(zone, after.get(zone.name), self.report)
            if zone.name in late:
                zone.failed(self.report, late[zone.name])
            elif left and serials.get(zone.name) is None:
                what = "does not serve it" if zone.name in serials else "does not answer"
                zone.failed(self.report, f"the primary {self.primaries[0]} {what}")
            elif left:
                self.fail_missing(zone, left)
            live = lives.get(zone.name)
            change = zones.compare(zone, rrsets, live, self.soa(zone), self.settings)
            self.tell(zone, live, rrsets, change)

    def retrieve(self, behind):
        """Transfer zones, wait until each has the serial; return ``{zone: reason}`` of those that did not get there."""
        late = {}
        for name in behind:
            try:
                self.api.zone("PUT", name, "/axfr-retrieve")
            except powerdns.ApiError as error:
                late[name] = str(error)
        open_ = set(behind) - set(late)
        deadline = time.monotonic() + self.module.params["wait"]
        while open_ and time.monotonic() < deadline:
            have = self.database.serials(open_)
            done = {name for name, serial in have.items() if (serial - behind[name]) & 0xFFFFFFFF < 1 << 31}
            open_ -= done
            if done:
                deadline = time.monotonic() + self.module.params["wait"]
            elif open_:
                time.sleep(POLL)
        reason = f"was not transferred from {self.primaries[0]} within {self.module.params['wait']:g} seconds"
        return {**late, **dict.fromkeys(open_, reason)}

    def fail_missing(self, zone, left):
        """Report what a transferred zone still lacks: the primary has it otherwise."""
        reason = f"the primary {self.primaries[0]} does not serve it so"
        own = {record[:2] for record in zone.records.values()}
        for id_, record in zone.records.items():
            if record[:2] in left.replace:
                self.report.failed(id_, reason)
        if left.settings or left.signing or left.soa or (set(left.replace) | left.remove) - own:
            self.report.failed(zone.id, reason)

    def tell(self, zone, live, rrsets, change):
        """Report a zone: made or set up here is a change, but what a zone holds changes on the primary.

        The primary's notification may have brought it before this run, so that counting it would be a matter of luck.
        """
        if live:
            change = zones.Change(settings=change.settings)
            live = replace(live, rrsets=rrsets)
        zones.tell(zone, rrsets, change, live, self.report)


def run(module, report):
    """Converge the host; return whether something changed that is no resource. Raises ValueError, ApiError."""
    params = module.params
    database = powerdns.Database(params["database"])
    api = None
    if not module.check_mode:
        api = powerdns.Api(params["api_port"], params["api_key_file"])
        api.call("GET", "")  # a name server that is down must not be reported as unchanged
    rekeyed = ensure_tsig(module, api, database)
    server = (Primary if params["mode"] == "primary" else Secondary)(module, api, database, report)
    wanted = zones.read(params["zones"], report)
    lives = database.zones(zone.name for zone in wanted)
    mine = []
    for zone in wanted:
        live = lives.get(zone.name)
        if live and live.account != powerdns.ACCOUNT:
            zone.failed(report, f"the host has a zone {zone.name} of its own, which is not ours to change")
        else:
            mine.append(zone)
    server.converge(mine, lives)
    if params["purge"]:
        # Whatever the list names stays, even if the item was refused.
        listed = {str(item.get("name")).lower().rstrip(".") for item in params["zones"] if isinstance(item, dict)}
        for name in sorted(set(database.ours()) - listed):
            try:
                server.remove(name)
                report.changed(name, "removed: not in the list", f"{name}\n", "", name)
            except powerdns.ApiError as error:
                report.failed(name, str(error))
    return rekeyed


def main():
    module = AnsibleModule(
        {
            "zones": {"type": "list", "elements": "raw", "required": True},
            "mode": {"choices": ["primary", "secondary"], "required": True},
            "primary": {},
            "secondaries": {"type": "list", "elements": "str", "default": []},
            "tsig_name": {"required": True},
            "tsig_secret": {"no_log": True},
            "soa": {
                "type": "dict",
                "default": {},
                "options": {
                    "ttl": {"type": "int", "default": 3600},
                    "refresh": {"type": "int", "default": 10800},
                    "retry": {"type": "int", "default": 3600},
                    "expire": {"type": "int", "default": 604800},
                    "minimum": {"type": "int", "default": 300},
                },
            },
            "wait": {"type": "float", "default": 5},
            "database": {"type": "path", "default": "/var/lib/powerdns/hostreeve.sqlite3"},
            "api_key_file": {"type": "path", "default": "/etc/powerdns/pdns.d/hostreeve-key.conf", "no_log": False},
            "api_port": {"type": "int", "default": 8081},
            **whole_list.ARGUMENTS,
        },
        required_if=[("mode", "secondary", ("primary",))],
        supports_check_mode=True,
    )
    report = whole_list.Report()
    try:
        with whole_list.guard(module):
            rekeyed = run(module, report)
            result = report.result(module._diff, each=bool(module.params["job"]))
            result["changed"] |= rekeyed
            fact.remember(module, result)
    except (whole_list.Stale, ValueError, OSError, powerdns.ApiError, powerdns.DatabaseError) as error:
        module.fail_json(msg=str(error))
    except ImportError:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=traceback.format_exc())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
