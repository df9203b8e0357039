# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples that the pages show are tasks that run.

Every task of every example is compared with the argument_spec of its module. Those of the filters, and of the modules
that only compute or read, are run by Ansible on what the fixtures hold. What needs cards, engines or root's files is
compared only.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.gpuserve.inference.tests.unit.fake_nvml import COLLECTIONS
from ansible_collections.gpuserve.inference.tests.unit.plugins.module_utils.plan_cases import cards, links, plan, real

ROOT = Path(__file__).resolve().parents[3]
NAMESPACE = "gpuserve.inference."
PACKAGE = "ansible_collections.gpuserve.inference.plugins"
KEYWORDS = {
    "name", "register", "loop", "loop_control", "when", "vars", "delegate_to", "run_once", "become", "no_log",
    "changed_when", "failed_when", "tags",
}  # fmt: skip
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py"))
FILTERS = sorted(path.stem for path in (ROOT / "plugins/filter").glob("[!_]*.py"))
ROLES = sorted(path.parent.parent.name for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "roles/*/README.md", "docs/docsite/rst/*.rst", "examples/README.md")
    for path in ROOT.glob(pattern)
)


def examples(kind, name):
    source = (ROOT / "plugins" / kind / f"{name}.py").read_text(encoding="utf-8")
    found = re.search(r'^EXAMPLES = r?"""\n(.*?)^"""', source, re.DOTALL | re.MULTILINE)
    assert found, f"{name} shows no examples"
    return yaml.safe_load(found.group(1))


def action(task):
    """The one key of a task that names what it does."""
    keys = [key for key in task if key not in KEYWORDS]
    assert len(keys) == 1, f"{task.get('name')}: {keys}"
    return keys[0]


def templated(value):
    """Whether it is known only when the play runs."""
    return "{{" in json.dumps(value)


def judged(options):
    return {key: value for key, value in options.items() if not templated(value)}


def unknown(options, rules):
    """Names that the rules do not have, also in values that cannot be judged here."""
    found = [f"there is no option {key}" for key in options if key not in rules]
    for key, value in options.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and rules.get(key, {}).get("options"):
                found += unknown(item, rules[key]["options"])
    return found


class Asked(Exception):
    """Carries what a module hands to AnsibleModule, which is as far as it gets here."""


@functools.cache
def spec(module):
    def ask(argument_spec, **_others):
        raise Asked(argument_spec)

    code = importlib.import_module(f"{PACKAGE}.modules.{module}")
    held, code.AnsibleModule = code.AnsibleModule, ask
    try:
        code.main()
    except Asked as asked:
        return asked.args[0]
    finally:
        code.AnsibleModule = held


def complaints(task):
    """What the module would say of the options of a task."""
    module = action(task)
    if not module.startswith(NAMESPACE):
        return [] if module.startswith("ansible.builtin.") else [f"{module} is no full name"]
    module = module.removeprefix(NAMESPACE)
    if module not in MODULES:
        return [f"there is no module {module}"]
    given = task[NAMESPACE + module] or {}
    wanted = {
        key: {part: rule[part] for part in rule if part != "required" or not templated(given.get(key))}
        for key, rule in spec(module).items()
    }
    return unknown(given, spec(module)) + ArgumentSpecValidator(wanted).validate(judged(given)).error_messages


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module_are_options_it_takes(module):
    tasks = examples("modules", module)
    assert any(action(task) == NAMESPACE + module for task in tasks), "no example shows the module itself"
    for task in tasks:
        assert task.get("name"), task
        assert complaints(task) == [], task["name"]


@pytest.mark.parametrize("name", FILTERS)
def test_examples_of_a_filter_use_it(name):
    tasks = examples("filter", name)
    assert re.search(rf"gpuserve\.inference\.{name}\b", json.dumps(tasks))
    for task in tasks:
        assert complaints(task) == [], task["name"]


def test_complaints_are_seen():
    task = {"name": "x", "gpuserve.inference.vllm_drain": {"instanzes": []}}
    assert any("instanzes" in line for line in complaints(task))
    assert complaints({"name": "x", "gpuserve.inference.vllm_drane": {}})
    assert complaints({"name": "x", "debug": {}}) == ["debug is no full name"]
    assert complaints({"name": "x", "gpuserve.inference.model_verify": {"path": "/m", "mode": "quik"}})


# ---------------------------------------------------------------------------------------------- documents


def blocks(document):
    """What a document shows as YAML."""
    text = (ROOT / document).read_text(encoding="utf-8")
    if document.endswith(".md"):
        return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    found = re.findall(r"^\.\. code-block:: yaml\n((?:\n|[ ]+.*\n)+)", text, re.MULTILINE)
    return [re.sub(r"^    ?", "", block, flags=re.MULTILINE) for block in found]


@functools.cache
def role_variables():
    found = {}
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            found.update(entry.get("options") or {})
    return found


