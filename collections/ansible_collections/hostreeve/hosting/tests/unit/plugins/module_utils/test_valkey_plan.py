"""What a run is going to do on a host that is a directory of this test, and on which nothing runs."""

import stat
from types import SimpleNamespace

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import acl, config, ha, owners, run, usage
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.host import Host

SETTINGS = {"listen": ["*"], "maxclients": 100, "keep_days": 7, "memory_percent": 50, "node": "kv1", "nodes": {}}
NODES = {"kv1": "192.0.2.1", "kv2": "192.0.2.2", "kv3": "192.0.2.3"}
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
        (root / "proc").mkdir()
        (root / "proc/meminfo").write_text("MemTotal:  1048576 kB\n")
        self.settings = SETTINGS
        self.users, self.shadow = ["root:x:0:0:root:/root:/bin/bash"], []
        monkeypatch.setattr(owners, "lstat", lambda path: self.folders.get(str(path)))

    def user(self, name, uid, gecos="Hostreeve tenant", expired=""):
        self.users.append(f"{name}:x:{uid}:{uid}:{gecos}:/srv/www/{name}/home:/usr/sbin/nologin")
        self.shadow.append(f"{name}:!*:1:::::{expired}:")

    def owner(self, name, uid=500000):
        self.users.append(f"{name}:x:{uid}:{uid}:Hostreeve Valkey instance:/srv/valkey/{name}:/usr/sbin/nologin")

    def instance(self, row, users=(), uid=500000):
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
        (drop_in / "50-instance.conf").write_text(config.drop_in(item.name, item.tenant, limit))
        status = SimpleNamespace(st_mode=stat.S_IFDIR | 0o700, st_uid=uid, st_gid=uid)
        self.folders[str(self.root / "srv/valkey" / item.name)] = status

    def plan(self, purge=False, **lists):
        (self.root / "etc/passwd").write_text("\n".join([*self.users, ""]))
        (self.root / "etc/shadow").write_text("\n".join([*self.shadow, ""]))
        host = Host(str(self.root))
        host.running = self.running
        plan = run.prepare(host, lists, self.settings, purge)
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
    world.owner(KA)
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
    assert plan.owners == {KA: 500000, KB: 500001} == {name: one.uid for name, one in plan.work.items()}
    assert f"\nUser={KA}\nGroup={A}\n" in work.drop_in and "\nMemoryMax=160M\n" in work.drop_in


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
    assert work.load  # it may be starting
    assert OTHER not in str(there.result)


def test_a_run_that_was_cut_off_is_repeated_for_all_users(there, monkeypatch):
    monkeypatch.setattr(Host, "pending", {"units": False, "acl": {KA}, "restart": set()})
    work = there.plan().work[KA]
    assert work.load and work.kick == [KA + "_app", KA + "_other"] and work.acl is None


def test_what_failed_is_still_to_be_done(there):
    plan = there.plan(instances=[{**INSTANCES[0], "memory_mb": 0}])
    assert plan.failed(KA) and not plan.failed(KB)
    for lists in ({}, {"tenants": SUSPENDED, "instances": INSTANCES[:1]}):
        plan = there.plan(**lists)
        assert not plan.failed(KA)
        plan.fail_instance(KA, "it does not answer")
        assert plan.failed(KA)


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
    assert "\nappendonly no\n" in run._in_present_form(work)


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


def test_an_instance_of_the_tenants_uid_gets_its_own(there):
    there.users = [row for row in there.users if not row.startswith("kv_")]
    there.folders[str(there.root / "srv/valkey" / KA)].st_uid = 200001
    there.running = {KA}
    plan = there.plan(tenants=TENANTS[:1], instances=INSTANCES[:1])
    work = plan.work[KA]
    assert work.take and work.start and work.uid == plan.owners[KA] == 500000 and work.acl
    assert "given to its own user" in there.told()["ka"]


