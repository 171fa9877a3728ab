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
from inference import decode, posterior, search
from losses import gaussian_kl, ssim
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
    mu, logvar = posterior(shown["model"], images)
    apart = np.abs(np.array([one["mu"] for one in found]) - mu).max(axis=1)
    assert np.mean(apart < 0.02) > 0.8
    near = apart < 0.02
    widths = np.array([one["logvar"] for one in found])[near] / 2
    assert np.median(np.abs(np.exp(widths) / np.exp(logvar[near] / 2) - 1)) < 0.1
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
            """(z) => {
                const box = explorer.plane.canvas.getBoundingClientRect();
                const [x, y] = explorer.plane.at(z);
                return [box.left + x, box.top + y];
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


@pytest.fixture
def points(shown: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(shown["page"].text_content("#data"))["points"])


@pytest.fixture(scope="module")
def images(files: Path) -> np.ndarray:
    """Return the images of the page, (N, 28, 28) in [0, 1]."""
    both = [np.load(files / f"{name}.npz")["data"] for name in ("test", "val")]
    return np.concatenate(both).astype(np.float32) / 255


def test_the_numbers_of_an_image_are_those_of_the_model(
    shown: dict[str, Any], points: dict[str, Any], images: np.ndarray
) -> None:
    model, x = shown["model"], torch.from_numpy(images)
    mu, logvar = posterior(model, images)
    np.testing.assert_allclose(points["z"], mu, atol=1e-5)
    np.testing.assert_allclose(points["logvar"], logvar, atol=1e-5)
    kl = gaussian_kl(torch.from_numpy(mu), torch.from_numpy(logvar))
    np.testing.assert_allclose(points["kl"], kl, atol=1e-5)
    for name, z in (("encoder", mu), ("search", search(model, images))):
        recon = torch.from_numpy(decode(model, z)).reshape(x.shape)
        ways = points[name]
        np.testing.assert_allclose([way["z"] for way in ways], z, atol=1e-5)
        errors = (recon - x).square().mean(dim=(1, 2))
        np.testing.assert_allclose([way["mse"] for way in ways], errors, atol=1e-5)
        np.testing.assert_allclose([way["ssim"] for way in ways], ssim(recon, x), atol=1e-5)


def test_the_page_measures_as_python_does(shown: dict[str, Any], images: np.ndarray) -> None:
    page, x = shown["page"], torch.from_numpy(images)
    recon = x.flip(2) * 0.7 + 0.1
    for i in (0, 17):
        error, similarity = page.evaluate(
            "([a, b]) => [meanSquaredError(a, b), structuralSimilarity(a, b)]",
            [recon[i].flatten().tolist(), x[i].flatten().tolist()],
        )
        assert error == pytest.approx(float((recon[i] - x[i]).square().mean()), abs=1e-6)
        assert similarity == pytest.approx(float(ssim(recon[i : i + 1], x[i : i + 1])), abs=1e-5)
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(2, 5, 2, generator=generator)
    kl = page.evaluate(
        "([mu, logvar]) => mu.map((m, i) => klDivergence({ mu: m, logvar: logvar[i] }))",
        [mu.tolist(), logvar.tolist()],
    )
    np.testing.assert_allclose(kl, gaussian_kl(mu, logvar), atol=1e-5)


def test_the_ellipse_is_so_many_standard_deviations_away(shown: dict[str, Any]) -> None:
    mu, logvar = np.array([0.4, -1.2]), np.array([-5.0, -7.0])
    angles = np.linspace(0, 2 * np.pi, 73)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for deviations in (1, 2):
        found = shown["page"].evaluate(
            "([mu, logvar, n]) => posteriorRing({ mu, logvar }, n)",
            [mu.tolist(), logvar.tolist(), deviations],
        )
        np.testing.assert_allclose(found, mu + deviations * np.exp(logvar / 2) * circle, atol=1e-9)
    covariance = np.array([[0.5, 0.2], [0.2, 0.3]])
    found = shown["page"].evaluate("([m, c]) => ring(m, c, 3)", [mu.tolist(), covariance.tolist()])
    apart = np.array(found) - mu
    lengths = np.sqrt(np.einsum("ni,ij,nj->n", apart, np.linalg.inv(covariance), apart))
    np.testing.assert_allclose(lengths, 3, atol=1e-9)


def test_a_tap_chooses_the_nearest_image(
    shown: dict[str, Any], points: dict[str, Any], images: np.ndarray
) -> None:
    page = shown["page"]
    page.mouse.click(*place_of(page, *points["z"][7]))
    about = page.inner_text("#about")
    number = int(re.findall(r"image (\d+)", about)[0]) - 1
    here = np.array(points["z"])
    assert np.hypot(*(here - here[7]).T)[number] < 0.05
    assert f"labelled {points['label'][number]}, classified {points['predicted'][number]}" in about
    assert f"{points['kl'][number]:.2f} nats" in about
    assert (pixels(page, "image") == (255 * images[number]).round()).all()
    for name in ("encoder", "search"):
        way = points[name][number]
        said = page.inner_text(f"#{name}-figures")
        assert f"squared error {way['mse']:.4f}, SSIM {way['ssim']:.3f}" in said
        recon = 255 * decode(shown["model"], np.array([way["z"]])).reshape(28, 28)
        assert np.abs(pixels(page, f"{name}-recon") - recon).max() <= 1
    apart = np.subtract(points["search"][number]["z"], points["encoder"][number]["z"])
    assert f"ends {np.hypot(*apart):.3f} from the encoder's mean" in page.inner_text("#ways")


def test_draws_come_from_the_posterior_and_are_decoded(
    shown: dict[str, Any], points: dict[str, Any]
) -> None:
    page = shown["page"]
    page.click("#next")
    number = page.evaluate("explorer.chosen().index")
    draws = json.loads(page.text_content("#data"))["draws"]
    assert np.shape(draws) == (8, 5, 2)
    assert abs(np.mean(draws)) < 0.3
    assert 0.8 < np.std(draws) < 1.2
    seen = []
    for turn in (0, 1):
        width = np.exp(np.array(points["logvar"][number]) / 2)
        expected = np.array(points["z"][number]) + width * draws[turn]
        np.testing.assert_allclose(page.evaluate("explorer.latents()"), expected, atol=1e-9)
        recon = 255 * decode(shown["model"], expected).reshape(5, 28, 28)
        seen.append(pixels(page, "draws"))
        assert np.abs(seen[-1] - np.concatenate([*recon], axis=1)).max() <= 1
        page.click("#others")
    assert (seen[0] != seen[1]).any()


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
    assert len(page.inner_text("#between").split()) == 12


def test_filters_keep_what_they_say(shown: dict[str, Any], points: dict[str, Any]) -> None:
    page = shown["page"]
    wrong = sum(a != b for a, b in zip(points["label"], points["predicted"], strict=True))
    said = {0: "No image is both of this class and of this kind", 1: "1 image"}
    for which, count in (("wrong", wrong), ("validation", 15), ("worst", 45), ("all", 45)):
        page.select_option("#which", which)
        assert page.inner_text("#count").startswith(said.get(count, f"{count} images"))
    for by, classes in (("predicted", points["predicted"]), ("label", points["label"])):
        page.select_option("#by", by)
        page.select_option("#class", "4")
        assert page.inner_text("#count") == f"{classes.count(4)} images"
        page.select_option("#class", "")
    page.select_option("#by", "predicted")


def test_the_view_says_how_many_of_the_images_it_leaves_out(
    shown: dict[str, Any], points: dict[str, Any]
) -> None:
    page = shown["page"]
    page.click("#closer")
    page.click("#closer")
    for own in ("", "4"):
        page.select_option("#class", own)
        view = page.evaluate("({ centre: explorer.plane.centre, half: explorer.plane.half })")
        assert view["half"] == pytest.approx(3.3 / 4)
        chosen = [i for i, k in enumerate(points["predicted"]) if own in ("", str(k))]
        apart = np.abs(np.array(points["z"])[chosen] - view["centre"]).max(axis=1)
        outside = int((apart > view["half"]).sum())
        assert outside > 0
        wanted = f"{len(chosen)} images, {outside} outside the view"
        assert page.inner_text("#count") == wanted
    page.select_option("#class", "")
    page.click("#all")
    assert page.inner_text("#count") == "45 images"


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
    assert "SSIM" in page.inner_text("#encoder-figures")
    for key, half in (("+", 1.65), ("-", 3.3), ("+", 1.65), ("0", 3.3)):
        page.keyboard.press(key)
        assert page.evaluate("explorer.plane.half") == pytest.approx(half)


def test_a_drawing_is_placed_reconstructed_and_classified(shown: dict[str, Any]) -> None:
    page = shown["page"]
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 66, box["y"] + 180, steps=10)
    page.mouse.up()
    taken = pixels(page, "image")
    y, _ = np.nonzero(taken > 20)
    assert np.ptp(y) + 1 in (20, 21), "as long as MNIST's digits"
    mass = (taken * (np.arange(28) + 0.5)).sum() / taken.sum()
    assert mass == pytest.approx(14, abs=0.6)
    verdict = page.inner_text("#verdict")
    assert re.fullmatch(r"at \(-?\d\.\d\d, -?\d\.\d\d\): a \d", verdict)
    drawing = page.evaluate("explorer.chosen()")
    recon = decode(shown["model"], np.array([drawing["mu"]])).reshape(1, 28, 28)
    assert np.abs(pixels(page, "encoder-recon") - 255 * recon[0]).max() <= 1
    digit = np.array(drawing["pixels"], np.float32).reshape(1, 28, 28)
    similarity = ssim(torch.from_numpy(recon), torch.from_numpy(digit)).item()
    way = drawing["ways"]["encoder"]
    assert way["ssim"] == pytest.approx(similarity, abs=1e-3)
    assert way["mse"] == pytest.approx(np.square(recon - digit).mean(), abs=1e-4)
    kl = gaussian_kl(torch.tensor(drawing["mu"]), torch.tensor(drawing["logvar"])).item()
    assert f"{kl:.2f} nats" in page.inner_text("#about")
    assert not page.is_visible("#search-way")
    page.click("#clear")
    assert page.inner_text("#verdict") == ""
    assert page.is_visible("#hint")


def open_on_a_phone(shown: dict[str, Any]) -> Any:
    context = shown["browser"].new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(shown["path"].as_uri())
    return page


def swipe(page: Any, start: tuple[float, float], by: tuple[float, float]) -> None:
    """Swipe with one finger, from a place on the screen."""
    session = page.context.new_cdp_session(page)
    for step in range(11):
        x, y = (start[axis] + by[axis] * step / 10 for axis in (0, 1))
        kind = "touchStart" if step == 0 else "touchMove"
        touch = {"type": kind, "touchPoints": [{"x": x, "y": y}]}
        session.send("Input.dispatchTouchEvent", touch)
        page.wait_for_timeout(20)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(200)


# A page goes on scrolling after a swipe.
AT_REST = """
new Promise((done) => {
    let last = -1;
    const look = () => {
        if (scrollY === last) done();
        last = scrollY;
        setTimeout(look, 250);
    };
    look();
})
"""


def test_a_vertical_swipe_scrolls_and_a_horizontal_one_draws_a_line(shown: dict[str, Any]) -> None:
    page = open_on_a_phone(shown)
    assert page.evaluate("scrollY") == 0
    swipe(page, place_of(page, 0, 0), (0, -300))
    assert page.evaluate("scrollY") > 150
    assert page.inner_text("#between").startswith("Nothing yet")
    assert not page.is_visible("#strip")
    page.evaluate(AT_REST)
    page.evaluate("scrollTo(0, 0)")
    swipe(page, place_of(page, -1, 0), (120, 0))
    assert page.evaluate("scrollY") == 0
    assert page.is_visible("#strip")
    assert len(page.inner_text("#between").split()) == 12
    page.context.close()


def test_what_is_empty_is_explained_in_words(shown: dict[str, Any]) -> None:
    page = open_on_a_phone(shown)
    canvases = page.evaluate(
        """[...document.querySelectorAll("canvas")]
            .filter((canvas) => canvas.checkVisibility()).map((canvas) => canvas.id)"""
    )
    assert canvases == ["plane", "pad", "here"]
    assert page.inner_text("#nothing").startswith("No image is chosen yet.")
    assert page.inner_text("#hint") == "Draw here with a finger or the mouse."
    page.context.close()


def test_it_works_by_touch_on_a_phone(shown: dict[str, Any]) -> None:
    page = open_on_a_phone(shown)
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else 0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    before = page.inner_text("#place")
    page.touchscreen.tap(*place_of(page, 1, 1))
    page.wait_for_timeout(200)
    assert page.inner_text("#place") != before
    assert latent(page) == pytest.approx((1, 1), abs=0.05)
    assert said == []
    page.context.close()


@pytest.mark.parametrize("phone", [False, True])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_passes_axe(shown: dict[str, Any], phone: bool, scheme: str) -> None:
    size = {"width": 390, "height": 844} if phone else {"width": 1440, "height": 900}
    context = shown["browser"].new_context(viewport=size, is_mobile=phone, color_scheme=scheme)
    page = context.new_page()
    page.goto(shown["path"].as_uri())
    assert violations(page) == []
    page.click("#next")
    assert violations(page) == []
    context.close()
