"""One launch: like a shard's job, but what it does to hosts settles nothing; only hosts are reported."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
import structlog
import yaml
from ansible.errors import AnsibleError
from sqlalchemy.orm import Session

from api.core.errors import ApiError
from api.core.kind import registry
from api.jobs.claim import Busy
from api.jobs.finish import Ending, abandon, finish
from api.launch.claim import Taken, claim, nodes_behind
from api.launch.data import MOST_TOLD, told
from api.launch.documents import document_of_launch
from api.launch.models import Launch
from api.launch.parts import credentials_of
from api.operations import core as operations
from worker import processes, workflows
from worker.checkout import Unusable, place
from worker.context import Context, wake
from worker.events import EventLog
from worker.handover import Mask, hand_over
from worker.lease import Lease
from worker.pattern import hosts_of
from worker.planned import Planned, Refused
from worker.playbook import Extras, play, private_directory
from worker.predict import Found, judge, predict
from worker.reporter import attempt

log = structlog.get_logger(__name__)

#: The playbook of an ad-hoc run, in its private directory, and the variable that holds the module's arguments.
ADHOC, ARGUMENTS = "ad-hoc.yml", "hostreeve_arguments"


def is_one(context: Context, job_id: uuid.UUID) -> bool:
    """Tell whether a job is a launch."""
    with context.maker() as session:
        return session.scalar(sa.select(Launch.job_id).where(Launch.job_id == job_id)) is not None


def carry_out(context: Context, job_id: uuid.UUID) -> None:
    """Claim the launch, run it, and tell the queue what waits for its hosts by then."""
    with context.maker() as session:
        row = session.get_one(Launch, job_id)
    taken, problem = _take(context, row)
    if taken is None:
        return
    lease = Lease(context, taken, row.timeout)
    lease.start()
    try:
        if problem:
            _end(context, taken, Ending(reason=problem))
        else:
            _run(context, row, taken, lease)
    except Exception:
        log.exception("launch broke", job=str(job_id))
        processes.kill_all()
        _end(context, taken, Ending(reason="worker_error"))
    finally:
        lease.stop()
    workflows.go_on(context, job_id)
    wake(context, taken.tokens)


def _end(
    context: Context,
    taken: Taken,
    ending: Ending,
    before: Callable[[Session], None] | None = None,
) -> None:
    def end(session: Session) -> None:
        if before is not None:
            before(session)
        finish(session, taken, ending)

    try:
        attempt(context, end)
    except sa.exc.SQLAlchemyError:
        log.exception("launch could not be ended; the sweeper will", job=str(taken.job_id))


def _take(context: Context, row: Launch) -> tuple[Taken | None, str]:
    """Return the claimed launch, or None if it is not to be done now; and why it cannot be run, if it cannot."""

    def work(session: Session) -> tuple[Taken | None, str]:
        hosts, problem = set[str](), ""
        try:
            document = document_of_launch(session, row, resources=False)
            hosts = set(hosts_of(document, row.limit))
            hosts |= set(nodes_behind(session, {name: document["hosts"][name] for name in hosts}).values())
            hosts = set() if _only_reads(row) else hosts
        except (LookupError, ValueError, AnsibleError) as error:
            # A row that no API wrote, or a pattern that only looks like one: a run with it must not be tried for ever.
            hosts, problem = set(), (str(error).strip() or "failed").splitlines()[0][:300]
        return claim(session, row, hosts, processes.name(), context.settings.lease_seconds), problem

    try:
        found: tuple[Taken | None, str] = attempt(context, work)
        return found
    except Busy:
        # The one who holds the hosts publishes again at its end.
        return None, ""


def _run(context: Context, row: Launch, taken: Taken, lease: Lease) -> None:
    settings, stop = context.settings, lease.stop_run
    with context.maker() as session:
        try:
            document = _document(session, row, taken)
            planned = Planned(session, row, document)
            credentials = credentials_of(session, row.credentials)
            project = _project(session, row)
        except (LookupError, ApiError) as error:
            reason = error.message if isinstance(error, ApiError) else str(error.args[0])
            _end(context, taken, Ending(reason=reason))
            return
    secrets = orjson.loads(row.secrets) if row.secrets else {}
    log_, found, mask = EventLog(settings.data_dir.resolve() / "jobs", str(taken.job_id)), Found(), Mask(())
    status, problem = "failed", ""
    heard: operations.Heard = {}
    listen = operations.find(row.operation).listen if row.operation else None
    refused: Refused | None = None

    def on_event(event: dict[str, Any]) -> bool:
        stop.heard()
        try:
            event = mask(event)
            log_.append(event)
            planned.take(found, event)
            if listen is not None:
                listen(heard, event)
        except Exception:
            log.exception("event not understood", job=str(taken.job_id))
            log_.lost = True
        # ansible-runner keeps no file of the event.
        return False

    with private_directory(settings, str(taken.job_id), document) as directory:
        variables = {ARGUMENTS: row.arguments} if row.module else {**row.variables, **secrets}
        given = hand_over(directory, credentials, secrets, variables)
        mask = Mask(given.hidden)
        try:
            where, playbook, commit = _playbook(context, row, project, directory)
            extras = Extras(where, [*_options(row), *given.options], given.environment, given.ssh_key)
            check = partial(predict, settings, playbook, directory, stop, log_, extras=extras, mask=mask, again=True)
            planned.begin(context, where, commit, stop, check)
            if not stop.reason:
                status, _ = play(settings, playbook, directory, on_event, stop, extras=extras)
        except Unusable as error:
            problem = f"project: {error}"
            log_.say(problem)
        except Refused as error:
            refused = error
    data = _data(found.recap.told, log_)
    if stop.reason == "lease_lost":
        log_.close()
        attempt(context, lambda session: abandon(session, taken.job_id, "lease_lost"))
        return
    ending = Ending(
        reason=problem or judge(found, status, stop, log_),
        hosts=found.recap.hosts(),
        by_host=True,
        events_lost=log_.lost,
        truncated=log_.truncated,
        events_sha256=log_.close(),
        data=data,
        heard=heard,
    )

    _end(context, taken, ending, lambda session: planned.end(session, ending, found, refused))


def _data(said: Any, log_: EventLog) -> dict[str, Any] | None:
    """Return what the playbook told with set_stats, as far as it is kept; the output says what is not."""
    data, refused = told(said)
    if data is None:
        log_.say(f"set_stats: more than {MOST_TOLD} bytes, or no plain values: nothing of it is kept")
    elif refused:
        log_.say(f"set_stats: these cannot be variables and are not kept: {', '.join(refused)}")
    return data


def _document(session: Session, row: Launch, taken: Taken) -> dict[str, Any]:
    """Return the inventory of the run. A host that came after the leases were taken is not among its hosts."""
    document = document_of_launch(session, row, resources=not row.module)
    if _only_reads(row):
        return document
    for name in set(hosts_of(document, row.limit)) - taken.tokens.keys():
        del document["hosts"][name]
    run = {"hostreeve_job_id": str(taken.job_id), "hostreeve_audit_head": taken.audit_head}
    nodes = nodes_behind(session, document["hosts"])
    for name, host in document["hosts"].items():
        # A host that is only read about (hostvars) is not ours; it refuses a run without a token.
        token = taken.tokens.get(nodes.get(name, name), -1)
        host.setdefault("vars", {}).update(run, hostreeve_fence=token)
    return document


def _only_reads(row: Launch) -> bool:
    """Tell whether a launch is an operation that works beside others on its hosts."""
    return bool(row.operation) and operations.find(row.operation).reads


def _project(session: Session, row: Launch) -> Any:
    if row.project_id is None:
        return None
    project = session.get(registry["project"].model, row.project_id)
    if project is None:
        raise LookupError("the project is gone")
    return project


def _playbook(context: Context, row: Launch, project: Any, directory: Path) -> tuple[Path, str, str]:
    """Return (directory, playbook, commit of a repository), and record what exactly is run. Raises Unusable."""
    if row.module:
        # The arguments come as a variable, so that what a user typed in them is no template.
        task = {"name": row.module, row.module: None, "args": "{{ %s }}" % ARGUMENTS}
        plays = [{"name": "Ad hoc", "hosts": "all", "gather_facts": False, "become": row.become, "tasks": [task]}]
        (directory / ADHOC).write_text(yaml.safe_dump(plays, sort_keys=False))
        return directory, ADHOC, ""
    where, revision = place(context.settings, project, directory)
    if not (where / row.playbook).is_file():
        raise Unusable(f"there is no playbook {row.playbook}")
    with context.maker() as session, session.begin():
        session.execute(sa.update(Launch).where(Launch.job_id == row.job_id).values(revision=revision))
    return where, row.playbook, revision if project is not None and project.source == "git" else ""


def _options(row: Launch) -> list[str]:
    """Return the options of ansible-playbook; each value stands behind its option's =, so that none becomes one."""
    found = [f"--limit={row.limit}"] if row.limit else []
    found += [f"--tags={','.join(row.tags)}"] if row.tags else []
    found += [f"--skip-tags={','.join(row.skip_tags)}"] if row.skip_tags else []
    found += [f"--{name}" for name in ("check", "diff") if getattr(row, name)]
    found += [f"--forks={row.forks}"] if row.forks else []
    return [*found, "-" + "v" * row.verbosity] if row.verbosity else found