def test_a_user_of_the_instances_name_is_left_alone(world):
    world.users.append(f"{KA}:x:500000:500000:Somebody:/home/x:/bin/sh")
    plan = world.plan(tenants=TENANTS[:1], instances=INSTANCES[:1])
    assert "not Hostreeve's" in world.told()["ka"] and plan.owners == {}


def test_a_uid_that_somebody_has_is_not_given(world):
    world.users.append("other:x:500000:500000:Somebody:/home/x:/bin/sh")
    plan = world.plan(tenants=TENANTS[:1], instances=INSTANCES[:1])
    assert plan.owners == {KA: 500001}


def test_what_another_node_carries_is_not_made_here(world):
    world.settings = {**SETTINGS, "nodes": NODES}
    rows = [{**INSTANCES[0], "node": "kv2"}, {**INSTANCES[1], "node": "kv1"}]
    plan = world.plan(tenants=TENANTS, instances=rows, users=USERS, purge=True)
    assert set(plan.work) == {KB} and set(plan.users) == {B}
    assert world.told() == dict.fromkeys(("tb", "kb", "ub"), "created") and world.result["unchanged"] == 3


def test_an_instance_never_moves_between_nodes(there):
    there.settings = {**SETTINGS, "nodes": NODES}
    plan = there.plan(tenants=SUSPENDED, instances=[{**INSTANCES[0], "node": "kv2"}], purge=True)
    assert "never moves" in there.told()["ka"] and plan.work == {}


@pytest.fixture
def moved(there):
    """The same host after a move of the instance to another shard."""
    (there.root / "etc/hostreeve/valkey" / f"{KA}.moved").touch()
    return there


def test_what_was_moved_is_not_told_of(there):
    def told():
        host = Host(str(there.root))
        host.running = set()
        return {name: fields["state"] for name, fields in usage.read(host).items()}

    assert told() == {KA: "suspended"}
    (there.root / "etc/hostreeve/valkey" / f"{KA}.moved").touch()
    assert told() == {}


def test_what_was_moved_is_neither_purged_nor_started(moved):
    assert moved.plan(purge=True).empty() and moved.told() == {}
    assert moved.plan(tenants=TENANTS[:1]).work == {}


def test_what_was_moved_runs_again_where_a_list_names_it(moved):
    work = moved.plan(tenants=TENANTS[:1], instances=INSTANCES[:1]).work[KA]
    assert work.reopen and work.start


def test_a_move_is_confirmed_by_a_removal(moved):
    plan = moved.plan(instances=[{"id": "ka", "name": KA, "state": "absent"}])
    assert plan.work[KA].remove and set(plan.leave) == {A}


def test_what_was_moved_holds_neither_port_nor_memory(moved):
    """The host has 512 MiB for instances, of which it had 64."""
    taker = {**INSTANCES[1], "port": INSTANCES[0]["port"], "memory_mb": 512}
    moved.plan(tenants=TENANTS[1:], instances=[taker])
    assert "failed" not in str(moved.told()) and moved.told()["kb"] == "created"
    both = [{**INSTANCES[0], "memory_mb": 64}, {**INSTANCES[1], "memory_mb": 449}]
    moved.plan(tenants=TENANTS, instances=both)
    assert "64 of 512 MiB" in moved.told()["kb"]


def test_an_instance_begins_with_what_came_from_another_shard(world):
    (world.root / "srv/valkey/.incoming").mkdir()
    (world.root / "srv/valkey/.incoming" / f"{KB}.rdb").touch()
    plan = world.plan(**ALL)
    work = plan.work[KB]
    assert work.adopt and work.persistence == ("rdb", "aof") and "data of another host" in world.told()["kb"]
    assert not plan.work[KA].adopt


AVAILABLE = {**INSTANCES[0], "node": "kv1", "highly_available": True, "replication_password": "p" * 32}


