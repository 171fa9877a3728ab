import base64
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch import Tensor, nn

import vae
from studies.playground.page import render
from studies.shared.networks import labels_to_one_hots, named_losses, reparameterize
from tests.accessibility import violations
from tests.mistakes import refusal

DESKTOP, PHONE = {"width": 1300, "height": 900}, {"width": 390, "height": 844}
PIXELS, LATENTS, WIDTH, BATCH = 64, 3, 7, 9  # odd sizes too
# Names that page.evaluate can see are those of the page's scripts.
BACKPROPAGATE = """({settings, weights, x, labels, noise, rate, steps}) => {
    const network = new Network(settings, new Random(0));
    network.layers.forEach((layer, i) => {
        layer.weight.set(weights[2 * i]);
        layer.bias.set(weights[2 * i + 1]);
    });
    const adam = new Adam(network.layers);
    const [images, draws] = [Float64Array.from(x), Float64Array.from(noise)];
    const terms = network.backpropagate(images, labels, draws, settings);
    const gradients = network.layers.flatMap(
        (layer) => [[...layer.weightGradient], [...layer.biasGradient]]);
    for (let step = 0; step < steps; step++) {
        network.backpropagate(images, labels, draws, settings);
        adam.step(rate);
    }
    return {terms, gradients, after: network.layers.flatMap(
        (layer) => [[...layer.weight], [...layer.bias]])};
}"""
TRAIN = """([address, steps]) => {
    const {panels, data} = playground;
    const state = parseAddress(address, panels[0].values(), panels[0].standard);
    return ["a", "b"].slice(0, state.two ? 2 : 1).map((name, i) => {
        panels[i].write(state[name]);
        panels[i].restart();
        const {training} = panels[i];
        for (let step = 0; step < steps; step++) training.step();
        const {latents} = training.settings;
        const {mu, logvar} = training.posteriors();
        return {
            ...training.history.at(-1).heldOut,
            first: training.history[1].train.reconstruction,
            kls: unitMeasures({mu, logvar}, latents).map(({kl}) => kl),
            farthest: Math.max(...mu.map(Math.abs)),
            recon: [...training.network.decode(mu, data.heldOut.labels).pixels],
            samples: [...panels[i].samples()],
        };
    });
}"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a page that the command wrote."""
    out = tmp_path_factory.mktemp("page") / "page.html"
    assert vae.main(["digits", "playground", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def shared(chromium: Any, path: Path) -> Iterator[Any]:
    """Provide a page for tests that only call its functions."""
    page = chromium.new_page(viewport=DESKTOP)
    page.goto(path.as_uri())
    yield page
    page.close()


@pytest.fixture
def page(chromium: Any, path: Path) -> Iterator[Any]:
    """Provide a page that nobody has touched; nothing may be wrong in its console."""
    page, said = chromium.new_page(viewport=DESKTOP), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    yield page
    page.close()
    assert said == []


def go(page: Any, path: Path, address: str) -> None:
    """Open the page with what follows # in its address."""
    page.goto("about:blank")
    page.goto(f"{path.as_uri()}#{address}")


def wait_for(page: Any, condition: str) -> None:
    """Wait until JavaScript is true; the page's policy forbids `page.wait_for_function`."""
    for _ in range(3000):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never: {condition}")


def wait_until_paused(page: Any) -> None:
    wait_for(page, "!playground.isRunning()")


def steps(page: Any) -> int:
    return int(page.evaluate("playground.panels[0].training.steps"))


def settings(page: Any, panel: int = 0) -> dict[str, str]:
    return dict(page.evaluate(f"playground.panels[{panel}].texts()"))


def pictures(page: Any) -> list[str]:
    return list(
        page.evaluate("[...document.querySelectorAll('#a canvas')].map((c) => c.toDataURL())")
    )


def test_the_page_is_whole_and_the_same_each_time(path: Path) -> None:
    text = path.read_text()
    assert text == render()
    assert len(text) < 300e3
    assert not re.search(r"\ssrc=|<link|https?://|@import|url\(", text)
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    source = load_digits()
    greys = np.frombuffer(base64.b64decode(data["images"]), np.uint8)
    assert (greys.reshape(-1, PIXELS) == source.data).all()
    assert data["labels"] == source.target.tolist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mnist playground o.html", "DATA: 'mnist'; expected digits"),
        ("digits playground", "the following arguments are required: out"),
        ("digits playground o.html more", "unrecognized arguments: more"),
        ("digits playground FOLDER", "cannot be written"),
        ("playground digits o.html", "expected python vae.py digits playground OUT.html"),
    ],
)
def test_a_mistake_is_one_line(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(words.replace("FOLDER", str(tmp_path)), capsys)
    assert list(tmp_path.iterdir()) == []


def mlp(sizes: list[int]) -> nn.Sequential:
    layers = [part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*layers[:-1]).double()


@pytest.mark.parametrize("classes", [False, True], ids=["plain", "conditional"])
@pytest.mark.parametrize("model", ["vae", "ae"])
@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_losses_gradients_and_adam_are_those_of_pytorch(
    shared: Any, loss: str, model: str, classes: bool
) -> None:
    torch.manual_seed(0)
    beta, rate, adam_steps = 0.7, 0.01, 5
    condition = 10 if classes else 0
    encoder = mlp([PIXELS + condition, WIDTH, WIDTH, LATENTS * (2 if model == "vae" else 1)])
    decoder = mlp([LATENTS + condition, WIDTH, WIDTH, PIXELS])
    parameters = [*encoder.parameters(), *decoder.parameters()]
    x = torch.rand(BATCH, PIXELS).double() * (torch.rand(BATCH, PIXELS) > 0.4)
    noise, labels = torch.randn(BATCH, LATENTS).double(), torch.arange(BATCH)

    def given_class(values: Tensor) -> Tensor:
        return torch.cat([values, labels_to_one_hots(labels)], dim=1) if classes else values

    def terms() -> tuple[Tensor, Tensor, Tensor]:
        code = encoder(given_class(x))
        mu, logvar = code.chunk(2, dim=1) if model == "vae" else (code, torch.zeros_like(code))
        z = reparameterize(mu, logvar, noise=noise) if model == "vae" else mu
        losses = named_losses(decoder(given_class(z)).sigmoid(), x, mu, logvar, loss, beta)
        if model == "ae":
            return losses["reconstruction"], losses["reconstruction"], torch.zeros(())
        return losses["loss"], losses["reconstruction"], losses["kl"]

    sent = {
        "settings": {
            "model": model, "loss": loss, "beta": beta, "classes": classes,
            "latents": LATENTS, "width": WIDTH,
        },
        "weights": [parameter.detach().flatten().tolist() for parameter in parameters],
        "x": x.flatten().tolist(),
        "labels": labels.tolist(),
        "noise": noise.flatten().tolist(),
        "rate": rate,
        "steps": adam_steps,
    }  # fmt: skip
    found = shared.evaluate(BACKPROPAGATE, sent)

    total, reconstruction, kl = terms()
    total.backward()
    assert found["terms"]["reconstruction"] == pytest.approx(reconstruction.item(), rel=1e-9)
    assert found["terms"]["kl"] == pytest.approx(kl.item(), rel=1e-9)
    for parameter, gradient in zip(parameters, found["gradients"], strict=True):
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 1e-4, "the comparison says something"
        np.testing.assert_allclose(gradient, parameter.grad.flatten(), rtol=1e-7, atol=1e-10)

    optimizer = torch.optim.Adam(parameters, rate)
    for _ in range(adam_steps):
        optimizer.zero_grad()
        terms()[0].backward()
        optimizer.step()
    for parameter, values in zip(parameters, found["after"], strict=True):
        np.testing.assert_allclose(values, parameter.detach().flatten(), rtol=1e-6, atol=1e-8)


def test_random_numbers_are_normal_and_follow_the_seed(shared: Any) -> None:
    draw = "(seed) => [...new Random(seed).normals(20000)]"
    first, again, other = (shared.evaluate(draw, seed) for seed in (1, 1, 2))
    assert first == again
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.03
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.03
    assert stats.kstest(first, "norm").pvalue > 0.01
    order = shared.evaluate("new Random(3).permutation(100)")
    assert sorted(order) == list(range(100))
    assert order != sorted(order)


def test_a_product_of_matrices_may_have_odd_sizes(shared: Any) -> None:
    generator = np.random.default_rng(0)
    for rows, columns, inner in ((2, 2, 1), (3, 5, 4), (7, 2, 9)):
        a, b = generator.normal(size=(rows, inner)), generator.normal(size=(columns, inner))
        found = shared.evaluate(
            "([a, b, n]) => [...product(Float64Array.from(a), Float64Array.from(b), n)]",
            [a.ravel().tolist(), b.ravel().tolist(), inner],
        )
        np.testing.assert_allclose(np.reshape(found, (rows, columns)), a @ b.T)


def test_held_out_images_are_not_trained_on(shared: Any) -> None:
    held_out, train = shared.evaluate(
        "[playground.data.heldOut, playground.data.train].map(({images}) => [...images])"
    )
    source = load_digits().data / 16
    assert np.array_equal(np.reshape(held_out, (-1, PIXELS)), source[::6])
    assert len(held_out) + len(train) == source.size


@pytest.mark.slow
def test_it_learns_recognisable_digits(shared: Any) -> None:
    source = load_digits()
    kept = np.arange(len(source.target)) % 6 == 0
    classifier = SVC(gamma=0.001).fit(source.data[~kept], source.target[~kept])

    def recognised(images: list[float], labels: np.ndarray) -> float:
        read = classifier.predict(16 * np.reshape(images, (-1, PIXELS)))
        return float((read == labels).mean())

    (plain,) = shared.evaluate(TRAIN, ["", 900])
    assert recognised(plain["recon"], source.target[kept]) > 0.75
    _, told = shared.evaluate(TRAIN, ["lesson=class", 600])
    assert recognised(told["recon"], source.target[kept]) > 0.95
    assert recognised(told["samples"], np.tile(np.arange(10), 3)) > 0.9


def test_the_same_seed_gives_the_same_training(shared: Any) -> None:
    first, again, other = (
        shared.evaluate(TRAIN, [f"a.width=8&a.seed={seed}", 40]) for seed in (3, 3, 4)
    )
    assert first == again != other


@pytest.mark.slow
def test_lessons_show_what_they_say(shared: Any) -> None:
    def compare(lesson: str) -> list[dict[str, Any]]:
        return list(shared.evaluate(TRAIN, [f"lesson={lesson}", 450]))

    (start,) = compare("start")
    assert start["kl"] > 2
    assert start["reconstruction"] < start["first"] - 4
    a, b = compare("holes")
    assert a["farthest"] > 1.5 * b["farthest"]
    a, b = compare("zero")
    assert a["kl"] > 3 * b["kl"]
    a, b = compare("twenty")
    assert b["kl"] < 0.05 < a["kl"]
    assert np.ptp(np.reshape(b["recon"], (-1, PIXELS)), axis=0).max() < 0.1, "one mean image"
    a, b = compare("class")
    assert b["kl"] < 0.8 * a["kl"]
    assert b["reconstruction"] < a["reconstruction"]
    a, b = compare("clusters")
    assert b["farthest"] < a["farthest"]
    assert b["kl"] < 0.6 * a["kl"]
    a, b = compare("unused")
    assert sum(kl > 0.1 for kl in b["kls"]) < sum(kl > 0.1 for kl in a["kls"])
    assert sum(kl < 0.1 for kl in b["kls"]) > 8
    a, b = compare("losses")
    assert b["kl"] < a["kl"]
    a, b = compare("rate")
    assert b["reconstruction"] > a["reconstruction"] + 1
    a, b = compare("seeds")
    assert a["reconstruction"] == pytest.approx(b["reconstruction"], abs=1.5)
    assert not np.allclose(a["samples"], b["samples"], atol=0.2)


@pytest.mark.slow
def test_a_lesson_trains_and_its_pictures_move(page: Any) -> None:
    assert not page.evaluate("playground.isRunning()"), "nothing starts by itself"
    before = pictures(page)
    page.select_option("#lesson", "twenty")
    assert page.is_visible("#b")
    assert settings(page, 1)["beta"] == "20"
    assert "KL falls to 0" in page.inner_text("#look")
    wait_for(page, "playground.panels[0].training.history.length > 2")
    page.click("#train")
    after = pictures(page)
    assert len(after) == 7
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert page.evaluate("playground.panels[1].training.steps") == steps(page)
    assert f"Paused after {steps(page)} steps" in page.inner_text("#said")
    page.select_option("#lesson", "start")
    page.click("#train")
    assert not page.is_visible("#b")


@pytest.mark.slow
def test_an_address_gives_the_same_state_again(page: Any, path: Path) -> None:
    go(page, path, "lesson=class&a.width=16&b.width=8&b.seed=7&b.loss=mse")
    page.click("#epoch")
    wait_until_paused(page)
    assert steps(page) == 30
    address, shown = page.evaluate("location.hash"), pictures(page)
    assert "steps=30" in address
    page.click("#again")
    assert pictures(page) != shown
    go(page, path, address[1:])
    wait_until_paused(page)
    assert pictures(page) == shown
    assert settings(page, 1) | {"width": "8", "seed": "7", "loss": "mse"} == settings(page, 1)
    page.locator("#a [name=beta]").press("ArrowRight")
    assert "steps" not in page.evaluate("location.hash"), "other settings, other steps"
    assert "a.beta=0.5" in page.evaluate("location.hash")
    assert steps(page) == 30, "beta changes at once"
    page.locator("#a [name=width]").press("ArrowRight")
    assert steps(page) == 0, "the width starts again"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("a.beta=7", "a.beta is “7”; expected 0, 0.01"),
        ("a.seed=-1", "a.seed is “-1”; expected 0 to 9999"),
        ("steps=1e9", "steps is “1e9”; expected 0 to 20000"),
        ("lesson=<b>x</b>", "lesson is “<b>x</b>”; expected start, holes"),
        ("c.beta=1", "“c.beta” is no setting"),
        ("a.__proto__=1", "“a.__proto__” is no setting"),
        ("%E0%A4%A", "is no setting"),
        ("a.latents=3&a.x=4", "a.x is “4”; expected a unit of 3"),
        ("a.latents=3&a.x=2&a.y=2", "a.x and a.y are both “2”"),
    ],
)
def test_a_bad_address_gives_the_standard_settings_and_says_so(
    address: str, message: str, page: Any, path: Path
) -> None:
    standard = settings(page)
    go(page, path, f"b.width=8&{address}")
    assert message in page.inner_text("#said")
    assert "standard settings" in page.inner_text("#said")
    assert settings(page) == settings(page, 1) == standard
    assert page.locator("#said b").count() == 0


