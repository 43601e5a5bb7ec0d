"""What a run is going to do on a host that is a directory of this test."""

import stat
from types import SimpleNamespace

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.web import host as host_module
from ansible_collections.hostreeve.hosting.plugins.module_utils.web import render, run, tenants, webroots
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.wanted import Fqdn, Webroot

SETTINGS = {
    "port": 80,
    "ipv6": True,
    "php": True,
    "php_children": 3,
    "php_idle_seconds": 20,
    "php_max_requests": 9,
    "check": True,
}
A, B = "t_aaaaaaaaaa", "t_bbbbbbbbbb"
WA, WB = "web_aaaaaaaaaa", "web_bbbbbbbbbb"
TENANTS = [{"id": "ta", "name": A, "uid": 200001}, {"id": "tb", "name": B, "uid": 200002}]
WEBROOTS = [{"id": "wa", "name": WA, "tenant": A, "runtime": "php", "env": {"KEY": "secret"}},
            {"id": "wb", "name": WB, "tenant": B}]  # fmt: skip
FQDNS = [{"id": "fa", "fqdn": "a.test", "webroot": WA}, {"id": "fb", "fqdn": "b.test", "webroot": WB}]
ALL = {"tenants": TENANTS, "webroots": WEBROOTS, "fqdns": FQDNS}


class World:
    """A host made of files; who owns what is told by ``folders``, so that the tests need not be root."""

    def __init__(self, root, monkeypatch):
        self.root, self.folders = root, {}
        for path in ("etc/nginx/hostreeve/sites", "etc/nginx/hostreeve/webroots", "etc/hostreeve/fpm", "srv/www"):
            (root / path).mkdir(parents=True)
        self.users = ["root:x:0:0:root:/root:/bin/bash"]
        self.shadow = []
        for module in (tenants, webroots):
            monkeypatch.setattr(module, "lstat", lambda path: self.folders.get(str(path)))
        monkeypatch.setattr(webroots, "_group", lambda: 33)
        self.running = set()
        monkeypatch.setattr(host_module, "running", lambda: self.running)

    def folder(self, path, uid, gid, mode):
        (self.root / path).mkdir(exist_ok=True)
        self.folders[str(self.root / path)] = SimpleNamespace(st_mode=stat.S_IFDIR | mode, st_uid=uid, st_gid=gid)

    def user(self, name, uid, gecos="Hostreeve tenant", expired=""):
        self.users.append(f"{name}:x:{uid}:{uid}:{gecos}:/srv/www/{name}/home:/usr/sbin/nologin")
        self.shadow.append(f"{name}:!*:1::::: {expired}:".replace(" ", ""))

    def tenant(self, name, uid, expired=""):
        self.user(name, uid, expired=expired)
        self.folder(f"srv/www/{name}", 0, 0, 0o711)
        self.folder(f"srv/www/{name}/home", uid, uid, 0o700)
        self.folder(f"srv/www/{name}/sessions", uid, uid, 0o700)

    def webroot(self, name, tenant, uid, runtime="static", env=None, suspended=False):
        item = Webroot(name, name, "present", tenant, runtime, "public", env or {})
        self.folder(f"srv/www/{tenant}/{name}", uid, 33, 0o710)
        self.write(f"etc/nginx/hostreeve/webroots/{name}.conf", render.webroot(item, suspended))
        if runtime == "php":
            self.write(f"etc/hostreeve/fpm/{tenant}/{name}.conf", render.pool(item, SETTINGS))
            link = self.root / f"etc/systemd/system/multi-user.target.wants/hostreeve-fpm@{tenant}.service"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to("/dev/null")
            self.running.add(tenant)

    def site(self, name, webroot):
        text = render.site(Fqdn(name, name, "present", webroot), 80, True)
        self.write(f"etc/nginx/hostreeve/sites/{name}.conf", text)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def converged(self):
        self.tenant(A, 200001)
        self.tenant(B, 200002)
        self.webroot(WA, A, 200001, "php", {"KEY": "secret"})
        self.webroot(WB, B, 200002)
        self.site("a.test", WA)
        self.site("b.test", WB)

    def plan(self, purge=False, settings=None, **lists):
        self.write("etc/passwd", "\n".join([*self.users, ""]))
        self.write("etc/group", "".join(":".join([*line.split(":")[:3], ""]) + "\n" for line in self.users))
        self.write("etc/shadow", "\n".join([*self.shadow, ""]))
        plan = run.prepare(host_module.Host(str(self.root)), lists, {**SETTINGS, **(settings or {})}, purge)
        run._plan_units(plan)
        plan.tell()
        return plan, plan.report.result(True)


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def failed(result):
    return {id_ for id_, entry in result["resources"].items() if entry["failed"]}


