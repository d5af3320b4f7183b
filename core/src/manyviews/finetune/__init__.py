"""Finetuning. The package has the name of the function that `manyviews` exports, and importing it puts it in that one's place:
`manyviews.finetune(…)` is then a call of the package, and means the function all the same."""

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        from manyviews.finetune.study import finetune

        return finetune(*arguments, **settings)


sys.modules[__name__].__class__ = _Package
