"""What a run is going to do on a host that is a directory of this test, and on which nothing runs."""

import stat
from types import SimpleNamespace

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import acl, config, instances, run
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.host import Host

SETTINGS = {"listen": ["*"], "maxclients": 100, "keep_days": 7}
A, B = "t_aaaaaaaaaa", "t_bbbbbbbbbb"
KA, KB = "kv_aaaaaaaaaa", "kv_bbbbbbbbbb"
HASH, OTHER = "a" * 64, "b" * 64
TENANTS = [{"id": "ta", "name": A, "uid": 200001}, {"id": "tb", "name": B, "uid": 200002}]
INSTANCES = [{"id": "ka", "name": KA, "tenant": A, "port": 20001, "memory_mb": 64},
             {"id": "kb", "name": KB, "tenant": B, "port": 20002, "memory_mb": 64, "persistence": "aof"}]  # fmt: skip
USERS = [{"id": "ua", "name": KA + "_app", "instance": KA, "password_sha256": HASH},
         {"id": "ub", "name": KB + "_app", "instance": KB, "password_sha256": HASH}]  # fmt: skip
ALL = {"tenants": TENANTS, "instances": INSTANCES, "users": USERS}


class World:
    """A host made of files; who owns what is told by ``folders``, so that the tests need not be root."""

    def __init__(self, root, monkeypatch):
        self.root, self.folders, self.running = root, {}, set()
        for path in ("etc/hostreeve/valkey", "srv/valkey", "etc/systemd/system/multi-user.target.wants"):
            (root / path).mkdir(parents=True)
        self.users, self.shadow = ["root:x:0:0:root:/root:/bin/bash"], []
        monkeypatch.setattr(instances, "lstat", lambda path: self.folders.get(str(path)))

    def user(self, name, uid, gecos="Hostreeve tenant", expired=""):
        self.users.append(f"{name}:x:{uid}:{uid}:{gecos}:/srv/www/{name}/home:/usr/sbin/nologin")
        self.shadow.append(f"{name}:!*:1:::::{expired}:")

    def instance(self, row, users=(), uid=200001):
        """Put an instance there as a run would leave it."""
        item = SimpleNamespace(eviction="noeviction", **{"persistence": "rdb", **row})
        etc = self.root / "etc/hostreeve/valkey"
        values = config.settings(item, SETTINGS["listen"], SETTINGS["maxclients"])
        (etc / f"{item.name}.conf").write_text(config.render(item.tenant, values))
        (etc / f"{item.name}.key").write_text("secret\n")
        lines = {name: acl.line(name, HASH, "all", "") for name in users}
        (etc / f"{item.name}.acl").write_text(acl.render(SHA_OF_SECRET, lines))
        drop_in = self.root / f"etc/systemd/system/hostreeve-valkey@{item.name}.service.d"
        drop_in.mkdir()
        limit = config.memory_max(item.memory_mb, item.persistence)
        (drop_in / "50-instance.conf").write_text(config.drop_in(item.tenant, limit))
        status = SimpleNamespace(st_mode=stat.S_IFDIR | 0o700, st_uid=uid, st_gid=uid)
        self.folders[str(self.root / "srv/valkey" / item.name)] = status

    def plan(self, purge=False, **lists):
        (self.root / "etc/passwd").write_text("\n".join([*self.users, ""]))
        (self.root / "etc/shadow").write_text("\n".join([*self.shadow, ""]))
        host = Host(str(self.root))
        host.running = self.running
        plan = run.prepare(host, lists, SETTINGS, purge)
        plan.tell()
        self.result = plan.report.result()
        return plan

    def told(self):
        return {id_: entry["msg"] for id_, entry in self.result["resources"].items()}


SHA_OF_SECRET = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


@pytest.fixture
def there(world):
    """A host that carries tenant A and its instance with two users; suspended, so that nothing should run."""
    world.user(A, 200001, expired="1")
    world.instance(INSTANCES[0], [KA + "_app", KA + "_other"])
    return world


SUSPENDED = [{**TENANTS[0], "state": "suspended"}]


def test_an_empty_host_gets_everything(world):
    plan = world.plan(**ALL)
    assert world.told() == dict.fromkeys(("ta", "tb", "ka", "kb", "ua", "ub"), "created")
    assert plan.users == {A: 200001, B: 200002}
    work = plan.work[KA]
    assert work.make and work.start and not work.stop and work.key
    assert f"# tenant {A}\n" in work.conf and "\nport 20001\n" in work.conf and "\nmaxmemory 67108864\n" in work.conf
    assert f"user {KA}_app on sanitize-payload #{HASH} " in work.acl and work.key not in work.acl
    assert f"\nUser={A}\n" in work.drop_in and "\nMemoryMax=160M\n" in work.drop_in


def test_a_tenant_without_an_instance_is_nobody_here(world):
    plan = world.plan(tenants=TENANTS)
    assert plan.empty() and world.result["unchanged"] == 2


def test_nothing_changes_where_everything_is_as_wanted(there):
    users = [USERS[0], {**USERS[0], "id": "uo", "name": KA + "_other"}]
    plan = there.plan(tenants=SUSPENDED, instances=INSTANCES[:1], users=users, purge=True)
    assert plan.empty() and there.told() == {} and there.result["unchanged"] == 4


