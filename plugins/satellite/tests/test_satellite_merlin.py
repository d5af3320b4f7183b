"""MERLIN: its equation, its views, and what it does to speckle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch.testing import assert_close

from manyviews.engine.model import Model, Part, Step
from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.errors import UserError
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.radar.despeckle import Despeckler, batch_of, despeckle, main, windows_of
from manyviews_satellite.radar.measures import enl, psnr, ratio_mean, ssim
from manyviews_satellite.radar.merlin import Merlin, negative_log_likelihood, ratio, reflectivity
from manyviews_satellite.radar.parts import MerlinParts, OtherPart, centred
from manyviews_satellite.reading.pixels import Window
from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.resnet import ResNet
from manyviews_satellite.source import TileSource
from manyviews_satellite.synth import landscape, reflectances, speckled, write_scene, write_slc
from manyviews_satellite.unet import HIGH, LOW, UNet, scaled_log

M, m = 10.089038980848645, -1.429329123112601


@pytest.fixture
def radar(tmp_path: Path) -> Path:
    """A complex image of a landscape."""
    return write_slc(tmp_path / "S1A_VV_1.tif", 1e4 * reflectances(landscape(64, 64, 5, 0), 0)[3], 0)


def test_the_equations_are_the_papers() -> None:
    a, b, n = 12.5, -3.0, 0.05
    x = (math.log(a**2 + 1e-3) - 2 * m) / (2 * (M - m))
    assert (M, m) == (HIGH, LOW)
    assert_close(scaled_log(torch.tensor(a, dtype=torch.float64)).item(), x)
    r = math.exp(2 * ((x - n) * (M - m) + m)) + 1e-6
    found = reflectivity(torch.tensor([a], dtype=torch.float64), torch.tensor([n], dtype=torch.float64))
    assert_close(found.item(), r)
    assert_close(negative_log_likelihood(found, torch.tensor([b], dtype=torch.float64)).item(), 0.5 * math.log(r) + b * b / r)


def test_the_likelihood_is_that_of_a_normal_number_of_half_the_reflectivity() -> None:
    r, b = torch.tensor([3.0, 0.2], dtype=torch.float64), torch.tensor([1.5, -0.1], dtype=torch.float64)
    normal = torch.distributions.Normal(torch.zeros(2, dtype=torch.float64), (r / 2).sqrt())
    assert_close(negative_log_likelihood(r, b), -normal.log_prob(b) - 0.5 * math.log(math.pi))


def test_the_best_guess_is_the_reflectivity() -> None:
    """Over many draws of b the likelihood is least at R, and its gradient vanishes there."""
    b = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * math.sqrt(7.0 / 2)
    guess = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    negative_log_likelihood(guess.expand_as(b), b).mean().backward()
    assert guess.grad is not None
    assert abs(float(guess.grad)) < 1e-3
    values = [float(negative_log_likelihood(torch.full_like(b, r), b).mean()) for r in (5.0, 7.0, 9.0)]
    assert values[1] == min(values)


def views_of(source: TileSource, encoder: UNet, **options: bool) -> tuple[TileBatch, list[OtherPart], list[TileBatch]]:
    views = MerlinParts(source.spec, **options)
    views.bind(encoder.layout)
    batch = source.batch(np.arange(2))
    made = views(batch, encoder.layout(batch), torch.Generator())
    return batch, [view.target for view in made], [view.batch for view in made]


def test_each_part_is_the_others_answer(radar: Path) -> None:
    source = TileSource(path=str(radar), tile=16)
    encoder = UNet(source.spec, channels=4, pools=2, width=8)
    batch, answers, shown = views_of(source, encoder, centre=False)
    assert_close(answers[0].own.reshape(2, 16, 16), batch.pixels[:, 0, 0].float())
    assert_close(answers[0].other.reshape(2, 16, 16), batch.pixels[:, 0, 1].float())
    assert_close(answers[1].own, answers[0].other)
    assert_close(shown[0].pixels[:, 0, 0], batch.pixels[:, 0, 0].float())
    assert shown[0].bands == (0,)
    optical = TileSource(path=str(write_scene(radar.parent / "S2A.tif", np.ones((6, 16, 16), np.uint16))), tile=16)
    with pytest.raises(UserError, match="needs single-look complex images"):
        MerlinParts(optical.spec)
    with pytest.raises(UserError, match="satellite/merlin trains `satellite/unet`"):
        Merlin().head(ResNet(source.spec), 8)


def test_what_was_not_seen_is_not_scored(radar: Path) -> None:
    source = TileSource(path=str(radar), tile=16)
    encoder = UNet(source.spec, channels=4, pools=2, width=8)
    model = Model(encoder, [Part(MerlinParts(source.spec), Merlin())], "token")
    valid = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    valid[:, :, :, 12:] = False
    batch = replace(source.batch(np.arange(2)), valid=valid)
    other = replace(batch, pixels=torch.where(valid[:, :, None], batch.pixels, torch.full_like(batch.pixels, 1e4)))

    def loss(some: TileBatch) -> torch.Tensor:
        return model(Step(some, torch.Generator(), lambda metrics: None))

    assert_close(loss(batch), loss(other))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.7, 0.0), (-0.4, 1.1)])
def test_a_spectrum_is_centred_wherever_it_was(shift: tuple[float, float]) -> None:
    """Of a band-limited image turned by a phase ramp, the strongest frequency comes back to 0."""
    random = np.random.default_rng(0)
    spectrum = np.zeros((64, 64), complex)
    spectrum[28:37, 28:37] = random.normal(size=(9, 9)) + 1j * random.normal(size=(9, 9)) + 3
    image = np.fft.ifft2(np.fft.ifftshift(spectrum))
    rows, cols = np.mgrid[:64, :64]
    image = image * np.exp(1j * (shift[0] * rows + shift[1] * cols))
    real, imaginary = centred(torch.from_numpy(image.real)[None], torch.from_numpy(image.imag)[None])
    power = np.abs(np.fft.fft2(real[0].numpy() + 1j * imaginary[0].numpy())) ** 2
    turn = np.exp(2j * np.pi * np.fft.fftfreq(64))
    centre = [np.angle((power.sum(1 - axis) * turn).sum()) for axis in (0, 1)]
    assert np.abs(centre).max() < 0.2  # the image goes on beyond its edges, its neighbours do not
    assert_close((real**2 + imaginary**2)[0].numpy(), np.abs(image) ** 2)


def test_a_spectrum_that_wanders_across_the_image_is_centred_everywhere() -> None:
    """Bursts of a swept antenna: the centre moves by one and a half times the sampled band within the image."""
    random = np.random.default_rng(0)
    size = 256
    spectrum = np.zeros((size, size), complex)
    spectrum[64:193, 32:225] = random.normal(size=(129, 193)) + 1j * random.normal(size=(129, 193))
    image = np.fft.ifft2(np.fft.ifftshift(spectrum))
    rows = np.arange(size)[:, None]
    sweep = 1.5 * 2 * np.pi / size
    swept = image * np.exp(1j * (0.9 * rows + sweep / 2 * rows**2))
    real, imaginary = centred(torch.from_numpy(swept.real)[None], torch.from_numpy(swept.imag)[None])
    found = real[0].numpy() + 1j * imaginary[0].numpy()
    for start in range(0, size, 64):
        part = found[start : start + 64]
        turn = np.angle((part[1:] * part[:-1].conj()).sum())
        assert abs(turn) < 0.15, "of a band of 3.1 radians"
    assert_close(np.abs(found), np.abs(image))


def test_measures() -> None:
    random = np.random.default_rng(0)
    clean = np.sqrt(reflectances(landscape(96, 96, 5, 0), 0)[3])
    assert psnr(clean + 0.1, clean) == pytest.approx(10 * math.log10(np.quantile(clean, 0.99) ** 2 / 0.01))
    assert ssim(clean, clean) == pytest.approx(1.0)
    lacking = clean.copy()
    lacking[2, 3] = np.nan  # not seen: says nothing of the others
    assert ssim(lacking, clean) == pytest.approx(1.0)
    assert psnr(lacking + 0.1, clean) == pytest.approx(psnr(clean + 0.1, clean))
    noisy = np.hypot(*speckled(clean**2, 0))
    assert ssim(noisy, clean) < 0.6
    assert enl(random.exponential(size=(400, 400))) == pytest.approx(1.0, abs=0.02)
    assert enl(random.gamma(9.0, size=(400, 400))) == pytest.approx(9.0, rel=0.05)
    assert ratio_mean(noisy**2, clean**2) == pytest.approx(1.0, abs=0.05)


def test_structural_similarity_is_the_librarys() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    clean = np.sqrt(reflectances(landscape(64, 64, 5, 0), 0)[3])
    noisy = np.hypot(*speckled(clean**2, 0))
    wanted = metrics.structural_similarity(
        noisy, clean, data_range=float(np.quantile(clean, 0.99)), gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(noisy, clean) == pytest.approx(wanted, abs=0.03)  # the library leaves the edges out


def test_it_takes_speckle_away_writes_the_scene_and_tells_how_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = np.full((96, 80), 2500.0)
    clean[:, 40:] = 400.0
    folder = tmp_path / "slc"
    folder.mkdir()
    for seed in range(3):
        write_slc(folder / f"S1A_VV_{seed}.tif", clean, seed)
    run = pretrain(
        "satellite/merlin",
        data={"path": str(folder), "tile": 32},
        encoder={"name": "unet", "channels": 8, "pools": 2, "width": 8},
        train={"steps": 250, "batch_size": 8, "folder": str(tmp_path / "runs"), "device": "cpu"},
        optim={"lr": 2e-3},
        track=None,
    )
    known, output = write_scene(tmp_path / "known.tif", np.sqrt(clean)[None], names=["VV"], crs=None), tmp_path / "out.tif"
    told = despeckle(run.folder, str(folder / "S1A_VV_0.tif"), output, clean=known, device="cpu")["VV"]
    with rasterio.open(output) as file, rasterio.open(folder / "S1A_VV_0.tif") as noisy:
        amplitude, before = file.read(1), np.abs(noisy.read(1))
        assert file.shape == noisy.shape
        assert file.descriptions == ("VV amplitude, despeckled",)
    truth = np.sqrt(clean)
    assert psnr(amplitude, truth) > psnr(before, truth) + 4
    assert enl(amplitude[:, 4:36] ** 2) > 4 * enl(before[:, 4:36] ** 2)
    assert told["ratio_mean"] == pytest.approx(ratio_mean(before.astype(float) ** 2, amplitude.astype(float) ** 2), rel=1e-5)
    assert told["psnr_after"] == pytest.approx(psnr(amplitude, truth), rel=1e-5)
    assert told["psnr_before"] == pytest.approx(psnr(before, truth), rel=1e-5)
    assert told["ssim_after"] > told["ssim_before"]
    assert told["enl_before"] < 2 < 8 < told["enl_after"]
    assert told["ratio_variance"] == pytest.approx(np.var(before.astype(float) ** 2 / amplitude.astype(float) ** 2), rel=1e-4)
    other = write_scene(tmp_path / "other.tif", np.ones((1, 8, 8)), names=["VV"], crs=None)
    with pytest.raises(UserError, match="holds 1 x 8 x 8 numbers, and the scene 1 x 96 x 80"):
        despeckle(run.folder, str(folder / "S1A_VV_0.tif"), output, clean=other, device="cpu")
    words = [str(run.folder), str(folder / "S1A_VV_0.tif"), "-o", str(output), "--device", "cpu"]
    assert main(words) == 0
    assert "VV: ratio_mean " in capsys.readouterr().out
    assert main([str(run.folder), str(tmp_path / "none.tif"), "-o", str(tmp_path / "x.tif"), "--device", "cpu"]) == 2


def short(radar: Path, folder: Path) -> Run:
    """A step of a small net."""
    return pretrain(
        "satellite/merlin",
        data={"path": str(radar), "tile": 32},
        encoder={"channels": 4, "pools": 1, "width": 4},
        train={"steps": 1, "batch_size": 2, "folder": str(folder / "runs"), "device": "cpu"},
        track=None,
    )


def test_windows_meet_without_seams(radar: Path) -> None:
    source = TileSource(path=str(radar), tile=16)
    torch.manual_seed(0)
    encoder = UNet(source.spec, channels=4, pools=1, width=4)
    scene = source._reader.scenes[0]
    whole = Despeckler(encoder, centre=False, window=64, margin=16)(scene, (0, 0, 64, 64))
    joined = np.zeros_like(whole)
    for (row, col, height, width), _, part in Despeckler(encoder, centre=False, window=24, margin=16).scene(scene):
        joined[:, row : row + height, col : col + width] = part
    assert np.allclose(whole, joined, rtol=1e-3)
    assert sum(height * width for _, _, height, width in windows_of(50, 70, 24)) == 50 * 70


def test_each_window_is_read_once(radar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the clean amplitude is known; what is told is what two readings would tell."""
    run = short(radar, tmp_path)
    clean = np.sqrt(1e4 * reflectances(landscape(64, 64, 5, 0), 0)[3])
    known = write_scene(tmp_path / "known.tif", clean[None], names=["VV"], crs=None)
    reads: list[Window] = []
    plain = Scene.read

    def counted(self: Scene, window: Window) -> tuple[np.ndarray, np.ndarray]:
        reads.append(window)
        return plain(self, window)

    monkeypatch.setattr(Scene, "read", counted)
    monkeypatch.setattr("manyviews_satellite.radar.despeckle.Despeckler.scene", lambda self, scene: in_windows(self, scene, 24))
    told = despeckle(run.folder, str(radar), tmp_path / "out.tif", clean=known, device="cpu")["VV"]
    assert len(reads) == len(list(windows_of(64, 64, 24))) == 9
    with rasterio.open(radar) as noisy, rasterio.open(tmp_path / "out.tif") as found:
        before, after = np.abs(noisy.read(1)).astype(float), found.read(1)
    assert told["ratio_mean"] == pytest.approx(ratio_mean(before**2, after.astype(float) ** 2), rel=1e-5)
    assert told["psnr_before"] == pytest.approx(psnr(before, clean), rel=1e-5)
    assert told["psnr_after"] == pytest.approx(psnr(after, clean), rel=1e-5)


