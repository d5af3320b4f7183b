"""Images and the core: every check of the conformance kit."""

from __future__ import annotations

from manyviews.testing.kits import DownstreamKit, EncoderKit, ObjectiveKit, PluginKit, RendererKit, SourceKit, ViewsKit

PLUGIN = "manyviews_satellite.plugin"


class TestPlugin(PluginKit):
    plugin = PLUGIN


class TestSource(SourceKit):
    plugin = PLUGIN


class TestEncoders(EncoderKit):
    plugin = PLUGIN


class TestViews(ViewsKit):
    plugin = PLUGIN


class TestRenderers(RendererKit):
    plugin = PLUGIN


class TestObjectives(ObjectiveKit):
    plugin = PLUGIN


class TestDownstream(DownstreamKit):
    plugin = PLUGIN
