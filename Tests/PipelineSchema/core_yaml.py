"""YAML by the core schema of YAML 1.2, as editors and Stagewire read it: `yes` is a text, and every key is one."""

import re

import yaml

TAG = "tag:yaml.org,2002:"
FIRST = list("-+.0123456789")


class Loader(yaml.SafeLoader):
    """PyYAML's scanner and parser with other scalars: by itself it reads YAML 1.1."""

    yaml_implicit_resolvers = {}

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        return {str(key.value): self.construct_object(value, deep=True) for key, value in node.value}


def construct_map(loader, node):
    return loader.construct_mapping(node)


def construct_int(loader, node):
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


for tag, pattern, first in [
    ("null", r"^(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", FIRST),
    ("float", r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$", FIRST),
]:
    Loader.add_implicit_resolver(TAG + tag, re.compile(pattern), first)
Loader.add_constructor(TAG + "int", construct_int)
Loader.add_constructor(TAG + "map", construct_map)


def load(text):
    return yaml.load(text, Loader)
