"""Names and shapes of the published files, and weights in both directions."""

import numpy as np
import pytest
import torch

from attngan_tf.models import build
from attngan_tf.pretrained import layouts
from tests.reference import files, networks
from tests.reference.pairing import arrays, give, released, zero_start

BN = ("weight", "bias", "running_mean", "running_var")


@pytest.fixture(params=["cub", "coco"])
def sizes(request):
    return networks.CUB if request.param == "cub" else networks.COCO


def shapes(make, *arguments):
    """Shapes by name, of a network without memory for its weights."""
    with torch.device("meta"):
        network = make(*arguments)
    return {k: tuple(v.shape) for k, v in files.state(network).items()}


def norm(name, channels):
    return {f"{name}.{part}": (channels,) for part in BN}


def conv_norm(name, outputs, inputs, kernel=3, first=0):
    """A convolution and its BN, neighbours in one Sequential."""
    return {
        f"{name}.{first}.weight": (outputs, inputs, kernel, kernel),
        **norm(f"{name}.{first + 1}", outputs),
    }


def generator(gf, residual_blocks, heads):
    units = 16 * gf * 4 * 4 * 2
    layout = {
        "ca_net.fc.weight": (400, 256),
        "ca_net.fc.bias": (400,),
        "h_net1.fc.0.weight": (units, 200),
        **norm("h_net1.fc.1", units),
    }
    for i, C in enumerate((16 * gf, 8 * gf, 4 * gf, 2 * gf), 1):
        layout |= conv_norm(f"h_net1.upsample{i}", C, C, first=1)
    for name in ("h_net2", "h_net3"):
        layout[f"{name}.att.conv_context.weight"] = (gf, 256, 1, 1)
        for r in range(residual_blocks):
            block = f"{name}.residual.{r}.block"
            layout |= conv_norm(block, 4 * gf, 2 * gf)
            layout |= conv_norm(block, 2 * gf, 2 * gf, first=3)
        layout |= conv_norm(f"{name}.upsample", 2 * gf, 2 * gf, first=1)
    for name in heads:
        layout[f"{name}.img.0.weight"] = (3, gf, 3, 3)
    return layout


def test_text_encoder_layout(sizes):
    layout = {"encoder.weight": (sizes["vocabulary_size"], 300)}
    for end in ("", "_reverse"):
        layout |= {
            f"rnn.weight_ih_l0{end}": (512, 300),
            f"rnn.weight_hh_l0{end}": (512, 128),
            f"rnn.bias_ih_l0{end}": (512,),
            f"rnn.bias_hh_l0{end}": (512,),
        }
    assert shapes(networks.TextEncoder, sizes) == layout


def test_generator_layout(sizes):
    gf, blocks = sizes["gf"], sizes["residual_blocks"]
    heads = ("img_net1", "img_net2", "img_net3")
    assert shapes(networks.Generator, sizes) == generator(gf, blocks, heads)
    dcgan = generator(gf, 0, ("img_net",))
    assert shapes(networks.Generator, sizes, True) == dcgan


def test_discriminator_layouts(sizes):
    df = sizes["df"]
    layout = {"img_code_s16.0.weight": (df, 3, 4, 4)}
    for first, C in ((2, df), (5, 2 * df), (8, 4 * df)):
        layout |= conv_norm("img_code_s16", 2 * C, C, 4, first)
    layout |= conv_norm("COND_DNET.jointConv", 8 * df, 8 * df + 256)
    for name in ("COND_DNET", "UNCOND_DNET"):
        layout[f"{name}.outlogits.0.weight"] = (1, 8 * df, 4, 4)
        layout[f"{name}.outlogits.0.bias"] = (1,)

    def found(size, *dcgan):
        return shapes(networks.Discriminator, sizes, size, *dcgan)

    assert found(64) == layout
    layout |= conv_norm("img_code_s32", 16 * df, 8 * df, 4)
    last = conv_norm("img_code_s32_1", 8 * df, 16 * df)
    assert found(128) == layout | last
    layout |= conv_norm("img_code_s64", 32 * df, 16 * df, 4)
    layout |= conv_norm("img_code_s64_1", 16 * df, 32 * df)
    layout |= conv_norm("img_code_s64_2", 8 * df, 16 * df)
    assert found(256) == layout
    names = [name for name in layout if not name.startswith("UNCOND_DNET")]
    assert found(256, True) == {name: layout[name] for name in names}


def test_image_encoder_layout():
    layout = shapes(networks.ImageEncoder, 256, 299)
    convolutions = [k for k in layout if k.endswith(".conv.weight")]
    assert len(convolutions) == 94
    units = {k.removesuffix(".conv.weight"): layout[k][0] for k in convolutions}
    assert len(layout) == 94 * 5 + 3
    for unit, channels in units.items():
        assert norm(f"{unit}.bn", channels).items() <= layout.items()
    # The heads, and one of each kind of kernel.
    assert {
        "emb_features.weight": (256, 768, 1, 1),
        "emb_cnn_code.weight": (256, 2048),
        "emb_cnn_code.bias": (256,),
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6e.branch7x7dbl_2.conv.weight": (192, 192, 7, 1),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch_pool.conv.weight": (192, 2048, 1, 1),
    }.items() <= layout.items()
    # torchvision's 23,834,568 without AuxLogits, without its last layer of
    # 2048 x 1000 + 1000, with the two heads.
    counted = sum(
        int(np.prod(shape))
        for name, shape in layout.items()
        if "running" not in name
    )
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
