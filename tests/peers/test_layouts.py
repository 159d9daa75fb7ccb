"""Names, shapes and counts of the published files."""

import pytest
import torch

from peers import files, inception, networks, sizes

BN = ("weight", "bias", "running_mean", "running_var")
SIZES = {"cub": sizes.CUB, "coco": sizes.COCO}


@pytest.fixture(params=["cub", "coco"])
def dataset(request):
    return SIZES[request.param]


def made(make, *args, **kwargs):
    """A network without memory for its weights."""
    with torch.device("meta"):
        return make(*args, **kwargs)


def shapes(network):
    return {k: tuple(v.shape) for k, v in files.state(network).items()}


def count(network):
    return sum(value.numel() for value in network.parameters())


def norm(name, channels):
    return {f"{name}.{part}": (channels,) for part in BN}


def up(name, channels_in, channels):
    return {
        f"{name}.1.weight": (2 * channels, channels_in, 3, 3),
        **norm(f"{name}.2", 2 * channels),
    }


def first_stage(gf):
    layout = {
        "ca_net.fc.weight": (400, 256),
        "ca_net.fc.bias": (400,),
        "h_net1.fc.0.weight": (16 * gf * 4 * 4 * 2, 200),
        **norm("h_net1.fc.1", 16 * gf * 4 * 4 * 2),
    }
    for i, (before, after) in enumerate([(16, 8), (8, 4), (4, 2), (2, 1)], 1):
        layout |= up(f"h_net1.upsample{i}", before * gf, after * gf)
    return layout


def next_stage(name, gf, residual_blocks):
    layout = {f"{name}.att.conv_context.weight": (gf, 256, 1, 1)}
    for r in range(residual_blocks):
        block = f"{name}.residual.{r}.block"
        layout |= {
            f"{block}.0.weight": (4 * gf, 2 * gf, 3, 3),
            **norm(f"{block}.1", 4 * gf),
            f"{block}.3.weight": (2 * gf, 2 * gf, 3, 3),
            **norm(f"{block}.4", 2 * gf),
        }
    return layout | up(f"{name}.upsample", 2 * gf, gf)


def judges(df):
    return {
        "COND_DNET.jointConv.0.weight": (8 * df, 8 * df + 256, 3, 3),
        **norm("COND_DNET.jointConv.1", 8 * df),
        "COND_DNET.outlogits.0.weight": (1, 8 * df, 4, 4),
        "COND_DNET.outlogits.0.bias": (1,),
        "UNCOND_DNET.outlogits.0.weight": (1, 8 * df, 4, 4),
        "UNCOND_DNET.outlogits.0.bias": (1,),
    }


def conv_norm(name, channels, channels_in, kernel):
    return {
        f"{name}.0.weight": (channels, channels_in, kernel, kernel),
        **norm(f"{name}.1", channels),
    }


def sixteenth(df):
    name = "img_code_s16"
    return {
        f"{name}.0.weight": (df, 3, 4, 4),
        f"{name}.2.weight": (2 * df, df, 4, 4),
        **norm(f"{name}.3", 2 * df),
        f"{name}.5.weight": (4 * df, 2 * df, 4, 4),
        **norm(f"{name}.6", 4 * df),
        f"{name}.8.weight": (8 * df, 4 * df, 4, 4),
        **norm(f"{name}.9", 8 * df),
    }


def test_text_encoder(dataset):
    V, layout = dataset["vocabulary_size"], {}
    for end in ("", "_reverse"):
        layout |= {
            f"rnn.weight_ih_l0{end}": (512, 300),
            f"rnn.weight_hh_l0{end}": (512, 128),
            f"rnn.bias_ih_l0{end}": (512,),
            f"rnn.bias_hh_l0{end}": (512,),
        }
    network = made(networks.text_encoder, dataset)
    assert shapes(network) == {"encoder.weight": (V, 300), **layout}


def test_generator(dataset):
    gf, blocks = dataset["gf"], dataset["residual_blocks"]
    layout = first_stage(gf)
    for i in (2, 3):
        layout |= next_stage(f"h_net{i}", gf, blocks)
    for i in (1, 2, 3):
        layout[f"img_net{i}.img.0.weight"] = (3, gf, 3, 3)
    assert shapes(made(networks.generator, dataset)) == layout


