"""Images, sounds and histograms of event files.

There are two forms of each: the fields of ``summary.proto`` that tensorboardX and torch write, and the tensors of
TensorFlow 2, of which the plugin says what they hold.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ml_dash.importers.media import Medium, medium, medium_of
from ml_dash.importers.protobuf import BrokenError, Message, doubles, number, parse, signed
from ml_dash.importers.tensorboard.event_file import tensor_strings, tensor_values
from ml_dash.sdk.media.tables import Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_dash.storage.blobs import Staging

_SIGNATURES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"BM": "bmp"}
_LARGEST = sys.float_info.max


def media_of(value: Message, plugin: str, staging: Staging) -> list[Medium]:
    """Return the media of a value, one or several; BrokenError where there is none that has a place here."""
    if 4 in value:
        image = parse(value[4][0])
        size = {"width": signed(image.get(2, [0])[0]), "height": signed(image.get(1, [0])[0])}
        return [_image(image.get(4, [b""])[0], size, staging)]
    if 5 in value:
        return [_histogram(parse(value[5][0]), staging)]
    if 6 in value:
        sound = parse(value[6][0])
        rate = number(sound[1][0], "f") if 1 in sound else 0.0
        about = {"sampleRate": round(rate), "seconds": signed(sound.get(3, [0])[0]) / rate} if rate else {}
        return [medium_of({"_type": "audio", **about}, "wav", _content(sound.get(4, [b""])[0]), staging)]
    if 8 in value and plugin == "images":
        width, height, *several = tensor_strings(value[8][0])
        size = {"width": int(width), "height": int(height)}
        return [_image(each, size, staging) for each in several]
    if 8 in value and plugin == "audio":
        # each with a label behind it, which TensorBoard does not show any more
        several = tensor_strings(value[8][0])
        return [medium_of({"_type": "audio"}, "wav", each, staging) for each in several[::2]]
    if 8 in value and plugin == "histograms":
        numbers = tensor_values(value[8][0])
        return [_histogram_of(numbers[::3], numbers[1::3], numbers[2::3], {}, staging)]
    raise BrokenError(f"a value of the plugin {plugin!r} has no place here")


def _content(data: Any) -> bytes:
    if not isinstance(data, bytes) or not data:
        raise BrokenError("it is empty")
    return data


def _image(data: Any, size: dict[str, int], staging: Staging) -> Medium:
    content = _content(data)
    extension = next((name for mark, name in _SIGNATURES.items() if content.startswith(mark)), None)
    if extension is None:
        raise BrokenError("it is no image that is known")
    kind = "video" if extension == "gif" else "image"  # frames of a video are written so
    return medium_of({"_type": kind, **size}, extension, content, staging)


def _histogram(told: Message, staging: Staging) -> Medium:
    """Store a HistogramProto: counts of buckets by their upper limits, the first of which has no lower one."""
    limits, counts = list(doubles(told, 6)), list(doubles(told, 7))
    if len(limits) != len(counts) or not counts:
        raise BrokenError("a histogram has no buckets")
    least, most, number_, total, squares = (
        number(told[field][0], "d") if field in told else 0.0 for field in range(1, 6)
    )
    about = {"min": least, "max": most, "num": number_, "sum": total, "sumSquares": squares}
    # as TensorBoard draws it: the outermost limits are where the values end
    lefts = [min(least, limits[0]), *limits[:-1]]
    rights = [*limits[:-1], most if limits[-1] >= _LARGEST else limits[-1]]
    return _histogram_of(lefts, rights, counts, about, staging)


def _histogram_of(
    lefts: Sequence[float],
    rights: Sequence[float],
    counts: Sequence[float],
    about: dict[str, Any],
    staging: Staging,
) -> Medium:
    """Store buckets, of which those that are empty and without a width are left out."""
    kept = [
        (left, right, count) for left, right, count in zip(lefts, rights, counts, strict=True) if right > left
    ]
    if sum(count for *_, count in kept) != sum(
        counts
    ):  # all values are one: it has no width, and is given one
        kept = [
            (left, right if right > left else left + max(abs(left), 1.0) * 2**-40, count)
            for left, right, count in zip(lefts, rights, counts, strict=True)
        ]
    if not kept or any(before[1] > after[0] for before, after in pairwise(kept)):
        raise BrokenError("the buckets of a histogram do not ascend")
    edges = [kept[0][0]]
    filled: list[float] = []
    for left, right, count in kept:
        if left > edges[-1]:  # a hole between two buckets
            edges.append(left)
            filled.append(0.0)
        edges.append(right)
        filled.append(count)
    stored = medium(Histogram(counts=filled, edges=edges), staging)
    return stored._replace(about={**stored.about, **about})
