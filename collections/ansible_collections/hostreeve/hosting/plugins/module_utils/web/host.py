# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is on the host. Everything is read at most once, and nothing before it is asked for."""

from __future__ import annotations

import glob
import os
from functools import cached_property

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.accounts import Users
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import Folder, listed
from ansible_collections.hostreeve.hosting.plugins.module_utils.units import Units, limits_path
from ansible_collections.hostreeve.hosting.plugins.module_utils.web import render

#: The unit of a tenant's PHP.
PHP = Units("hostreeve-fpm")


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
        return limits_path(self.units, tenant)

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
        return PHP.wants(self.units, tenant)

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
    return PHP.running()
