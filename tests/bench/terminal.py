"""What a terminal run costs: many sites onto an empty host, and again, unchanged."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import ansible_mitogen

from tests.bench import fleet
from tests.bench.table import Row, at_least, at_most, seconds

SITES_IN_LOOPS = 20
ROUNDS = 3
CONVERGE = "playbooks/converge.yml"


def tenant(number_: int) -> str:
    """Return the name of a tenant."""
    return f"t_{number_:010d}"


def site_lists(sites: int, tenants: int) -> dict[str, Any]:
    """Return the variables of a web host with so many sites (a webroot with one FQDN each)."""
    return {
        "web_tenants": [{"name": tenant(one), "uid": 200_001 + one} for one in range(tenants)],
        "web_webroots": [{"name": f"web_{one:010d}", "tenant": tenant(one % tenants)} for one in range(sites)],
        "web_fqdns": [{"fqdn": f"site{one}.bench.test", "webroot": f"web_{one:010d}"} for one in range(sites)],
        "web_purge": True,
    }


def converge(name: str, **hosts: dict[str, Any]) -> fleet.Run:
    """Run the converge half with lists of variables per host."""
    return fleet.play("-i", fleet.inventory(name, hosts), CONVERGE)


def clear(host: str) -> None:
    """Empty a web host."""
    converge("empty", **{host: {"web_purge": True}})


def loops(**env: str) -> tuple[float, float]:
    """Return the seconds of 20 sites made with stock modules in loops, first and unchanged."""
    path = fleet.inventory("loops", {"web2": {"sites": [f"bench{one}" for one in range(SITES_IN_LOOPS)]}})
    runs = [fleet.play("-i", path, str(fleet.HERE / "playbooks" / "loops.yml"), **env) for _ in range(2)]
    assert runs[0].counts["changed"] and not runs[1].counts["changed"], "the loops are not idempotent"
    expect("web2", "bench0.loops.test", "<h1>bench0</h1>")
    assert fleet.python("web2", "clear_loops.py") == SITES_IN_LOOPS
    return runs[0].seconds, runs[1].seconds


def expect(host: str, name: str, text: str) -> None:
    """Stop the bench if a host does not serve a name: a figure for work that was not done is worthless.

    nginx takes a moment to carry out a reload that nobody waits for.
    """
    command = ["curl", "-sS", "-m", "10", "-H", f"Host: {name}", f"http://{fleet.WEB[host]}/"]
    end = time.monotonic() + 60
    while text not in (page := subprocess.run(command, capture_output=True, text=True, check=False)).stdout:
        if time.monotonic() > end:
            raise SystemExit(f"{host} does not serve {name}: {page.stdout[:500]}{page.stderr}")
        time.sleep(0.2)


def first_time(lists: dict[str, Any]) -> tuple[float, float]:
    """Return the median seconds of the converge half and of a plain script that makes the same, on empty hosts."""
    ours, plain = [], []
    for _ in range(ROUNDS):
        clear("web1")
        run = converge("first", web1=lists)
        assert run.counts["changed"] == 1
        ours.append(run.seconds)
        expect("web1", "site999.bench.test", "web_0000000999")
        manifest = fleet.python("web1", "manifest.py")
        plain.append(fleet.python("web2", "plain.py", json.dumps(manifest)))
        expect("web2", "site999.bench.test", "web_0000000999")
        clear("web2")
    return statistics.median(ours), statistics.median(plain)


def unchanged(name: str, lists: dict[str, Any]) -> float:
    """Return the median seconds of a converge that finds everything as it should be."""

    def once() -> float:
        run = converge(name, web1=lists)
        assert run.counts["changed"] == 0, "the converge is not idempotent"
        return run.seconds

    return fleet.median(once, ROUNDS)


def rows() -> list[Row]:
    """Measure, and return the rows."""
    fleet.prepare()
    ping = fleet.ping()
    fleet.say(f"{SITES_IN_LOOPS} sites with stock modules in loops")
    stock, stock_again = loops()
    fleet.say("the same under Mitogen")
    strategies = Path(ansible_mitogen.__file__).parent / "plugins" / "strategy"
    mitogen, _ = loops(ANSIBLE_STRATEGY="mitogen_linear", ANSIBLE_STRATEGY_PLUGINS=str(strategies))
    fleet.say("1,000 sites of 200 tenants onto an empty host, and by a plain script there")
    lists = site_lists(1000, 200)
    ours, plain = first_time(lists)
    fleet.say("the same again, unchanged")
    again = unchanged("first", lists)
    fleet.say("10,000 sites of 2,000 tenants, and again, unchanged")
    clear("web1")
    many = site_lists(10_000, 2000)
    ours_many = converge("many", web1=many).seconds
    again_many = unchanged("many", many)
    clear("web1")
    each, stock_each, mitogen_each = ours / 1000, stock / SITES_IN_LOOPS, mitogen / SITES_IN_LOOPS
    made = f"{seconds(ours)} for 1,000 sites, {seconds(each)} each"
    return [
        Row(
            "1,000 sites onto an empty host, per site, against loops of stock modules",
            made,
            f"{seconds(stock)} for 20 sites, {seconds(stock_each)} each",
            stock_each / each,
            at_least(100),
        ),
        Row(
            "… against the same loops under Mitogen",
            made,
            f"{seconds(mitogen)} for 20 sites, {seconds(mitogen_each)} each",
            mitogen_each / each,
            at_least(10),
        ),
        Row("… against a plain script run on the host", seconds(ours), seconds(plain), ours / plain, at_most(3)),
        Row("1,000 sites again, unchanged", seconds(again), f"{seconds(ping)} ping", again / ping, at_most(3)),
        Row(
            "10,000 sites unchanged",
            seconds(again_many),
            f"{seconds(ping)} ping",
            again_many / ping,
            at_most(10),
        ),
        Row(
            "10,000 sites onto an empty host, per site, against 1,000",
            f"{seconds(ours_many)}, {seconds(ours_many / 10_000)} each",
            f"{seconds(each)} each",
            ours_many / 10_000 / each,
        ),
        Row(
            "20 sites in loops, unchanged, against 1,000 of ours unchanged, per site",
            f"{seconds(again)}, {seconds(again / 1000)} each",
            f"{seconds(stock_again)}, {seconds(stock_again / SITES_IN_LOOPS)} each",
            (stock_again / SITES_IN_LOOPS) / (again / 1000),
        ),
    ]