def changed(result):
    return {id_ for id_, entry in result["resources"].items() if entry["changed"]}


def test_a_new_host(world):
    plan, result = world.plan(**ALL)
    assert changed(result) == {"ta", "tb", "wa", "wb", "fa", "fb"} and not failed(result)
    assert set(plan.users) == set(plan.tenants.make) == {A, B}
    assert set(plan.webroots.make) == {WA, WB} and set(plan.pools) == {f"{A}/{WA}"}
    assert set(plan.nginx) == {f"webroots/{WA}.conf", f"webroots/{WB}.conf", "sites/a.test.conf", "sites/b.test.conf"}
    assert plan.start == {A}
    assert "secret" not in str(result)


def test_a_converged_host_has_nothing_to_do(world):
    world.converged()
    plan, result = world.plan(purge=True, **ALL)
    assert plan.empty() and not plan.reload
    assert (result["changed"], result["resources"], result["unchanged"], result["diff"]) == (False, {}, 6, [])


def test_a_part_of_the_list_is_enough(world):
    world.converged()
    plan, result = world.plan(fqdns=[{"id": "n", "fqdn": "new.test", "webroot": WA}])
    assert changed(result) == {"n"} and set(plan.nginx) == {"sites/new.test.conf"}


def test_an_environment_is_told_by_its_names(world):
    world.converged()
    plan, result = world.plan(webroots=[{**WEBROOTS[0], "env": {"KEY": "other", "MORE": "hush"}}])
    assert changed(result) == {"wa"} and plan.reload == {A} and not plan.nginx
    assert "MORE" in str(result["diff"]) and "hush" not in str(result) and "secret" not in str(result)


def test_a_uid_that_somebody_has_is_not_taken(world):
    world.user("stranger", 200001, "Somebody")
    plan, result = world.plan(**ALL)
    assert failed(result) == {"ta", "wa", "fa"} and changed(result) == {"tb", "wb", "fb"}
    assert "stranger" in result["resources"]["ta"]["msg"] and set(plan.users) == {B}
    assert "tenant t_aaaaaaaaaa failed" in result["resources"]["wa"]["msg"]
    assert "webroot web_aaaaaaaaaa failed" in result["resources"]["fa"]["msg"]


@pytest.mark.parametrize("state", ["present", "suspended", "absent"])
def test_a_user_that_is_not_ours_is_left_alone(world, state):
    world.user(A, 200001, "Somebody")
    plan, result = world.plan(tenants=[{**TENANTS[0], "state": state}])
    assert failed(result) == {"ta"} and plan.empty()


def test_a_purge_leaves_users_that_are_not_ours(world):
    world.user(A, 200001, "Somebody")
    world.user("t_sys", 200002)
    world.write("etc/nginx/hostreeve/sites/strange.test.conf", "server {}\n")
    world.write("etc/nginx/hostreeve/webroots/strange.conf", "root /;\n")
    plan, result = world.plan(purge=True)
    assert plan.empty() and not result["resources"]


def test_a_uid_never_changes(world):
    world.converged()
    _, result = world.plan(tenants=[{**TENANTS[0], "uid": 200009}])
    assert failed(result) == {"ta"} and "200001" in result["resources"]["ta"]["msg"]


def test_a_directory_without_its_user_is_a_strangers(world):
    world.folder(f"srv/www/{A}", 0, 0, 0o711)
    _, result = world.plan(tenants=TENANTS[:1])
    assert failed(result) == {"ta"}


