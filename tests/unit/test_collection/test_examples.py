# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documents and example inventories name is there: playbooks, plugins, roles, variables, targets, files."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.gpuserve.inference.plugins.module_utils import _engine_causes

ROOT = Path(__file__).resolve().parents[3]
INVENTORIES = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").iterdir() if path.suffix in (".ini", ".yml")
)
GUIDES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "docsite" / "rst").glob("*.rst"))
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "examples/README.md",
    *GUIDES,
    *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("roles/*/README.md")),
]
PREFIXES = ("vllm_", "gateway_", "gpu_host_")
FACTS = {"gpu_host_look", "gpu_host_probe", "vllm_plan", "vllm_verified"}  # what the roles set, as their specs say


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def load(name):
    return yaml.safe_load(text(name))


def stems(folder, pattern):
    return {path.stem for path in (ROOT / folder).glob(pattern) if not path.stem.startswith("_")}


@functools.cache
def variables():
    """Every role variable with its spec."""
    found = {}
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            found.update(entry.get("options") or {})
    return found


def module_names():
    return stems("plugins/modules", "*.py")


def content_names():
    """All that may follow ``gpuserve.inference.``"""
    roles = {path.parent.name for path in ROOT.glob("roles/*/meta")}
    return module_names() | stems("plugins/filter", "*.py") | stems("playbooks", "*.yml") | roles


def console_lines(document):
    """The commands of a document, without their prompt."""
    return re.findall(r"^ *[$#] (\S.*)$", text(document), re.MULTILINE)


def literals(document):
    """What stands between backticks: one in Markdown, two in reStructuredText."""
    return re.findall(r"`+([^`\n]+)`+", text(document))


def quoted(document):
    return console_lines(document) + literals(document)


@functools.cache
def host_variables(inventory):
    """Host -> variables, as ansible-inventory reads the file."""
    code = "import sys; from ansible.cli.inventory import main; sys.argv[0] = 'ansible-inventory'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--inventory", str(inventory), "--list"],
        capture_output=True,
        text=True,
        check=False,
        cwd=str(ROOT),
    )
    assert done.returncode == 0, done.stderr
    assert "Unable to parse" not in done.stderr, done.stderr
    return json.loads(done.stdout)["_meta"]["hostvars"]


def problems(settings):
    """Why a role would refuse these variables."""
    found = [f"{name} is no variable of a role" for name in settings if name not in variables()]
    known = {
        name: value
        for name, value in settings.items()
        # a value that comes from elsewhere cannot be judged here
        if name in variables() and not (isinstance(value, str) and value.startswith("{{"))
    }
    spec = {
        name: {key: variables()[name][key] for key in ("type", "choices", "elements") if key in variables()[name]}
        for name in known
    }
    return found + ArgumentSpecValidator(spec).validate(known).error_messages


def own(settings):
    return {name: value for name, value in settings.items() if not name.startswith("ansible_")}


def test_there_is_an_inventory_for_each_size_of_server():
    assert {"one-card", "two-cards", "four-cards", "eight-cards", "mixed-fleet"} == {Path(i).stem for i in INVENTORIES}
    listed = set(re.findall(r"\]\(([\w.-]+)\)", text("examples/README.md")))
    assert listed == {Path(i).name for i in INVENTORIES}


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_example_inventory_is_one_that_the_roles_take(inventory):
    hosts = host_variables(ROOT / inventory)
    assert hosts
    for host, settings in hosts.items():
        assert problems(own(settings)) == [], host
        assert settings.get("vllm_model"), f"{host} has no vllm_model"


def test_problems_are_seen():
    assert problems({"vllm_modle": "x"}) == ["vllm_modle is no variable of a role"]
    assert len(problems({"vllm_topology": "fast"})) == 1
    assert len(problems({"vllm_replicas": "two"})) == 1


def test_quick_start_inventory_parses(tmp_path):
    inventory = tmp_path / "hosts.ini"
    inventory.write_text(re.search(r"```ini\n(.*?)```", text("README.md"), re.DOTALL).group(1), encoding="utf-8")
    ((_host, settings),) = host_variables(inventory).items()
    assert problems(own(settings)) == []
    assert settings["vllm_model"]


def test_readme_shows_the_ten_variables_with_their_defaults():
    rows = re.findall(r"^\| `((?:vllm|gateway)_\w+)` \| (\S+) \|", text("README.md"), re.MULTILINE)
    assert len(rows) == 10
    for name, shown in rows:
        default = variables()[name]["default"]
        if shown == "none":
            assert default == "", name
        else:
            assert yaml.safe_load(shown.strip("`")) == yaml.safe_load(str(default)), name


@pytest.mark.parametrize("document", DOCUMENTS + INVENTORIES)
def test_named_playbooks_plugins_and_roles_exist(document):
    named = re.findall(r"(?<!ansible_collections\.)\bgpuserve\.inference\.([a-z_]+)", text(document))
    assert sorted(set(named) - content_names()) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_playbooks_are_run_by_names_of_playbooks(document):
    run = [
        word
        for line in console_lines(document)
        if line.startswith("ansible-playbook")
        for word in re.findall(r"gpuserve\.inference\.(\w+)", line)
    ]
    assert sorted(set(run) - stems("playbooks", "*.yml")) == []


@pytest.mark.parametrize("document", DOCUMENTS + INVENTORIES)
def test_named_variables_exist(document):
    named = set(re.findall(rf"\b(?:{'|'.join(PREFIXES)})[a-z0-9_]+\b", text(document)))
    assert sorted(named - set(variables()) - FACTS - module_names()) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_make_targets_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    assert targets >= {"demo", "test"}
    named = {word for piece in quoted(document) for word in re.findall(r"\bmake ([a-z][a-z-]*)", piece)}
    assert sorted(named - targets) == []


