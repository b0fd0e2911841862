"""A disk that fills up in the middle of a save: an error that says so, and nothing half-written is left or listed."""

from __future__ import annotations

import textwrap

import pytest

from tests.support.processes import Scripts
from tests.support.small_disk import on_a_small_disk, run_on_small_disk

BEGIN = """
    import os
    import numpy as np
    from ml_dash import Experiment
    from ml_dash.errors import FileStoreError

    exp = Experiment("alice/vision/resnet", dash_root="disk", echo=False).run.start()
    exp.flush()
    free = os.statvfs("disk")
    with open("disk/ballast", "wb") as file:
        file.write(bytes(free.f_bavail * free.f_frsize - 64 * 1024))
    noise = np.random.default_rng(1).integers(0, 255, (10, 128, 128, 3), dtype=np.uint8)
    with open("large", "wb") as file:
        file.write(noise.tobytes())
    """
SAVES = {
    "a copy": 'exp.files("a").save("large")',
    "bytes": 'exp.files("a").save_blob(noise.tobytes(), to="b.bin")',
    "a pickle": 'exp.files("a").save_pkl(noise, to="b.pkl")',
    "an mp4": 'exp.files("a").save_video(noise, to="b.mp4", quality=10)',
    "an mkv": 'exp.files("a").save_video(noise, to="b.mkv", quality=10)',
    "a gif": 'exp.files("a").save_video(noise, to="b.gif")',
    "a picture": 'exp.files("a").save_image(noise.reshape(1280, 128, 3), to="b.png")',
}


@pytest.mark.sample(7)
@on_a_small_disk
@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_a_save_that_does_not_fit_says_so_and_leaves_nothing(save: str, scripts: Scripts) -> None:
    """Neither a row nor a file; what fits afterwards is saved."""
    check = textwrap.indent(
        textwrap.dedent(
            f"""
            try:
                {save}
            except FileStoreError as error:
                assert "No space left" in str(error), error
            else:
                raise AssertionError("it was saved")
            assert exp.files.list() == []
            assert [name for _, _, names in os.walk("disk/alice/vision/resnet/files") for name in names] == []
            os.remove("disk/ballast")
            exp.files("a").save_json({{"lr": 0.1}}, to="c.json")
            assert [row["filename"] for row in exp.files.list()] == ["c.json"]
            exp.run.complete()
            """
        ),
        "    ",
    )
    finished = run_on_small_disk(scripts, f"{BEGIN}{check}", size="512k")
    assert finished.returncode == 0, finished.stderr
