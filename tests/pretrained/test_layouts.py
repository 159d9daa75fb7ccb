"""Weights in both directions, by the names of the published files."""

import numpy as np
import pytest
import torch

from attngan_tf.models import build
from attngan_tf.pretrained import layouts
from tests.reference import files, networks
from tests.reference.pairing import arrays, give, released, zero_start


def test_the_image_encoder_has_the_weights_of_torchvisions_inception():
    """The names are compared where the reference loads written files."""
    with torch.device("meta"):
        network = networks.ImageEncoder(256, 299)
    names = [name for name, _ in network.named_parameters()]
    assert len([x for x in names if x.endswith(".conv.weight")]) == 94
    # torchvision's 23,834,568 without AuxLogits, without its last layer of
    # 2048 x 1000 + 1000, with the two heads.
    counted = sum(x.numel() for x in network.parameters())
    assert counted == 23_834_568 - 2_049_000 + 721_152


@pytest.mark.parametrize("dcgan", [False, True])
def test_weights_that_are_read_are_written_again(dcgan):
    generator = "attndcgan" if dcgan else "attngan"
    with zero_start():
        config = released("cub", networks.TINY, generator=generator)
        ours = build.generator(config), *build.discriminators(config).values()
    references = (
        networks.Generator(networks.TINY, dcgan),
        *networks.discriminators(networks.TINY, dcgan),
    )
    parts = [layouts.generator(ours[0]), *map(layouts.discriminator, ours[1:])]
    for seed, (part, reference) in enumerate(
        zip(parts, references, strict=True)
    ):
        networks.randomize(reference, seed)
        give(part, reference)
        expected = arrays(files.state(reference))
        found = layouts.state_of(part)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, name)
