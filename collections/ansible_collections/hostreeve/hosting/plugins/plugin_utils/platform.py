# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The platform behind a terminal run: its API, the hosts that it named, and the leases that the run holds of them.

Inventory plugin, callback and action live in one process and its forks, and share what is here. Address and key stay
out of every variable.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ansible_collections.hostreeve.hosting.plugins.plugin_utils.document import checked, fill, renew

#: Holds every host that came from an API.
GROUP = "hostreeve_api"
FENCE = "hostreeve_fence"
#: The fence of a host whose lease nobody took; hosts refuse it.
UNLEASED = -1
#: Seconds between two questions whether the others are done.
PAUSE = 1.0

#: (url, shard) → the platform
platforms = {}


class Refused(OSError):
    """The API said no: ``status``, and ``hosts`` (name → reason) if it named some."""

    def __init__(self, error):
        self.status, self.hosts = error.code, {}
        message = "%s %s" % (error.code, error.reason)
        try:
            told = json.load(error)["error"]
            message = told["message"]
            hosts = told["details"].get("json", {}).get("hosts", {})
            self.hosts = {host: ", ".join(reasons) for host, reasons in hosts.items()}
        except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError):
            pass  # whatever answered was not the API
        super().__init__("the API refuses: %s" % message)


@dataclass
class Lease:
    """Hosts that are ours until ``deadline`` (of the monotonic clock) if nothing is heard from the API."""

    id: str
    seconds: int
    deadline: float


class _NoRedirects(HTTPRedirectHandler):
    """Takes the key to nobody else."""

    def redirect_request(self, *args, **kwargs):
        return None


class Platform:
    """An API, and what this run knows of and holds at it. Network errors are OSError."""

    def __init__(self, url, key, shard, timeout):
        self.tokens, self.refused, self.leases = {}, {}, []
        if not url.startswith(("https://", "http://")):
            raise ValueError("the url must begin with https:// or http://")
        self._url, self._key, self._shard, self._timeout = url.rstrip("/"), key, shard, timeout
        self._opener = build_opener(_NoRedirects)
        self._inventory, self._hosts, self._groups = None, {}, {}

    def __contains__(self, host):
        return host in self._hosts

    def fill(self, inventory):
        """Put the desired state into Ansible's inventory. ValueError says what is wrong with it."""
        self._hosts, self._groups = self._read()
        self._inventory = inventory
        fill(inventory, self._hosts, self._groups)
        inventory.add_group(GROUP)
        for host in self._hosts:
            inventory.add_child(GROUP, host)
            inventory.set_variable(host, FENCE, self.tokens.get(host, UNLEASED))

    def take(self, hosts, owner, reason, wait, tell):
        """Take the leases of hosts, or note in ``refused`` why not.

        Waits for other holders at most ``wait`` seconds, and tells ``tell(text)`` of each that it waits for.
        """
        wanted = {host for host in hosts if host in self} - self.tokens.keys() - self.refused.keys()
        until, told = time.monotonic() + wait, set()
        while wanted:
            body = {"hosts": sorted(wanted), "owner": owner, "reason": reason}
            try:
                asked = time.monotonic()
                lease = self._ask("POST", "/leases", body)["resource"]
                self.leases.append(Lease(lease["id"], lease["seconds"], asked + lease["seconds"]))
                self._follow()
            except Refused as refusal:
                if refusal.status == 409 and time.monotonic() < until:
                    for host, why in refusal.hosts.items():
                        if (host, why) not in told:
                            tell("waiting: %s %s" % (host, why))
                            told.add((host, why))
                    time.sleep(PAUSE)
                    continue
                # Without those that are held the others can be had; without a name, none.
                named = {host: why for host, why in refusal.hosts.items() if host in wanted}
                self.refused.update(named or dict.fromkeys(wanted, "has no lease: %s" % refusal))
                wanted -= self.refused.keys()
            except (OSError, ValueError, LookupError) as error:
                self.refused.update(dict.fromkeys(wanted, "has no lease: %s" % error))
                return
            else:
                for host in wanted:
                    if host in self:
                        self.tokens[host] = lease["hosts"][host]
                        self._inventory.set_variable(host, FENCE, self.tokens[host])
                    else:
                        self.refused[host] = "is no longer a node"
                return

    def renew(self, lease, timeout):
        """Prolong a lease. After Refused with the status 404 or 409 it is lost."""
        asked = time.monotonic()
        self._ask("POST", "/leases/%s/renew" % lease.id, timeout=timeout)
        lease.deadline = asked + lease.seconds

    def give_back(self, lease):
        """End a lease."""
        self._ask("DELETE", "/leases/%s" % lease.id, timeout=10)

    def _follow(self):
        """Read the desired state again, under the lease.

        What was read before may be older than what jobs have done since, and would undo it.
        """
        hosts, groups = self._read()
        for before, after, entities in (
            (self._hosts, hosts, self._inventory.hosts),
            (self._groups, groups, self._inventory.groups),
        ):
            for name in before.keys() & after.keys() & entities.keys():
                renew(entities[name], before[name], after[name])
        # Only hosts that Ansible knows: one that is new joins the next run.
        self._hosts = {host: entry for host, entry in hosts.items() if host in self._hosts}
        self._groups = groups

    def _read(self):
        query = "?" + urlencode({"shard": self._shard}) if self._shard else ""
        return checked(self._ask("GET", "/inventory" + query))

    def _ask(self, method, path, body=None, timeout=None):
        headers = {"Authorization": "Bearer " + self._key, "Accept": "application/json"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = Request(self._url + path, data, headers, method=method)  # noqa: S310 - the scheme was checked
        try:
            with self._opener.open(request, timeout=timeout or self._timeout) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise Refused(error) from None
        except (HTTPException, ValueError) as error:
            raise OSError("this is no answer of the API: %r" % error) from error


def platform_of(host):
    """Return the platform that a host came from, or None."""
    return next((platform for platform in platforms.values() if host in platform), None)
