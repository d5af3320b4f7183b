"""Pretraining as a scikit-learn transformer: rows in, embeddings out, in any pipeline.

    embed = TablePretrainer("tabular/masked_values").fit(X)      # no labels
    model = make_pipeline(embed, LogisticRegression()).fit(X, y)

Embeddings are computed in double precision and returned in single, so that a row's does not depend, by as much as a
rounding, on the rows that it is transformed with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from manyviews.engine.load import load_trained
from manyviews.engine.pretrain import pretrain
from manyviews.evaluate.embed import embed
from manyviews.recipe.load import load_recipe
from manyviews_tabular.encode import check_columns
from manyviews_tabular.schema import ColumnType
from manyviews_tabular.source import TableSource


class TablePretrainer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Pretrains an encoder on the rows of X, without labels, and embeds rows with it.

    X is a DataFrame (columns are matched by name, whatever their order; further ones are ignored) or an array. Missing
    values may be NaN or None; categories may be text.

    Args:
        recipe: A recipe's name or path. Its `data`, `evaluate` and `track` sections are not used.
        steps: Optimiser steps; None: as the recipe says.
        batch_size: Rows of a batch (all of them where there are fewer); None: as the recipe says.
        sections: Changes to the recipe by section, such as `{"encoder": {"width": 32}}`.
        types: Types of columns where the guess is wrong, such as `{"zip": "categorical"}`.
        ignore: Columns to leave out.
        form: A row's vector: `pooled`, or `flat`, its tokens end to end.
        random_state: Seed of weights, views and the order of rows: a number, a RandomState or None.

    Attributes:
        spec_: The columns as they were understood; `print(estimator.spec_.describe())`.
        encoder_: The trained encoder, in double precision.
    """

    def __init__(
        self,
        recipe: str | Path = "tabular/masked_values",
        *,
        steps: int | None = None,
        batch_size: int | None = None,
        sections: Mapping[str, Mapping[str, Any]] | None = None,
        types: Mapping[str, ColumnType] | None = None,
        ignore: list[str] | None = None,
        form: Literal["pooled", "flat"] = "pooled",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.recipe = recipe
        self.steps = steps
        self.batch_size = batch_size
        self.sections = sections
        self.types = types
        self.ignore = ignore
        self.form = form
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> TablePretrainer:
        """Pretrain on the rows of X; y is ignored.

        Raises:
            DataError: A column cannot be used; names it.
        """
        frame = self._frame(X, reset=True)
        source = TableSource(path=frame, types=dict(self.types or {}), ignore=self.ignore)
        seed = int(check_random_state(self.random_state).randint(2**31))
        with TemporaryDirectory(prefix="manyviews-") as folder:
            run = pretrain(self.recipe, source=source, **self._overrides(len(source), seed, folder))
            trained = load_trained(run.folder)
        self.spec_, self.encoder_ = source.spec, trained.encoder.double()
        columns = len(source.spec.tokens)
        self._n_features_out = self.encoder_.pooled_width if self.form == "pooled" else columns * self.encoder_.width
        return self

    def transform(self, X: Any) -> Float[np.ndarray, "rows width"]:
        """The embedding of each row, float32; no rows give (0, width)."""
        check_is_fitted(self)
        source = TableSource(path=self._frame(X, reset=False), spec=self.spec_)
        if not len(source):
            return np.zeros((0, self._n_features_out), np.float32)
        return embed(self.encoder_, source, np.arange(len(source)), form=self.form)

    def _frame(self, X: Any, *, reset: bool) -> pd.DataFrame:
        """X as a DataFrame, checked and recorded as scikit-learn has it."""
        if isinstance(X, pd.DataFrame):
            return self._named(X, reset=reset)
        dtype = None if isinstance(X, np.ndarray) else object
        array = validate_data(
            self, X, reset=reset, dtype=dtype, ensure_all_finite="allow-nan", ensure_min_samples=2 if reset else 0
        )
        return pd.DataFrame(array, columns=self._columns).infer_objects()

    def _named(self, frame: pd.DataFrame, *, reset: bool) -> pd.DataFrame:
        """By name: once fitted, columns may come in any order and beside others."""
        if not reset and self._columns_are_named:
            check_columns([str(name) for name in frame.columns], self.spec_, "X")
            return frame
        validate_data(self, frame, reset=reset, skip_check_array=True)
        return frame if self._columns_are_named else frame.set_axis(self._columns, axis=1)

    @property
    def _columns_are_named(self) -> bool:
        return "feature_names_in_" in self.__dict__

    @property
    def _columns(self) -> list[str]:
        """Names of X's columns; an array's are named as scikit-learn names them."""
        return list(self.feature_names_in_) if self._columns_are_named else [f"x{i}" for i in range(self.n_features_in_)]

    def _overrides(self, rows: int, seed: int, folder: str) -> dict[str, Any]:
        """What the recipe is changed by. Its data and probes give way to X."""
        sections = {name: dict(section) for name, section in (self.sections or {}).items()}
        fixed: dict[str, Any] = {"data": {"path": "X"}, "evaluate": [], "track": None}
        train = sections.get("train", {}) | {"seed": seed, "folder": folder}
        if self.steps is not None:
            train |= {"steps": self.steps, "epochs": None}
        if self.batch_size is not None:
            train["batch_size"] = self.batch_size
        asked = load_recipe(self.recipe, sections | fixed | {"train": train}).train.batch_size
        return sections | fixed | {"train": train | {"batch_size": min(asked, rows)}}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
