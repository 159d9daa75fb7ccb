"""Maps published tensors to the weights of each network.

A layout is a list of parts; each maps published tensors to weights of a
network, and back.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from attngan_tf.errors import UserError
from attngan_tf.models.discriminator import Discriminator
from attngan_tf.models.generator import Generator
from attngan_tf.models.image_encoder import ImageEncoder
from attngan_tf.models.text_encoder import TextEncoder
from attngan_tf.pretrained import inception

Weight = Any  # a Keras variable
State = Mapping[str, np.ndarray]
IGNORED = ".num_batches_tracked"  # BN's counters in newer files


def _same(*arrays):
    return arrays


class Part(NamedTuple):
    """Published tensors and the weights they correspond to.

    Attributes:
      names: names of the published tensors.
      weights: the network's weights.
      read: converts the published arrays to those of the weights.
      write: converts the arrays of the weights to the published ones.
    """

    names: tuple[str, ...]
    weights: tuple[Weight, ...]
    read: Callable[..., Sequence[np.ndarray]] = _same
    write: Callable[..., Sequence[np.ndarray]] = _same


def load(parts: Sequence[Part], state: State, file: str) -> None:
    """Sets a network's weights from the arrays of a file, named in errors.

    Raises:
      UserError: a tensor is missing, has another shape, or is unknown.
    """
    for part in parts:
        zeros = [np.zeros(w.shape, np.float32) for w in part.weights]
        for name, expected in zip(part.names, part.write(*zeros), strict=True):
            if name not in state:
                raise UserError(f"{file} must hold {name}; {_found(state)}")
            if state[name].shape != expected.shape:
                raise UserError(
                    f"{file}: {name} must have the shape "
                    f"{list(expected.shape)}; received "
                    f"{list(state[name].shape)}; check that it is the file of "
                    "this network, and that all files are of one model"
                )
    known = {name for part in parts for name in part.names}
    others = [k for k in state if k not in known and not k.endswith(IGNORED)]
    if others:
        raise UserError(
            f"{file} must hold this network's tensors only; received "
            f"{others[0]}, too; check that it is the file of this network"
        )
    for part in parts:
        arrays = part.read(*(state[name] for name in part.names))
        for weight, array in zip(part.weights, arrays, strict=True):
            weight.assign(array)


def _found(state: State) -> str:
    names = list(state)
    shown = ", ".join(names[:3])
    return f"received {len(names)} tensors: {shown}{', ...' * (len(names) > 3)}"


def state_of(parts: Sequence[Part]) -> dict[str, np.ndarray]:
    """A network's weights by published name; float32."""
    state = {}
    for part in parts:
        arrays = part.write(*(weight.numpy() for weight in part.weights))
        state |= zip(part.names, map(np.ascontiguousarray, arrays), strict=True)
    return state


def _layer(name: str, layer, bias: bool = False) -> list[Part]:
    """A convolution (OIHW published, HWIO here) or dense layer (OI, IO)."""
    axes = (2, 3, 1, 0) if len(layer.kernel.shape) == 4 else (1, 0)
    back = tuple(np.argsort(axes))
    kernel = Part(
        (f"{name}.weight",),
        (layer.kernel,),
        lambda weight: [weight.transpose(axes)],
        lambda kernel: [kernel.transpose(back)],
    )
    return [kernel, *([Part((f"{name}.bias",), (layer.bias,))] if bias else [])]


def _pointwise(name: str, layer) -> Part:
    """A published 1x1 convolution that is a dense layer here."""
    return Part(
        (f"{name}.weight",),
        (layer.kernel,),
        lambda weight: [weight[:, :, 0, 0].T],
        lambda kernel: [kernel.T[:, :, None, None]],
    )


def _norm(name: str, layer) -> Part:
    names = ("weight", "bias", "running_mean", "running_var")
    return Part(
        tuple(f"{name}.{end}" for end in names),
        (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance),
    )


def _conv_norm(name: str, first: int, conv, norm) -> list[Part]:
    """A convolution and its BN, neighbours in one Sequential."""
    return [
        *_layer(f"{name}.{first}", conv),
        _norm(f"{name}.{first + 1}", norm),
    ]


