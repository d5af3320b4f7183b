"""Everything that the core relies on, checked on the data of `manyviews_timeseries.trial`."""

from __future__ import annotations

from manyviews.testing.kits import EncoderKit, ObjectiveKit, PluginKit, RecipeKit, RendererKit, SourceKit, ViewsKit

PLUGIN = "manyviews_timeseries.plugin"


class TestPlugin(PluginKit):
    plugin = PLUGIN


class TestSource(SourceKit):
    plugin = PLUGIN


class TestEncoders(EncoderKit):
    plugin = PLUGIN


class TestViews(ViewsKit):
    plugin = PLUGIN


class TestObjectives(ObjectiveKit):
    plugin = PLUGIN


class TestRenderers(RendererKit):
    plugin = PLUGIN


class TestRecipes(RecipeKit):
    plugin = PLUGIN
