"""Settings from the environment: ``HOSTREEVE_…``, read once at start."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Settings:
    """One field per variable; ``database_url`` is ``HOSTREEVE_DATABASE_URL`` and so on."""

    #: SQLAlchemy URL; ``postgresql+psycopg://…`` for real use.
    database_url: str = "sqlite:///hostreeve.db"
    #: Redis or Valkey URL of the queue, ``unix:///run/…/queue.sock`` or ``redis://…``.
    redis_url: str = "redis://127.0.0.1:6379/0"
    #: Directory for the events and output of jobs.
    data_dir: Path = Path("data")
    #: Directory for the private data of running jobs; a tmpfs in production.
    run_dir: Path = Path("/dev/shm/hostreeve")  # noqa: S108 - secrets of a run must not touch a disk
    #: Private key that the worker uses to reach nodes, and the host keys it trusts.
    ssh_key: Path = Path("id_ed25519")
    ssh_known_hosts: Path = Path("known_hosts")
    #: Key of MultiFernet (comma separated, newest first) for secret columns.
    secret_key: str = ""
    #: Seconds that a lease lives without renewal, and between renewals.
    lease_seconds: int = 60
    lease_renew_seconds: int = 15
    #: Seconds between two sweeps.
    sweep_seconds: int = 5
    #: Seconds between two looks at the health of a db shard, and the port on which its nodes tell it.
    watch_seconds: int = 3
    db_health_port: int = 9105
    #: Longest run and longest silence of a run, in seconds.
    job_timeout: int = 3600
    idle_timeout: int = 600
    #: Largest request body in bytes.
    max_body: int = 1_048_576
    #: Days that the audit is kept; 0: for ever.
    audit_days: int = 0
    #: Days that ended jobs are kept, with their events and output; 0: for ever.
    job_days: int = 0
    #: Addresses of reverse proxies (comma separated) whose X-Forwarded-For is believed; empty for none.
    proxies: str = ""
    playbooks: Path = field(default=ROOT / "playbooks")
    #: Directory whose directories are projects: playbooks beside those of the platform.
    projects: Path = Path("projects")
    #: Beginnings of the addresses of git repositories that may be projects (comma separated); empty: none may.
    git_urls: str = ""
    #: Modules of ad-hoc runs (comma separated, full names).
    adhoc_modules: str = (
        "ansible.builtin.ping,ansible.builtin.setup,ansible.builtin.service_facts,ansible.builtin.command,"
        "ansible.builtin.service,ansible.builtin.apt"
    )
    #: Networks (comma separated, CIDR) beyond the internet that the platform's own webhooks may reach, also by http.
    notify_allow: str = ""
    #: ``smtp://``, ``smtp+starttls://`` or ``smtps://``, ``user:password@`` and port included; empty: no e-mail.
    smtp_url: str = ""
    #: Sender of e-mail, ``Name <address>`` or an address.
    mail_from: str = "Hostreeve <hostreeve@localhost>"
    #: Days that sent notices are kept.
    notice_days: int = 30


def load(environ: dict[str, str] | None = None) -> Settings:
    """Read the settings; ValueError names the variable that does not parse."""
    environ = dict(os.environ) if environ is None else environ
    values: dict[str, object] = {}
    for item in fields(Settings):
        name = "HOSTREEVE_" + item.name.upper()
        if name not in environ:
            continue
        convert = {"int": int, "Path": Path}.get(str(item.type), str)
        try:
            values[item.name] = convert(environ[name])
        except ValueError:
            raise ValueError(f"{name} must be a whole number") from None
    return Settings(**values)  # type: ignore[arg-type]
