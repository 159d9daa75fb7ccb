"""python -m export.client: images from a served model, over REST or gRPC.

REST needs only Python; --grpc needs tensorflow-serving-api. This file imports
nothing of the project, so it can be copied and used alone.
"""

import argparse
import base64
import http.client
import itertools
import json
import os
import random
import re
import signal
import sys
import time
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_SEED = 2**53 - 1  # JSON parsers that use doubles keep it exact
# Seconds before the first retry; each further wait is twice as long.
FIRST_WAIT, LARGEST_WAIT = 0.5, 16.0
# Beginnings of Unicode's names of letters in scripts without spaces.
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
CHECK = (
    "; check --url or --grpc, --model_name, --version, --label and, with "
    "--best_of, --rank_model"
)


class ClientError(Exception):
    """A failure, described in one line."""


class BusyError(ClientError):
    """The server is busy: the request may be repeated."""


class Model(NamedTuple):
    """A served model; at most one of version and label is set."""

    name: str
    version: int | None = None
    label: str | None = None


class Image(NamedTuple):
    """A generated image; seed None means the seed that the caption implies."""

    caption: str
    seed: int | None
    png: bytes
    attention: dict[str, Any] | None = None
    scores: dict[str, float] | None = None


class Rest:
    """Sends predict requests over REST, to http://host:8501."""

    def __init__(self, url: str, timeout: float):
        if not re.fullmatch(r"https?://[^?#\s]+", url):
            raise ClientError(
                f"--url must be like http://host:8501; received {url}"
            )
        self.server = url.rstrip("/")
        self.timeout = timeout

    def predict(self, model: Model, signature: str, row: dict[str, Any]) -> Any:
        """The outputs for one row by name; a single output without its name."""
        path = f"/v1/models/{quote(model.name, safe='')}"
        if model.version is not None:
            path += f"/versions/{model.version}"
        if model.label is not None:
            path += f"/labels/{quote(model.label, safe='')}"
        body = {"signature_name": signature, "instances": [row]}
        text = json.dumps(body, default=_to_b64)
        content = self._post(f"{path}:predict", text.encode())
        try:
            answer = json.loads(content, object_hook=_from_b64)
            (outputs,) = answer["predictions"]
        except (ValueError, TypeError, KeyError):
            raise ClientError(
                f"{self.server} must answer JSON with one prediction; received "
                f"{_start(content)}; is it TensorFlow Serving's REST port?"
            ) from None
        return outputs

    def _post(self, path: str, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(self.server + path, body, headers)
            with urllib.request.urlopen(request, timeout=self.timeout) as found:
                return found.read()
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from None
        # ValueError: an invalid host name.
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise _too_slow(self.server, self.timeout) from None
            text = getattr(reason, "strerror", None) or str(reason)
            raise ClientError(
                f"no answer from {self.server}: {text or type(reason).__name__}"
                "; check --url, and that the server is running"
            ) from None

    def _refusal(self, error: urllib.error.HTTPError) -> ClientError:
        content = error.read()
        try:
            text = json.loads(content)["error"]
        except (ValueError, TypeError, KeyError):
            text = _start(content) if content else error.reason
        message = f"{self.server} answered {error.code}: {text}"
        if error.code in (429, 503):
            return BusyError(message)
        hint = CHECK if error.code in (400, 404) else ""
        return ClientError(message + hint)


class Grpc:
    """Sends predict requests over gRPC, to host:8500."""

    def __init__(self, target: str, timeout: float):
        if not re.fullmatch(r"[^/\s]+:\d+|(dns|ipv4|ipv6|unix):\S+", target):
            raise ClientError(
                f"--grpc must be like host:8500; received {target}"
            )
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        try:
            import grpc
            import tensorflow as tf
            from tensorflow_serving.apis import (
                predict_pb2,
                prediction_service_pb2_grpc,
            )
        except ImportError as error:
            raise ClientError(
                f"--grpc needs pip install tensorflow-serving-api; {error}; "
                "--url works without it"
            ) from None
        self._grpc, self._tf = grpc, tf
        self._new_request = predict_pb2.PredictRequest
        # gRPC's default limit, 4 MB, is below attention maps at 256 x 256.
        options = [("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(target, options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.server = target
        self.timeout = timeout

    def predict(self, model: Model, signature: str, row: dict[str, Any]) -> Any:
        """The outputs for one row by name; a single output without its name."""
        request = self._new_request()
        request.model_spec.name = model.name
        request.model_spec.signature_name = signature
        if model.version is not None:
            request.model_spec.version.value = model.version
        if model.label is not None:
            request.model_spec.version_label = model.label
        for name, value in row.items():
            dtype = self._tf.int64 if isinstance(value, int) else None
            tensor = self._tf.make_tensor_proto([value], dtype)
            request.inputs[name].CopyFrom(tensor)
        try:
            answer = self._stub.Predict(request, timeout=self.timeout)
        except self._grpc.RpcError as error:
            raise self._refusal(error) from None
        outputs = {
            name: self._tf.make_ndarray(tensor).tolist()[0]
            for name, tensor in answer.outputs.items()
        }
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def _refusal(self, error: Any) -> ClientError:
        code = error.code().name
        if code == "DEADLINE_EXCEEDED":
            return _too_slow(self.server, self.timeout)
        message = f"{self.server} answered {code}: {error.details()}"
        # gRPC also reports UNAVAILABLE if nothing listens.
        if code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"):
            return BusyError(message)
        user_errors = ("NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION")
        return ClientError(message + (CHECK if code in user_errors else ""))


def _too_slow(server: str, seconds: float) -> ClientError:
    return ClientError(
        f"{server} did not answer within {seconds:g} s; raise --timeout, or "
        "check the server"
    )


def _to_b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _from_b64(value: dict[str, Any]) -> Any:
    if value.keys() == {"b64"}:
        return base64.b64decode(value["b64"], validate=True)
    return value


def _start(content: bytes) -> str:
    return repr(content[:120].decode("utf-8", "replace"))


class Client:
    """Generates and scores images.

    Args:
      server: where the requests go.
      retries: how often a request is repeated while the server is busy.
    """

    def __init__(self, server: Rest | Grpc, retries: int):
        self.server = server
        self.retries = retries

    def generate(
        self,
        model: Model,
        caption: str,
        seed: int | None,
        attention: bool = False,
    ) -> Image:
        """Generates one image; attention needs a seed."""
        row = {"captions": caption} | ({} if seed is None else {"seeds": seed})
        signature = "serving_default" if seed is None else "generate_png"
        signature = "generate_with_attention" if attention else signature
        answer = self._ask(model, signature, row)
        try:
            png = answer["image_bytes"] if attention else answer
            if not png.startswith(PNG):
                raise ValueError
            maps = _attention(answer) if attention else None
        except (AttributeError, TypeError, KeyError, ValueError):
            raise _unexpected(model, signature, answer) from None
        return Image(caption, seed, png, maps)

    def score(self, model: Model, image: Image) -> Image:
        """The same image with scores of how well it matches its caption."""
        row = {"captions": image.caption, "image_bytes": image.png}
        answer = self._ask(model, "match", row)
        try:
            names = ("sentence_score", "word_score")
            scores = {name: float(answer[name]) for name in names}
        except (TypeError, KeyError, ValueError):
            raise _unexpected(model, "match", answer) from None
        return image._replace(scores=scores)

    def _ask(self, model: Model, signature: str, row: dict[str, Any]) -> Any:
        """Sends a request, and repeats it while the server is busy.

        The wait has a random part, so that clients that were rejected together
        do not retry together.
        """
        for attempt in itertools.count(1):
            try:
                return self.server.predict(model, signature, row)
            except BusyError as busy:
                if attempt > self.retries:
                    raise ClientError(f"{busy}; tries: {attempt}") from None
                wait = min(LARGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
                wait *= random.uniform(1.0, 1.5)
                print(f"{busy}; retrying in {wait:.1f} s", file=sys.stderr)
                time.sleep(wait)


def _unexpected(model: Model, signature: str, answer: Any) -> ClientError:
    return ClientError(
        f"{model.name} must answer {signature} as export.saved_model's models "
        f"do; received {str(answer)[:60]!r}"
    )


def _attention(answer: dict[str, Any]) -> dict[str, Any]:
    """The words, and one map per word and attention stage, without padding."""
    T = answer["lengths"]
    words = [
        token.decode() if isinstance(token, bytes) else token
        for token in answer["tokens"][:T]
    ]
    # Four digits suffice for weights in [0, 1], and take a third of the space.
    maps = {
        name: [[[round(x, 4) for x in row] for row in h_w] for h_w in value[:T]]
        for name, value in answer.items()
        if name.startswith("attention_")
    }
    return {"words": words, **maps}


def note_of_ignored(caption: str, words: Sequence[str]) -> str:
    """A line about the words of a caption that the model ignores, or "".

    Args:
      caption: the caption.
      words: those that the model uses. Its tokenizer may drop letters outside
        of ASCII, or separate characters.
    """
    if list(words) == ["<end>"]:
        return (
            f"the model knows no word of {caption!r}: its images depend on the "
            "seed alone"
        )
    ignored = [
        word
        for word in dict.fromkeys(_split(caption))
        if not _forms(word) & set(words)
    ]
    return (
        f"the model does not use these words of {caption!r}: "
        f"{', '.join(ignored)}"
        if ignored
        else ""
    )


def _split(caption: str) -> list[str]:
    """Words in lower case; characters of scripts without spaces are words."""
    text = unicodedata.normalize("NFC", caption.lower())
    # Soft hyphens and joiners are parts of a word.
    text = "".join(x for x in text if unicodedata.category(x) != "Cf")
    found = re.finditer("um*|w[wm]*", "".join(map(_kind, text)))
    return [text[slice(*match.span())] for match in found]


def _kind(letter: str) -> str:
    """m: mark; u: letter of a script without spaces; w: another; -: none."""
    category = unicodedata.category(letter)[0]
    if category == "M":
        return "m"
    if letter != "_" and category not in "LN":
        return "-"
    return "u" if unicodedata.name(letter, "").startswith(UNSPACED) else "w"


def _forms(word: str) -> set[str]:
    """The forms that one of the tokenizers may give a word."""
    folded = unicodedata.normalize("NFC", word.casefold())
    return {word, folded, word.encode("ascii", "ignore").decode()}


def images(client: Client, options: argparse.Namespace) -> Iterator[Image]:
    """All requested images, in the order of their files."""
    model = Model(options.model_name, options.version, options.label)
    rank_model = Model(options.rank_model)
    needs_seed = options.samples > 1 or options.best_of or options.attention
    first = 0 if options.seed is None and needs_seed else options.seed
    for caption in options.captions:
        if not options.best_of:
            for k in range(options.samples):
                seed = None if first is None else first + k
                yield client.generate(model, caption, seed, options.attention)
            continue
        made = (
            client.generate(model, caption, first + k)
            for k in range(options.best_of)
        )
        scored = [client.score(rank_model, image) for image in made]
        # R-precision ranks by the sentence score, too.
        scored.sort(key=lambda image: -image.scores["sentence_score"])
        for image in scored[: options.samples]:
            if options.attention:
                again = client.generate(model, caption, image.seed, True)
                image = again._replace(scores=image.scores)
            yield image


def file_names(output: str, count: int, attention: bool) -> list[str]:
    """bird.png, or bird_001.png, bird_002.png, ... for several images.

    Raises ClientError if --output cannot hold them.
    """
    if output == "-":
        if count > 1 or attention:
            raise ClientError(
                "--output=- must be used for one image without attention; "
                f"received {count} images{' with attention' * attention}; name "
                "a file"
            )
        return [output]
    folder = os.path.dirname(output) or "."
    if not output.endswith(".png") or not os.path.isdir(folder):
        raise ClientError(
            "--output must be a .png file in a folder that exists; received "
            f"{output}"
        )
    base = output.removesuffix(".png")
    numbered = [f"{base}_{k:03d}.png" for k in range(1, count + 1)]
    return [output] if count == 1 else numbered


def write(path: str, image: Image) -> None:
    """Writes an image, and its attention if any, and prints a line."""
    if path == "-":
        sys.stdout.buffer.write(image.png)
        sys.stdout.flush()
        return
    with open(path, "wb") as file:
        file.write(image.png)
    if image.attention:
        name = path.removesuffix(".png") + "_attention.json"
        found = {"caption": image.caption, "seed": image.seed}
        with open(name, "w", encoding="utf-8") as file:
            json.dump(found | image.attention, file, separators=(",", ":"))
    line = path if image.seed is None else f"{path}  seed {image.seed}"
    for name, value in (image.scores or {}).items():
        line += f"  {name} {value:.4f}"
    print(f"{line}  {image.caption}", flush=True)


class Parser(argparse.ArgumentParser):
    """Raises ClientError instead of printing the usage and exiting."""

    def error(self, message: str):
        raise ClientError(message)


def whole(text: str) -> int:
    """A type for argparse: a whole number up to LARGEST_SEED."""
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 0 to 2^53 - 1; received {text}"
        )
    return int(text)


def parser() -> Parser:
    """The command's flags."""
    made = Parser("client", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("captions", nargs="*", help="what to generate, each in quotes")
    add("--url", default="http://localhost:8501", help="REST address")
    add("--grpc", help="host:8500: use this gRPC address instead of --url")
    add("--model_name", default="attngan", help="name of the generator")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--version", type=whole, help="of the generator")
    which.add_argument("--label", help="of the generator: stable, canary")
    text = "of the noise; sample k uses seed + k. The default is derived from "
    text += "the caption; 0 with --samples, --best_of or --attention"
    add("--seed", type=whole, help=text)
    add("--samples", type=whole, default=1, help="images per caption")
    text = "generate this many images per caption, write the --samples best"
    add("--best_of", type=whole, default=0, help=text)
    text = "the model whose scores --best_of ranks by"
    add("--rank_model", default="attngan_damsm", help=text)
    text = "also write the attention maps of the words: *_attention.json"
    add("--attention", action="store_true", help=text)
    text = "a .png file, numbered if there are several; - is stdout"
    add("--output", default="picture.png", help=text)
    add("--timeout", type=float, default=60, help="seconds to wait")
    text = "how often to retry while the server is busy"
    add("--retries", type=whole, default=4, help=text)
    return made


def run(arguments: list[str]) -> None:
    """Runs the command; raises ClientError."""
    options = parser().parse_intermixed_args(arguments)
    # Python passes bytes that are not UTF-8 as lone surrogates.
    options.captions = [
        text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        for text in options.captions
    ]
    if not options.captions or not options.samples:
        raise ClientError(
            "there must be at least one caption, in quotes, and one sample; "
            f"received {len(options.captions)} captions and --samples="
            f"{options.samples}"
        )
    if options.best_of and options.best_of < options.samples:
        raise ClientError(
            f"--best_of must be at least --samples ({options.samples}); "
            f"received {options.best_of}"
        )
    count = len(options.captions) * options.samples
    names = file_names(options.output, count, options.attention)
    kind, server = (Grpc, options.grpc) if options.grpc else (Rest, options.url)
    client = Client(kind(server, options.timeout), options.retries)
    notes = set()
    for name, image in zip(names, images(client, options), strict=True):
        try:
            write(name, image)
        except OSError as error:
            raise ClientError(f"cannot write {name}: {error}") from None
        if image.attention:
            note = note_of_ignored(image.caption, image.attention["words"])
            if note and note not in notes:
                print(note, file=sys.stderr)
            notes.add(note)


def main() -> None:
    """Runs the command; an error is one line and exit code 1."""
    try:
        run(sys.argv[1:])
    except ClientError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