def test_dcgan_generator(dataset):
    gf = dataset["gf"]
    layout = first_stage(gf)
    for i in (2, 3):
        layout |= next_stage(f"h_net{i}", gf, 0)
    layout["img_net.img.0.weight"] = (3, gf, 3, 3)
    assert shapes(made(networks.generator, dataset, dcgan=True)) == layout


def test_discriminators(dataset):
    df = dataset["df"]
    d64, d128, d256 = made(networks.discriminators, dataset)
    layout = sixteenth(df) | judges(df)
    assert shapes(d64) == layout
    layout |= conv_norm("img_code_s32", 16 * df, 8 * df, 4)
    assert shapes(d128) == layout | conv_norm(
        "img_code_s32_1", 8 * df, 16 * df, 3
    )
    layout |= conv_norm("img_code_s64", 32 * df, 16 * df, 4)
    layout |= conv_norm("img_code_s64_1", 16 * df, 32 * df, 3)
    layout |= conv_norm("img_code_s64_2", 8 * df, 16 * df, 3)
    assert shapes(d256) == layout
    (dcgan,) = made(networks.discriminators, dataset, dcgan=True)
    assert shapes(dcgan) == {
        name: shape
        for name, shape in layout.items()
        if not name.startswith("UNCOND_DNET")
    }


def test_image_encoder():
    layout = shapes(made(networks.image_encoder, sizes.CUB))
    heads = {
        "emb_features.weight": (256, 768, 1, 1),
        "emb_cnn_code.weight": (256, 2048),
        "emb_cnn_code.bias": (256,),
    }
    assert heads.items() <= layout.items()
    convolutions = [k for k in layout if k.endswith(".conv.weight")]
    assert len(convolutions) == 94
    units = {k.removesuffix(".conv.weight"): layout[k][0] for k in convolutions}
    assert len(layout) == 94 * 5 + 3
    for unit, channels in units.items():
        for part in BN:
            assert layout[f"{unit}.bn.{part}"] == (channels,)
    # One of each kind of kernel, by torchvision's names.
    assert layout["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert layout["Mixed_5b.branch5x5_2.conv.weight"] == (64, 48, 5, 5)
    assert layout["Mixed_6a.branch3x3.conv.weight"] == (384, 288, 3, 3)
    assert layout["Mixed_6b.branch7x7_2.conv.weight"] == (128, 128, 1, 7)
    assert layout["Mixed_6e.branch7x7dbl_2.conv.weight"] == (192, 192, 7, 1)
    assert layout["Mixed_7a.branch7x7x3_4.conv.weight"] == (192, 192, 3, 3)
    assert layout["Mixed_7b.branch3x3_2a.conv.weight"] == (384, 384, 1, 3)
    assert layout["Mixed_7c.branch_pool.conv.weight"] == (192, 2048, 1, 1)


def test_parameter_counts():
    cub = made(networks.generator, sizes.CUB)
    assert count(cub) == 7_084_592
    assert count(made(networks.generator, sizes.COCO)) == 13_811_456
    dcgan = made(networks.generator, sizes.CUB, dcgan=True)
    assert count(dcgan) == 6_638_960
    assert count(made(networks.text_encoder, sizes.CUB)) == 2_075_320
    assert count(made(networks.text_encoder, sizes.COCO)) == 8_629_420
    # torchvision's 23,834,568 of Inception-v3 without AuxLogits, without its
    # last layer of 2048 x 1000 + 1000.
    trunk = count(made(inception.InceptionTrunk))
    assert trunk == 23_834_568 - 2_049_000
    heads = count(made(networks.image_encoder, sizes.CUB)) - trunk
    assert heads == 721_152


def test_batch_norm_constants():
    """1e-3 in Inception as torchvision's, 1e-5 in G and D; momentum 0.1."""
    tiny = networks.build(sizes.TINY)
    for network, epsilon in (
        (tiny.image_encoder, 1e-3),
        (tiny.generator, 1e-5),
        (tiny.discriminators[2], 1e-5),
    ):
        found = {
            (module.eps, module.momentum)
            for module in network.modules()
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
        }
        assert found == {(epsilon, 0.1)}
