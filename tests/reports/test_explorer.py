import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vae
from checkpoint import load_mixture, load_model
from gmm import GaussianMixture
from inference import decode, encode
from models import VAE
from reports.explorer import pack, quantised
from tests.accessibility import violations
from tests.mistakes import refusal

CPU = torch.device("cpu")
ROOT = Path(vae.__file__).parent


def explore(test: Path, val: Path, out: Path, model: Path) -> int:
    return vae.main([str(test), str(val), "explore", str(out), str(model)])


@pytest.mark.parametrize("bits", [8, 16])
def test_a_quantised_matrix_is_off_by_half_a_step_at_most(bits: int) -> None:
    weights = torch.randn(20, 30) * torch.logspace(-3, 3, 20)[:, None]
    whole, scale = quantised(weights, bits)
    assert whole.dtype.itemsize == bits // 8
    error = np.abs(whole * scale[:, None] - weights.numpy())
    assert (error <= 0.501 * scale[:, None]).all()
    assert np.abs(whole).max() == 2 ** (bits - 1) - 1


def test_the_packed_decoder_draws_what_the_model_draws(trained: Path) -> None:
    packed, error = pack(load_model(trained / "vae.pth", CPU))
    assert error < 1 / 255 / 4
    assert {entry["bits"] for entry in packed.values() if "bits" in entry} == {8, 16}
    assert set(packed) == set(VAE().state_dict())


