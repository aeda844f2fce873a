import io

import numpy as np
import pytest

from nnunetv2_dale.demo.phantom import make_phantom
from nnunetv2_dale.demo.pictures import Volume, compare_case, compare_labels, outlines, telling_slice


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(1, (10, 48, 64), (8.0, 5.6, 5.6))


def test_the_slice_shows_every_class_and_much_lesion(phantom):
    label = phantom.clean_label
    index = telling_slice(label)
    complete = [z for z in range(len(label)) if len(np.unique(label[z])) == 5]
    assert index in complete
    assert (label[index] == 4).sum() == max((label[z] == 4).sum() for z in complete)


def test_a_case_without_foreground_has_a_slice_too():
    assert telling_slice(np.zeros((5, 8, 8), dtype=np.uint8)) == 0


def test_the_outline_of_the_liver_goes_around_its_lesions():
    masks = outlines(np.uint8([[0, 1, 4, 2]]))
    assert masks["liver"].tolist() == [[False, True, True, False]]
    assert masks["lesion"].tolist() == [[False, False, True, False]]


def test_a_case_has_five_named_panels_and_a_legend(phantom):
    image = Volume(phantom.image_hu, phantom.spacing_mm)
    truth, noisy = (Volume(label, phantom.spacing_mm) for label in (phantom.clean_label, phantom.noisy_label))
    figure = compare_case(image, truth, {"plain nnU-Net": noisy, "DALE": truth}, (-70.0, 190.0))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["image", "truth", "plain nnU-Net", "DALE", "fuzziness m"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["liver", "spleen", "kidney", "lesion"]
    fuzziness = np.asarray(figure.axes[4].images[0].get_array())
    assert fuzziness.shape == (48, 64)
    assert fuzziness.min() >= 0
    assert fuzziness.max() == 1
    assert (fuzziness[:16, :16] == fuzziness[0, 0]).all()  # patch by patch
    figure.savefig(io.BytesIO(), format="png")


def test_training_labels_side_by_side(phantom):
    volumes = [Volume(a, phantom.spacing_mm) for a in (phantom.image_hu, phantom.clean_label, phantom.noisy_label)]
    figure = compare_labels(*volumes)
    assert [axes.get_title() for axes in figure.axes] == [
        "image",
        "clean label, kept for judging",
        "noisy label, trained on",
    ]