def test_suspending_reaches_webroots_that_the_list_does_not_name(world):
    world.converged()
    plan, result = world.plan(tenants=[{**TENANTS[0], "state": "suspended"}])
    assert changed(result) == {"ta"} and plan.expire == {A: True} and plan.stop == {A}
    assert list(plan.nginx) == [f"webroots/{WA}.conf"] and "return 503;" in plan.nginx[f"webroots/{WA}.conf"]


def test_resuming_brings_everything_back(world):
    world.tenant(A, 200001, expired="1")
    world.webroot(WA, A, 200001, "php", {"KEY": "secret"}, suspended=True)
    world.running.clear()
    plan, _ = world.plan(tenants=TENANTS[:1])
    assert plan.expire == {A: False} and plan.start == {A}
    assert plan.nginx == {f"webroots/{WA}.conf": render.webroot(Webroot("", WA, "", A, "php", "public"), False)}


def test_a_webroot_of_a_suspended_tenant_stays_suspended(world):
    world.tenant(A, 200001, expired="1")
    plan, result = world.plan(webroots=WEBROOTS[:1])
    assert "return 503;" in plan.nginx[f"webroots/{WA}.conf"] and not plan.start and not failed(result)


def test_a_webroot_of_another_tenant_is_not_taken_over(world):
    world.converged()
    plan, result = world.plan(webroots=[{**WEBROOTS[1], "tenant": A}])
    assert failed(result) == {"wb"} and plan.empty() and B in result["resources"]["wb"]["msg"]


def test_a_webroot_without_its_tenant(world):
    _, result = world.plan(webroots=WEBROOTS[:1], fqdns=FQDNS[:1])
    assert failed(result) == {"wa", "fa"}


def test_a_refused_parent_fails_its_children_with_the_reason(world):
    _, result = world.plan(
        tenants=[{**TENANTS[0], "uid": 5}], webroots=[WEBROOTS[0], {**WEBROOTS[1], "env": 5}], fqdns=FQDNS
    )
    assert failed(result) == {"ta", "wa", "wb", "fa", "fb"}
    assert "uid: must be" in result["resources"]["wa"]["msg"] and "env: must be" in result["resources"]["fb"]["msg"]


def test_php_where_there_is_none(world):
    _, result = world.plan(settings={"php": False}, **ALL)
    assert failed(result) == {"wa", "fa"} and "PHP" in result["resources"]["wa"]["msg"]
    _, result = world.plan(settings={"check": False}, **ALL)
    assert failed(result) == {"wa", "fa"}, "only a prediction may count on an installation to come"


def test_an_absent_webroot_takes_its_names_with_it(world):
    world.converged()
    plan, result = world.plan(webroots=[{"id": "wa", "name": WA, "state": "absent"}])
    assert changed(result) == {"wa", "a.test", A} and "PHP stopped" in result["resources"][A]["msg"]
    assert plan.webroots.remove == {WA: A} and plan.pools == {f"{A}/{WA}": None} and plan.stop == {A}
    assert plan.nginx == {"sites/a.test.conf": None, f"webroots/{WA}.conf": None}


def test_a_name_that_moves_to_another_webroot_survives_the_first(world):
    world.converged()
    plan, result = world.plan(webroots=[{**WEBROOTS[0], "state": "absent"}], fqdns=[{**FQDNS[0], "webroot": WB}])
    assert not failed(result) and WB in plan.nginx["sites/a.test.conf"]


def test_a_name_on_an_absent_webroot_fails_and_goes(world):
    world.converged()
    plan, result = world.plan(webroots=[{**WEBROOTS[0], "state": "absent"}], fqdns=FQDNS)
    assert failed(result) == {"fa"} and plan.nginx["sites/a.test.conf"] is None


def test_an_absent_tenant_takes_everything_with_it(world):
    world.converged()
    plan, result = world.plan(tenants=[{"id": "ta", "name": A, "state": "absent"}])
    assert changed(result) == {"ta", WA, "a.test"}
    assert set(plan.tenants.remove) == {A} and plan.webroots.remove == {WA: A} and plan.stop == {A}


