"""An export of AWX as awxkit writes it: objects that refer to each other by natural keys."""

from __future__ import annotations

import json

ORGANIZATION = {"name": "Default", "type": "organization"}
SECRET = "correct horse battery staple"


def key(type_, name, organization=ORGANIZATION):
    return {"organization": organization, "name": name, "type": type_}


def variables(**found):
    return json.dumps(found)


def template(name, **fields):
    base = {
        "name": name,
        "description": "",
        "job_type": "run",
        "inventory": key("inventory", "Machines"),
        "project": key("project", "Deployments"),
        "playbook": "site.yml",
        "scm_branch": "",
        "forks": 0,
        "limit": "",
        "verbosity": 0,
        "extra_vars": "---",
        "job_tags": "",
        "skip_tags": "",
        "start_at_task": "",
        "timeout": 0,
        "allow_simultaneous": False,
        "survey_enabled": False,
        "become_enabled": False,
        "job_slice_count": 1,
        "natural_key": key("job_template", name),
        "related": {"credentials": [], "labels": [], "schedules": []},
    }
    return {**base, **fields}


def schedule(name, rrule, of="Deploy", type_="job_template", **fields):
    of_key = key(type_, of)
    base = {"name": name, "description": "", "enabled": True, "rrule": rrule, "unified_job_template": of_key,
            "natural_key": {"unified_job_template": of_key, "name": name, "type": "schedule"}}  # fmt: skip
    return {**base, **fields}


SURVEY = {
    "name": "",
    "description": "",
    "spec": [
        {"question_name": "Which release?", "question_description": "A tag", "required": True, "type": "text",
         "variable": "release", "min": 1, "max": 40, "default": "v1", "choices": ""},
        {"question_name": "How many?", "question_description": "", "required": False, "type": "integer",
         "variable": "count", "min": 0, "max": 9, "default": 3, "choices": ""},
        {"question_name": "Where?", "question_description": "", "required": True, "type": "multiselect",
         "variable": "zones", "min": 0, "max": 1024, "default": "a\nb", "choices": "a\nb\nc"},
        {"question_name": "Colour?", "question_description": "", "required": True, "type": "multiplechoice",
         "variable": "colour", "min": None, "max": None, "default": "", "choices": ["blue", "green"]},
        {"question_name": "Password?", "question_description": "", "required": False, "type": "password",
         "variable": "admin", "min": 0, "max": 64, "default": "$encrypted$", "choices": ""},
    ],
}  # fmt: skip
NIGHTLY = "DTSTART;TZID=Europe/Berlin:20300115T033000 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=MO,FR;UNTIL=20350701T013000Z"

EXPORT = {
    "users": [{"username": "anna", "natural_key": {"username": "anna", "type": "user"}}],
    "organizations": [{"name": "Default", "natural_key": ORGANIZATION}],
    "credentials": [
        {"name": "Fleet", "credential_type": {"name": "Machine", "kind": "ssh", "type": "credential_type"},
         "inputs": {"username": "deploy", "ssh_key_data": "$encrypted$", "password": SECRET},
         "organization": ORGANIZATION, "natural_key": key("credential", "Fleet")},
    ],
    "projects": [
        {"name": "Deployments", "description": "ours", "scm_type": "git", "scm_branch": "stable", "scm_refspec": "",
         "scm_url": f"https://robot:{SECRET.replace(' ', '-')}@git.example.net/deployments.git",
         "credential": key("credential", "Git"), "organization": ORGANIZATION,
         "natural_key": key("project", "Deployments")},
        {"name": "Old", "scm_type": "svn", "scm_url": "https://svn.example.net/old", "organization": ORGANIZATION,
         "natural_key": key("project", "Old")},
    ],
    "inventory": [
        {"name": "Machines", "description": "", "kind": "", "host_filter": None, "organization": ORGANIZATION,
         "variables": "---\nntp: ntp.example.net\nbanner: 'Welcome to {{ inventory_hostname }}'\n",
         "natural_key": key("inventory", "Machines"),
         "related": {
             "hosts": [
                 {"name": "web1", "enabled": True, "variables": variables(ansible_ssh_host="10.0.0.11", weight=3)},
                 {"name": "Web_2", "variables": variables(ansible_host="10.0.0.12", ansible_connection="ssh", MyVar=1)},
                 {"name": "WEB3.example.net", "variables": variables(ansible_user="{{ who }}")},
                 {"name": "App_9", "variables": ""},
                 {"name": "app10", "variables": variables(ansible_host="{{ address }}")},
                 {"name": "db1", "enabled": True,
                  "variables": variables(ansible_password=SECRET, api_token="tok", token_ttl=60)},
                 {"name": "gone", "enabled": False, "variables": ""},
             ],
             "groups": [
                 {"name": "all-web", "variables": variables(port=80, tier="outer"), "related": {
                     "hosts": [], "children": [{"name": "blue", "type": "group"}]}},
                 {"name": "blue", "variables": variables(tier="inner"), "related": {
                     "hosts": [{"name": "web1"}, {"name": "Web_2"}, {"name": "gone"}], "children": []}},
             ],
         }},
        {"name": "Cloud", "kind": "smart", "host_filter": "name__icontains=web", "variables": "",
         "organization": ORGANIZATION, "natural_key": key("inventory", "Cloud")},
    ],
    "inventory_sources": [{"name": "ec2", "source": "ec2", "inventory": key("inventory", "Machines")}],
    "job_templates": [
        template(
            "Deploy", limit="Web_2:db1", verbosity=5, forks=7, timeout=600, diff_mode=True, job_type="check",
            job_tags="deploy,config", skip_tags="slow", allow_simultaneous=True, survey_enabled=True,
            extra_vars="app: shop\ngreeting: 'hello {{ who }}'\ndb_password: hunter22\n", become_enabled=True,
            ask_limit_on_launch=True, ask_variables_on_launch=True, ask_job_type_on_launch=True,
            ask_labels_on_launch=True, webhook_service="github",
            related={
                "survey_spec": SURVEY, "labels": [{"name": "prod"}],
                "credentials": [key("credential", "Fleet")],
                "schedules": [schedule("Nightly", NIGHTLY, extra_data={"colour": "blue"})],
            },
        ),
        template("No inventory", inventory=None, ask_inventory_on_launch=True),
        template("On cloud", inventory=key("inventory", "Cloud")),
        template("From svn", project=key("project", "Old")),
        template("By pattern", limit="~web.*"),
        template("Branched", scm_branch="feature"),
    ],
    "workflow_job_templates": [{"name": "Roll out", "organization": ORGANIZATION}],
    "schedules": [
        schedule("Nightly", NIGHTLY, extra_data={"colour": "blue"}),
        schedule("Hourly", "DTSTART:20300101T000017Z RRULE:FREQ=HOURLY;INTERVAL=2;BYSECOND=0", enabled=False,
                 limit="Web_2", diff_mode=None, job_type="check",
                 extra_data={"release": "v2", "colour": "green", "admin": "$encrypted$", "more": 1}),
        schedule("Never on holidays", "DTSTART:20300101T000000Z RRULE:FREQ=DAILY EXRULE:FREQ=YEARLY"),
        schedule("Cleanup", "DTSTART:20300101T000000Z RRULE:FREQ=DAILY", of="Cleanup", type_="system_job_template"),
    ],
}  # fmt: skip
