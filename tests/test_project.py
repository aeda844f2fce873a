"""What the project shows of itself: one version, workflows that run what make runs, forms that want no patient data."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import nnunetv2_dale
from tests.conftest import REPOSITORY

GITHUB = REPOSITORY / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def read_yaml(path: Path) -> Any:
    """With every value as text: `on` stays a word, and 3.10 has its zero."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def setup() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(REPOSITORY / "setup.cfg")
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read_yaml(path)["jobs"].values() for step in job.get("steps", [])]


def test_one_version_stands_everywhere() -> None:
    assert setup()["metadata"]["version"] == "attr: nnunetv2_dale.__version__"
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", changelog, flags=re.M)
    assert headings[0] == ("Unreleased", "")
    citation = read_yaml(REPOSITORY / "CITATION.cff")
    assert headings[1] == (nnunetv2_dale.__version__, citation["date-released"])
    assert citation["version"] == nnunetv2_dale.__version__
    assert [version for version, date in headings[1:] if not date] == []


def test_the_citation_has_what_its_format_asks_for() -> None:
    citation = read_yaml(REPOSITORY / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == setup()["metadata"]["license"]
    for work in (citation["preferred-citation"], *citation["references"]):
        assert {"type", "title", "authors"} <= set(work)
        assert all({"family-names", "given-names"} == set(author) for author in work["authors"])


def test_the_address_of_the_repository_stands_in_one_place() -> None:
    address = setup()["metadata"]["url"]
    links = dict(line.split(" = ") for line in setup()["metadata"]["project_urls"].strip().splitlines())
    assert {"Source", "Documentation", "Issues", "Changelog"} == set(links)
    assert all(link.startswith(address) for link in links.values())
    files = [
        REPOSITORY / name for name in ("mkdocs.yml", "CITATION.cff", "README.md", "CONTRIBUTING.md", "SECURITY.md")
    ]
    assert [path.name for path in [*files, *GITHUB.rglob("*.*")] if address in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_what_make_runs(path: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for step in steps(path):
        assert ("run" in step) != ("uses" in step)
        if "run" in step:
            target = re.fullmatch(r"make (\w+)", step["run"])
            assert target, step["run"]
            assert re.search(rf"^{target[1]}:", makefile, flags=re.M), step["run"]
            assert set(step.get("env", {})) <= set(re.findall(r"^(\w+) \?=", makefile, flags=re.M))
        else:
            assert re.fullmatch(r"[\w/-]+@[\w./]+", step["uses"])


def test_workflows_start_when_they_should_and_publish_without_a_password() -> None:
    assert {path.stem for path in WORKFLOWS} == {"tests", "docs", "publish"}
    tests, docs, publish = (read_yaml(GITHUB / "workflows" / f"{name}.yml") for name in ("tests", "docs", "publish"))
    assert {"push", "pull_request", "workflow_call"} == set(tests["on"])
    assert {"push", "pull_request"} == set(docs["on"])
    assert publish["on"] == {"push": {"tags": ["v*"]}}
    assert publish["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert publish["jobs"]["publish"]["needs"] == ["tests", "build"]
    for path in WORKFLOWS:
        assert read_yaml(path)["permissions"] == {"contents": "read"}
        assert "secrets." not in path.read_text(encoding="utf-8")


def test_tests_run_on_every_python_and_on_the_oldest_and_newest_nnunet() -> None:
    matrix = read_yaml(GITHUB / "workflows" / "tests.yml")["jobs"]["test"]["strategy"]["matrix"]
    named = [line.rpartition(" :: ")[2] for line in setup()["metadata"]["classifiers"].strip().splitlines()]
    assert matrix["python"] == [name for name in named if re.fullmatch(r"3\.\d+", name)]
    required = re.search(r"^nnunetv2>=([\d.]+),<3$", setup()["options"]["install_requires"], flags=re.M)
    assert required
    assert matrix["nnunetv2"] == [""]
    assert matrix["include"] == [{"python": matrix["python"][0], "nnunetv2": required[1]}]
    assert setup()["options"]["python_requires"] == f">={matrix['python'][0]}"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_forms_ask_for_no_patient_data(path: Path) -> None:
    form = read_yaml(path)
    assert {"name", "description", "body"} <= set(form)
    kinds = [element["type"] for element in form["body"]]
    assert set(kinds) <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    names = [element["id"] for element in form["body"] if element["type"] != "markdown"]
    assert len(set(names)) == len(names) == len(kinds) - kinds.count("markdown")
    for element in form["body"]:
        assert element["attributes"]["value" if element["type"] == "markdown" else "label"]
    assert "Never attach patient data" in form["body"][0]["attributes"]["value"]
    (promise,) = form["body"][-1]["attributes"]["options"]
    assert promise["required"] == "true"
    assert len(FORMS) == 3
