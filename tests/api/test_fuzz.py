"""Requests made up from the description: never a 5xx, and always an answer that the description knows."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

#: Per operation. The corpora of test_input.py are the systematic part; this looks for surprises.
EXAMPLES = 2
CHECKS = [not_a_server_error, response_schema_conformance, status_code_conformance]
KNOWN = {"tenants": "acme-tenant", "zones": "acme-zone", "fqdns": "acme-fqdn", "records": "acme-record",
         "webroots": "acme-webroot", "brands": "acme", "shards": "web", "nodes": "web1", "regions": "region",
         "clusters": "cluster", "lb-addresses": "lb-address",
         "databases": "acme-database"}  # fmt: skip


@pytest.fixture
def operations(world, app):
    description = schemathesis.openapi.from_wsgi("/openapi.json", app)
    return [found.ok() for found in description.get_all_operations()]


def prober(world, operation, known, mode):
    """Return a test of one operation; with ``known`` it aims at a resource that exists."""

    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def probe(case):
        if known and "id" in case.path_parameters:
            case.path_parameters["id"] = known
        response = case.call(headers=world.admin.headers)
        case.validate_response(response, checks=CHECKS)

    return probe


@pytest.mark.one_engine
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_surprises(world, operations, mode):
    assert len(operations) > 70
    failures = []
    for operation in operations:
        plural = operation.path.split("/")[1]
        known = world[KNOWN[plural]] if plural in KNOWN else None
        try:
            prober(world, operation, known, mode)()
        except Unsatisfiable:
            pass  # nothing about the operation can be wrong
        except BaseException as error:  # hypothesis raises groups of whatever it found
            failures.append(f"{operation.label}: {error}")
    assert not failures, "\n\n".join(failures)
