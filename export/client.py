"""python -m export.client: pictures from a served model, over REST or gRPC.

REST needs nothing but Python; gRPC needs tensorflow-serving-api. Nothing of
this project is imported, so this file can be copied alone.
"""

import argparse
import base64
import email.utils
import http.client
import json
import math
import os
import random
import re
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_SEED = 2**53 - 1  # what JSON keeps exact everywhere
# Seconds: the first wait of a busy server's client, the largest it doubles
# to, and the longest Retry-After that it obeys.
FIRST_WAIT, LARGEST_WAIT, LONGEST_RETRY_AFTER = 0.5, 16.0, 60.0
NOT_OURS = "; is it a model of that kind that export.saved_model wrote?"
CHECK = (
    "; check --url or --grpc, --model_name, --version, --label and, with "
    "--best_of, --rank_model"
)


class ClientError(Exception):
    """What went wrong, in one line."""


class BusyError(ClientError):
    """The server asks to come back, `after` seconds or more from now."""

    def __init__(self, message: str, after: float = 0.0):
        super().__init__(message)
        self.after = after


class Model(NamedTuple):
    """A served model; at most one of version and label is given."""

    name: str
    version: int | None = None
    label: str | None = None


class Picture(NamedTuple):
    """A picture as it came; seed None is the caption's own."""

    caption: str
    seed: int | None
    png: bytes
    attention: dict[str, Any] | None = None
    scores: dict[str, float] | None = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A request that is sent elsewhere would arrive without its body."""

    def redirect_request(self, *_):
        return None


class Rest:
    """Predictions over REST, from http://host:8501."""

    def __init__(self, url: str, timeout: float):
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and parts.hostname
            good = good and parts.port != 0 and not parts.query
        except ValueError:  # a port that is no number
            good = False
        if not good:
            raise ClientError(
                f"--url must be like http://host:8501; received {url}"
            )
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._open = urllib.request.build_opener(_NoRedirects).open

    def predict(self, model: Model, signature: str, row: dict[str, Any]) -> Any:
        """The outputs for one row of inputs, by name; one alone, without."""
        place = f"{self.url}/v1/models/{quote(model.name, safe='')}"
        if model.version is not None:
            place += f"/versions/{model.version}"
        if model.label is not None:
            place += f"/labels/{quote(model.label, safe='')}"
        body = {"signature_name": signature, "instances": [row]}
        content = self._post(f"{place}:predict", json.dumps(body, default=_b64))
        try:
            answer = json.loads(content, object_hook=_bytes_of_b64)
            (outputs,) = answer["predictions"]
            return outputs
        # RecursionError: a thousand brackets.
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ClientError(
                f"{self.url} must answer JSON with one prediction; received "
                f"{_start(content)!r}; is it TensorFlow Serving's REST port?"
            ) from None

    def _post(self, address: str, body: str) -> bytes:
        kind = {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(address, body.encode(), kind)
            with self._open(request, timeout=self.timeout) as found:
                return found.read()
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from None
        # ValueError: a name that no host can have.
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise _too_slow(self.url, self.timeout) from None
            text = getattr(reason, "strerror", None) or str(reason)
            raise ClientError(
                f"no answer from {self.url}: {text or type(reason).__name__}; "
                "check --url, and that the server runs"
            ) from None

    def _refusal(self, error: urllib.error.HTTPError) -> ClientError:
        """The error for a status other than 200."""
        content = b""
        try:
            content = error.read()
            text = json.loads(content)["error"]
        except (OSError, http.client.HTTPException):
            text = error.reason
        except (ValueError, TypeError, KeyError, RecursionError):
            text = _start(content) or error.reason
        message = f"{self.url} answered {error.code}: {text}"
        if error.code in (429, 503):
            return BusyError(message, _seconds(error.headers["Retry-After"]))
        hints = {400: CHECK, 404: CHECK}
        return ClientError(message + hints.get(error.code, ""))


class Grpc:
    """Predictions over gRPC, from host:8500."""

    def __init__(self, target: str, timeout: float):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        if not re.fullmatch(r"[^/\s]+:\d+|(dns|ipv4|ipv6|unix):\S+", target):
            raise ClientError(
                f"--grpc must be like host:8500; received {target}"
            )
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
                "--url works without"
            ) from None
        self._grpc, self._tf = grpc, tf
        self._new_request = predict_pb2.PredictRequest
        # gRPC's own limit, 4 MB, is passed by attention at 256 x 256.
        sizes = ("max_receive_message_length", "max_send_message_length")
        options = [(f"grpc.{size}", -1) for size in sizes]
        channel = grpc.insecure_channel(target, options)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.target = target
        self.timeout = timeout

    def predict(self, model: Model, signature: str, row: dict[str, Any]) -> Any:
        """The outputs for one row of inputs, by name; one alone, without."""
        request = self._new_request()
        request.model_spec.name = model.name
        request.model_spec.signature_name = signature
        if model.version is not None:
            request.model_spec.version.value = model.version
        if model.label is not None:
            request.model_spec.version_label = model.label
        for name, value in row.items():
            kind = self._tf.int64 if isinstance(value, int) else self._tf.string
            tensor = self._tf.make_tensor_proto([value], kind)
            request.inputs[name].CopyFrom(tensor)
        try:
            answer = self._stub.Predict(request, timeout=self.timeout)
        except self._grpc.RpcError as error:
            raise self._refusal(error) from None
        try:
            outputs = {
                name: self._tf.make_ndarray(tensor).tolist()[0]
                for name, tensor in answer.outputs.items()
            }
            return outputs if len(outputs) > 1 else next(iter(outputs.values()))
        except (TypeError, ValueError, IndexError, StopIteration):
            raise ClientError(
                f"{self.target} must answer with a row for each output; "
                f"received {str(answer)[:60]!r}{NOT_OURS}"
            ) from None

    def _refusal(self, error: Any) -> ClientError:
        code, codes = error.code(), self._grpc.StatusCode
        if code == codes.UNAVAILABLE and not _listens(self.target):
            return ClientError(
                f"no answer from {self.target}: {error.details()}; check "
                "--grpc, and that the server runs"
            )
        message = f"{self.target} answered {code.name}: {error.details()}"
        if code in (codes.UNAVAILABLE, codes.RESOURCE_EXHAUSTED):
            return BusyError(message)
        if code == codes.DEADLINE_EXCEEDED:
            return _too_slow(self.target, self.timeout)
        hints = dict.fromkeys(
            (
                codes.NOT_FOUND,
                codes.INVALID_ARGUMENT,
                codes.FAILED_PRECONDITION,
            ),
            CHECK,
        )
        return ClientError(message + hints.get(code, ""))