def in_windows(despeckler: Despeckler, scene: Scene, size: int) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
    for window in windows_of(scene.grid.rows, scene.grid.cols, size):
        yield window, *despeckler.beside(scene, window)


def test_the_ratio_corrects_what_the_likelihood_gets_wrong_on_level_ground() -> None:
    """Of N pixels' mean the likelihood makes N / (N - 2) times too much; times the ratio's mean, it is right on average."""
    n, r = 10, 7.0
    generator = torch.Generator().manual_seed(0)
    a, b = math.sqrt(r / 2) * torch.randn(2, 200_000, n, generator=generator, dtype=torch.float64)
    plain = [2 * part.square().mean(1) for part in (a, b)]
    factor = float((2 * b[:, 0] ** 2 / plain[0]).mean())  # brings the mean of 2 b^2 / R_a to 1, as the likelihood does
    scale = torch.linspace(1.0, 1.5, 1001, dtype=torch.float64)
    losses = torch.stack([negative_log_likelihood(s * plain[0], b[:, 0]).mean() for s in scale])
    assert float(scale[losses.argmin()]) == pytest.approx(n / (n - 2), rel=0.01)
    assert factor == pytest.approx(n / (n - 2), rel=0.01)
    found = [factor * part for part in plain]
    seen = float(ratio([a[:, 0], b[:, 0]], found).mean())
    assert seen == pytest.approx(1 - 2 / n, rel=0.01)
    assert float(sum(found).mean()) / 2 == pytest.approx(r / (1 - 2 / n), rel=0.01)
    assert float(sum(found).mean()) / 2 * seen == pytest.approx(r, rel=0.01)


