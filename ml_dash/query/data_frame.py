"""Columns as a data frame of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_dash.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt
    import pandas as pd


def to_frame(read: Callable[[], Mapping[str, npt.NDArray[Any]]]) -> pd.DataFrame:
    """Return the arrays of equal length that are read as the columns of a data frame, whatever texts are in them.

    Raises:
        MissingExtraError: Pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("to_pandas()", "pandas", "pandas") from error
    arrays = read()
    try:
        return pd.DataFrame(arrays)
    except UnicodeEncodeError:
        # Lone surrogates, which Arrow does not have, and there pandas from 3 on keeps texts. As objects they stay.
        frame = pd.concat([_column(array) for array in arrays.values()], axis=1)
        frame.columns = pd.Index(list(arrays), dtype=object)
        return frame


def _column(array: npt.NDArray[Any]) -> pd.Series[Any]:
    import pandas as pd

    try:
        return pd.Series(array)
    except UnicodeEncodeError:
        return pd.Series(array, dtype=object)
