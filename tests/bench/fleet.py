"""The hosts of the bench and how they are reached: `bin/fleet --name bench` boots them."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
FLEET = ROOT / ".cache" / "fleet" / "bench"
WORK = ROOT / ".cache" / "bench"
LB = {"lb1": "10.89.3.10"}
WEB = {"web1": "10.89.3.11", "web2": "10.89.3.12"}
ADDRESSES = {**LB, **WEB, "db1": "10.89.3.41", "valkey1": "10.89.3.51"}
#: Seconds after which a single step is given up.
PATIENCE = 1800


def say(text: str) -> None:
    """Tell the reader how far the bench is."""
    print(f"  {text}", file=sys.stderr, flush=True)


def median(work: Callable[[], float], times: int) -> float:
    """Return the median of what some runs measured."""
    return statistics.median(work() for _ in range(times))


def ssh(host: str, *command: str, stdin: str | None = None) -> str:
    """Run a command on a host and return its output."""
    done = subprocess.run(
        ["ssh", "-F", str(FLEET / "ssh_config"), host, *command],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode:
        raise SystemExit(f"{host}: {command}: {done.stderr[-2000:]}")
    return done.stdout


def python(host: str, script: str, stdin: str = "") -> Any:
    """Run a script of onhost/ on a host with Debian's Python; return the JSON that it prints."""
    source = (HERE / "onhost" / script).read_text()
    ssh(host, "cat > /root/bench.py", stdin=source)
    return json.loads(ssh(host, "/usr/bin/python3 /root/bench.py", stdin=stdin))


class Run:
    """What a playbook did: seconds of wall clock, and the counts of its recap summed over the hosts."""

    def __init__(self, wall: float, output: str) -> None:
        self.seconds = wall
        found = re.findall(r"(ok|changed|unreachable|failed)=(\d+)", output)
        self.counts = {name: sum(int(count) for key, count in found if key == name) for name, _ in found}


def play(*arguments: str, **env: str) -> Run:
    """Run ansible-playbook as an operator would, with the settings of the checkout; SystemExit if a host fails."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), *arguments]
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env={**environment(), **env}, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    run = Run(time.perf_counter() - began, done.stdout)
    if done.returncode or not run.counts or run.counts["failed"] or run.counts["unreachable"]:
        raise SystemExit(f"{' '.join(arguments)}: status {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}")
    return run


def environment() -> dict[str, str]:
    """Return the environment of a playbook: the checkout's settings, and the fleet's key and host keys."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PRIVATE_KEY_FILE": str(FLEET / "key"),
        "ANSIBLE_SSH_COMMON_ARGS": f"-o UserKnownHostsFile={FLEET / 'known_hosts'} -o IdentitiesOnly=yes",
    }


def inventory(name: str, variables: dict[str, dict[str, Any]]) -> str:
    """Write an inventory document with variables per host, and return the path of the plugin's file for it."""
    document = {
        "hosts": {
            host: {
                "groups": [re.sub(r"\d+$", "", host)],
                "vars": {"ansible_host": ADDRESSES[host], "ansible_user": "root", **values},
            }
            for host, values in variables.items()
        },
        "groups": {},
    }
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / f"{name}.json").write_text(json.dumps(document))
    file = WORK / f"{name}.hostreeve.yml"
    file.write_text(f"plugin: hostreeve.hosting.platform\ndocument: {name}.json\n")
    return str(file)


def prepare() -> None:
    """Make the hosts what site.yml makes of them; they serve nothing yet."""
    shards = [{"name": "web-a", "nodes": [{"name": host, "address": address} for host, address in WEB.items()]}]
    web = {"web_purge": True, "web_trusted_proxies": list(LB.values())}
    hosts = {**{host: web for host in WEB}, "lb1": {"lb_shards": shards, "lb_purge": True}}
    say("playbooks/site.yml makes web1, web2 and lb1")
    play("-i", inventory("prepare", hosts), "playbooks/site.yml")


def ping(host: str = "web1", times: int = 5) -> float:
    """Return the median seconds of a playbook that pings one host over SSH, with a connection that is open already."""
    path = inventory("ping", {host: {}})

    def once() -> float:
        return play("-i", path, str(HERE / "playbooks" / "ping.yml")).seconds

    once()
    return median(once, times)