def test_a_partial_list_leaves_the_rest(there):
    plan = there.plan(users=[{**USERS[0], "password_sha256": OTHER}])
    assert there.told() == {"ua": "password changed"}
    work = plan.work[KA]
    assert set(acl.parse(work.acl, KA)) == {KA + "_app", KA + "_other"} and work.kick == [KA + "_app"]
    assert OTHER not in str(there.result)


def test_a_purge_removes_users_that_no_item_names(there):
    plan = there.plan(tenants=SUSPENDED, instances=INSTANCES[:1], users=USERS[:1], purge=True)
    assert there.told() == {KA + "_other": "removed"}
    assert set(acl.parse(plan.work[KA].acl, KA)) == {KA + "_app"}


def test_a_purge_leaves_what_a_refused_item_names(there):
    plan = there.plan(instances=[{**INSTANCES[0], "memory_mb": 0}], users=[{**USERS[0], "access": "root"}], purge=True)
    assert not any(work.remove for work in plan.work.values()) and plan.leave == {}
    assert there.result["resources"]["ka"]["failed"] and there.result["resources"]["ua"]["failed"]


def test_a_purge_of_empty_lists_removes_all_that_is_ours(there):
    there.user("t_strange000", 200009, gecos="Somebody")
    (there.root / "etc/hostreeve/valkey/kv_strangerxx.conf").write_text("port 1\n")
    plan = there.plan(purge=True)
    assert plan.work[KA].remove and plan.work[KA].stop and set(plan.leave) == {A}
    assert set(there.told()) == {KA, A}


def test_a_suspended_tenants_persistence_waits_until_it_runs_again(there):
    aof = [{**INSTANCES[0], "persistence": "aof"}]
    plan = there.plan(tenants=SUSPENDED, instances=aof)
    assert plan.empty() and there.told() == {}
    plan = there.plan(tenants=TENANTS[:1], instances=aof)
    work = plan.work[KA]
    assert work.start and work.persistence == ("rdb", "aof") and "\nappendonly yes\n" in work.conf
    assert "\nappendonly no\n" in run._in_old_form(work)


def test_what_no_item_names_starts_with_its_tenant(there):
    plan = there.plan(tenants=TENANTS[:1])
    assert plan.work[KA].start and plan.expire == {A: False}
    assert there.told() == {"ta": "resumed", KA: "started"}


def test_an_absent_tenant_goes_with_its_instances(there):
    plan = there.plan(tenants=[{"id": "ta", "name": A, "state": "absent"}])
    assert plan.work[KA].remove and set(plan.leave) == {A}
    assert there.told() == {"ta": "removed", KA: "removed; its data are kept"}


@pytest.mark.parametrize(
    ("lists", "reasons"),
    [
        ({"tenants": [{**TENANTS[0], "uid": 5}]}, {"ta": "uid: must", "ka": "tenant t_a", "ua": "instance kv_a"}),
        ({"tenants": []}, {"ka": "no tenant", "ua": "instance kv_a"}),
        ({"instances": [{**INSTANCES[0], "port": 80}]}, {"ka": "port: must", "ua": "instance kv_a"}),
        ({"instances": []}, {"ua": "no instance"}),
        ({"users": [{**USERS[0], "name": KB + "_app"}]}, {"ua": "name: must start"}),
        ({"users": [{**USERS[0], "access": "custom"}]}, {"ua": "rules: are missing"}),
        ({"users": [{**USERS[0], "rules": "+get"}]}, {"ua": "rules: are for"}),
    ],
)
def test_what_does_not_fit_fails_with_what_depends_on_it(world, lists, reasons):
    world.plan(**{**{name: rows[:1] for name, rows in ALL.items()}, **lists})
    failed = {id_: entry["msg"] for id_, entry in world.result["resources"].items() if entry["failed"]}
    assert failed.keys() == reasons.keys()
    assert all(reason in failed[id_] for id_, reason in reasons.items()), failed


def test_a_bad_user_never_fails_the_instance_whose_name_it_takes(world):
    world.plan(**{**ALL, "users": [*USERS, {**USERS[0], "id": "bad", "name": KA}]})
    assert [id_ for id_, entry in world.result["resources"].items() if entry["failed"]] == ["bad"]


def test_what_is_in_the_way_is_left_alone(there):
    other = {**INSTANCES[1], "tenant": A}
    for row, reason in (
        ({**other, "port": 20001}, "port: 20001 is that of " + KA),
        ({**INSTANCES[0], "tenant": B, "port": 20009}, "tenant: is t_aaaaaaaaaa on this host"),
    ):
        plan = there.plan(tenants=[*SUSPENDED, TENANTS[1]], instances=[row])
        assert reason in there.told()[row["id"]] and plan.work == {}
    there.folders[str(there.root / "srv/valkey" / KB)] = SimpleNamespace(st_mode=stat.S_IFLNK | 0o777, st_uid=0)
    there.plan(tenants=SUSPENDED, instances=[other])
    assert "is in the way" in there.told()["kb"]


def test_a_configuration_is_read_back():
    item = SimpleNamespace(name=KA, port=20001, memory_mb=32, eviction="allkeys-lru", persistence="none")
    values = config.settings(item, ["*", "-::*"], 100)
    tenant, read = config.parse(config.render(A, values))
    assert (tenant, read) == (A, values) and config.persistence(read) == "none"
    assert config.parse("port 1\n") == (None, {})
