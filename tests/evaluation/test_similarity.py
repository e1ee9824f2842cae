"""SSIM against scikit-image."""

import numpy as np
import pytest

from diffkit.evaluation import ssim
from tests.evaluation.judges import pictures


def test_it_is_that_of_scikit_image():
    from skimage.metrics import structural_similarity

    first, second = pictures(2, (48, 60))
    mixed = (0.7 * first + 0.3 * second).astype(np.uint8)
    for other in (second, mixed):
        expected = structural_similarity(first, other, channel_axis=2, gaussian_weights=True, sigma=1.5,
                                         use_sample_covariance=False, data_range=255)
        assert ssim(first, other) == pytest.approx(expected, abs=1e-7)
    assert ssim(first, first) == pytest.approx(1.0)
    assert ssim(first, mixed) > ssim(first, second)


def test_pictures_have_to_fit():
    first, second = pictures(2, (48, 60))
    with pytest.raises(ValueError, match="shape of first"):
        ssim(first, second[:40])
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(first[:8], first[:8])
