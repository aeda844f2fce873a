import re
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from nnunetv2_dale.demo.judging import Judgement
from nnunetv2_dale.demo.page import demo_page, dice_lines, duration
from nnunetv2_dale.demo.scale import QUICK
from tests.demo.fixtures import OUTCOME, PREDICTIONS

LOST = {"liver": 0.9, "spleen": 0.0, "kidney": 0.5, "lesion": 0.04}


def picture() -> Figure:
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    return figure


@pytest.fixture(scope="module")
def page() -> str:
    return demo_page(OUTCOME, {"case_a": picture(), "case_b": picture()}, picture(), picture(), picture())


def cells(page: str, first: str) -> list[list[str]]:
    """The texts of all table rows that start with `first`."""
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)]
    return [row for row in rows if row and row[0] == first]


def test_the_table_has_the_mean_of_every_class_and_the_difference(page):
    assert cells(page, "plain nnU-Net") == [["plain nnU-Net", "0.850", "0.800", "0.700", "0.600", "0.758"]]
    assert cells(page, "DALE") == [["DALE", "0.860", "0.800", "0.600", "0.750", "0.751"]]
    assert cells(page, "DALE minus plain nnU-Net")[0][1:] == ["+0.010", "+0.000", "-0.100", "+0.150", "-0.007"]


def test_every_case_is_listed_with_a_dash_for_what_is_not_there(page):
    assert cells(page, "case_b") == [
        ["case_b", "plain nnU-Net", "0.800", "0.800", "0.700", "–"],
        ["case_b", "DALE", "0.810", "0.800", "0.600", "–"],
    ]


def test_it_says_that_the_training_is_too_short_and_what_was_equal(page):
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "This proves the way, not the method." in text
    assert "Each training saw 240 batches" in text
    assert "It took 2 min 45 s against 41 s" in text
    assert "lesion 0.810" in text


def test_pictures_are_inside_with_words_for_who_cannot_see_them(page):
    images = re.findall(r'<img src="(.{20}).*?" alt="(.*?)">', page)
    assert len(images) == 5
    assert all(source.startswith("data:image/png") and len(alt) > 30 for source, alt in images)
    assert "http://" not in page
    assert "https://" not in page


def test_commands_are_shown_escaped(page):
    assert "nnUNetv2_train 998 2d 0 -tr nnUNetTrainerDALE_demo -x &#34;a &lt;b&gt;&#34;" in page


def test_one_test_case_is_singular():
    outcome = replace(OUTCOME, scale=QUICK)
    page = demo_page(outcome, {"case_a": picture()}, picture(), picture(), picture())
    assert "1 test case that" in " ".join(page.split())
    assert "1 test cases" not in page


def test_classes_that_were_not_learnt_are_named(page):
    assert "have not begun to find" not in page
    lost = Judgement({"plain nnU-Net": PREDICTIONS.dice["plain nnU-Net"], "DALE": {"case_a": LOST, "case_b": LOST}})
    html = demo_page(replace(OUTCOME, predictions=lost), {"case_a": picture()}, picture(), picture(), picture())
    assert "Classes that so few batches have not begun to find: DALE: spleen, lesion." in html


def test_durations_for_people():
    assert [duration(seconds) for seconds in (0.4, 59.4, 60, 125.2)] == ["0 s", "59 s", "1 min 0 s", "2 min 5 s"]


def test_the_table_in_plain_text():
    header, plain, dale = dice_lines(PREDICTIONS)
    assert header.split() == ["liver", "spleen", "kidney", "lesion", "mean"]
    assert plain.split() == ["plain", "nnU-Net", "0.850", "0.800", "0.700", "0.600", "0.758"]
    assert dale.split()[0] == "DALE"
    assert len({len(header), len(plain), len(dale)}) == 1
