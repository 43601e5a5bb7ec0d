# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is on the host. Everything is read at most once, and nothing before it is asked for."""

from __future__ import annotations

import glob
import os
import subprocess
from functools import cached_property

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.accounts import Users
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import listed
from ansible_collections.hostreeve.hosting.plugins.module_utils.web import render
from ansible_collections.hostreeve.hosting.plugins.module_utils.whole_list import read


class Folder:
    """The text files of one directory, by their name without the suffix."""

    def __init__(self, path, suffix=".conf"):
        self.path, self.suffix = path, suffix
        self._texts = {}

    def __call__(self, name):
        """Return the path of a file."""
        return os.path.join(self.path, name + self.suffix)

    def get(self, name):
        """Return a file's text, or None."""
        if name not in self._texts:
            self._texts[name] = read(self(name))
        return self._texts[name]

    @cached_property
    def names(self):
        """The names of all files, hidden ones left out."""
        cut = -len(self.suffix)
        return [entry[:cut] for entry in listed(self.path) if entry.endswith(self.suffix) and entry[0] != "."]

    def marked(self, mark=render.MARK):
        """Return the names of the files that Hostreeve wrote."""
        return [name for name in self.names if (self.get(name) or "").startswith(mark)]


class Host(Users):
    """A web host as it is now. ``root`` is the directory that stands for /, for tests."""

    def __init__(self, root="/"):
        super().__init__(root)
        self.www = self.at("srv/www")
        self.fpm = self.at("etc/hostreeve/fpm")
        self.units = self.at("etc/systemd/system")
        self.nginx = self.at("etc/nginx")
        self.sites = Folder(self.at("etc/nginx/hostreeve/sites"))
        self.webroots = Folder(self.at("etc/nginx/hostreeve/webroots"))
        self._pools = {}

    # Files

    def tenant_path(self, tenant, *parts):
        """Return a path below a tenant's directory, which belongs to root."""
        return os.path.join(self.www, tenant, *parts)

    def tenant_webroots(self, tenant):
        """Return the names of a tenant's webroots."""
        return [name for name in listed(self.tenant_path(tenant)) if grammar.WEBROOT.fullmatch(name)]

    def limits_path(self, tenant):
        """Return the path of the drop-in of a tenant's slice."""
        # A drop-in, because the defaults of all tenants are one (hostreeve-tenant-.slice.d) and win over a unit file.
        return os.path.join(self.units, "hostreeve-tenant-%s.slice.d" % tenant, "50-limits.conf")

    def pools(self, tenant):
        """Return the Folder of a tenant's PHP pools."""
        if tenant not in self._pools:
            self._pools[tenant] = Folder(os.path.join(self.fpm, tenant))
        return self._pools[tenant]

    @cached_property
    def pool_tenants(self):
        """The tenants that have a directory of pools."""
        return {name for name in listed(self.fpm) if grammar.TENANT.fullmatch(name)}

    def wants_path(self, tenant):
        """Return the path of the link that starts a tenant's PHP at boot."""
        return os.path.join(self.units, "multi-user.target.wants", "hostreeve-fpm@%s.service" % tenant)

    @cached_property
    def sites_of(self):
        """{webroot: [host names]} of our server blocks."""
        found = {}
        for name in self.sites.marked():
            found.setdefault(render.site_webroot(self.sites.get(name)), []).append(name)
        return found

    @cached_property
    def webroots_of(self):
        """{tenant: [webroots]} of the webroots that nginx knows."""
        found = {}
        for name in self.webroots.marked():
            found.setdefault(render.webroot_tenant(self.webroots.get(name)), []).append(name)
        return found

    # Services

    @cached_property
    def php(self):
        """The path of php-fpm, or None; a Debian release has one version."""
        return max(glob.glob(self.at("usr/sbin/php-fpm[0-9]*")), default=None)

    @property
    def has_nginx(self):
        """Tell whether nginx is installed."""
        return os.path.exists(self.at("usr/sbin/nginx"))

    @cached_property
    def running(self):
        """The tenants whose PHP runs."""
        return running()


def running():
    """Ask systemd for the tenants whose PHP runs."""
    done = subprocess.run(
        ["systemctl", "list-units", "--plain", "--no-legend", "--state=active,reloading", "hostreeve-fpm@*.service"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return {line.split("@", 1)[1].split(".", 1)[0] for line in done.stdout.splitlines() if "@" in line}