def _listens(target: str) -> bool:
    """Whether anybody is at host:port; of another kind of target, unknown."""
    host, _, port = target.rpartition(":")
    if not port.isdecimal() or "/" in host:
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), 5.0).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _too_slow(server: str, seconds: float) -> ClientError:
    return ClientError(
        f"{server} did not answer within {seconds:g} s; raise --timeout, or "
        "look at the server"
    )


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _bytes_of_b64(value: dict[str, Any]) -> Any:
    if value.keys() == {"b64"}:
        return base64.b64decode(value["b64"], validate=True)
    return value


def _start(content: bytes) -> str:
    text = content[:120].decode("utf-8", "replace").strip()
    return "".join(x if x.isprintable() else "?" for x in text)


def _seconds(retry_after: str | None) -> float:
    """What a Retry-After header asks for: seconds, or a date."""
    try:
        if retry_after.strip().isdecimal():
            return float(retry_after)
        date = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, date.timestamp() - time.time())
    except (AttributeError, TypeError, ValueError, OverflowError):
        return 0.0


def with_retries(call: Callable[[], Any], retries: int) -> Any:
    """What `call` returns; after a BusyError it is called again, later.

    The wait doubles from try to try, with a random part, so that clients who
    were refused together do not come back together.
    """
    attempt = 0
    while True:
        try:
            return call()
        except BusyError as busy:
            if attempt >= retries or busy.after > LONGEST_RETRY_AFTER:
                asked = f"; it asks to wait {busy.after:.0f} s"
                tried = f"; given up after {attempt + 1} tries"
                raise ClientError(
                    f"{busy}{tried if attempt else ''}"
                    f"{asked if busy.after else ''}"
                ) from None
            wait = min(LARGEST_WAIT, FIRST_WAIT * 2**attempt)
            wait = max(wait, busy.after) * random.uniform(1.0, 1.5)
            print(f"{busy}; trying again in {wait:.1f} s", file=sys.stderr)
            time.sleep(wait)
            attempt += 1