def test_readme_names_the_targets_a_stranger_needs():
    named = {piece for piece in quoted("README.md") if piece.startswith("make ")}
    assert named >= {"make demo", "make demo-clean", "make test"}


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name.endswith(".md")])
def test_links_lead_to_files(document):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", text(document))
    missing = [
        link
        for link in links
        if not re.match(r"[a-z]+:", link) and not (ROOT / document).parent.joinpath(link).exists()
    ]
    assert missing == []


def anchors(name):
    """The headings of a document, as the sites that show Markdown and reStructuredText name them."""
    found = set()
    pattern = r"^#+ (.+)$" if name.endswith(".md") else r"^(\S.*)\n[=~^\"'-]{3,}$"
    for heading in re.findall(pattern, text(name), re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", heading.lower())
        found.add(re.sub(r"\s", "-", plain.strip()))
    return found


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name.endswith(".md")])
def test_links_lead_to_headings(document):
    for file, anchor in re.findall(r"\]\(([^)#\s]*)#([\w-]+)\)", text(document)):
        if not re.match(r"[a-z]+:", file):
            target = (ROOT / document).parent.joinpath(file).resolve() if file else ROOT / document
            assert anchor in anchors(target.relative_to(ROOT).as_posix()), f"{document}: {file}#{anchor}"


@pytest.mark.parametrize("guide", GUIDES)
def test_references_of_a_guide_lead_somewhere(guide):
    labels = set(re.findall(r"^\.\. _(\S+):$", "\n".join(map(text, GUIDES)), re.MULTILINE))
    assert set(re.findall(r":ref:`(?:[^`<]*<)?([\w.]+)>?`", text(guide))) <= labels
    headings = re.findall(r"^(\S.*)\n[=~^\"'-]{3,}$", text(guide), re.MULTILINE)
    assert set(re.findall(r"`([^`<:]+)`_", text(guide))) <= set(headings)
    for image in re.findall(r"^\.\. (?:figure|image):: (\S+)$", text(guide), re.MULTILINE):
        assert (ROOT / guide).parent.joinpath(image).exists(), image


def test_all_guides_are_listed():
    listed = [name for section in load("docs/docsite/extra-docs.yml")["sections"] for name in section["toctree"]]
    assert sorted(listed) == [Path(guide).stem for guide in GUIDES]
    for guide in GUIDES:
        assert guide in text("README.md"), f"the README does not lead to {guide}"


def test_troubleshooting_explains_every_cause():
    guide = text("docs/docsite/rst/guide_troubleshooting.rst")
    table = guide[guide.index("An instance does not come up") : guide.index("The endpoint answers")]
    explained = {
        name for row in re.findall(r"^   \* - (``.*)$", table, re.MULTILINE) for name in re.findall(r"``(\w+)``", row)
    } - {"cause"}
    kinds = {cause.kind for cause in _engine_causes.CAUSES}
    kinds |= set(re.findall(r'RootCause\(\s*"(\w+)"', text("plugins/module_utils/_engine_log.py")))
    waiting = text("plugins/module_utils/_engine_wait.py")
    kinds |= set(re.findall(r'(?:RootCause\(|out\.cause = True, )"(\w+)"', waiting))
    assert {"not_started", "foreign"} <= kinds
    assert sorted(explained ^ kinds) == []


def test_survey_asks_for_what_there_is():
    block = re.search(
        r"code-block:: json\n\n(.*?)(?=\n\S|\Z)", text("docs/docsite/rst/guide_automation.rst"), re.DOTALL
    )
    survey = json.loads(block.group(1))
    assert survey["name"] and survey["spec"]
    for question in survey["spec"]:
        assert {"question_name", "variable", "type", "required", "default"} <= set(question)
        name, spec = question["variable"], variables().get(question["variable"], {})
        assert spec or name == "gpuserve_hosts", name
        if question["type"] == "multiplechoice":
            assert question["choices"] == spec["choices"] and question["default"] == spec["default"], name
        else:
            assert isinstance(question["min"], int) and isinstance(question["max"], int), name


@functools.cache
def said_by_the_code():
    """All texts of plugins and roles, with strings that go on in the next line joined, and spaces made one."""
    paths = [path for folder in ("plugins", "roles") for path in (ROOT / folder).rglob("*")]
    found = "\n".join(path.read_text(encoding="utf-8") for path in paths if path.suffix in (".py", ".yml", ".j2"))
    found = re.sub(r"(?<!\\)[\"']\s*\n\s*f?[\"']", "", found)
    return re.sub(r"\s+", " ", found)


def quoted_lines():
    """What the troubleshooting guide quotes in the first column of its tables of lines."""
    guide = text("docs/docsite/rst/guide_troubleshooting.rst")
    found = []
    for table in re.findall(r"\* - The line says\n.*?(?=\n\S)", guide, re.DOTALL):
        for row in re.findall(r"^   \* - (.*)$", table, re.MULTILINE)[1:]:
            found += re.findall(r"``([^`]+)``", row)
    return found


def missing(line):
    """The pieces of a quoted line, between its dots, that the code says nowhere."""
    pieces = [piece.strip() for piece in line.split("...")]
    return [piece for piece in pieces if piece and piece not in said_by_the_code()]


@pytest.mark.parametrize("line", quoted_lines())
def test_troubleshooting_quotes_what_the_code_says(line):
    assert missing(line) == []


def test_a_line_that_nobody_says_is_seen():
    assert len(quoted_lines()) > 25
    assert missing("the neighbour's cat ... is taken by") == ["the neighbour's cat"]