def refused(variables):
    given = {name: value for name, value in variables.items() if name in role_variables() and not templated(value)}
    parts = ("type", "choices", "elements")
    rules = {
        name: {key: role_variables()[name][key] for key in parts if key in role_variables()[name]} for name in given
    }
    return ArgumentSpecValidator(rules).validate(judged(given)).error_messages


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if blocks(name)])
def test_yaml_of_a_document_is_what_the_roles_and_modules_take(document):
    for block in blocks(document):
        held = yaml.safe_load(block)
        for play in held if isinstance(held, list) else []:
            for role in play.get("roles") or []:
                named = role if isinstance(role, str) else role["role"]
                assert named.removeprefix(NAMESPACE) in ROLES
                assert refused({} if isinstance(role, str) else role.get("vars") or {}) == []
            for task in play.get("tasks") or ([] if "hosts" in play else [play]):
                assert complaints(task) == []
        if isinstance(held, dict):
            assert refused(held) == []


@pytest.mark.parametrize("role", ROLES)
def test_the_page_of_a_role_shows_the_play_of_its_readme(role):
    specs = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))
    shown = specs["argument_specs"]["main"].get("examples")
    assert shown, f"{role} shows no example"
    assert shown.strip() == blocks(f"roles/{role}/README.md")[0].strip()


@pytest.mark.parametrize("role", ROLES)
def test_the_play_of_a_role_is_one_that_ansible_takes(role, tmp_path):
    (tmp_path / "play.yml").write_text(blocks(f"roles/{role}/README.md")[0], encoding="utf-8")
    playbook(tmp_path / "play.yml", "--syntax-check")


# ---------------------------------------------------------------------------------------------- run


def playbook(path, *arguments):
    (path.parent / "hosts.ini").write_text("localhost\n[gpuserve_front]\nlocalhost\n", encoding="utf-8")
    code = "import sys; from ansible.cli.playbook import main; sys.argv[0] = 'ansible-playbook'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "-i", str(path.parent / "hosts.ini"), str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=str(path.parent),
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_LOCAL_TEMP": str(path.parent / "tmp"),
            "ANSIBLE_NOCOWS": "1",
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
        },
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


# modules that look at nothing but their options; all others of an example's tasks are left out when it is run
COMPUTE = {NAMESPACE + name for name in ("topology_plan", "plan_report", "show_text")} | {
    f"ansible.builtin.{name}" for name in ("debug", "set_fact", "assert")
}
SHOWN = [("filter", name) for name in FILTERS]
SHOWN += [("modules", name) for name in ("topology_plan", "plan_report", "show_text")]
# compared only: no plan, look or figures that these need are in the fixtures
NOT_HERE = {("filter", name) for name in ("host_programs", "ready_targets", "bench_result", "plan_html")}


def facts():
    """What the examples read: cards and a model of the fixtures, and the plan that follows from them."""
    gpus, joined, model = cards("5090", "5090"), links(2), real("llama-3.1-8b")
    planned = plan(gpus, links=joined, model=model)
    return {
        "cards": {"gpus": gpus, "links": joined},
        "checkpoint": {"model": model},
        "probe": {"gpus": gpus, "links": joined},
        "described": {"model": model},
        "planned": {"plan": planned},
        "plan": planned,
        "vllm_plan": planned,
        "look": {"systemd": {"booted": True, "version": 252}},
        "engines": {"instances": []},
        "seen": {"endpoint": {"replicas": []}},
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }


def test_examples_that_need_no_cards_run(tmp_path):
    plays, ran = [], []
    for kind, name in SHOWN:
        if (kind, name) in NOT_HERE:
            continue
        tasks = [task for task in examples(kind, name) if action(task) in COMPUTE]
        for task in tasks:
            ran.append(f"{name}: {task['name']}")
            task["name"] = ran[-1]
        if tasks:
            plays.append({"hosts": "all", "gather_facts": False, "tasks": tasks})
    (tmp_path / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")
    (tmp_path / "facts.json").write_text(json.dumps(facts()), encoding="utf-8")
    said = playbook(tmp_path / "play.yml", "-e", "@facts.json")
    for name in ran:
        assert f"TASK [{name}]" in said
    assert len(ran) >= 15
    assert "data_parallel, 2 x TP1" in said
    assert (tmp_path / "plans" / "localhost.json").exists()


def test_models_in_examples_can_be_read_and_recorded(tmp_path):
    """model_info and model_verify as their pages show them, on a small model instead of the named one."""
    code = ROOT / "tests/fixtures/tiny_model/make.py"
    subprocess.run([sys.executable, str(code), str(tmp_path / "tiny")], check=True)
    tasks = examples("modules", "model_info")[:2]
    tasks += [task for task in examples("modules", "model_verify") if task[action(task)].get("state") == "taken"]
    tasks += [task for task in examples("modules", "model_verify") if "mode" in task[action(task)]]
    for task in tasks:
        options = task[action(task)]
        if "path" in options:
            options["path"] = str(tmp_path / "tiny")
        if "log" in options:
            options["log"] = str(tmp_path / "verify.log")
    (tmp_path / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), encoding="utf-8"
    )
    (tmp_path / "facts.json").write_text(json.dumps(facts()), encoding="utf-8")
    said = playbook(tmp_path / "play.yml", "-e", "@facts.json")
    assert "LlamaForCausalLM" in said
    assert (tmp_path / "tiny" / ".gpuserve-model.json").exists()
