"""Checks conformance/rules.yaml: every rule of PROTOCOL.md once and in its order, roles that exist, reasons that say
something."""

import yaml

from generator.form import ROOT

ROLES = {"worker", "broker"}


def no_duplicates(loader, node):
    """A mapping whose keys are distinct: YAML would keep the last."""
    pairs = loader.construct_pairs(node, deep=True)
    if len({name for name, _ in pairs}) < len(pairs):
        raise yaml.YAMLError(f"a name twice in {node.start_mark}")
    return dict(pairs)


class Loader(yaml.SafeLoader):
    pass


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, no_duplicates)


def check(report):
    """Adds to the report's problems; the number of obligations (rule and role) that need a case."""
    place = "conformance/rules.yaml"
    try:
        listed = yaml.load((ROOT / "conformance/rules.yaml").read_text(), Loader)
    except yaml.YAMLError as error:
        report.expect(False, place, f"{error}")
        return 0
    for name in report.rules ^ listed.keys():
        report.expect(False, place, f"{name} is {'missing' if name in report.rules else 'no rule of PROTOCOL.md'}")
    # A rule that moved in the document moves here.
    report.expect([name for name in listed if name in report.rules] == [name for name in report.order if name in listed],
                  place, "not in the order of PROTOCOL.md")
    obligations = 0
    for name, entry in listed.items():
        unknown = entry.keys() - {"must", "untestable"}
        report.expect(not unknown and "must" in entry, place, f"{name} has {sorted(entry)}")
        must, reasons = entry.get("must", []), entry.get("untestable", {})
        report.expect(set(must) <= ROLES and len(set(must)) == len(must), place, f"{name}: roles {must}")
        report.expect(reasons.keys() <= set(must), place, f"{name}: a reason for a role that the rule does not oblige")
        for role, reason in reasons.items():
            report.expect(
                isinstance(reason, str) and len(reason.split()) >= 5, place, f"{name}: why {role} cannot be tested")
        obligations += len(set(must) - reasons.keys())
    return obligations