def test_a_highly_available_instance_is_on_every_node(world):
    for here, address in NODES.items():
        world.settings = {**SETTINGS, "node": here, "nodes": NODES}
        work = world.plan(tenants=TENANTS[:1], instances=[AVAILABLE], users=USERS[:1]).work[KA]
        assert f"\nreplica-announce-ip {address}\n" in work.conf and "\nmin-replicas-to-write 1\n" in work.conf
        # Who is the primary is not the platform's to say.
        assert "replicaof" not in work.conf and f"hostreeve-valkey-role start {KA}" in work.drop_in
        assert f"user {ha.USER} on" in work.acl and work.sentinel.seed and work.sentinel.start
        assert f"user {KA}_app on sanitize-payload #{HASH} resetkeys" in work.sentinel.acl
        assert "p" * 32 not in str(world.result) + work.acl + work.sentinel.acl
        assert "(+publish " in work.lines[KA + "_app"]


def test_its_users_are_known_as_such_where_no_item_names_it(there):
    with (there.root / f"etc/hostreeve/valkey/{KA}.conf").open("a") as conf:
        conf.write(f"masteruser {ha.USER}\nmasterauth secret\n")
    assert "(+publish " in there.plan(users=USERS[:1]).work[KA].lines[KA + "_app"]


@pytest.mark.parametrize(
    ("nodes", "fields", "reason"),
    [
        (dict(list(NODES.items())[:2]), {}, "needs 3 nodes"),
        (NODES, {"replication_password": ""}, "needs node and replication_password"),
        (NODES, {"replication_password": "x" * 32 + "\nport 1"}, "replication_password: must"),
        (NODES, {"node": "kv9"}, "no node kv9"),
        (NODES, {"node": "kv1\n"}, "node: must"),
        (NODES, {"highly_available": "yes"}, "highly_available: must"),
    ],
)
def test_a_highly_available_instance_needs_a_quorum_and_a_secret(world, nodes, fields, reason):
    world.settings = {**SETTINGS, "nodes": nodes}
    plan = world.plan(tenants=TENANTS[:1], instances=[{**AVAILABLE, **fields}])
    assert reason in world.told()["ka"] and plan.work == {}


def test_its_port_stays(world):
    world.settings = {**SETTINGS, "nodes": NODES}
    world.owner(KA)
    world.user(A, 200001)
    world.instance(INSTANCES[0])
    world.plan(tenants=TENANTS[:1], instances=[{**AVAILABLE, "port": 20009}])
    assert "never changes" in world.told()["ka"]


def test_instances_fit_into_the_hosts_memory(there):
    """The host has 1024 MiB, of which instances get a half; 64 are given away."""
    rows = [{**INSTANCES[1], "memory_mb": 500}, {**INSTANCES[0], "memory_mb": 64}]
    there.plan(tenants=[*SUSPENDED, TENANTS[1]], instances=rows)
    assert "64 of 512 MiB" in there.told()["kb"] and "ka" not in there.told()
    there.plan(tenants=[*SUSPENDED, TENANTS[1]], instances=[{**rows[0], "memory_mb": 448}, rows[1]])
    assert there.told() == {"tb": "created", "kb": "created"}
    there.plan(tenants=SUSPENDED, instances=[{**rows[1], "memory_mb": 513}])
    assert "64 of 512 MiB" in there.told()["ka"]
    there.folders[str(there.root / "srv/valkey" / KB)] = SimpleNamespace(st_mode=stat.S_IFLNK | 0o777, st_uid=0)
    grows = {**rows[1], "memory_mb": 512}
    there.plan(tenants=[*SUSPENDED, TENANTS[1]], instances=[{**rows[0], "memory_mb": 448}, grows])
    assert "in the way" in there.told()["kb"]
    assert not there.result["resources"]["ka"]["failed"]
    there.settings = {**SETTINGS, "memory_percent": 1}
    there.plan(tenants=SUSPENDED, instances=[{**rows[1], "memory_mb": 32}])
    assert "failed" not in str(there.told()) and there.told()["ka"]
