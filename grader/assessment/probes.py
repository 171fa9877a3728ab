"""Probes of a submission that works: is it what it seems? Failed probes are flagged for review.

Each probe runs a stage again under other conditions; `Probe` in assignment.py lists the probes.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..artifacts import Deviations, open_zip, read_file, read_header
from ..errors import UserError
from ..judging import Probe
from ..metrics import ssim
from ..safe_text import SafeText
from ..verdicts import Verdict
from .copies import DataSet, write_copy
from .grade import Flag, Step
from .marking import score_answers
from .stages import Bench, collect, read_answers, stage_run

CHUNK = 1 << 20  # bytes
ROTATION = 15.0  # degrees
SHIFT = 0.1  # pixels: a table of exact images knows none that is moved
LOOKED_UP = 0.2  # of SSIM: how much more an answer may resemble the image before its rotation
RECOGNISED = 0.7  # share of slightly moved images that must get the same answer
ENOUGH = 20  # of them: a share of fewer says little
SAME = 0.01  # grey levels on the scale 0..1: two runs of a program may differ by as much


def ask(bench: Bench, probe: Probe, scratch: Path, copies: dict, given: dict) -> np.ndarray | None:
    """Return the answers of the probe's stage on other copies or artefacts; None if it has none."""
    stage = bench.assignment.stage_named(probe.stage)
    artefact = bench.assignment.artefact[probe.artefact]
    assert artefact.of is not None
    with stage_run(bench, stage, bench.copies | copies, given) as (step, folder):
        made = collect(bench, step, stage.makes, folder, scratch / f"made-{probe.kind}")
        if probe.artefact not in made:
            return None
        path = made[probe.artefact]
        try:
            return read_answers(artefact, path, bench.data[artefact.of], Deviations(path))
        except UserError:
            return None