def test_the_ratio_of_training_is_kept_and_despeckling_multiplies_by_it(radar: Path, tmp_path: Path) -> None:
    source = TileSource(path=str(radar), tile=16)
    torch.manual_seed(0)
    encoder = UNet(source.spec, channels=4, pools=1, width=4)
    model = Model(encoder, [Part(MerlinParts(source.spec, centre=False), Merlin())], "token")
    told: dict[str, torch.Tensor] = {}
    step = Step(source.batch(np.arange(4)), torch.Generator(), told.update)
    model(step)
    (seen,) = [value for name, value in told.items() if name.endswith("ratio")]
    assert_close(encoder.get_buffer("ratio"), 0.95 + 0.05 * seen.clamp(0.5, 2))
    encoder.eval()
    kept = encoder.get_buffer("ratio").clone()
    model(step)
    assert torch.equal(kept, encoder.get_buffer("ratio"))  # looked at, not trained
    encoder.get_buffer("ratio").fill_(0.8)
    scene, window = source.scenes[0], (0, 0, 64, 64)
    worker = Despeckler(encoder, centre=False, margin=0)
    parts = worker.parts(batch_of(scene, *scene.read(window)))
    assert_close(parts[0][0].own, parts[1][0].other)
    mean = torch.stack([found for _, found in parts]).mean(0).reshape(1, 64, 64).numpy()
    assert np.allclose(worker(scene, window), 0.8 * mean, rtol=1e-4)
    assert np.allclose(Despeckler(encoder, centre=False, margin=0, calibrate=False)(scene, window), mean, rtol=1e-4)


