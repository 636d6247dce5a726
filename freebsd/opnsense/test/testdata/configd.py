#!/usr/bin/env python3
"""Renders a folder of templates as configd of OPNsense does: configd.py TEMPLATES ROOT….

Each ROOT holds a config.xml, and gets the files of it.

With OPNSENSE_CORE, a copy of OPNsense's own sources, its configd does it; without, this does
what of it the plugin needs."""

import copy
import os
import shlex
import shutil
import sys
import tempfile
from xml.etree import ElementTree

import jinja2

uuids = {}


def tree(node):
    """An element as configd has it: a dictionary with a list for what stands there more than
    once, the text of a leaf, nothing of an empty one."""
    if len(node) == 0:
        return node.text
    found = {}
    for child in node:
        value = tree(child)
        if isinstance(value, dict):
            value.update(("@" + key, text) for key, text in child.attrib.items())
        if "uuid" in child.attrib:
            uuids[child.attrib["uuid"]] = value
        if value is None:
            continue
        if child.tag not in found:
            found[child.tag] = value
        elif isinstance(found[child.tag], list):
            found[child.tag].append(value)
        else:
            found[child.tag] = [found[child.tag], value]
    return found


class Helpers:
    def __init__(self, config):
        self.config = config

    def node(self, tag):
        at = self.config
        for name in tag.split("."):
            if not isinstance(at, dict) or name not in at:
                return None
            at = at[name]
        return at

    def exists(self, tag):
        return self.node(tag) is not None

    def empty(self, tag):
        return not self.node(tag) or self.node(tag) == "0"

    def toList(self, tag):
        at = self.node(tag)
        return [] if at is None else at if isinstance(at, list) else [at]

    def getUUID(self, uuid):
        return uuids.get(uuid, {})

    def physical_interface(self, name):
        return self.node("interfaces." + name + ".if") or name


def targets(target, helpers):
    """The files that a target with a [tag.%.field] means, each with what it is about."""
    if "[" not in target:
        return [(target, {})]
    before, rest = target.split("[")
    tag, after = rest.split("]")
    kind, field = tag.split(".%.")
    several = isinstance(helpers.node(kind), list)
    files = {}
    for i, item in enumerate(helpers.toList(kind)):
        name = before + os.path.basename(item[field]) + after
        files.setdefault(name, {})[kind + "." + str(i) if several else kind] = item[field]
    return list(files.items())


def generate(templates, root):
    uuids.clear()
    data = tree(ElementTree.parse(root + "/config.xml").getroot())
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(templates), trim_blocks=True,
                                     extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
    environment.filters["shlex_quote"] = shlex.quote
    helpers = Helpers(data)
    environment.globals["helpers"] = helpers
    for line in open(templates + "/+TARGETS"):
        source, target = line.strip().split(":")
        for name, about in targets(target, helpers):
            text = environment.get_template(source).render(dict(copy.deepcopy(data), TARGET_FILTERS=about))
            path = root + name
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, os.stat(os.path.dirname(path)).st_mode & 0o666)


def generate_by_core(core, templates, roots):
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(core + "/src/opnsense/service", place + "/service")
        shutil.copytree(templates, place + "/service/templates/OPNsense/Plugin")
        sys.path.insert(0, place + "/service")
        from modules.config import Config
        from modules.template import Template
        for root in roots:
            made = Template(root)
            made.set_config(Config(root + "/config.xml").get())
            if made.generate("OPNsense/Plugin") is None:
                sys.exit("configd says in the system's log why it could not")


templates, roots = sys.argv[1], sys.argv[2:]
if os.environ.get("OPNSENSE_CORE"):
    generate_by_core(os.environ["OPNSENSE_CORE"], templates, roots)
else:
    for root in roots:
        generate(templates, root)
