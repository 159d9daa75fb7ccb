"""Reads PyTorch files without running code, writes and recognizes them."""

import hashlib
import os
import pickle
import re
from collections.abc import Mapping

import numpy as np

from attngan_tf.errors import UserError, install_command

# git's SHA-1 of the content of the published files.
AUTHENTIC = {
    "054f77df56e27c6fa99c1dbb633233d9fc0d8293": "bird generator",
    "55f71fedeef57da825679f6d3bbec4062cba240e": "bird text encoder",
    "5d2b10c60b9858aa2038e63aefd3e1502568f865": "bird image encoder",
    "50a73915c23dc0d6f84f97f31a37cc75db084cbd": "bird captions",
    "5454c1b2616de33d7d1aafaafb679cbacf941ca5": "COCO captions",
}
_LFS_POINTER = b"version https://git-lfs"
# Keys under which forks store the tensors: by flag, and for other flags.
_WRAPPERS = {"discriminators": ("netD", "netD_state_dict", "state_dict")}
_OTHER_WRAPPERS = ("netG", "netG_state_dict", "state_dict")
_PREFIX = "module."  # of all names, after torch's DataParallel


def blob_id(path: str) -> str:
    """The SHA-1 that git computes for a file's content."""
    digest = hashlib.sha1(b"blob %d\0" % os.path.getsize(path))
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def check_kind(path: str, flag: str) -> None:
    """Raises UserError for unreadable files, pointers and web pages."""
    try:
        with open(path, "rb") as file:
            start = file.read(512).lstrip()
    except OSError as error:
        raise UserError(f"--{flag} must be a file to read; {error}") from None
    found = ""
    if not start:
        found = "is empty; download it again"
    elif start.startswith(_LFS_POINTER):
        found = "is a git-LFS pointer to it; fetch it by git lfs pull"
    elif re.match(rb"<(!doctype|html|\?xml)", start, re.IGNORECASE):
        found = "is a web page, saved in its place; download it again"
    if found:
        raise UserError(f"--{flag} must be the file itself; {path} {found}")


def read_state(path: str, flag: str) -> dict[str, np.ndarray]:
    """The tensors of a .pth file by name, without prefixes; float32.

    Args:
      path: path of the file, in the legacy or the zip format.
      flag: the flag with this path, for errors.

    Raises:
      UserError: PyTorch is missing, or the file is not a dict of finite
        tensors, or it would run code.
    """
    torch = _torch()
    check_kind(path, flag)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file can raise nearly anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        if isinstance(error, pickle.UnpicklingError):
            # PyTorch's own text advises to run the code.
            named = re.search(r"GLOBAL (\S+)", str(error))
            reason = f"it asks to run {named[1]}" if named else "it is damaged"
        raise UserError(
            f"--{flag} must be a complete PyTorch file of tensors; {path} was "
            f"refused: {reason}; use another file, or download it again"
        ) from None
    tensors = _tensors(content, torch.Tensor, path, flag)
    prefixed = all(name.startswith(_PREFIX) for name in tensors)
    state = {}
    for name, tensor in tensors.items():
        array = tensor.detach().float().numpy()
        if not np.isfinite(array).all():
            raise UserError(
                f"--{flag} must hold finite numbers; {name} of {path} does not"
            )
        state[name.removeprefix(_PREFIX) if prefixed else name] = array
    return state


def _torch():
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"PyTorch files need PyTorch; {error}; run "
            f"{install_command('convert')}"
        ) from None
    return torch


def _tensors(content, kind: type, path: str, flag: str) -> Mapping:
    """The dict of tensors of a file, which may be inside another dict."""
    wrappers = _WRAPPERS.get(flag, _OTHER_WRAPPERS)
    candidates = {"": content}
    if isinstance(content, Mapping):
        candidates |= {name: content.get(name) for name in wrappers}
    for found in candidates.values():
        if (
            isinstance(found, Mapping)
            and found
            and all(isinstance(value, kind) for value in found.values())
            and all(isinstance(name, str) for name in found)
        ):
            return found
    keys = ", ".join(map(str, content)) if isinstance(content, Mapping) else ""
    raise UserError(
        f"--{flag} must hold a dict of tensors, or one of "
        f"{', '.join(wrappers)} that does; {path} holds a "
        f"{type(content).__name__} ({keys[:80]})"
    )


def write_state(state: Mapping[str, np.ndarray], path: str) -> None:
    """Writes tensors in the legacy format, as the released code does.

    Raises:
      UserError: PyTorch is missing.
    """
    torch = _torch()
    content = {name: torch.from_numpy(x.copy()) for name, x in state.items()}
    torch.save(content, path, _use_new_zipfile_serialization=False)