def test_it_refuses_runs_of_other_recipes(radar: Path, tmp_path: Path) -> None:
    run = pretrain(
        "satellite/satmae",
        data={"path": str(radar), "tile": 16},
        encoder={"width": 16, "depth": 1, "heads": 2, "patch": 8},
        objective={"width": 16, "depth": 1},
        train={"steps": 1, "batch_size": 4, "folder": str(tmp_path / "runs"), "device": "cpu"},
        evaluate=[],
        track=None,
    )
    with pytest.raises(UserError, match="despeckling needs a run of recipe satellite/merlin"):
        despeckle(run.folder, str(radar), tmp_path / "x.tif", device="cpu")


def test_what_is_no_complex_image_is_refused_and_lost_brightness_told(
    radar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = short(radar, tmp_path)
    optical = write_scene(tmp_path / "optical.tif", np.ones((2, 32, 32), np.uint16), names=["red", "nir"])
    with pytest.raises(UserError, match=r"optical.tif: red, nir: no complex numbers; despeckling needs a single-look complex"):
        despeckle(run.folder, str(optical), tmp_path / "x.tif", device="cpu")
    with pytest.raises(UserError, match=r"--output: there is no folder .*nowhere"):
        despeckle(run.folder, str(radar), tmp_path / "nowhere" / "x.tif", device="cpu")
    write_slc(tmp_path / "dark.tif", np.full((32, 32), 1e-3), 0)
    assert main([str(run.folder), str(tmp_path / "dark.tif"), "-o", str(tmp_path / "x.tif"), "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "ratio_mean" in said.out
    assert "VV: its brightness is not kept: the mean of the ratio image should be near 1, and is" in said.err
