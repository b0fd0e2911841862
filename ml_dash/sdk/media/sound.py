"""Sounds, as WAV files that are written here."""

from __future__ import annotations

import wave
from typing import Any, BinaryIO

from ml_dash.errors import InvalidArgumentError
from ml_dash.limits.sparing import check_numpy
from ml_dash.sdk.media.value import MediaValue, file_of, is_path
from ml_dash.values.tensors import on_host

_SOUNDS = frozenset({"wav", "mp3", "ogg", "flac", "m4a"})
_RATE_MAX = 1_000_000
_LOUDEST = 32_767
_ROUNDING = 0.01


class Audio(MediaValue):
    """A sound to be logged in a row.

    Args:
        data: samples, an array N or N×channels of int16, or of floats from -1 to 1; or the path of a file.
        sample_rate: samples a second; needed for an array.
        caption: a text below it.

    Raises:
        InvalidArgumentError: it is nothing of these.
        FileMissingError: there is no such file.
    """

    kind = "audio"

    def __init__(self, data: Any, sample_rate: int | None = None, caption: str | None = None) -> None:
        check_numpy()
        import numpy as np

        self._rate = 0
        self._samples = np.zeros((0, 1), "<i2")
        source, extension = None, "wav"
        if is_path(data):
            source, extension = file_of(data, _SOUNDS, "a sound")
        elif not isinstance(sample_rate, int) or not 0 < sample_rate <= _RATE_MAX:
            raise InvalidArgumentError(
                f"sample_rate={sample_rate!r} is not a number of samples a second: pass one, as sample_rate=16_000"
            )
        else:
            self._rate, self._samples = sample_rate, _samples(data)
        super().__init__(extension, self._samples.nbytes, caption, source)

    def about(self) -> dict[str, Any]:
        """Return its rate and length."""
        if not self._rate:
            return super().about()
        return {**super().about(), "sampleRate": self._rate, "seconds": len(self._samples) / self._rate}

    def write(self, file: BinaryIO) -> object:
        """Encode as WAV, of 16 bits."""
        with wave.open(file, "wb") as sound:
            sound.setnchannels(self._samples.shape[1])
            sound.setsampwidth(2)
            sound.setframerate(self._rate)
            sound.writeframes(self._samples.tobytes())
        return None


def _samples(data: Any) -> Any:
    """Return samples N×channels of int16 that nobody else will change."""
    import numpy as np

    array = np.array(on_host(data))
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not 1 <= array.shape[1] <= 32 or not len(array):
        raise InvalidArgumentError(
            f"the sound has the shape {array.shape}: pass N samples, or N×channels, channels last"
        )
    if array.dtype == np.int16:
        return array.astype("<i2")
    if array.dtype.kind != "f":
        raise InvalidArgumentError(
            f"the sound has samples of type {array.dtype}: pass int16, or floats from -1 to 1"
        )
    values = np.nan_to_num(array.astype(np.float64), nan=0.0)
    loudest = float(np.abs(values).max())
    if loudest > 1 + _ROUNDING:
        raise InvalidArgumentError(
            f"the sound has samples up to {loudest:g}: floats are from -1 to 1; divide them"
        )
    return np.rint(values.clip(-1, 1) * _LOUDEST).astype("<i2")
