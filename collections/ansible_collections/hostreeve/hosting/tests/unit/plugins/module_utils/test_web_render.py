"""The texts of the files."""

import re

from ansible_collections.hostreeve.hosting.plugins.module_utils.web import render
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.wanted import Fqdn, Webroot
from hypothesis import given
from hypothesis import strategies as st

SETTINGS = {"php_children": 3, "php_idle_seconds": 20, "php_max_requests": 100}
WEBROOT = Webroot("w", "web_abcdefghij", "present", "t_abcdefghij", "php", "web/public", {"B": "2", "A": "it's"})


def read_back(text):
    """Read a value as the ini scanner of PHP does: single quotes are literal, double quotes hold an apostrophe here."""
    parts = re.findall(r"'([^']*)'|\"(')\"", text)
    assert "".join("'%s'" % a if not b else '"\'"' for a, b in parts) == text
    return "".join(a or b for a, b in parts)


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1))
def test_a_quoted_value_reads_back_the_same(value):
    text = render.quote(value)
    assert "''" not in text  # an empty one is a mistake to php-fpm
    assert read_back(text) == value


def test_an_empty_value_is_that_of_a_variable_that_is_not_set():
    assert render.quote("") == "$HOSTREEVE_EMPTY"


def test_pool():
    text = render.pool(WEBROOT, SETTINGS)
    assert text.startswith("; Managed by Hostreeve")
    assert "listen = /run/hostreeve-fpm/t_abcdefghij/web_abcdefghij.sock\n" in text
    assert text.endswith("env[A] = 'it'\"'\"'s'\nenv[B] = '2'\n")
    assert text.count("[web_abcdefghij]") == 1


def test_a_pool_that_is_shown_holds_no_value():
    shown = render.pool(WEBROOT, SETTINGS, secret=False)
    assert "env[A] = (hidden)" in shown
    assert "it" not in re.sub("limit|with|idle_timeout|Hostreeve", "", shown.split("env[A]")[1])
    assert render.without_secrets(render.pool(WEBROOT, SETTINGS)) == shown
    assert render.without_secrets(None) == ""


def test_site():
    text = render.site(Fqdn("f", "www.example.com", "present", "web_abcdefghij", "a on;\n# end"), 8080, True)
    assert text.startswith(render.MARK)
    assert "listen 8080;" in text and "listen [::]:8080;" in text and "server_name www.example.com;" in text
    assert text.endswith("a on;\n# end\n}\n")
    assert render.site_webroot(text) == "web_abcdefghij"
    assert "[::]" not in render.site(Fqdn("f", "www.example.com", "present", "web_abcdefghij"), 80, False)
    assert render.site_webroot("server {}") is None


def test_webroot_says_what_it_is():
    text = render.webroot(WEBROOT, False)
    assert text.startswith(render.MARK)
    assert render.webroot_tenant(text) == "t_abcdefghij"
    assert render.webroot_folder(text) == "web/public"
    # From the webroot on: its public folder is the tenant's and may be a link.
    assert "disable_symlinks if_not_owner from=/srv/www/t_abcdefghij/web_abcdefghij;" in text
    assert text.index("well-known") < text.index(r"\.php$"), "hidden files come before PHP"
    assert render.webroot_tenant("root /;") is None and render.webroot_folder("root /;") is None


def test_suspending_and_resuming_leave_the_file_as_it_was():
    text = render.webroot(WEBROOT, False)
    suspended = render.webroot(WEBROOT, True)
    assert "return 503;" in suspended
    assert render.webroot_switched(text, True) == suspended == render.webroot_switched(suspended, True)
    assert render.webroot_switched(suspended, False) == text == render.webroot_switched(text, False)
    assert render.webroot_tenant(suspended) == "t_abcdefghij"


def test_limits():
    assert render.limits({}) is None
    assert render.limits({"tasks": 9, "cpu_percent": 50}).endswith("[Slice]\nCPUQuota=50%\nTasksMax=9\n")


def test_page():
    assert render.page(WEBROOT)[0] == "index.php"
    name, text = render.page(Webroot("w", "web_abcdefghij", "present", "t_abcdefghij"))
    assert name == "index.html" and "web_abcdefghij" in text and "t_abcdefghij" in text and "<?" not in text
