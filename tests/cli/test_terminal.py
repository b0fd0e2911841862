"""Messages with colours, progress bars and other things that a terminal obeys."""

from __future__ import annotations

import pytest

from ml_dash.cli.terminal import plain_text, terminal_lines

ESC = "\x1b"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain\nlines\n", "plain\nlines"),
        ("of Windows\r\nlines", "of Windows\nlines"),
        (" 10%|█  |\r 50%|██ |\r100%|███|", "100%|███|"),
        (" 10%\r 50%\r", " 50%"),
        ("a long one\rshort", "shortg one"),
        (f"a long one\r{ESC}[Kshort", "short"),
        (f"a long one{ESC}[2K\rshort", "short"),
        (f"first\nsecond{ESC}[A\r{ESC}[2KFIRST\n", "FIRST\nsecond"),
        ("epoch 1\n 10%\r100%\nepoch 2", "epoch 1\n100%\nepoch 2"),
        ("ab\bc", "ac"),
        (f"{ESC}[31mred{ESC}[0m and not", "red and not"),
        (f"{ESC}]0;a title\x07text", "text"),
        (f"{ESC}]8;;https://x.example{ESC}\\link{ESC}]8;;{ESC}\\", "link"),
        (f"{ESC}(B{ESC}={ESC}[?25lx{ESC}[?25h", "x"),
        ("bell\x07 and nul\x00", "bell and nul"),
        (f"cut off {ESC}[31", "cut off "),
        (f"cut off {ESC}", "cut off "),
        (f"{ESC}[99999Cx", " " * 10_000 + "x"),
        (f"{ESC}[{'9' * 5000}Cx", " x"),
        (f"{ESC}[99B{ESC}[99Ax", "x"),
        ("safe\u202egpj.exe", r"safe\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("", ""),
    ],
)
def test_a_message_looks_as_it_does_in_the_end(given: str, shown: str) -> None:
    assert plain_text(given) == shown


@pytest.mark.parametrize(
    ("numbers", "style"),
    [
        ("31", "red"),
        ("1;92", "bold green"),
        ("2;3;4", "dim italic underline"),
        ("31;39", ""),
        ("1;4;0", ""),
        ("", ""),
        ("1;22;4;24", ""),
        ("37", ""),
        ("41", ""),
        ("38;5;208", "color(208)"),
        ("38;2;30;200;40", "rgb(30,200,40)"),
        ("48;2;255;0;0;34", "blue"),
        ("38;5;999", "color(255)"),
        ("38;5", "color(0)"),
        ("38", ""),
    ],
)
def test_a_rendition_is_a_style(numbers: str, style: str) -> None:
    (line,) = terminal_lines(f"{ESC}[{numbers}mx")
    assert line.plain == "x"
    assert {str(span.style) for span in line.spans} == ({style} if style else set())


def test_colours_end_with_what_has_them() -> None:
    (line,) = terminal_lines(f"{ESC}[32mok{ESC}[0m rest\r{ESC}[31mno", "yellow")
    assert (line.plain, str(line.style)) == ("no rest", "yellow")
    assert [(span.start, span.end, str(span.style)) for span in line.spans] == [(0, 1, "red"), (1, 2, "red")]