def text_encoder(network: TextEncoder) -> list[Part]:
    """text_encoder*.pth; the order of the gates is Keras's."""
    lstm = network.lstm
    parts = [Part(("encoder.weight",), (network.embedding.embeddings,))]
    for end, layer in (
        ("", lstm.forward_layer),
        ("_reverse", lstm.backward_layer),
    ):
        cell = layer.cell
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        parts.append(
            Part(
                tuple(f"rnn.{name}_l0{end}" for name in names),
                (cell.kernel, cell.recurrent_kernel, cell.bias),
                # PyTorch adds two biases.
                lambda w_ih, w_hh, b_ih, b_hh: [w_ih.T, w_hh.T, b_ih + b_hh],
                lambda w, u, b: [w.T, u.T, b, np.zeros_like(b)],
            )
        )
    return parts


def image_encoder(network: ImageEncoder) -> list[Part]:
    """image_encoder*.pth: Inception-v3 with torchvision's names, two heads."""
    return [
        *(
            Part(
                names,
                (layer.kernel, layer.bias),
                inception.fuse_unit,
                inception.split_unit,
            )
            for names, layer in inception.units(network.backbone)
        ),
        _pointwise("emb_features", network.region_projection),
        *_layer("emb_cnn_code", network.image_projection, True),
    ]


def generator(network: Generator) -> list[Part]:
    """*_AttnGAN2.pth, *_AttnDCGAN2.pth and netG_epoch_*.pth."""
    parts = _layer("ca_net.fc", network.augmentation.dense, True)
    parts += _first_stage(network.first)
    for i, (context, stage) in enumerate(
        zip(network.contexts, network.stages, strict=True), 2
    ):
        parts.append(
            _pointwise(f"h_net{i}.att.conv_context", context.projection)
        )
        *residuals, up = stage.body.layers
        for r, block in enumerate(residuals):
            conv1, norm1, conv2, norm2 = block.body.layers
            name = f"h_net{i}.residual.{r}.block"
            parts += _conv_norm(name, 0, conv1, norm1)
            parts += _conv_norm(name, 3, conv2, norm2)
        parts += _conv_norm(f"h_net{i}.upsample", 1, up.conv, up.gate)
    for i, head in enumerate(network.heads.values(), 1):
        number = "" if network.last_head_only else i
        parts += _layer(f"img_net{number}.img.0", head)
    return parts


def _first_stage(stage) -> list[Part]:
    dense, norm, _, *ups = stage.body.layers
    channels = dense.units // 32
    # Two halves for the GLU; then C, 4, 4 published and 4, 4, C here.
    order = np.arange(dense.units).reshape(2, channels, 4, 4)
    order = order.transpose(0, 2, 3, 1).reshape(-1)
    back = np.argsort(order)
    parts = [
        Part(
            ("h_net1.fc.0.weight",),
            (dense.kernel,),
            lambda weight: [weight[order].T],
            lambda kernel: [kernel.T[back]],
        ),
        _norm("h_net1.fc.1", norm)._replace(
            read=lambda *vectors: [v[order] for v in vectors],
            write=lambda *vectors: [v[back] for v in vectors],
        ),
    ]
    for i, up in enumerate(ups, 1):
        parts += _conv_norm(f"h_net1.upsample{i}", 1, up.conv, up.gate)
    return parts


# Published names of a discriminator's convolutions, by the image size. The
# first has no BN.
_S16 = ["img_code_s16.0", "img_code_s16.2", "img_code_s16.5", "img_code_s16.8"]
_S64 = ["img_code_s64.0", "img_code_s64_1.0", "img_code_s64_2.0"]
CONVOLUTIONS = {
    64: _S16,
    128: [*_S16, "img_code_s32.0", "img_code_s32_1.0"],
    256: [*_S16, "img_code_s32.0", *_S64],
}


def discriminator(network: Discriminator) -> list[Part]:
    """netD*.pth, of 64, 128 or 256 pixels."""
    layers = network.backbone.layers
    convs = [i for i, layer in enumerate(layers) if hasattr(layer, "kernel")]
    names = CONVOLUTIONS[network.image_size]
    parts = _layer(names[0], layers[0])
    for i, name in list(zip(convs, names, strict=True))[1:]:
        name, number = name.rsplit(".", 1)
        parts += _conv_norm(name, int(number), *layers[i : i + 2])
    parts += _conv_norm("COND_DNET.jointConv", 0, *network.joint.layers[:2])
    parts += _layer("COND_DNET.outlogits.0", network.conditional_head, True)
    if network.unconditional:
        head = network.unconditional_head
        parts += _layer("UNCOND_DNET.outlogits.0", head, True)
    return parts
