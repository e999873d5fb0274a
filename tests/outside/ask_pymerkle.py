"""Runs in .outside/ledger: pymerkle's roots over entries, its inclusion paths, and its opinion of the paths of others."""

import json
import sys

from pymerkle import InclusionProof, InmemoryTree, InvalidProof, verify_inclusion


def answer(tree, case):
    """The root at a size; for an index also the path, and whether the given path is accepted as a proof."""
    size = case["size"]
    found = {"root": tree.get_root(size).hex()}
    if "index" in case:
        own = tree.prove_inclusion(case["index"] + 1, size)  # its indices begin with 1, its paths with the leaf
        found["path"] = [item.hex() for item in own.path[1:]]
        given = [own.path[0], *(bytes.fromhex(item) for item in case["path"])]
        proof = InclusionProof(own.algorithm, own.security, own.size, own.index, own.rule, given)
        try:
            verify_inclusion(bytes.fromhex(case["leaf"]), bytes.fromhex(case["root"]), proof)
            found["ok"] = True
        except InvalidProof:
            found["ok"] = False
    return found


question = json.load(sys.stdin)
tree = InmemoryTree(algorithm="sha256")
for entry in question["entries"]:
    tree.append_entry(bytes.fromhex(entry))
json.dump([answer(tree, case) for case in question["cases"]], sys.stdout)