class Client:
    """Draws and ranks pictures.

    Args:
      end: where the requests go.
      retries: how often a busy server is asked again.
    """

    def __init__(self, end: Rest | Grpc, retries: int):
        self.end = end
        self.retries = retries

    def draw(
        self, model: Model, caption: str, seed: int | None, attention: bool
    ) -> Picture:
        """One picture; attention only with a seed."""
        row = {"captions": caption} | ({} if seed is None else {"seeds": seed})
        signature = "serving_default" if seed is None else "generate_png"
        signature = "generate_with_attention" if attention else signature
        answer = self._ask(model, signature, row)
        png, maps = answer, None
        try:
            if attention:
                png, maps = answer["image_bytes"], _attention(answer)
                maps = {"caption": caption, "seed": seed, **maps}
            good = png.startswith(PNG)
        except (TypeError, KeyError, AttributeError, ValueError):
            good = False
        if not good:
            what = "a PNG picture" + ", words and their maps" * attention
            raise _strange(model, signature, what, answer)
        return Picture(caption, seed, png, maps)

    def scored(self, model: Model, picture: Picture) -> Picture:
        """The same picture, with how well it fits its caption."""
        row = {"captions": picture.caption, "image_bytes": picture.png}
        answer = self._ask(model, "match", row)
        try:
            scores = {
                name: float(answer[name])
                for name in ("sentence_score", "word_score")
            }
        except (TypeError, ValueError, KeyError):
            raise _strange(model, "match", "two scores", answer) from None
        return picture._replace(scores=scores)

    def _ask(self, model: Model, signature: str, row: dict[str, Any]) -> Any:
        return with_retries(
            lambda: self.end.predict(model, signature, row), self.retries
        )


def _strange(
    model: Model, signature: str, what: str, answer: Any
) -> ClientError:
    return ClientError(
        f"{model.name} must answer {signature} with {what}; received "
        f"{str(answer)[:60]!r}{NOT_OURS}"
    )


def _attention(answer: dict[str, Any]) -> dict[str, Any]:
    """Words, and a map a word for each attention stage, without padding."""
    count = answer["lengths"]
    words = [
        token.decode() if isinstance(token, bytes) else token
        for token in answer["tokens"][:count]
    ]
    # Four digits are plenty for weights from 0 to 1, and a third the size.
    maps = {
        name: [[[round(x, 4) for x in row] for row in h_w] for h_w in T[:count]]
        for name, T in answer.items()
        if name.startswith("attention_")
    }
    return {"words": words, **maps}


def pictures(client: Client, options: argparse.Namespace) -> Iterator[Picture]:
    """All pictures asked for, in the order of their files."""
    model = Model(options.model_name, options.version, options.label)
    several = options.samples > 1 or options.best_of or options.attention
    first = 0 if options.seed is None and several else options.seed
    for caption in options.captions:
        if not options.best_of:
            for k in range(options.samples):
                seed = None if first is None else first + k
                yield client.draw(model, caption, seed, options.attention)
            continue
        drawn = [
            client.draw(model, caption, seed, attention=False)
            for seed in range(first, first + options.best_of)
        ]
        scored = [client.scored(Model(options.rank_model), x) for x in drawn]
        # The score that R-precision ranks by.
        scored.sort(key=lambda x: -x.scores["sentence_score"])
        for picture in scored[: options.samples]:
            if options.attention:
                again = client.draw(
                    model, caption, picture.seed, attention=True
                )
                picture = again._replace(scores=picture.scores)
            yield picture


def file_names(output: str, count: int, attention: bool) -> list[str]:
    """bird.png; bird_001.png, bird_002.png, ... where there are more.

    Raises ClientError where --output cannot hold so many.
    """
    if output == "-" and count == 1 and not attention:
        return [output]
    if output == "-":
        raise ClientError(
            "--output=- writes one picture and nothing else; received "
            f"{count} pictures{', attention too' * attention}; name a file"
        )
    if not output.endswith(".png") or os.path.isdir(output):
        raise ClientError(
            f"--output must be a file that ends in .png; received {output}"
        )
    if not os.path.isdir(os.path.dirname(output) or "."):
        raise ClientError(
            f"--output must be in a folder that exists; received {output}"
        )
    base = output.removesuffix(".png")
    numbered = [f"{base}_{k:03d}.png" for k in range(1, count + 1)]
    return [output] if count == 1 else numbered