def test_what_is_absent_already_is_unchanged(world):
    lists = {kind: [{**row, "state": "absent"} for row in rows] for kind, rows in ALL.items()}
    plan, result = world.plan(**lists)
    assert plan.empty() and result["unchanged"] == 6 and not result["resources"]


def test_a_purge_names_what_it_removes(world):
    world.converged()
    plan, result = world.plan(purge=True, tenants=TENANTS[:1], webroots=WEBROOTS[:1], fqdns=FQDNS[:1])
    assert changed(result) == {B, WB, "b.test"} and set(plan.tenants.remove) == {B}
    plan, result = world.plan(purge=True)
    assert changed(result) == {A, B, WA, WB, "a.test", "b.test"}


def test_a_purge_leaves_what_a_refused_item_names(world):
    world.converged()
    lists = {
        "tenants": [{**TENANTS[0], "uid": 1}, TENANTS[1]],
        "webroots": [WEBROOTS[0], {**WEBROOTS[1], "runtime": "ruby"}],
        "fqdns": [FQDNS[0], {**FQDNS[1], "directives": 5}],
    }
    plan, result = world.plan(purge=True, **lists)
    assert plan.empty() and failed(result) == {"ta", "wa", "wb", "fa", "fb"}


def test_a_file_that_is_not_ours_is_not_written_over(world):
    world.converged()
    world.write("etc/nginx/hostreeve/sites/b.test.conf", "server {}\n")
    world.write(f"etc/nginx/hostreeve/webroots/{WA}.conf", "root /;\n")
    plan, result = world.plan(**ALL)
    assert failed(result) == {"wa", "fa", "fb"} and plan.empty()


def test_drift_of_directories(world):
    world.converged()
    world.folder(f"srv/www/{A}", 0, 0, 0o777)
    world.folder(f"srv/www/{B}/{WB}", 200002, 200002, 0o710)
    plan, result = world.plan(**ALL)
    assert changed(result) == {"ta", "wb"} and set(plan.tenants.repair) == {A} and set(plan.webroots.repair) == {WB}


def test_a_directory_of_somebody_else_is_in_the_way(world):
    world.converged()
    world.folder(f"srv/www/{A}", 200002, 200002, 0o711)
    world.folder(f"srv/www/{B}/{WB}", 0, 33, 0o710)
    plan, result = world.plan(**ALL)
    assert failed(result) == {"ta", "wa", "fa", "wb", "fb"} and plan.empty()


def test_php_that_does_not_run_is_started(world):
    world.converged()
    world.running.clear()
    plan, result = world.plan(**ALL)
    assert changed(result) == {"ta"} and plan.start == {A}


def test_limits(world):
    world.converged()
    plan, result = world.plan(tenants=[{**TENANTS[0], "limits": {"tasks": 20}}, TENANTS[1]])
    assert changed(result) == {"ta"} and "TasksMax=20" in plan.limits[A] and plan.reload == {A}
    world.write(f"etc/systemd/system/hostreeve-tenant-{A}.slice.d/50-limits.conf", plan.limits[A])
    assert world.plan(tenants=[{**TENANTS[0], "limits": {"tasks": 20}}])[0].empty()
    assert world.plan(tenants=TENANTS)[0].limits == {A: None}


def test_a_public_folder_moves(world):
    world.converged()
    plan, result = world.plan(webroots=[{**WEBROOTS[1], "public_folder": "web"}])
    assert changed(result) == {"wb"} and set(plan.publics) == {WB} and f"{WB}/web;" in plan.nginx[f"webroots/{WB}.conf"]


def test_what_fails_late_takes_its_children_and_changes_along(world):
    plan, _ = world.plan(**ALL)
    plan.fail(plan.wanted.tenants[A], "broken")
    assert set(plan.users) == {B} and set(plan.webroots.make) == {WB} and not plan.pools and not plan.start
    assert set(plan.nginx) == {f"webroots/{WB}.conf", "sites/b.test.conf"}
    plan.cancel("stopped")
    assert plan.empty()