def changed_share(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of images whose answers differ by more than rounding."""
    if len(one) == 0:
        return 0.0
    different = np.abs(one - other) > (SAME if one.ndim > 1 else 0)
    return float(different.reshape(len(one), -1).any(axis=1).mean())


def moved(images: np.ndarray, degrees: float, pixels: float) -> np.ndarray:
    """Rotate images (N, H, W) about their middle, and shift them along both axes."""
    rotated = ndimage.rotate(
        images.astype(np.float64), degrees, axes=(1, 2), reshape=False, order=1
    )
    shifted = ndimage.shift(rotated, (0, pixels, pixels), order=1)
    whole = images.dtype.kind != "f"
    return (np.round(shifted) if whole else shifted).astype(images.dtype)


def noise(bench: Bench, probe: Probe, data: DataSet, scratch: Path) -> str | None:
    """Check whether a submission reconstructs images from what it sees in them.

    Half of the images are noise, which no bottleneck can reconstruct, but a program that copies its
    input can. The others are test images that were rotated. A program that looks images up in a
    table answers with the images as they were.
    """
    generator = np.random.default_rng(bench.assignment.seed)
    images = generator.random(data.images.shape)
    most = 1 if data.stored.dtype.kind == "f" and data.stored.max() <= 1 else 255
    noisy = np.round(images * most) if most == 255 else images
    shown = noisy.astype(data.stored.dtype)
    half = len(images) // 2
    shown[half:] = moved(data.stored[half:], ROTATION, 0)
    copy = scratch / "noise.npz"
    write_copy(data, copy, generator, shown)
    answers = ask(bench, probe, scratch, {data.name: copy}, bench.made)
    if answers is None:
        return "gives no answers for images of noise"
    copied = float(ssim(images[:half], answers[:half]).mean()) if half else 0.0
    if copied >= probe.limit:
        return f"reconstructs noise with an SSIM of {copied:.2f}, as if it copied its input"
    as_shown = float(ssim(shown[half:] / most, answers[half:]).mean())
    as_stored = float(ssim(data.images[half:], answers[half:]).mean())
    if as_stored - as_shown < LOOKED_UP:
        return None
    return (
        f"answers rotated images with an SSIM of {as_shown:.2f}, and of {as_stored:.2f} with what "
        "they were before, as if it looked them up"
    )


def parts_with_zeros(source: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of an entry of weights with every number 0, a part at a time."""
    kept = 0  # bytes at the beginning that are no numbers
    with source.open(entry) as content:
        if entry.filename.endswith(".npy"):
            read_header(content)
            kept = content.tell()
            content.seek(0)
        elif "/data/" not in entry.filename:
            kept = entry.file_size
        for start in range(0, kept, CHUNK):
            yield content.read(min(CHUNK, kept - start))
    for start in range(kept, entry.file_size, CHUNK):
        yield bytes(min(CHUNK, entry.file_size - start))


def zeroed(path: Path, copy: Path) -> None:
    """Write a copy of a PyTorch state dict, or of a NumPy .npz, with every number 0.

    If the file is neither, write zeros only.
    """
    try:
        source = open_zip(path, read_file(path, "weights"), "weights")
        with zipfile.ZipFile(copy, "w") as target:
            for entry in source.infolist():
                with target.open(entry.filename, "w") as changed:
                    for part in parts_with_zeros(source, entry):
                        changed.write(part)
    except Exception:  # damaged archives fail in zlib, struct, codecs, and more
        with copy.open("wb") as changed:
            changed.truncate(path.stat().st_size)


def damage(bench: Bench, probe: Probe, data: DataSet, scratch: Path) -> str | None:
    """Check whether other weights give other answers; if not, the answers come from elsewhere."""
    given = dict(bench.made)
    for name in bench.assignment.stage_named(probe.stage).needs:
        if bench.assignment.artefact[name].kind == "weights":
            copy = scratch / f"zeroed-{name}"
            zeroed(given[name], copy)
            given[name] = copy
    answers = ask(bench, probe, scratch, {}, given)
    if answers is None:
        return None
    changed = changed_share(data.restore(answers), bench.answers[probe.artefact].values)
    if changed >= probe.limit:
        return None
    return f"answers the same for {1 - changed:.0%} of the images when all weights are 0"


def order(bench: Bench, probe: Probe, data: DataSet, scratch: Path) -> str | None:
    """Check whether each answer belongs to what is seen in its image, wherever in the file it is.

    The images come in another order, and the second half of them is moved by less than a pixel. A
    table of answers for exact images has none for those.
    """
    copy = scratch / "order.npz"
    generator = np.random.default_rng([bench.assignment.seed, *data.order])
    other = generator.permutation(len(data.order))
    half = len(other) // 2
    shown = data.stored[other]
    shown[half:] = moved(shown[half:], 0, SHIFT)
    write_copy(data, copy, generator, shown)
    answers = ask(bench, probe, scratch, {data.name: copy}, bench.made)
    if answers is None:
        return "gives no answers when the images come in another order"
    before = bench.answers[probe.artefact].values[other]
    changed = changed_share(answers[:half], before[:half])
    if 1 - changed < probe.limit:
        return f"answers otherwise for {changed:.1%} of the images when their order is another"
    changed = changed_share(answers[half:], before[half:])
    if len(other) - half >= ENOUGH and 1 - changed < RECOGNISED:
        return f"answers otherwise for {changed:.1%} of the images when they are slightly moved"
    return None


def retrain(bench: Bench, probe: Probe, data: DataSet, scratch: Path) -> str | None:
    """Check whether the weights score better than those that the same code trains.

    Weights that hold the answers do.
    """
    given = dict(bench.made)
    for stage in bench.assignment.stage:
        if stage.trains:
            with stage_run(bench, stage, bench.copies, given) as (step, folder):
                given |= collect(bench, step, stage.makes, folder, scratch / "retrained")
            if step.verdict is not Verdict.OK:
                return f"retraining failed ({step.verdict}: {step.message})"
    answers = ask(bench, probe, scratch, {}, given)
    if answers is None:
        return "gives no answers with retrained weights"
    metric = next(m for m in bench.assignment.metric if m.artefact == probe.artefact)
    before = bench.grade.mark(metric.name).value or 0.0
    artefact = bench.assignment.artefact[probe.artefact]
    after = score_answers(metric, artefact, data, data.restore(answers))["total"].value
    if before - after <= probe.limit:
        return None
    return f"scores {before:.3f} with its weights, and {after:.3f} with retrained weights"


KINDS = {"noise": noise, "damage": damage, "order": order, "retrain": retrain}


def run_probes(bench: Bench) -> Step:
    """Run all the assignment's probes on the artefacts that exist, and flag what they find."""
    asked, before = 0, bench.program_seconds
    for probe in bench.assignment.probe:
        if probe.artefact not in bench.answers or (
            probe.kind == "retrain" and not bench.settings.retrain
        ):
            continue
        asked += 1
        of = bench.assignment.artefact[probe.artefact].of
        assert of is not None
        scratch = bench.scratch / f"probe-{asked}"
        scratch.mkdir()
        scratch.chmod(0o711)
        try:
            evidence = KINDS[probe.kind](bench, probe, bench.data[of], scratch)
        except Exception as error:  # the marks are there, whatever a submission breaks here
            evidence = f"could not be asked: {type(error).__name__}: {error}"
        if evidence:
            bench.grade.flags.append(Flag(f"{probe.kind} of {probe.stage}", evidence))
    if not asked:
        return Step("probe", Verdict.SKIPPED, SafeText("nothing to ask about"))
    text = SafeText(f"{asked} asked")
    return Step("probe", Verdict.OK, text, bench.program_seconds - before)