def write(path: str, picture: Picture) -> None:
    """Writes a picture, and its attention if any, and prints a line."""
    if path == "-":
        sys.stdout.buffer.write(picture.png)
        sys.stdout.flush()
        return
    with open(path, "wb") as file:
        file.write(picture.png)
    if picture.attention:
        name = path.removesuffix(".png") + "_attention.json"
        with open(name, "w", encoding="utf-8") as file:
            json.dump(picture.attention, file, separators=(",", ":"))
    seed = "" if picture.seed is None else f"  seed {picture.seed}"
    for name, value in (picture.scores or {}).items():
        seed += f"  {name} {value:.4f}"
    print(f"{path}{seed}  {picture.caption}", flush=True)


class Parser(argparse.ArgumentParser):
    """Raises ClientError where argparse prints a page and exits."""

    def error(self, message: str):
        raise ClientError(message)


def whole(low: int) -> Callable[[str], int]:
    """A type for argparse: a whole number from low to LARGEST_SEED."""

    def convert(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= LARGEST_SEED:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to 2^53 - 1; received "
                f"{text}"
            )
        return int(text)

    return convert


def seconds(text: str) -> float:
    """A type for argparse: a time above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(
            f"must be a number of seconds above 0; received {text}"
        )
    return value


def parser() -> Parser:
    """The command's flags."""
    made = Parser("client", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("captions", nargs="*", help="what to draw, each in quotes")
    add("--url", default="http://localhost:8501", help="the REST end")
    add("--grpc", help="host:8500: ask the gRPC end instead")
    add("--model_name", default="attngan", help="the generator's name")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--version", type=whole(0), help="of the generator")
    which.add_argument("--label", help="of the generator: stable, canary")
    seed = "of the noise; sample k has seed + k. Without it, the caption's own;"
    seed += " 0 with --samples, --best_of or --attention"
    add("--seed", type=whole(0), help=seed)
    add("--samples", type=whole(1), default=1, help="pictures a caption")
    best = "draw so many pictures a caption, write the --samples best of them"
    add("--best_of", type=whole(0), default=0, help=best)
    rank = "the model whose scores --best_of ranks by"
    add("--rank_model", default="attngan_damsm", help=rank)
    attention = "write, too, which word was drawn where: *_attention.json"
    add("--attention", action="store_true", help=attention)
    output = "a .png file, numbered where there are several; - is stdout"
    add("--output", default="picture.png", help=output)
    add("--timeout", type=seconds, default=60, help="seconds to wait")
    add("--retries", type=whole(0), default=4, help="of a busy server")
    return made


def run(arguments: list[str]) -> None:
    """The command; raises ClientError."""
    options = parser().parse_intermixed_args(arguments)
    # A shell may hand over bytes that are not UTF-8.
    options.captions = [
        text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        for text in options.captions
    ]
    for name in (options.model_name, options.rank_model, options.label or ""):
        if not name.isprintable():
            raise ClientError(f"a name must be a text; received {name!r}")
    if not options.captions:
        raise ClientError("a caption is needed, in quotes; received none")
    drawn = options.best_of or options.samples
    if drawn < options.samples:
        raise ClientError(
            f"--best_of must be --samples ({options.samples}) or more; "
            f"received {drawn}"
        )
    if (options.seed or 0) + drawn - 1 > LARGEST_SEED:
        raise ClientError(
            f"--seed must leave room for {drawn} seeds up to 2^53 - 1; "
            f"received {options.seed}"
        )
    count = len(options.captions) * options.samples
    names = file_names(options.output, count, options.attention)
    kind, server = (Grpc, options.grpc) if options.grpc else (Rest, options.url)
    client = Client(kind(server, options.timeout), options.retries)
    for name, picture in zip(names, pictures(client, options), strict=True):
        try:
            write(name, picture)
        except OSError as error:
            raise ClientError(f"cannot write {name}: {error}") from None


def main() -> None:
    """Runs the command: what goes wrong ends in one line and exit code 1."""
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
