# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The texts of the files; every value in them has passed its grammar."""

from __future__ import annotations

import re

from ansible_collections.hostreeve.hosting.plugins.module_utils.files import MARK

POOL_MARK = MARK.replace("#", ";", 1)

#: Runs before any location is looked for.
SUSPENDED = "add_header Retry-After 3600 always;\nreturn 503;\n"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{webroot}</title>
<body style="font-family: sans-serif; margin: 4em auto; max-width: 40em">
<h1>It works</h1>
<p>This is webroot <code>{webroot}</code> of tenant <code>{tenant}</code>{runtime}. Replace this file with your own.</p>
</body>
</html>
"""

_OWNER = re.compile(r"# tenant (t_[a-z0-9]{10})\n")
_ROOT = re.compile(r"root /srv/www/t_[a-z0-9]{10}/web_[a-z0-9]{10}/(\S+);\n")
_WEBROOT = re.compile(r" include hostreeve/webroots/(web_[a-z0-9]{10})\.conf;\n")


def site(item, port, ipv6):
    """Return the server block of a host name. What it serves stands in the webroot's file, shared by all its names."""
    listen = "    listen %d;\n" % port + ("    listen [::]:%d;\n" % port if ipv6 else "")
    return "%sserver {\n%s    server_name %s;\n    include hostreeve/webroots/%s.conf;\n%s}\n" % (
        MARK,
        listen,
        item.name,
        item.webroot,
        # A line end of its own: the text may end in a comment.
        item.directives.rstrip("\n") + "\n" if item.directives else "",
    )


def site_webroot(text):
    """Return the webroot that a server block serves, or None."""
    found = _WEBROOT.search(text)
    return found.group(1) if found else None


def webroot(item, suspended):
    """Return the part of a server block that serves a webroot.

    Links are followed only to what the same user owns, from the webroot on: the public folder itself is the tenant's.
    """
    base = "/srv/www/%s/%s" % (item.tenant, item.name)
    php = item.runtime == "php"
    lines = [
        "# tenant %s" % item.tenant,
        "root %s/%s;" % (base, item.public_folder),
        "disable_symlinks if_not_owner from=%s;" % base,
        "index %sindex.html index.htm;" % ("index.php " if php else ""),
        r"location ~ /\.(?!well-known/) {",
        "    return 404;",
        "}",
        "location / {",
        "    try_files $uri $uri/ %s;" % ("/index.php?$args" if php else "=404"),
        "    expires $hostreeve_expires;",
        "}",
    ]
    if php:
        lines += [
            r"location ~ \.php$ {",
            "    try_files $uri =404;",
            "    fastcgi_pass unix:%s;" % socket(item.tenant, item.name),
            "}",
        ]
    text = MARK + "\n".join([*lines, ""])
    return text + SUSPENDED if suspended else text


def webroot_switched(text, suspended):
    """Return a webroot's file for a tenant that has been suspended or resumed."""
    text = text.removesuffix(SUSPENDED)
    return text + SUSPENDED if suspended else text


def webroot_tenant(text):
    """Return the tenant that a webroot's file names, or None."""
    found = _OWNER.search(text)
    return found.group(1) if found else None


def webroot_folder(text):
    """Return the public folder that a webroot's file names, or None."""
    found = _ROOT.search(text)
    return found.group(1) if found else None


def socket(tenant, name):
    """Return the path of a webroot's PHP socket."""
    return "/run/hostreeve-fpm/%s/%s.sock" % (tenant, name)


def quote(value):
    """Return a value as php-fpm's configuration reads it back, byte for byte; grammar.environment says what cannot be.

    Nothing is special between single quotes, and neighbours are joined. An empty string is refused there, but the value
    of a variable that is not set is one.
    """
    parts = ('"\'"' if part == "'" else "'%s'" % part for part in re.split("(')", value) if part)
    return "".join(parts) or "$HOSTREEVE_EMPTY"


def pool(item, settings, secret=True):
    """Return the PHP pool of a webroot; without secret the values of its environment are left out."""
    lines = [
        "[%s]" % item.name,
        "listen = %s" % socket(item.tenant, item.name),
        # Who may reach it is decided by the directory, which only the tenant and nginx may enter.
        "listen.mode = 0666",
        "pm = ondemand",
        "pm.max_children = %d" % settings["php_children"],
        "pm.process_idle_timeout = %ds" % settings["php_idle_seconds"],
        "pm.max_requests = %d" % settings["php_max_requests"],
    ]
    lines += ["env[%s] = %s" % (key, quote(item.env[key]) if secret else "(hidden)") for key in sorted(item.env)]
    return POOL_MARK + "\n".join([*lines, ""])


def without_secrets(text):
    """Return a pool's text with the values of its environment left out."""
    return re.sub(r"(?m)^(env\[\w+\] = ).*", r"\1(hidden)", text or "")


def limits(values):
    """Return the drop-in of a tenant's slice, or None where the host's defaults hold."""
    if not values:
        return None
    form = {"cpu_percent": "CPUQuota=%d%%", "memory_mb": "MemoryMax=%dM", "tasks": "TasksMax=%d"}
    return MARK + "[Slice]\n" + "".join(form[key] % values[key] + "\n" for key in form if key in values)


def page(item):
    """Return (file name, text) of the page that a new webroot shows."""
    text = PAGE.format(webroot=item.name, tenant=item.tenant, runtime=", running PHP" if item.runtime == "php" else "")
    if item.runtime == "php":
        return "index.php", text.replace("running PHP", "running PHP <?= PHP_VERSION ?>")
    return "index.html", text
