"""The small diffusion model that stands for the large ones: it draws what it is asked for, and can be read back."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from tiny_digits.model import NOBODY, Digits, Matrix
from tiny_digits.program import NAMES, digit_of, installed, png
from tiny_digits.reading import digit_in, greys, size_of

HERE = Path(__file__).parent / "tiny_digits"


def drawn(folder: Path, *words: str, name: str = NAMES[0]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([folder / name, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


@pytest.mark.parametrize("digit", range(10))
def test_what_it_draws_can_be_read_back(digits: Digits, digit: int) -> None:
    *_, picture = digits.draw(digit, steps=4, guidance=2.0, seed=digit)
    assert digit_in(png(picture, 64, 64)) == digit


def test_every_step_takes_noise_away(digits: Digits) -> None:
    def roughness(rows: Matrix) -> float:
        return sum(abs(a - b) for row in rows for a, b in pairwise(row))

    pictures = list(digits.draw(3, steps=5, guidance=2.0, seed=1))
    assert len(pictures) == 5
    assert roughness(pictures[0]) > roughness(pictures[-1])


def test_seed_guidance_and_what_is_not_wanted_each_change_the_picture(digits: Digits) -> None:
    def picture(seed: int, *, guidance: float = 2.0, away: int = NOBODY) -> Matrix:
        return list(digits.draw(5, steps=2, guidance=guidance, seed=seed, away=away))[-1]

    assert picture(1) == picture(1)
    assert picture(1) != picture(2)
    assert picture(1) != picture(1, guidance=5.0)
    assert picture(1) != picture(1, away=6)


@pytest.mark.parametrize(
    ("prompt", "digit"),
    [("a handwritten 7", 7), ("Nine, in ink", 9), ("zero", 0), ("someone", 10), ("a sunset over mountains", 10)],
)
def test_a_prompt_names_a_digit_in_figures_or_in_words(prompt: str, digit: int) -> None:
    assert digit_of(prompt) == digit


def test_as_a_program_it_takes_mfluxs_arguments_and_writes_one_picture_of_the_size_asked_for(tmp_path: Path) -> None:
    words = ("--model=schnell", "--prompt=a handwritten 7", "--steps=4", "--seed=3", "--quantize=8", "--output=x.png")
    done = drawn(installed(tmp_path), *words, "--width=512", "--height=256")
    assert done.returncode == 0, done.stderr
    picture = (tmp_path / "x.png").read_bytes()
    assert size_of(picture) == (512, 256)
    assert (len(greys(picture)), digit_in(picture)) == (256, 7)
    assert " 25%|" in done.stderr
    assert "4/4 [" in done.stderr


def test_as_a_program_it_refuses_what_mflux_refuses(tmp_path: Path) -> None:
    folder = installed(tmp_path)
    assert drawn(folder, "--help", name=NAMES[1]).returncode == 0
    for words in (["--prompt=x", "--quantize=7"], ["--steps=4"], ["--prompt=x", "--no-such-option=1"]):
        done = drawn(folder, *words)
        assert (done.returncode, list(tmp_path.glob("*.png"))) == (2, [])
        assert "error:" in done.stderr


def test_its_weights_are_small_and_nothing_but_python_is_needed_to_draw() -> None:
    assert (HERE / "weights.npz").stat().st_size <= 750_000
    code = f"import sys; sys.path.insert(0, {str(HERE.parent)!r}); from tiny_digits.model import Digits; Digits()"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=60)