@given(st.text(max_size=60) | st.text("ab.=&%24xylatentsseedlesson", max_size=60))
def test_any_address_is_read_or_refused(shared: Any, address: str) -> None:
    outcome = shared.evaluate(
        """(address) => {
            const {panels} = playground;
            const read = (text) => parseAddress(text, panels[0].values(), panels[0].standard);
            try {
                const state = read(address);
                const again = read(formatAddress(state));
                return [state.two ? state : {...state, b: 0}, state.two ? again : {...again, b: 0}];
            } catch (error) {
                return error.constructor === Error ? [0, 0] : [error.message, 0];
            }
        }""",
        address,
    )
    assert outcome[0] == outcome[1]


@pytest.mark.slow
def test_the_keyboard_alone_is_enough(page: Any) -> None:
    def reach(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {selector}")

    reach("#lesson")
    reach("#two")
    page.keyboard.press("Space")
    assert page.is_visible("#b")
    reach("#epoch")
    page.keyboard.press("Enter")
    wait_until_paused(page)
    reach("#a [name=beta]")
    page.keyboard.press("Home")
    assert settings(page)["beta"] == "0"
    assert page.get_attribute("#a [name=beta]", "aria-valuetext") == "0"
    reach("#a [name=classes]")
    page.keyboard.press("Space")
    assert settings(page)["classes"] == "1"
    reach("#b [name=latents]")
    page.keyboard.press("End")
    assert settings(page, 1)["latents"] == "16"
    reach("#b [name=x]")
    page.keyboard.press("ArrowDown")
    assert settings(page, 1)["x"] == "1"
    reach("#b [name=y]")
    page.keyboard.press("ArrowDown")
    assert settings(page, 1) | {"x": "auto", "y": "1"} == settings(page, 1), "two different units"


def test_a_seed_that_is_none_becomes_the_standard_one(page: Any) -> None:
    page.fill("#a [name=seed]", "12345")
    page.press("#a [name=seed]", "Enter")
    assert settings(page)["seed"] == "1"


@pytest.mark.slow
def test_it_works_by_touch_on_a_phone(chromium: Any, path: Path) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{path.as_uri()}#a.width=16&b.width=16")
    page.tap("#two")
    page.tap("#train")
    wait_for(page, "playground.panels[1].training.steps > 10")
    page.tap("#train")
    page.tap("#a summary")
    page.tap("#a [name=classes]")
    assert settings(page)["classes"] == "1"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    small = page.evaluate(
        "[...document.querySelectorAll('button, select, summary')]"
        ".filter((e) => e.offsetHeight > 0 && e.offsetHeight < 44).length"
    )
    assert small == 0, "targets are large enough for a finger"
    assert said == []
    context.close()


def test_reduced_motion_is_honoured(chromium: Any, path: Path) -> None:
    context = chromium.new_context(reduced_motion="reduce", viewport=DESKTOP)
    page = context.new_page()
    page.goto(f"{path.as_uri()}#steps=60")
    assert "Press Train" in page.inner_text("#said")
    page.select_option("#lesson", "holes")
    assert not page.evaluate("playground.isRunning()")
    context.close()


def test_a_training_that_diverges_says_so(page: Any) -> None:
    page.evaluate("playground.panels[0].training.network.layers[0].weight.fill(NaN)")
    page.click("#train")
    wait_until_paused(page)
    assert "setting A is not a number" in page.inner_text("#said")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(chromium: Any, path: Path, scheme: str, size: dict[str, int]) -> None:
    context = chromium.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{path.as_uri()}#lesson=class&a.latents=4")
    for panel in ("a", "b"):
        page.evaluate(f"document.querySelector('#{panel} details').open = true")
    assert violations(page) == []
    context.close()