@pytest.mark.slow
def test_the_page_needs_nothing_else(files: Path, trained: Path, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        words = [str(files / "test.npz"), str(files / "val.npz"), "explore", name]
        subprocess.run(
            [sys.executable, str(ROOT / "vae.py"), *words, str(trained / "vae.pth")],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    page = (tmp_path / "a.html").read_text()
    assert page == (tmp_path / "b.html").read_text()
    assert len(page) < 15e6
    assert not re.search(r"<(?:script|img)[^>]*\ssrc=|<link", page)
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["points"]["label"] == np.tile([1, 4, 8], 15).tolist()
    assert data["points"]["set"] == 30 * ["test"] + 15 * ["validation"]


def test_images_without_labels_are_shown_too(files: Path, trained: Path, tmp_path: Path) -> None:
    images = np.load(files / "test.npz")["data"]
    np.savez(tmp_path / "bare.npz", data=images)
    model = trained / "vae.pth"
    assert explore(tmp_path / "bare.npz", files / "val.npz", tmp_path / "o.html", model) == 0
    page = (tmp_path / "o.html").read_text()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["points"]["label"][:30] == [None] * 30


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("absent.npz VAL explore o.html MODEL", "absent.npz: cannot be read"),
        ("TEST TEXT explore o.html MODEL", "not an .npz file"),
        ("TEST VAL explore o.html absent.pth", "absent.pth: cannot be read"),
        ("TEST VAL explore TEST MODEL", "a name that another file has"),
        ("TEST VAL explore FOLDER MODEL", "cannot be written"),
        ("TEST VAL explore", "the following arguments are required: out"),
        ("TEST VAL explore o.html TEXT", "not a file that torch.load can read"),
    ],
)
def test_a_mistake_is_one_line(
    words: str,
    message: str,
    files: Path,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.npz").write_text("text")
    for name, path in (
        ("TEST", files / "test.npz"),
        ("VAL", files / "val.npz"),
        ("MODEL", trained / "vae.pth"),
        ("TEXT", tmp_path / "text.npz"),
        ("FOLDER", tmp_path),
    ):
        words = words.replace(name, str(path))
    assert message in refusal(words, capsys)
    assert not Path("o.html").exists()


@pytest.fixture(scope="module")
def shown(
    chromium: Any, files: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Provide the page in a browser, the messages of its console, the model and the mixture."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    model_path = trained / "vae.pth"
    assert explore(files / "test.npz", files / "val.npz", path, model_path) == 0
    said: list[str] = []
    page = chromium.new_page(viewport={"width": 1200, "height": 1000})
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else 0)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_function(
        "Bokeh.documents.length && Bokeh.documents[0].is_idle && typeof explorer === 'object'"
    )
    mixture, labels = load_mixture(trained / "gmm_params.pkl", model_path)
    yield {
        "page": page,
        "path": path,
        "browser": chromium,
        "said": said,
        "model": load_model(model_path, CPU),
        "mixture": mixture,
        "labels": labels,
    }
    page.close()
    assert said == []


@pytest.mark.slow
def test_the_page_decodes_and_encodes_as_pytorch_does(shown: dict[str, Any], files: Path) -> None:
    z = np.random.default_rng(1).normal(0, 1.6, (200, 2)).astype(np.float32)
    assert (np.abs(z) > 3).any(), "some lie beyond the plane"
    all_of = "(z) => z.map((one) => [...explorer.network.decode(one)])"
    drawn = shown["page"].evaluate(all_of, z.tolist())
    error = np.abs(np.array(drawn) - decode(shown["model"], z)).max()
    assert error < 1 / 255 / 4
    images = np.load(files / "test.npz")["data"].reshape(-1, 784).astype(np.float32) / 255
    found = shown["page"].evaluate(
        "(images) => images.map((x) => explorer.network.encode(Float32Array.from(x)))",
        images.tolist(),
    )
    # With 8-bit weights, the encoder may prefer a neighbouring point of its grid.
    apart = np.abs(np.array(found) - encode(shown["model"], images)).max(axis=1)
    assert np.mean(apart < 0.02) > 0.8
    mixture: GaussianMixture = shown["mixture"]
    expected = mixture.predict_proba(z)
    for place, row in zip(z.tolist(), expected, strict=True):
        shares = shown["page"].evaluate("(z) => explorer.classProbabilities(z)", place)
        for label, share in zip(shown["labels"].tolist(), row, strict=True):
            assert shares[str(label)] == pytest.approx(share, abs=1e-6)


def place_of(page: Any, x: float, y: float) -> tuple[float, float]:
    """Return the position of a latent on the screen."""
    return tuple(
        page.evaluate(
            """([x, y]) => {
                const view = Object.values(Bokeh.index)[0] ?? Bokeh.index.roots[0];
                const { frame, canvas } = view;
                const box = canvas.el.getBoundingClientRect();
                return [box.left + frame.x_scale.compute(x), box.top + frame.y_scale.compute(y)];
            }""",
            [x, y],
        )
    )


def pixels(page: Any, canvas: str) -> np.ndarray:
    """Return the grey values of a canvas, (28, width)."""
    data = page.evaluate(
        """(id) => {
            const canvas = document.getElementById(id);
            const { width, height } = canvas;
            return [...canvas.getContext("2d").getImageData(0, 0, width, height).data];
        }""",
        canvas,
    )
    return np.array(data).reshape(28, -1, 4)[..., 0]


def latent(page: Any) -> tuple[float, float]:
    x, y = re.findall(r"-?\d+\.\d+", page.inner_text("#place"))
    return float(x), float(y)


@pytest.mark.slow
def test_moving_decodes_what_is_under_the_pointer(shown: dict[str, Any]) -> None:
    page = shown["page"]
    for target in ((0.4, -0.7), (-1.2, 0.9)):
        page.mouse.move(*place_of(page, *target))
        page.wait_for_timeout(100)
        assert latent(page) == pytest.approx(target, abs=0.03)
        exact = page.evaluate("explorer.cursor()")
        expected = 255 * decode(shown["model"], np.array([exact])).reshape(28, 28)
        assert np.abs(pixels(page, "here") - expected).max() <= 1
        shares = re.findall(r"([\d.]+) %", page.inner_text("#probabilities"))
        assert sum(map(float, shares)) == pytest.approx(100, abs=0.3)


@pytest.mark.slow
def test_a_tap_tells_of_the_nearest_image(shown: dict[str, Any], files: Path) -> None:
    page = shown["page"]
    points = json.loads(page.inner_text("#data") or page.text_content("#data"))["points"]
    page.mouse.click(*place_of(page, *points["z"][7]))
    page.wait_for_timeout(100)
    about = page.inner_text("#about")
    number = int(re.findall(r"image (\d+)", about)[0]) - 1
    here = np.array(points["z"])
    distances = np.hypot(*(here - here[7]).T)
    assert distances[number] < 0.05
    assert f"labelled {points['label'][number]}" in about
    assert f"SSIM {points['ssim'][number]:.3f}" in about
    image = np.concatenate([np.load(files / f"{n}.npz")["data"] for n in ("test", "val")])[number]
    assert (pixels(page, "image") == image).all()
    recon = 255 * decode(shown["model"], np.array([points["drawn_at"][number]])).reshape(28, 28)
    assert np.abs(pixels(page, "recon") - recon).max() <= 1


@pytest.mark.slow
def test_dragging_draws_what_lies_between(shown: dict[str, Any]) -> None:
    page = shown["page"]
    page.mouse.move(*place_of(page, -1, -1))
    page.mouse.down()
    page.mouse.move(*place_of(page, 1, 0.5), steps=6)
    page.mouse.up()
    page.wait_for_timeout(100)
    strip = pixels(page, "strip")
    assert strip.shape == (28, 11 * 28)
    z = np.linspace([-1, -1], [1, 0.5], 11)
    expected = 255 * decode(shown["model"], z).reshape(11, 28, 28)
    for step in (0, 10):
        assert np.abs(strip[:, 28 * step : 28 * step + 28] - expected[step]).mean() < 12
    assert len(page.inner_text("#between").split()) == 11


@pytest.mark.slow
def test_filters_keep_what_they_say(shown: dict[str, Any]) -> None:
    page = shown["page"]
    points = json.loads(page.text_content("#data"))["points"]
    wrong = sum(a != b for a, b in zip(points["label"], points["predicted"], strict=True))
    for which, count in (("wrong", wrong), ("validation", 15), ("worst", 45), ("all", 45)):
        page.select_option("#which", which)
        assert page.inner_text("#count") == f"{count} images"
    page.select_option("#class", "4")
    assert page.inner_text("#count") == "15 images"
    page.select_option("#class", "")


@pytest.mark.slow
def test_arrow_keys_move_and_enter_tells(shown: dict[str, Any]) -> None:
    page = shown["page"]
    page.mouse.move(*place_of(page, 0, 0))
    page.wait_for_timeout(100)
    page.focus("#plane")
    before = latent(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    after = latent(page)
    assert after == pytest.approx((before[0] + 0.1, before[1] + 0.5), abs=0.011)
    page.keyboard.press("Enter")
    assert "SSIM" in page.inner_text("#about")


@pytest.mark.slow
def test_a_drawing_is_placed_reconstructed_and_classified(shown: dict[str, Any]) -> None:
    page = shown["page"]
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 66, box["y"] + 180, steps=10)
    page.mouse.up()
    taken = pixels(page, "taken")
    y, _ = np.nonzero(taken > 20)
    assert np.ptp(y) + 1 in (20, 21), "as long as MNIST's digits"
    mass = (taken * (np.arange(28) + 0.5)).sum() / taken.sum()
    assert mass == pytest.approx(14, abs=0.6)
    verdict = page.inner_text("#verdict")
    assert re.fullmatch(r"at \(-?\d\.\d\d, -?\d\.\d\d\): a \d", verdict)
    assert pixels(page, "redrawn").max() > 20
    page.click("#clear")
    assert page.inner_text("#verdict") == ""
    assert pixels(page, "taken").max() == 0


@pytest.mark.slow
def test_it_works_by_touch_on_a_phone(shown: dict[str, Any]) -> None:
    context = shown["browser"].new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else 0)
    page.goto(shown["path"].as_uri())
    page.wait_for_function("Bokeh.documents.length && Bokeh.documents[0].is_idle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    before = page.inner_text("#place")
    page.touchscreen.tap(*place_of(page, 1, 1))
    page.wait_for_timeout(200)
    assert page.inner_text("#place") != before
    assert latent(page) == pytest.approx((1, 1), abs=0.05)
    assert said == []
    context.close()


@pytest.mark.parametrize("phone", [False, True])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_passes_axe(shown: dict[str, Any], phone: bool, scheme: str) -> None:
    size = {"width": 390, "height": 844} if phone else {"width": 1440, "height": 900}
    context = shown["browser"].new_context(viewport=size, is_mobile=phone, color_scheme=scheme)
    page = context.new_page()
    page.goto(shown["path"].as_uri())
    page.wait_for_function("Bokeh.documents.length && Bokeh.documents[0].is_idle")
    assert violations(page) == []
    context.close()
