"""The toy domain passes the conformance kit that it serves as an example for."""

from __future__ import annotations

from manyviews.testing.kits import DownstreamKit, EncoderKit, ObjectiveKit, PluginKit, RendererKit, SourceKit, ViewsKit

PLUGIN = "manyviews.testing.toy_plugin"


class TestPlugin(PluginKit):
    plugin = PLUGIN


class TestSource(SourceKit):
    plugin = PLUGIN


class TestEncoder(EncoderKit):
    plugin = PLUGIN


class TestViews(ViewsKit):
    plugin = PLUGIN


class TestObjectives(ObjectiveKit):
    plugin = PLUGIN


class TestRenderers(RendererKit):
    plugin = PLUGIN


class TestDownstream(DownstreamKit):
    plugin = PLUGIN
