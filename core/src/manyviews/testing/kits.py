"""The conformance kit: subclass these in a plugin's tests, and every check that the core relies on is made.

    from manyviews.testing.kits import EncoderKit, ObjectiveKit, PluginKit, SourceKit, ViewsKit

    class TestEncoders(EncoderKit):
        plugin = "manyviews_sonar.plugin"

What they are run on is the plugin's own `Domain.trial`: see `manyviews.testing.trial.Trial`. `manyviews check-plugin sonar`
runs all of them without a test file, and says of each failure where to look.
"""

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("the conformance kit needs pytest: pip install 'manyviews[testing]'", name="pytest") from error

pytest.register_assert_rewrite(
    *(
        f"manyviews.testing.{name}"
        for name in (
            "checks",
            "downstream_kit",
            "encoder_kit",
            "objective_kit",
            "plugin_kit",
            "recipe_kit",
            "renderer_kit",
            "source_kit",
            "views_kit",
        )
    )
)

from manyviews.testing.downstream_kit import DownstreamKit  # noqa: E402 (asserts are rewritten before they are imported)
from manyviews.testing.encoder_kit import EncoderKit  # noqa: E402
from manyviews.testing.objective_kit import ObjectiveKit  # noqa: E402
from manyviews.testing.plugin_kit import PluginKit  # noqa: E402
from manyviews.testing.recipe_kit import MatrixKit, RecipeKit  # noqa: E402
from manyviews.testing.renderer_kit import RendererKit  # noqa: E402
from manyviews.testing.source_kit import SourceKit  # noqa: E402
from manyviews.testing.views_kit import ViewsKit  # noqa: E402

__all__ = [
    "DownstreamKit", "EncoderKit", "MatrixKit", "ObjectiveKit", "PluginKit", "RecipeKit", "RendererKit", "SourceKit",
    "ViewsKit",
]  # fmt: skip
