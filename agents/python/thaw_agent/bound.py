"""Which names the statements of a body bind, and in which order."""
import ast
from difflib import SequenceMatcher

from .definitions import bindings, inert
from .values import Names


def definitions(before, k, after, last):
    """Functions to bind and to unbind, so that the module holds what the new version would have bound by now."""
    had, has = _bound_until(before, k), _bound_until(after, last)
    # What moved past a statement that does something counts as bound anew: that statement may have needed it.
    changed = {name for name in has.keys() | had.keys() if had.get(name) != has.get(name)}
    order, placed = _order(before, k, after, last)
    return {
        "order": order,
        "placed": placed,
        "bind": [entry for name, (entry, _) in has.items() if name in changed] + before.members_changed["bind"],
        "unbind": [name for name in had if name not in has] + before.members_changed["unbind"],
        # What must still be bound as the old version bound it.
        "was": [entry for name, (entry, _) in had.items() if name in changed] + before.members_changed["was"],
    }


def _order(before, k, after, last):
    """In which order the new version binds names: [name or None, …], None where it cannot be told which. And those of them
    that the old version did not bind, or bound elsewhere."""
    once = {name for name, count in after.bound.items() if count == 1 and before.bound.get(name, 1) == 1}
    was, order = _binds(before, k, once), _binds(after, last, once)
    # What both begin and end with is no matter for the matcher, whose time grows with the square of what it is given.
    least = min(len(was), len(order))
    begin = next((i for i in range(least) if was[i] != order[i]), least)
    end = next((i for i in range(least - begin) if was[-1 - i] != order[-1 - i]), least - begin)
    inner = SequenceMatcher(None, was[begin : len(was) - end], order[begin : len(order) - end], autojunk=False)
    stays = set(order[:begin] + order[len(order) - end :])
    for match in inner.get_matching_blocks():
        stays.update(order[begin + match.b : begin + match.b + match.size])
    placed = [name for name in order if name is not None and name not in stays]
    return (order, placed) if placed else ([], [])


def _binds(body, last, once):
    """Names that statements up to `last` bind, None for what else one may bind before."""
    out = []
    for i in range(min(last + 1, body.count)):
        entries = body.inert.get(i)
        if entries is not None:
            out += [e["name"] if e["name"] in once else None for e in entries if e["name"] != "__doc__"]
            continue
        out.append(None)
        name = _last_bound(body.nodes[i])
        if name in once:
            out.append(name)
    return out


def _last_bound(node):
    """The name that a statement binds as the last thing that it does, or None."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return node.name
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return node.names[-1].asname or node.names[-1].name.partition(".")[0]
    if isinstance(node, ast.Assign) and isinstance(node.targets[-1], ast.Name):
        return node.targets[-1].id
    return None


def _bound_until(body, last):
    """What inert statements up to `last` bind: {name: (entry, how many other statements come before it)}."""
    found, others = {}, 0
    for i in range(min(last + 1, body.count)):
        entries = body.inert.get(i)
        if entries is None:
            others += 1
        for entry in entries or ():
            found[entry["name"]] = entry, others
    return found


def inert_statements(nodes, tree):
    """{statement: what it binds} of statements that only bind names which nothing else in the file binds."""
    names = Names(tree)
    found = {}
    for i, node in enumerate(nodes):
        if node is not None and inert(node, node is tree.body[0], names):
            entries = bindings(node, names)
            if all(names.bound.get(e["name"], 1) == 1 for e in entries):
                found[i] = entries
    return found
