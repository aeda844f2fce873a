"""All commands and sub-commands beside each other: one spelling, one form of help, one meaning of each flag."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from nnunetv2_dale.preprocessing import RECIPES

from nnunetv2_dale import __version__
from nnunetv2_dale.audit.cli import apply_parser, audit_parser
from nnunetv2_dale.benchmark.arguments import benchmark_parser
from nnunetv2_dale.commands.command_parser import CommandParser, add_old_spelling
from nnunetv2_dale.confidence.cli import confidence_parser
from nnunetv2_dale.convert.recipe import recipe_parser
from nnunetv2_dale.demo.cli import demo_parser
from nnunetv2_dale.export.cli import export_parser
from nnunetv2_dale.label_noise.cli import corrupt_labels_parser
from nnunetv2_dale.preview.cli import preview_parser
from nnunetv2_dale.pseudo_labels.cli import pseudo_labels_parser
from nnunetv2_dale.report.cli import report_parser

MAKERS = (audit_parser, apply_parser, benchmark_parser, corrupt_labels_parser, demo_parser, export_parser)
LONGEST_HELP = 90


def with_sub_commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from with_sub_commands(command)


MORE = (preview_parser(), pseudo_labels_parser(), report_parser(), recipe_parser(RECIPES), confidence_parser())
WHOLE = [*(make() for make in MAKERS), *MORE]
PARSERS = [parser for whole in WHOLE for parser in with_sub_commands(whole)]


def shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Its flags, but for `--help` and `--version`."""
    flags = [action for action in parser._actions if action.option_strings and action.help != argparse.SUPPRESS]
    return [action for action in flags if action.default is not argparse.SUPPRESS]


def help_of(action: argparse.Action) -> str:
    """As a reader sees it, in one line."""
    parser = CommandParser()
    parser._add_action(action)
    return " ".join(parser.format_help().split("exit", 3)[-1].split())


on_every_parser = pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.prog)


def test_every_command_is_here() -> None:
    ours = {each.name for each in entry_points(group="console_scripts") if each.name.startswith("nnUNetv2_dale_")}
    assert ours == {parser.prog.split()[0] for parser in PARSERS}
    assert {parser.prog for parser in PARSERS} >= {"nnUNetv2_dale_audit apply", "nnUNetv2_dale_convert splits"}
    assert all(isinstance(parser, CommandParser) for parser in PARSERS)


@on_every_parser
def test_flags_are_spelled_as_nnunet_spells_them(parser: argparse.ArgumentParser) -> None:
    for action in shown(parser):
        assert len(action.option_strings) == 1, action.option_strings
        assert re.fullmatch(r"--?[a-z]+[0-9]?(_[a-z]+[0-9]?)*", action.option_strings[0])
        assert action.dest == action.option_strings[0].lstrip("-")
        assert action.nargs == 0 or action.choices or isinstance(action.metavar, (str, tuple)), action.dest


@on_every_parser
def test_the_help_has_one_form(parser: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = parser.format_help()
    assert len(text.splitlines()) <= LONGEST_HELP
    assert text.count("[REQUIRED]") == sum(action.required for action in shown(parser))
    assert text.count("[OPTIONAL]") == sum(not action.required for action in shown(parser))
    for action in shown(parser):
        words = action.help or ""
        assert re.match(r"[A-Z]", words), words
        assert not words.endswith("."), words
        assert not re.search(r"default|Default(?!: )|REQUIRED|OPTIONAL", words), words
        assert words.count("Default: ") <= 1
        without = action.default is None or action.default is False or action.default in ([], ())
        assert without or re.search(r"Default: \S", help_of(action)), action.dest


@on_every_parser
def test_old_spellings_are_not_shown(parser: argparse.ArgumentParser) -> None:
    usage, *rest = parser.format_help().split("\n\n")
    seen = re.findall(r"(?<![\w-])-[\w-]+", usage) + re.findall(r"^  (-[\w-]+)", "\n".join(rest), flags=re.M)
    assert set(seen) == {"-h", "--version", *(action.option_strings[0] for action in shown(parser))}


def test_a_flag_means_the_same_everywhere() -> None:
    of_flag: dict[str, list[argparse.Action]] = defaultdict(list)
    for parser in PARSERS:
        for action in shown(parser):
            of_flag[action.option_strings[0]].append(action)
    for flag, actions in of_flag.items():
        assert len({(action.dest, action.metavar) for action in actions}) == 1, flag
        first_words = {re.split(r"[\W_]", action.help or "")[0].removesuffix("s") for action in actions}
        assert len(first_words) == 1, (flag, first_words)
    assert {action.type for action in of_flag["-o"]} == {Path}
    assert {action.type for action in of_flag["--new_id"]} == {int}
    assert all(action.help.startswith("Dataset ID or name, in nnUNet_") for action in of_flag["-d"] if action.help)
    assert all(action.help == of_flag["-device"][0].help for action in of_flag["-device"])


@on_every_parser
def test_versions(parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == f"nnunetv2-dale {__version__}, nnU-Net {version('nnunetv2')}"


@on_every_parser
def test_what_it_does_not_know_is_one_sentence(parser: argparse.ArgumentParser, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["--nothing_of_the_kind"])
    assert end.value.code == 2
    assert re.fullmatch(rf"{parser.prog}: .*; see {parser.prog} --help\n", capsys.readouterr().err)


def test_hyphens_as_they_were_written_before_are_read_as_underscores() -> None:
    report = report_parser()
    before = ["--tolerance-mm=3", "--patch-size", "8", "--summary-only", "--from-j", "a-b.json", "-o", "out-1"]
    now = [before[0].replace("-mm", "_mm"), "--patch_size", "8", "--summary_only", "--from_json", *before[5:]]
    assert report.parse_args(before) == report.parse_args(now)
    convert = recipe_parser(RECIPES)
    words = ["nifti_pairs", "-i", "a-b", "-o", "raw"]
    old = convert.parse_args([*words, "-d", "7", "--consecutive-labels"])
    assert old == convert.parse_args([*words, "--new_id", "7", "--consecutive_labels"])
    assert (old.new_id, old.o, old.consecutive_labels) == (7, Path("raw"), True)
    with pytest.raises(SystemExit):
        report.parse_args(["--no-such-flag", "-o", "out"])


def test_other_old_spellings() -> None:
    noise = corrupt_labels_parser()
    words = ["-d", "4", "--kind", "shift"]
    assert noise.parse_args([*words, "-o", "104"]) == noise.parse_args([*words, "--new_id", "104"])
    benchmark = benchmark_parser()
    words = ["-d", "4", "-c", "2d"]
    old = benchmark.parse_args([*words, "--queue", "gpu", "--memory", "8"])
    assert old == benchmark.parse_args([*words, "--partition", "gpu", "--memory_gb", "8"])


def test_a_required_flag_is_given_by_its_old_spelling_too() -> None:
    parser = CommandParser()
    add_old_spelling(parser, parser.add_argument("--new_id", required=True, type=int), "-o")
    assert parser.parse_args(["-o", "4"]).new_id == 4
    assert "-o" not in parser.format_help()
