import numpy as np
import pytest

from nnunetv2_dale.demo.anatomy import telling_slice
from nnunetv2_dale.demo.phantom import make_phantom
from nnunetv2_dale.demo.pictures import compare_labels, outlines

SPACING_MM = (8.0, 5.6, 5.6)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(1, (10, 48, 64), SPACING_MM)


def test_the_slice_shows_every_class_and_much_lesion(phantom):
    label = phantom.clean_label
    index = telling_slice(label)
    complete = [z for z in range(len(label)) if len(np.unique(label[z])) == 5]
    assert index in complete
    assert (label[index] == 4).sum() == max((label[z] == 4).sum() for z in complete)


def test_the_outline_of_the_liver_goes_around_its_lesions():
    masks = outlines(np.uint8([[0, 1, 4, 2]]))
    assert masks["liver"].tolist() == [[False, True, True, False]]
    assert masks["lesion"].tolist() == [[False, False, True, False]]


def test_training_labels_side_by_side(phantom):
    figure = compare_labels(phantom.image_hu, phantom.clean_label, phantom.noisy_label, SPACING_MM)
    assert [axes.get_title() for axes in figure.axes] == [
        "image",
        "clean label, kept for judging",
        "noisy label, trained on",
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["liver", "spleen", "kidney", "lesion"]
