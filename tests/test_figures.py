"""Figures: they draw in every case that comes up, say what they show, and carry all they need."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from synthetic import METRICS, SOURCES, gone, rows

from hastelib import figures, report
from hastelib.figures import page
from hastelib.report import labels

FEW = {"resamples": 50}
ALL = rows()
PICTURES = [np.linspace(0, 1, 64).reshape(8, 8)] * 4


@pytest.fixture
def hardness_bins() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    hardness = generator.random(200)
    correct = {name: generator.random(200) > 0.5 * hardness for name in SOURCES[:3]}
    return report.hardness_bins(hardness, correct)


def drawn(figure: Figure) -> Figure:
    """The figure after its layout is settled."""
    figure.savefig(io.BytesIO(), format="png")
    return figure


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_scatter_has_a_panel_per_variant_with_its_r():
    figure = drawn(figures.scatter(ALL, "leep", "greek"))
    found = report.correlations(ALL, **FEW)
    part = found[(found["target"] == "greek") & (found["metric"] == "leep")]
    expected = [
        f"{labels.variant(line['variant'])}, r = {line['value']:.2f}"
        for line in part.to_dict("records")
    ]
    assert titles(figure) == expected
    ends = {axes.get_ylim() for axes in figure.axes}
    assert len(ends) == 1
    assert [text.get_text() for text in figure.axes[0].texts] == [*"8", "14", "20", "10", "16",
                                                                  "22", "v2"]  # fmt: skip


def test_scatter_grid_has_metrics_down_and_variants_across():
    figure = drawn(figures.scatter_grid(ALL, METRICS, "greek"))
    assert len(figure.axes) == 16
    assert titles(figure)[0].startswith("Baseline\nr = ")
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["LEEP", "NCE", "GBC", "LogME"]


@pytest.mark.parametrize("metrics", [METRICS[:1], METRICS[:3], METRICS])
@pytest.mark.parametrize("targets", [["greek"], ["greek", "digits"]])
def test_forest_has_a_panel_per_metric_with_every_target_named(metrics, targets):
    part = report.correlations(rows(targets, metrics), **FEW)
    figure = drawn(figures.forest(part))
    assert titles(figure) == [labels.metric(metric) for metric in metrics]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == targets
    dots = [line for line in figure.axes[0].lines if line.get_marker() in "osD^"]
    assert [len(line.get_xdata()) for line in dots] == [len(targets)] * 4
    assert all(axes.get_xticklabels() for axes in figure.axes)


@pytest.mark.parametrize("kind", ["scatter", "scatter_grid", "forest"])
def test_missing_and_constant_scores_leave_gaps_not_errors(kind):
    part = [gone(r) if r.metric == "leep" and r.variant == "ca" else r for r in ALL]
    part = [
        r.model_copy(update={"score": 1.0}) if (r.metric, r.variant) == ("leep", "cs") else r
        for r in part
    ]
    part = [
        r.model_copy(update={"accuracy_std": math.nan, "seeds": 1}) if r.source == SOURCES[0] else r
        for r in part
    ]
    arguments = {
        "scatter": (part, "leep", "greek"),
        "scatter_grid": (part, METRICS[:2], "greek"),
        "forest": (report.correlations(part, **FEW),),
    }[kind]
    figure = drawn(getattr(figures, kind)(*arguments))
    assert len(figure.axes) >= 4
    assert "nan" not in figures.alt(kind, *arguments)
    if kind == "scatter":
        assert titles(figure)[2:] == ["CA, r = –", "CS, r = –"]


def test_figures_of_a_single_variant():
    plain = [r for r in ALL if r.variant == "all"]
    assert len(drawn(figures.scatter(plain, "leep", "greek")).axes) == 1
    assert len(drawn(figures.scatter_grid(plain, METRICS, "greek")).axes) == 4
    drawn(figures.forest(report.correlations(plain, **FEW)))


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match=r"target \['latin'\]; there are: armenian, cyrillic"):
        figures.scatter(ALL, "leep", "latin")
    with pytest.raises(ValueError, match=r"metric \['h_score'\]; there are: gbc"):
        figures.scatter_grid(ALL, ["leep", "h_score"], "greek")
    with pytest.raises(ValueError, match="unknown figure 'bar'; choose one of: accuracy_by"):
        figures.alt("bar")


def test_gallery_takes_pictures_of_any_kind():
    grey = np.zeros((8, 8), np.uint8)
    kinds = [grey, grey[..., None], np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8)]
    kinds += [Image.new(mode, (8, 8)) for mode in ("L", "RGB", "P", "1")]
    hardness = [0.5] * len(kinds)
    figure = drawn(figures.gallery([kinds, kinds[:2]], ["Hard", "Easy"], [hardness, [0.1, 0.25]]))
    assert [axes.get_xlabel() for axes in figure.axes] == ["0.500"] * 8 + ["0.100", "0.250"]
    with pytest.raises(ValueError, match=r"shape \(h, w\)"):
        figures.gallery([[np.zeros((3, 8, 8))]], ["Hard"], [[1.0]])


@pytest.mark.parametrize(
    ("images", "titles", "hardness"),
    [([], [], []), ([[]], ["Hard"], [[]]), ([PICTURES], ["Hard"], [[0.1]]), ([PICTURES], [], [])],
)
def test_gallery_refuses_groups_that_do_not_fit(images, titles, hardness):
    with pytest.raises(ValueError, match="expected a title per group"):
        figures.gallery(images, titles, hardness)


def test_bins_are_drawn_with_their_intervals(hardness_bins):
    figure = drawn(figures.accuracy_by_hardness(hardness_bins))
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["B1\nhardest", "B2", "B3", "B4", "B5\neasiest"]
    lines = axes.containers
    assert [line.get_label() for line in lines] == ["resnet8", "resnet14", "resnet20"]
    ends = lines[0][2][0].get_segments()[0][:, 1]
    first = hardness_bins.iloc[0]
    np.testing.assert_allclose(ends, [100 * first["low"], 100 * first["high"]])


def test_idea_has_pictures_and_bins(hardness_bins):
    figure = drawn(figures.idea(PICTURES, PICTURES[:3], hardness_bins))
    assert sum(bool(axes.images) for axes in figure.axes) == 7
    text = figures.alt("idea", PICTURES, PICTURES[:3], hardness_bins)
    assert text.startswith("Left, 4 hard and 3 easy samples")


def test_alternative_texts_have_the_numbers(hardness_bins):
    found = report.correlations(ALL, **FEW)
    value = found.set_index(["target", "metric", "variant"])["value"]
    assert f"CS r = {value['greek', 'nce', 'cs']:.2f}" in figures.alt(
        "scatter", ALL, "nce", "greek"
    )
    grid = figures.alt("scatter_grid", ALL, METRICS, "greek")
    assert f"LogME: Baseline r = {value['greek', 'logme', 'all']:.2f}" in grid
    assert f"LEEP: Baseline {value[:, 'leep', 'all'].mean():.2f}" in figures.alt("forest", found)
    first = hardness_bins.iloc[0]
    assert f"resnet8 from {100 * first['accuracy']:.1f}%" in figures.alt(
        "accuracy_by_hardness", hardness_bins
    )
    assert figures.alt("gallery", [PICTURES], ["Hard"], [[1, 2, 3, 4.0]]) == (
        "Pictures: 4 under “Hard”, hardness 1 to 4."
    )


@pytest.mark.parametrize("kind", ["scatter", "scatter_grid", "forest"])
def test_nothing_lies_on_top_of_the_legend(kind):
    arguments = {
        "scatter": (ALL, "leep", "greek"),
        "scatter_grid": (ALL, METRICS, "greek"),
        "forest": (report.correlations(ALL, **FEW),),
    }[kind]
    figure = drawn(getattr(figures, kind)(*arguments))
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert figure.bbox.containsx(box.x0)
    assert figure.bbox.containsx(box.x1)
    others = [*figure.texts, *(axes.title for axes in figure.axes), *figure.axes]
    others += [axes._left_title for axes in figure.axes]
    assert not [one for one in others if one.get_window_extent().overlaps(box)]


@pytest.fixture
def settings() -> Iterator[None]:
    with mpl.rc_context():
        yield


@pytest.mark.usefixtures("settings")
def test_the_style_is_for_all_and_figures_have_it_anyhow():
    mpl.rcdefaults()
    figure = figures.scatter(ALL, "leep", "greek")
    assert not figure.axes[0].spines["top"].get_visible()
    assert mpl.rcParams["axes.spines.top"]
    figures.use_style()
    assert not mpl.rcParams["axes.spines.top"]
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"][0] == "#0173b2"


def test_a_shown_figure_carries_its_picture_caption_and_text(hardness_bins):
    figure = figures.accuracy_by_hardness(hardness_bins)
    html = page.html(figure, "Hard <samples>", 'the "text"', "Figure 5.1a")
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert picture
    with Image.open(io.BytesIO(base64.b64decode(picture[1]))) as image:
        pixels = image.width
    assert f"width:{pixels // page.DENSITY}px;max-width:100%" in html
    assert 'alt="the &quot;text&quot;"' in html
    assert 'id="figure-5-1a"' in html
    assert "<strong>Figure 5.1a.</strong> Hard &lt;samples&gt;</figcaption>" in html
    assert "http" not in html.replace(picture[1], "")
    assert "<script" not in html
    with pytest.raises(ValueError, match="a figure needs a caption"):
        page.html(figure, "", "text")


def test_show_displays_html_in_a_notebook(monkeypatch, hardness_bins):
    import IPython.display

    shown: list[str] = []
    monkeypatch.setattr(IPython.display, "display", lambda html: shown.append(html.data))
    figures.show(figures.accuracy_by_hardness(hardness_bins), "Caption", "Text", "Figure 1")
    assert len(shown) == 1
    assert shown[0].startswith('<figure class="haste-figure" id="figure-1"><img ')


def test_the_style_file_ships_with_the_package():
    assert page.STYLE.parent == Path(figures.__file__).parent
    assert page.STYLE.is_file()


@pytest.mark.parametrize(
    ("source", "family", "member"),
    [
        ("resnet20@cifar10", "ResNet", "20"),
        ("ResNet50_Weights.IMAGENET1K_V2", "ResNet", "50"),
        ("mobilenet_v2@glyphs", "MobileNet", "v2"),
        ("densenet121@imagenet/x.safetensors", "DenseNet", "121"),
        ("squeezenet1_1@IMAGENET1K_V1", "SqueezeNet", "1_1"),
        ("vit", "vit", "vit"),
        ("7b", "7b", "7b"),
    ],
)
def test_sources_are_called_by_family_and_member(source, family, member):
    assert (labels.family(source), labels.member(source)) == (family, member)
